-- Purpose: the locks of the service, and who stands in its way.
-- Locks: on tables of our own only.
--
-- All advisory locks of ours, of the class 1868853103 ("odoo"), and who waits for whom (the same table is in src/pg/locks.rs):
--
--   number                       lock          taken by                                  waits
--   1, or lead.lock_key          lead          the instance that leads, for its session  nobody: it is tried (try_to_lead)
--   2                            doorbell      the dispatcher, while it sleeps; writers  the dispatcher, for writers that shared
--                                              share it until their commit               it before; a writer tries, and rings
--   4                            installation  install and purge, for their transaction  another of them, 60 s at most
--   1,000,000 to 1,001,000,000   assistant     an instance that assists, by its number   nobody: it is tried (begin_assisting)
--
-- An advisory lock can be taken by whoever can log in, and named by whoever can read pg_locks. So what can be is a lock on a
-- table of our own, for which one needs to be its owner: capture_lock, taken by whoever changes the capture, where one waits for
-- the other, 10 s at most. Who leads has to hold its lock for as long as its session lives, without a transaction: that only
-- advisory locks can. There a stranger is recognized by his role, and the lead goes on under another key, which nobody could
-- know.

create or replace function odoo_eventd.is_of_ours(of_role oid) returns boolean
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  listener name := (select i.listener_role from odoo_eventd.installation i);
begin
  return exists (select from pg_roles r where r.oid = of_role and pg_has_role(r.oid, current_user, 'member'))
      or exists (select from pg_roles r, pg_roles l where r.oid = of_role and l.rolname = listener and pg_has_role(r.oid, l.oid, 'member'));
end $$;
comment on function odoo_eventd.is_of_ours(oid) is 'Whether a role may act as the listener; as assert_listener().';
revoke all on function odoo_eventd.is_of_ours(oid) from public;

create or replace function odoo_eventd.lock_holders(of_key bigint) returns table (
  pid integer, role name, application text, since timestamptz, mode text, is_ours boolean
)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  -- Without a process: of a prepared transaction.
  select l.pid, r.rolname, coalesce(a.application_name, 'prepared transaction ' || quote_literal(p.gid)), coalesce(a.backend_start, p.prepared), l.mode,
         coalesce(odoo_eventd.is_of_ours(r.oid), false)
    from pg_locks l
    left join pg_stat_activity a on a.pid = l.pid
    left join pg_prepared_xacts p on l.pid is null and p.transaction::text = split_part(l.virtualtransaction, '/', 2)
    left join pg_roles r on r.oid = a.usesysid or r.rolname = p.owner
   where l.locktype = 'advisory' and l.classid = 1868853103 and l.objid::bigint = of_key and l.objsubid = 2 and l.granted
     and l.database = (select d.oid from pg_database d where d.datname = current_database())
$$;
comment on function odoo_eventd.lock_holders(bigint) is 'Who holds the advisory lock (1868853103, of_key), and whether it may.';
revoke all on function odoo_eventd.lock_holders(bigint) from public;

create or replace function odoo_eventd.leader() returns table (pid integer, since timestamptz)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select h.pid, h.since from odoo_eventd.lead l cross join odoo_eventd.lock_holders(l.lock_key) h
   where h.is_ours and h.mode = 'ExclusiveLock' limit 1
$$;
comment on function odoo_eventd.leader() is 'The session that leads, if any does.';
revoke all on function odoo_eventd.leader() from public;

create or replace function odoo_eventd.strangers() returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  -- Writers share the doorbell; who holds it alone lets every one of them ring.
  select coalesce(jsonb_agg(jsonb_build_object('lock', k.name, 'pid', h.pid, 'role', h.role, 'application', h.application) order by k.name, h.pid), '[]')
    from (select 'lead' as name, l.lock_key::bigint as key from odoo_eventd.lead l
          union all values ('doorbell', 2::bigint), ('installation', 4)) k
   cross join odoo_eventd.lock_holders(k.key) h
   where not h.is_ours and (k.name <> 'doorbell' or h.mode = 'ExclusiveLock')
$$;
comment on function odoo_eventd.strangers() is 'Sessions that hold an advisory lock of the service and have no business with it, as JSON.';
revoke all on function odoo_eventd.strangers() from public;

create or replace function odoo_eventd.try_to_lead() returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  known integer := (select l.lock_key from odoo_eventd.lead l);
  another integer := 1100000000 + floor(random() * 1000000000)::integer;
