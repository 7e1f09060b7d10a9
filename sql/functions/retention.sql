-- Purpose: what becomes of old attempts, old deliveries, and of a person's data that must go.
--
-- The log (public.mcp_webhook_delivery) is dropped by the day, never deleted row by row: that costs no WAL to speak of and leaves
-- nothing to vacuum. DROP of a partition needs ACCESS EXCLUSIVE on the log; whoever reads the log for long (a dump, a report)
-- stands in its way, and everybody who comes after the waiting DROP would stand behind it, the service first. So it waits for
-- lock_wait_ms only, which is longer than the service's own statements take and shorter than anybody notices, and is tried again
-- later. DETACH CONCURRENTLY would wait politely, but cannot run in a function, and only functions let the listener do this at
-- all.
--
-- odoo_eventd.delivery holds one narrow row for each delivery ever made, as its key is what makes a delivery happen once. A
-- delivery could only be made again if its outbox rows were read again, and it was committed together with the position behind
-- them: so once it has ended, the key has done its work. The row is kept for `redeliver`, as long as the log has an attempt of
-- it. Then it goes, in batches along the key, which begins with the event's time: the dead rows lie together, so vacuum frees
-- whole pages of table and index at the old end while new rows come at the other (autovacuum is set for it in migrations/000010).
-- The table's size stays that of the days kept. Partitions by day would do the same at the price of days that one delivery,
-- retried for a month, keeps alive.
--
-- Locks: drop_log_day as above; clear_deliveries and erase_records lock the rows that they remove or blank.

create or replace function odoo_eventd.log_days() returns table (day date, relation regclass)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  -- Ours only: what an operator has attached under another name is the operator's.
  select to_date(right(c.relname, 8), 'YYYYMMDD'), c.oid::regclass
  from pg_inherits i join pg_class c on c.oid = i.inhrelid
  where i.inhparent = 'public.mcp_webhook_delivery'::regclass and c.relnamespace = 'odoo_eventd'::regnamespace
    and c.relname ~ '^mcp_webhook_delivery_[0-9]{8}$'
$$;
comment on function odoo_eventd.log_days() is 'The partitions of the log.';

create or replace function odoo_eventd.drop_log_day(of_term bigint, keep_days integer,
  lock_wait_ms integer default 50) returns date
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  doomed record;
begin
  perform odoo_eventd.assert_term(of_term);
  if keep_days < 1 then
    raise exception 'the log must be kept for a day at least' using errcode = 'invalid_parameter_value';
  end if;
  select d.day, d.relation into doomed from odoo_eventd.log_days() d
   where d.day < (now() at time zone 'utc')::date - keep_days order by d.day limit 1;
  if not found then
    return null;
  end if;
  -- What is still to be sent keeps its body in its last attempt: taken out first.
  execute format($move$
    update odoo_eventd.delivery d
       set body = (select l.payload from %1$s l where l.delivery_id = d.delivery_id order by l.create_date desc, l.id desc
         limit 1)
     where d.due_at is not null and d.body is null and d.state <> 'sending'
       and exists (select from %1$s l where l.delivery_id = d.delivery_id)
       and not exists (select from public.mcp_webhook_delivery l where l.delivery_id = d.delivery_id and l.create_date >= %2$L)
    $move$, doomed.relation, doomed.day + 1);
  perform set_config('lock_timeout', lock_wait_ms || 'ms', true);
  execute format('drop table %s', doomed.relation);
  return doomed.day;
end $$;
comment on function odoo_eventd.drop_log_day(bigint, integer, integer) is
  'Drops the oldest day of the log if it ended more than keep_days days ago; null if none did. Raises lock_not_available when '
  'the log is being read: try again.';

create or replace function odoo_eventd.clear_deliveries(
  of_term bigint, keep_days integer, after_event uuid, after_subscription integer, after_part bigint, most integer
) returns table (examined bigint, cleared bigint, last_event uuid, last_subscription integer, last_part bigint)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  -- The first 48 bits of an event id are its time in milliseconds.
  before_event uuid := rpad(lpad(to_hex((extract(epoch from now() - make_interval(days => keep_days)) * 1000)::bigint), 12, '0'),
    32, '0')::uuid;
begin
  perform odoo_eventd.assert_term(of_term);
  if keep_days < 1 then
    raise exception 'deliveries must be kept for a day at least' using errcode = 'invalid_parameter_value';
  end if;
  return query
    with looked_at as materialized (
      select d.event_id, d.subscription_id, d.part, d.delivery_id
      from odoo_eventd.delivery d
      where (d.event_id, d.subscription_id, d.part) > (after_event, after_subscription, after_part) and d.event_id < before_event
      order by d.event_id, d.subscription_id, d.part limit most
    ), gone as (
      delete from odoo_eventd.delivery d using looked_at k
       where d.event_id = k.event_id and d.subscription_id = k.subscription_id and d.part = k.part and d.due_at is null
         -- OFFSET 0: one look into the index of each day, not a join with the whole log.
         and not exists (select from public.mcp_webhook_delivery l where l.delivery_id = k.delivery_id offset 0)
      returning d.event_id
    ), last_one as (
      select k.* from looked_at k order by k.event_id desc, k.subscription_id desc, k.part desc limit 1
    )
    select (select count(*) from looked_at), (select count(*) from gone), l.event_id, l.subscription_id, l.part
    from (select) one left join last_one l on true;
