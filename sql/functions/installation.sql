-- Purpose: the installation itself: its identity, its state, and saying that a copy may deliver after all.

create or replace function odoo_eventd.make_home() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  -- A constant in a body, as in the capture functions: a dump takes it along, and what is restored from it differs.
  execute format('create or replace function odoo_eventd.home() returns oid language sql immutable as %L',
                 format('select %s::oid', (select d.oid from pg_database d where d.datname = current_database())));
  comment on function odoo_eventd.home() is 'The number of the database that odoo-eventd was installed in, or that was adopted last; compared by fence().';
  revoke all on function odoo_eventd.home() from public;
end $$;
comment on function odoo_eventd.make_home() is 'From now on this database is the one that may deliver.';
revoke all on function odoo_eventd.make_home() from public;

create or replace function odoo_eventd.register_installation(listener name) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  known odoo_eventd.capture;
begin
  if not pg_has_role(session_user, current_user, 'member') then
    raise exception 'only the owner "%" may install', current_user using errcode = 'insufficient_privilege';
  end if;
  perform odoo_eventd.lock_capture();
  insert into odoo_eventd.installation (system_identifier, database_uuid, listener_role)
    values ((select c.system_identifier from pg_control_system() c),
            (select p.value from public.ir_config_parameter p where p.key = 'database.uuid'), listener)
    on conflict (only_row) do update set listener_role = coalesce(excluded.listener_role, installation.listener_role);
  if to_regprocedure('odoo_eventd.home()') is null then
    perform odoo_eventd.make_home();
  end if;
  insert into odoo_eventd.ring default values on conflict (only_row) do nothing;
  insert into odoo_eventd.lead default values on conflict (only_row) do nothing;
  insert into odoo_eventd.progress (done) select pg_current_snapshot() where not exists (select from odoo_eventd.progress);
  perform odoo_eventd.rename_capture_functions();
  -- An upgrade may write the functions differently: the new text for each table. No table is locked.
  for known in select * from odoo_eventd.capture c order by c.model loop
    if to_regprocedure(format('odoo_eventd.%I()', odoo_eventd.capture_function_name(known.model))) is not null then
      perform odoo_eventd.renew_generation(known);
    end if;
  end loop;
  perform odoo_eventd.ensure_log_days(2);
end $$;
comment on function odoo_eventd.register_installation(name) is 'The last step of an installation; safe to repeat.';

create or replace function odoo_eventd.status() returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set timezone = 'UTC' -- Times with a zone are told in that one, as all others are.
as $$
declare
  at odoo_eventd.position;
  installed odoo_eventd.installation;
