-- Purpose: what the service measures every few seconds, and what `odoo-eventd doctor` looks at.
-- Locks: reads only.

create or replace function odoo_eventd.health() returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  at odoo_eventd.position;
  installed odoo_eventd.installation;
begin
  perform odoo_eventd.assert_listener();
  select * into strict at from odoo_eventd.position;
  select * into strict installed from odoo_eventd.installation;
  -- Counts stop at 100,000: what is beyond is an alarm either way.
  return jsonb_build_object(
    'server_time', extract(epoch from clock_timestamp())::float8,
    'fence', odoo_eventd.fence(false),
    'capture', installed.capture,
    'outbox_max_bytes', installed.outbox_max_bytes,
    'outbox_bytes', odoo_eventd.outbox_bytes(),
    'outbox_unread', (select count(*) from (select from odoo_eventd.outbox o
        where (o.xid >= pg_snapshot_xmax(at.done) or o.xid in (select pg_snapshot_xip(at.done)))
          and (at.last_xid is null or (o.xid, o.id) > (at.last_xid, at.last_id)) limit 100000) x),
    'outbox_oldest_unread_age_s', coalesce((select extract(epoch from clock_timestamp() - min(x.at))::float8 from (
        select o.at from odoo_eventd.outbox o
        where (o.xid >= pg_snapshot_xmax(at.done) or o.xid in (select pg_snapshot_xip(at.done)))
          and (at.last_xid is null or (o.xid, o.id) > (at.last_xid, at.last_id)) order by o.xid, o.id limit 1000) x), 0),
    'gaps_open', (select count(*) from odoo_eventd.capture_gap g where g.ended_at is null)
                 + (select count(*) from (select from odoo_eventd.capture_overflow limit 1) x),
    'troubles_open', (select count(*) from odoo_eventd.trouble t),
    'unfinished', (select count(*) from (select from odoo_eventd.delivery d where d.due_at is not null limit 100000) x),
    'oldest_due_age_s', coalesce((select greatest(extract(epoch from clock_timestamp() - min(d.due_at)), 0)::float8
                                    from odoo_eventd.due_subscriptions() d), 0),
    'subscriptions', (select jsonb_build_object(
        'ready', count(*) filter (where s.active and s.state = 'ready'),
        'invalid', count(*) filter (where s.active and s.state = 'invalid'),
        'pending', count(*) filter (where s.active and (s.state is null or s.state = 'waiting')),
        'disabled', count(*) filter (where s.active and s.state = 'disabled'),
        'inactive', count(*) filter (where not s.active)) from public.mcp_event_subscription s),
    'log', (select jsonb_build_object(
        'days', count(*), 'oldest', min(d.day), 'newest', max(d.day), 'bytes', coalesce(sum(pg_total_relation_size(d.relation)), 0),
        'today', bool_or(d.day = (now() at time zone 'utc')::date),
        'tomorrow', bool_or(d.day = (now() at time zone 'utc')::date + 1),
        'oldest_age_days', (now() at time zone 'utc')::date - min(d.day)) from odoo_eventd.log_days() d),
    'oldest_transaction_age_s', coalesce((select extract(epoch from clock_timestamp() - min(a.xact_start))::float8
        from pg_stat_activity a where a.datname = current_database() and a.pid <> pg_backend_pid()), 0),
    'oldest_prepared_age_s', coalesce((select extract(epoch from clock_timestamp() - min(p.prepared))::float8
        from pg_prepared_xacts p where p.database = current_database()), 0),
    'notify_queue_ratio', pg_notification_queue_usage(),
    'feed', odoo_eventd.feed_health());
end $$;
comment on function odoo_eventd.health() is 'What the metrics and /readyz show; asked every few seconds.';

create or replace function odoo_eventd.examine() returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set timezone = 'UTC'
as $$
declare
  installed odoo_eventd.installation;