end $$;
comment on function odoo_eventd.clear_deliveries(bigint, integer, uuid, integer, bigint, integer) is
  'Removes deliveries that have ended, whose event is older than keep_days days and of which the log has no attempt any more; '
  'looks at most at so many beyond a key and says where to go on.';

create or replace function odoo_eventd.erase_records(of_model text, ids bigint[], containing text,
  only_show boolean) returns jsonb
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  marker constant text := '{"erased":true}';
  doomed uuid[];
  at odoo_eventd.position;
  generations bigint[];
  slot integer;
  attempts bigint;
  ended bigint;
  dates timestamp[];
  log_ids bigint[];
  read_here bigint;
  unread_here bigint;
  outbox_rows bigint := 0;
  unread bigint := 0;
begin
  if not pg_has_role(session_user, current_user, 'member') then
    raise exception 'only the owner "%" may erase', current_user using errcode = 'insufficient_privilege';
  end if;
  doomed := array(
    select l.delivery_id from public.mcp_webhook_delivery l
     where l.model = of_model and l.record_ids && ids
        or position(containing in l.payload) > 0 or position(containing in l.response_body) > 0
    union
    select d.delivery_id from odoo_eventd.delivery d
     where d.model = of_model and d.record_ids && ids or position(containing in d.body) > 0);
  select count(*) into attempts from public.mcp_webhook_delivery l where l.delivery_id = any (doomed);
  select count(*) into ended from odoo_eventd.delivery d where d.delivery_id = any (doomed) and d.due_at is not null;
  if not only_show then
    -- Without its row a delivery cannot be sent again, nor be made again: the position is behind it. One that is under way is not
    -- recorded any more; its attempt ends here.
    perform from odoo_eventd.delivery d where d.delivery_id = any (doomed) order by d.event_id, d.subscription_id,
      d.part for update;
    with unsent as (
      insert into public.mcp_webhook_delivery as l
             (delivery_id, subscription_id, event_id, model, record_ids, attempt, status, payload, error, duration_ms,
               finished_at)
      select d.delivery_id, d.subscription_id, d.event_id, d.model, d.record_ids, d.attempts + 1, 'failed', marker, 'erased', 0,
             now() at time zone 'utc'
      from odoo_eventd.delivery d where d.delivery_id = any (doomed) and d.due_at is not null and d.state <> 'sending'
      returning l.create_date, l.id
    ), interrupted as (
      update public.mcp_webhook_delivery l
         set status = 'failed', error = 'erased', finished_at = now() at time zone 'utc'
       where l.delivery_id = any (doomed) and l.status = 'pending'
      returning l.create_date, l.id
    )
    select array_agg(e.create_date), array_agg(e.id) into dates, log_ids
      from (select * from unsent union all select * from interrupted) e;
    perform odoo_eventd.count_logged(dates, log_ids);
    delete from odoo_eventd.delivery d where d.delivery_id = any (doomed);
    update public.mcp_webhook_delivery l
       set payload = marker,
           response_body = case when l.response_body is not null then marker end,
           next_attempt_at = null
     where l.delivery_id = any (doomed);
  end if;
  -- The outbox keeps rows for a while after they were read, until their table is emptied.
  if ids <> '{}' then
    select * into strict at from odoo_eventd.position;
    generations := array(select g.generation from odoo_eventd.capture_generation g
                         join odoo_eventd.capture c on c.capture_id = g.capture_id where c.model = of_model);
    for slot in 0..3 loop
      execute format('select count(*) filter (where pg_visible_in_snapshot(o.xid, $3)), count(*) filter (where not pg_visible_in_snapshot(o.xid, $3))
                        from odoo_eventd.outbox_%s o where o.generation = any ($1) and o.record_id = any ($2)', slot)
        into read_here, unread_here using generations, ids, at.done;
      outbox_rows := outbox_rows + read_here;
      unread := unread + unread_here;
      if not only_show and read_here > 0 then
        execute format('delete from odoo_eventd.outbox_%s o where o.generation = any ($1) and o.record_id = any ($2)
                           and pg_visible_in_snapshot(o.xid, $3)', slot) using generations, ids, at.done;
      end if;
    end loop;
  end if;
  return jsonb_build_object('deliveries', cardinality(doomed), 'attempts', attempts, 'unsent', ended,
                            'outbox_rows', outbox_rows, 'outbox_rows_unread', unread,
                            'feed_events', odoo_eventd.erase_feed(of_model, ids, containing, only_show));
end $$;
comment on function odoo_eventd.erase_records(text, bigint[], text, boolean) is
  'Blanks bodies and answers of the deliveries of these records, and of those that contain a text; ends the ones that were not '
  'sent yet. With only_show it just counts. Only the owner may.';

revoke all on function odoo_eventd.log_days() from public;

create or replace function odoo_eventd.outbox_is_old() returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  return (select r.rotated_at < now() - interval '1 day' from odoo_eventd.ring r);
end $$;
comment on function odoo_eventd.outbox_is_old() is
  'Whether the outbox has been in one table for more than a day. Where little is written, values would otherwise stay there for '
  'months after they were read.';