begin
  perform odoo_eventd.assert_listener();
  if pg_try_advisory_lock(1868853103, known) then
    if (select l.lock_key from odoo_eventd.lead l) = known then
      return true;
    end if;
    -- The lead goes on elsewhere.
    perform pg_advisory_unlock(1868853103, known);
    return false;
  end if;
  if (select coalesce(bool_or(h.is_ours), true) from odoo_eventd.lock_holders(known) h) then
    return false;
  end if;
  -- Strangers alone hold it, so nobody leads. The key changes once, however many instances find that out; whoever still takes the
  -- old one is refused by its term at the latest.
  if current_setting('lock_timeout') = '0' then
    perform set_config('lock_timeout', '5s', true);
  end if;
  update odoo_eventd.lead l set lock_key = another where l.lock_key = known;
  return found and pg_try_advisory_lock(1868853103, another);
end $$;
comment on function odoo_eventd.try_to_lead() is 'Takes the lead for this session, if no other has it. A stranger who holds its lock is left with it.';

create or replace function odoo_eventd.lock_capture() returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if current_setting('lock_timeout') <> '0' then
    lock table odoo_eventd.capture_lock in exclusive mode;
    return;
  end if;
  perform set_config('lock_timeout', '10s', true);
  lock table odoo_eventd.capture_lock in exclusive mode;
  perform set_config('lock_timeout', '0', true);
end $$;
comment on function odoo_eventd.lock_capture() is
  'Serializes changes of the capture; no writer of Odoo''s waits for it. Waits for the session''s lock_timeout, or for 10 '
  'seconds.';
revoke all on function odoo_eventd.lock_capture() from public;

create or replace function odoo_eventd.note_trouble(of_what text, why text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  insert into odoo_eventd.trouble as t (what, error) values (left(of_what, 1000), left(why, 2000))
    on conflict (what) do update set error = excluded.error, times = t.times + 1, last_at = now();
end $$;
comment on function odoo_eventd.note_trouble(text, text) is 'Notes that something was tried in vain; see odoo_eventd.trouble.';

create or replace function odoo_eventd.end_trouble(of_what text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  delete from odoo_eventd.trouble t where t.what = left(of_what, 1000);
end $$;
comment on function odoo_eventd.end_trouble(text) is 'Notes that it has succeeded.';

create or replace function odoo_eventd.troubles() returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
  select coalesce(jsonb_agg(jsonb_build_object('what', t.what, 'error', t.error, 'times', t.times, 'since', t.since, 'last', t.last_at) order by t.since), '[]')
    from odoo_eventd.trouble t
$$;
comment on function odoo_eventd.troubles() is 'What is tried in vain, as JSON.';
revoke all on function odoo_eventd.troubles() from public;

create or replace function odoo_eventd.note_looking(of_process uuid, subscriptions integer[], stamps text[], of_how text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  insert into odoo_eventd.looking (subscription_id, write_stamp, process, how)
    select u.id, u.stamp, of_process, of_how from unnest(subscriptions, stamps) u (id, stamp)
    on conflict (subscription_id) do update
      set write_stamp = excluded.write_stamp, process = excluded.process, how = excluded.how, since = now();
end $$;
comment on function odoo_eventd.note_looking(uuid, integer[], text[], text) is 'Noted before the service looks at subscriptions; see odoo_eventd.looking.';

create or replace function odoo_eventd.note_looked() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  -- What was put aside stays so until somebody writes the row.
  delete from odoo_eventd.looking l
   where l.how <> 'aside'
      or not exists (select from public.mcp_event_subscription s where s.id = l.subscription_id and s.write_date::text = l.write_stamp);
end $$;
comment on function odoo_eventd.note_looked() is 'The service has looked at all of them, and lives.';

create or replace function odoo_eventd.left_looking() returns table (subscription_id integer, write_stamp text, process uuid, how text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  return query select l.subscription_id, l.write_stamp, l.process, l.how from odoo_eventd.looking l;
end $$;
comment on function odoo_eventd.left_looking() is 'What was being looked at, or was put aside.';

create or replace function odoo_eventd.mark_waiting(subscriptions integer[], reasons text[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  perform set_config('odoo_eventd.service_write', 'on', true);
  -- Who is served already goes on to be.
  update public.mcp_event_subscription s
     set state = case when s.state in ('ready', 'disabled') then s.state else 'waiting' end, error = w.reason
    from unnest(subscriptions, reasons) w (id, reason)
   where s.id = w.id and (s.state is null or s.state <> 'invalid')
     and (s.state is null or s.error is distinct from w.reason)
     and exists (select from odoo_eventd.subscription_need n where n.subscription_id = s.id);
  perform set_config('odoo_eventd.service_write', 'off', true);
end $$;
comment on function odoo_eventd.mark_waiting(integer[], text[]) is 'These subscriptions wait until what they need can be captured, each for its reason.';
