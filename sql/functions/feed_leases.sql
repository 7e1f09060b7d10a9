-- Purpose: subscriptions that were made for somebody who reads their events, and end when nobody does any more.
-- Locks: the rows that are deactivated; one that somebody else is writing is left until the next time.

create or replace function odoo_eventd.lease_subscription(subscription integer) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  insert into odoo_eventd.feed_reader as r (subscription_id, leased) values (subscription, true)
    on conflict (subscription_id) do update set leased = true, read_at = now();
  return subscription;
end $$;
comment on function odoo_eventd.lease_subscription(integer) is
  'A subscription that has just been made lives as long as somebody reads it. Called by add_subscription().';
revoke all on function odoo_eventd.lease_subscription(integer) from public;

create or replace function odoo_eventd.end_feed_leases(of_term bigint) returns setof integer
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  lapsed integer[];
  lease_s constant integer := (select r.lease_s from odoo_eventd.feed_ring r);
begin
  perform odoo_eventd.assert_term(of_term);
  -- Whoever writes the row, and so enables it again, gives it a new lease.
  lapsed := array(
    select s.id
      from public.mcp_event_subscription s
      left join odoo_eventd.feed_reader r on r.subscription_id = s.id
     where s.active and coalesce(s.webhook_url, '') = '' and s.endpoint_source <> 'record'
       and (s.created_from = 'ai' or coalesce(r.leased, false))
       and greatest(r.read_at at time zone 'utc', s.write_date,
         s.create_date) < (now() at time zone 'utc') - lease_s * interval '1 s'
       for update of s skip locked);
  if lapsed <> '{}' then
    -- Once for the history, as anybody's change, and once for the reason, which is the service's to write.
    perform set_config('application_name', 'odoo-eventd: nobody read its events', true);
    update public.mcp_event_subscription s set active = false where s.id = any (lapsed);
    perform set_config('odoo_eventd.service_write', 'on', true);
    update public.mcp_event_subscription s
       set error = format('nobody has read its events for %s: whoever made it is gone; activate it to read on',
                          case when lease_s % 3600 = 0 then lease_s / 3600 || ' h' when lease_s % 60 = 0
                            then lease_s / 60 || ' min'
                               else lease_s || ' s' end)
     where s.id = any (lapsed);
    perform set_config('odoo_eventd.service_write', 'off', true);
  end if;
  delete from odoo_eventd.feed_reader r
    where not exists (select from public.mcp_event_subscription s where s.id = r.subscription_id);
  delete from odoo_eventd.feed_dropped d
   where d.subscription_id <> 0 and not exists (select from public.mcp_event_subscription s where s.id = d.subscription_id)
     and not exists (select from odoo_eventd.feed f where f.subscription_id = d.subscription_id);
  return query select unnest(lapsed);
end $$;
comment on function odoo_eventd.end_feed_leases(bigint) is
  'Deactivates leased subscriptions that nobody has read for as long as their lease, with the reason in error, and returns '
  'them; forgets who read those that are gone.';