begin
  perform odoo_eventd.assert_listener();
  select * into strict at from odoo_eventd.position;
  select * into strict installed from odoo_eventd.installation;
  return jsonb_build_object(
    'database', current_database(),
    'fence', odoo_eventd.fence(false),
    'capture', installed.capture,
    'notify', installed.notify,
    'schema_version', (select max(m.version) from odoo_eventd.schema_migration m),
    'models', coalesce((
      select jsonb_agg(jsonb_build_object(
               'model', c.model, 'table', c.table_name, 'active', c.active, 'switched_off', c.switched_off,
               'generation', c.generation, 'columns', g.columns,
               'triggers', (select count(*) from pg_trigger t where t.tgrelid = c.table_oid and starts_with(t.tgname::text, 'odoo_eventd_') and t.tgenabled <> 'D'),
               'drift', odoo_eventd.drift_for_people(c)) order by c.model)
      from odoo_eventd.capture c join odoo_eventd.capture_generation g on g.generation = c.generation), '[]'),
    'outbox', jsonb_build_object(
      'max_bytes', installed.outbox_max_bytes,
      'bytes', odoo_eventd.outbox_bytes(),
      'unread', (select count(*) from (select from odoo_eventd.outbox o
                  where (o.xid >= pg_snapshot_xmax(at.done) or o.xid in (select pg_snapshot_xip(at.done)))
                    and (at.last_xid is null or (o.xid, o.id) > (at.last_xid, at.last_id)) limit 100001) x),
      'oldest_unread_age_s', (select extract(epoch from clock_timestamp() - min(x.at))::float8 from (select o.at from odoo_eventd.outbox o
                  where (o.xid >= pg_snapshot_xmax(at.done) or o.xid in (select pg_snapshot_xip(at.done)))
                    and (at.last_xid is null or (o.xid, o.id) > (at.last_xid, at.last_id)) order by o.xid, o.id limit 1000) x)),
    'gaps', coalesce((
      select jsonb_agg(jsonb_build_object('model', x.model, 'reason', x.reason, 'from', x.began_at, 'to', x.ended_at) order by x.began_at)
      from (select c.model, g.reason, g.began_at, g.ended_at
              from odoo_eventd.capture_gap g join odoo_eventd.capture c on c.capture_id = g.capture_id
             where g.ended_at is null or g.ended_at > now() - interval '7 days'
            union all
            select c.model, coalesce(f.reason, 'the outbox was full'), min(f.at), max(f.at)
              from odoo_eventd.capture_overflow f join odoo_eventd.capture c on c.capture_id = f.capture_id group by c.model, f.reason) x), '[]'),
    'deliveries', jsonb_build_object(
      'unfinished', (select count(*) from (select from odoo_eventd.delivery d where d.due_at is not null limit 100001) x),
      'oldest_due_age_s', (select greatest(extract(epoch from clock_timestamp() - min(d.due_at)), 0)::float8 from odoo_eventd.due_subscriptions() d)),
    'service', (
      select jsonb_build_object('pid', l.pid, 'since', at.led_since, 'term', at.term) from odoo_eventd.leader() l),
    'troubles', odoo_eventd.troubles(),
    'strangers', odoo_eventd.strangers());
end $$;
comment on function odoo_eventd.status() is 'Everything `odoo-eventd status` shows, as JSON.';

create or replace function odoo_eventd.adopt(keep_pending boolean) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  known odoo_eventd.capture;
  at odoo_eventd.position;
  slot integer;
  dates timestamp[];
  log_ids bigint[];
begin
  if not pg_has_role(session_user, current_user, 'member') then
    raise exception 'only the owner "%" may adopt a copy', current_user using errcode = 'insufficient_privilege';
  end if;
  perform odoo_eventd.lock_capture();
  select * into strict at from odoo_eventd.position;
  if keep_pending and pg_snapshot_xmax(at.done) > pg_snapshot_xmax(pg_current_snapshot()) then
    raise exception 'what is pending cannot be kept: its transactions are of another time than this server''s'
      using errcode = 'object_not_in_prerequisite_state', hint = 'Adopt with --pending drop.';
  end if;
  update odoo_eventd.installation i
     set epoch = gen_random_uuid(), database_name = current_database(),
         system_identifier = (select c.system_identifier from pg_control_system() c),
         database_uuid = (select p.value from public.ir_config_parameter p where p.key = 'database.uuid'),
         -- Whoever adopts a database that is neutralized means it so, until it is neutralized anew.
         neutralized = exists (select from public.ir_config_parameter p
                                where p.key = 'database.is_neutralized' and lower(p.value) not in ('false', '0', ''));
  perform odoo_eventd.make_home();
  if not keep_pending then
    for slot in 0..3 loop
      execute format('truncate odoo_eventd.outbox_%s', slot);
    end loop;
    update odoo_eventd.lead l set term = l.term + 1;
    insert into odoo_eventd.progress (done) values (pg_current_snapshot());
    update odoo_eventd.delivery d set state = 'failed', due_at = null, body = null where d.due_at is not null;
    with ended as (
      update public.mcp_webhook_delivery l set status = 'failed', error = 'cancelled', finished_at = now() at time zone 'utc'
       where l.status = 'pending'
      returning l.create_date, l.id
    )
    select array_agg(e.create_date), array_agg(e.id) into dates, log_ids from ended e;
    perform odoo_eventd.count_logged(dates, log_ids);
  end if;
  -- Numbers of transactions from before the copy mean nothing here: everything is captured anew from now on.
  perform set_config('odoo_eventd.service_write', 'on', true);
  update public.mcp_event_subscription s set captured_from = pg_current_xact_id(), active_from = null
   where not keep_pending;
  perform set_config('odoo_eventd.service_write', 'off', true);
  if not keep_pending then
    update odoo_eventd.captured_column cc set captured_from = null, captured_at = null;
    delete from odoo_eventd.capture_gap;
    truncate odoo_eventd.capture_overflow;
    update odoo_eventd.capture_check c set seen = pg_current_snapshot(), checked_at = now();
  end if;
  for known in select * from odoo_eventd.capture c order by c.model loop
    update odoo_eventd.capture c set table_oid = coalesce(odoo_eventd.model_table(c.model), c.table_oid)
     where c.capture_id = known.capture_id returning * into known;
    if keep_pending and known.active then
      -- A copy captures nothing: who writes just now has done part of it unseen. What had ended is whole, or left nothing.
      perform odoo_eventd.open_gap(known, 'this was a copy', pg_current_snapshot(), (select c.checked_at from odoo_eventd.capture_check c));
      update odoo_eventd.capture_gap g set ended_at = now() where g.capture_id = known.capture_id and g.reason = 'this was a copy' and g.ended_at is null;
    end if;
    perform odoo_eventd.replace_capture_function(known);
  end loop;
  return format('database "%s" captures and delivers from now on', current_database());