begin
  perform odoo_eventd.assert_listener();
  select * into strict installed from odoo_eventd.installation;
  return odoo_eventd.health() || jsonb_build_object(
    'server_version_num', current_setting('server_version_num')::integer,
    -- The server's, or any that a role or this database was given.
    'temp_file_limit', (select min(l.limited) from (
      select nullif(current_setting('temp_file_limit'), '-1') as limited
      union all
      select nullif(split_part(c, '=', 2), '-1') from pg_db_role_setting s cross join unnest(s.setconfig) c
       where starts_with(c, 'temp_file_limit=') and s.setdatabase in (0, (select d.oid from pg_database d where d.datname = current_database()))) l),
    'server_version', current_setting('server_version'),
    'read_only', pg_is_in_recovery() or current_setting('default_transaction_read_only') = 'on',
    'odoo_version', case when to_regclass('public.ir_module_module') is not null
                         then (select m.latest_version from public.ir_module_module m where m.name = 'base') end,
    'login', session_user, 'owner', current_user, 'listener_role', installed.listener_role,
    'listener_exists', exists (select from pg_roles r where r.rolname = installed.listener_role),
    'login_is_superuser', (select r.rolsuper from pg_roles r where r.rolname = session_user),
    'owner_may_end_listener', installed.listener_role is null
        or not exists (select from pg_roles r where r.rolname = installed.listener_role)
        or pg_has_role(current_user, installed.listener_role, 'member'),
    -- Odoo's role is a member of the listener, and what that may read, it may.
    'owner_reads_all', coalesce((select pg_has_role(current_user, g.oid, 'usage') and pg_has_role(installed.listener_role, g.oid, 'usage')
                                        and not (select r.rolsuper from pg_roles r where r.rolname = current_user)
                                   from pg_roles g where g.rolname = 'pg_read_all_data'
                                    and exists (select from pg_roles r where r.rolname = installed.listener_role)), false),
    'tls', (select s.ssl from pg_stat_ssl s where s.pid = pg_backend_pid()),
    'remote', inet_client_addr() is not null and not inet_client_addr() <<= '127.0.0.0/8' and inet_client_addr() <> '::1',
    'system_identifier', (select c.system_identifier::text from pg_control_system() c),
    'notify', installed.notify,
    'models', coalesce((select jsonb_agg(jsonb_build_object(
        'model', c.model, 'drift', odoo_eventd.drift_for_people(c), 'switched_off', c.switched_off and c.active,
        -- ENABLE REPLICA TRIGGER does not fire for Odoo's writes.
        'asleep', (select count(*) from pg_trigger t
                    where t.tgrelid = c.table_oid and starts_with(t.tgname::text, 'odoo_eventd_') and t.tgenabled in ('D', 'R'))) order by c.model)
        from odoo_eventd.capture c where c.active), '[]'),
    'gaps', coalesce((select jsonb_agg(jsonb_build_object('model', x.model, 'reason', x.reason, 'from', x.began_at, 'to', x.ended_at)
                                       order by x.began_at)
        from (select c.model, g.reason, g.began_at, g.ended_at
                from odoo_eventd.capture_gap g join odoo_eventd.capture c on c.capture_id = g.capture_id
               where g.ended_at is null or g.ended_at > now() - interval '7 days'
              union all
              select c.model, coalesce(f.reason, 'the outbox was full'), min(f.at), max(f.at)
                from odoo_eventd.capture_overflow f join odoo_eventd.capture c on c.capture_id = f.capture_id group by c.model, f.reason) x), '[]'),
    'invalid', coalesce((select jsonb_agg(jsonb_build_object('id', s.id, 'error', s.error) order by s.id)
        from public.mcp_event_subscription s where s.active and s.state = 'invalid'), '[]'),
    'disabled', coalesce((select jsonb_agg(jsonb_build_object('id', s.id, 'error', s.error) order by s.id)
        from public.mcp_event_subscription s where s.active and s.state = 'disabled'), '[]'),
    'replica_role_for', coalesce((select jsonb_agg(coalesce(r.rolname::text, 'every role') order by r.rolname)
        from pg_db_role_setting s left join pg_roles r on r.oid = s.setrole
        where s.setdatabase in (0, (select d.oid from pg_database d where d.datname = current_database()))
          and exists (select from unnest(s.setconfig) u (setting) where u.setting ~* '^session_replication_role=(replica|.replica)')), '[]'),
    'leader_pid', (select l.pid from odoo_eventd.leader() l),
    'troubles', odoo_eventd.troubles(),
    'strangers', odoo_eventd.strangers(),
    'waiting', coalesce((select jsonb_agg(jsonb_build_object('id', s.id, 'error', s.error) order by s.id)
        from public.mcp_event_subscription s where s.active and s.state = 'waiting'), '[]'),
    'other_listeners', coalesce((select jsonb_agg(distinct coalesce(nullif(a.application_name, ''), a.usename::text, '?'))
        from pg_stat_activity a
        where a.datname = current_database() and a.pid <> pg_backend_pid() and a.query ~* '(^|;)[[:space:]]*listen[[:space:]]' and a.application_name <> 'odoo-eventd'), '[]'),
    'long_transactions', coalesce((select jsonb_agg(x.told order by x.age desc) from (
        select extract(epoch from clock_timestamp() - a.xact_start)::float8 as age,
               jsonb_build_object('pid', a.pid, 'login', a.usename, 'application', a.application_name, 'state', a.state,
                                  'age_s', extract(epoch from clock_timestamp() - a.xact_start)::float8) as told
        from pg_stat_activity a
        where a.datname = current_database() and a.pid <> pg_backend_pid() and a.xact_start < clock_timestamp() - interval '10 minutes'
        order by a.xact_start limit 5) x), '[]'),
    'prepared', coalesce((select jsonb_agg(jsonb_build_object('gid', p.gid, 'age_s', extract(epoch from clock_timestamp() - p.prepared)::float8)
                                           order by p.prepared)
        from (select * from pg_prepared_xacts p where p.database = current_database() and p.prepared < now() - interval '5 minutes'
               order by p.prepared limit 5) p), '[]'),
    'connections', jsonb_build_object(
        'used', (select count(*) from pg_stat_activity a where a.backend_type = 'client backend'),
        'most', current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer,
        'of_login', (select r.rolconnlimit from pg_roles r where r.rolname = session_user),
        'of_database', (select d.datconnlimit from pg_database d where d.datname = current_database()),
        'used_by_login', (select count(*) from pg_stat_activity a where a.usename = session_user),
        'used_in_database', (select count(*) from pg_stat_activity a
                              where a.datname = current_database() and a.backend_type = 'client backend')),
    'delivery', (select jsonb_build_object('rows', s.n_live_tup, 'dead', s.n_dead_tup)
        from pg_stat_all_tables s where s.relid = 'odoo_eventd.delivery'::regclass));
end $$;
comment on function odoo_eventd.examine() is 'Everything that `odoo-eventd doctor` judges, as JSON.';