end $$;
comment on function odoo_eventd.adopt(boolean) is 'This copy of a database may capture and deliver from now on; what is pending in it is kept or dropped. Then: select odoo_eventd.settle_capture(); in a transaction of its own.';

-- What only other functions call is nobody's to call. Nor is what only our own triggers call: it runs with the owner's rights, and a trigger
-- of somebody else's could call it for his own table. Those that capture look at the table themselves.
do $$
declare
  of_trigger regprocedure;
begin
  for of_trigger in
    select p.oid from pg_proc p
     where p.pronamespace = 'odoo_eventd'::regnamespace and p.prorettype = 'trigger'::regtype and not starts_with(p.proname::text, 'capture_')
  loop
    execute format('revoke all on function %s from public', of_trigger);
  end loop;
end $$;
revoke all on function odoo_eventd.capture_body(odoo_eventd.capture) from public;
revoke all on function odoo_eventd.replace_capture_function(odoo_eventd.capture) from public;
revoke all on function odoo_eventd.capturable_columns(text, oid) from public;
revoke all on function odoo_eventd.model_table(text) from public;
revoke all on function odoo_eventd.is_relation(odoo_eventd.capture) from public;
revoke all on function odoo_eventd.rows_query(oid, text, name[], name[], text[], name[], text, boolean, name[], name[], text, text) from public;
revoke all on function odoo_eventd.rows_query_now(oid, text, boolean, name[], name[], text[], name[], name[], boolean) from public;
revoke all on function odoo_eventd.unreadable_columns_query(oid, text, name, boolean) from public;
revoke all on function odoo_eventd.captured_expressions(oid, name[], text[], name[], name[], name[]) from public;
revoke all on function odoo_eventd.written_by(oid) from public;
revoke all on function odoo_eventd.idle_body(odoo_eventd.capture) from public;
revoke all on function odoo_eventd.doorbell(odoo_eventd.installation) from public;
revoke all on function odoo_eventd.outbox_room(odoo_eventd.installation, text) from public;
revoke all on function odoo_eventd.captures_of(text) from public;
revoke all on function odoo_eventd.lock_capture() from public;
revoke all on function odoo_eventd.assert_term(bigint) from public;
revoke all on function odoo_eventd.settle_gaps() from public;
revoke all on function odoo_eventd.is_in_gap(xid8, bigint) from public;
revoke all on function odoo_eventd.has_gaps(pg_snapshot) from public;
