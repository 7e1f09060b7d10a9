-- Purpose: attempts counted by the hour, and the dashboard's figures made of them.
-- Locks: rows of odoo_eventd.traffic and subscription_traffic, in the order of their keys, until the results that they count are
-- committed. Two instances that count the same hour wait for each other that long.

create or replace function odoo_eventd.latency_bounds() returns integer[]
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$ select '{0,1,2,5,10,20,50,100,200,500,1000,2000,5000,10000,30000,60000}'::integer[] $$;
comment on function odoo_eventd.latency_bounds() is 'Where each class of traffic.latencies begins, in milliseconds.';
revoke all on function odoo_eventd.latency_bounds() from public;

create or replace function odoo_eventd.add_latencies(one bigint[], other bigint[]) returns bigint[]
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$ select array_agg(coalesce(u.a, 0) + coalesce(u.b, 0) order by u.place)
  from unnest(one, other) with ordinality u (a, b, place) $$;
comment on function odoo_eventd.add_latencies(bigint[], bigint[]) is 'Two histograms as one.';
revoke all on function odoo_eventd.add_latencies(bigint[], bigint[]) from public;

create or replace function odoo_eventd.host_of(url text) returns text
language sql immutable parallel safe set search_path = pg_catalog, pg_temp
as $$ select coalesce(lower(substring(url from '^[A-Za-z][A-Za-z0-9+.-]*://(?:[^/?#@]*@)?([[][^]]*[]]|[^/:?#]*)')), '') $$;
comment on function odoo_eventd.host_of(text)
  is 'The host of a URL, as the dashboard names endpoints; empty where there is none.';
revoke all on function odoo_eventd.host_of(text) from public;

create or replace function odoo_eventd.count_attempts(
  dates timestamp[], subscription_ids integer[], models text[], event_types text[], hosts text[], errors text[],
  durations_ms integer[]
) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off -- See commit_batch().
as $$
begin
  perform odoo_eventd.assert_listener();
  -- Both tables' rows at once: those without a subscription are of all of them together.
  with counted as materialized (
    select a.subscription_id, grouping(a.subscription_id) = 1 as is_of_all, a.hour, a.model, a.event_type, a.host, a.error,
           count(*) as attempts, count(a.took) as timed, coalesce(sum(a.took), 0) as duration_ms,
           array[count(*) filter (where a.class = 1), count(*) filter (where a.class = 2), count(*) filter (where a.class = 3),
                 count(*) filter (where a.class = 4), count(*) filter (where a.class = 5), count(*) filter (where a.class = 6),
                 count(*) filter (where a.class = 7), count(*) filter (where a.class = 8), count(*) filter (where a.class = 9),
                 count(*) filter (where a.class = 10), count(*) filter (where a.class = 11), count(*) filter (where a.class = 12),
                 count(*) filter (where a.class = 13), count(*) filter (where a.class = 14), count(*) filter (where a.class = 15),
                 count(*) filter (where a.class = 16)] as latencies
      -- What is counted is never longer than a key may be: a host may be a stranger's word.
      from (select i.subscription_id, date_trunc('hour', i.date) as hour, left(i.model, 255) as model,
                   left(i.event_type, 32) as event_type,
                   left(coalesce(i.host, ''), 253) as host, left(coalesce(i.error, ''), 64) as error, t.took,
                   width_bucket(t.took, odoo_eventd.latency_bounds()) as class
              from unnest(dates, subscription_ids, models, event_types, hosts, errors, durations_ms)
                   i (date, subscription_id, model, event_type, host, error, duration_ms)
             -- Where no request was made there is no time.
             cross join lateral (select case when i.error is null or i.duration_ms > 0 then i.duration_ms end as took) t) a
     group by a.hour, a.model, a.event_type, a.host, a.error, grouping sets ((a.subscription_id), ())
  ), of_subscriptions as (
    insert into odoo_eventd.subscription_traffic as t
           (subscription_id, hour, model, event_type, host, error, attempts, timed, duration_ms, latencies)
    select c.subscription_id, c.hour, c.model, c.event_type, c.host, c.error, c.attempts, c.timed, c.duration_ms, c.latencies
      from counted c where not c.is_of_all order by 1, 2, 3, 4, 5, 6
    on conflict on constraint subscription_traffic_pkey do update
       set attempts = t.attempts + excluded.attempts, timed = t.timed + excluded.timed,
           duration_ms = t.duration_ms + excluded.duration_ms,
           latencies = odoo_eventd.add_latencies(t.latencies, excluded.latencies)
  )
  insert into odoo_eventd.traffic as t (hour, model, event_type, host, error, attempts, timed, duration_ms, latencies)
  select c.hour, c.model, c.event_type, c.host, c.error, c.attempts, c.timed, c.duration_ms, c.latencies
    from counted c where c.is_of_all order by 1, 2, 3, 4, 5
  on conflict on constraint traffic_pkey do update
     set attempts = t.attempts + excluded.attempts, timed = t.timed + excluded.timed,
         duration_ms = t.duration_ms + excluded.duration_ms,
         latencies = odoo_eventd.add_latencies(t.latencies, excluded.latencies);
end $$;
comment on function odoo_eventd.count_attempts(timestamp[], integer[], text[], text[], text[], text[], integer[]) is
  'Counts attempts that ended, each in the hour in which it was logged; no error = the receiver took it. Belongs to the '
  'transaction that ends them.';

create or replace function odoo_eventd.count_logged(dates timestamp[], ids bigint[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  ended record;
begin
  perform odoo_eventd.assert_listener();
  -- What an attempt was sent to stands nowhere in the log: it is where its subscription sends now. What was ended by the service
  -- took no time and was sent nowhere.
  select array_agg(l.create_date) as dates, array_agg(l.subscription_id) as subscription_ids, array_agg(l.model) as models,
         array_agg(coalesce(d.event_type, '')) as event_types,
         array_agg(case when l.status <> 'success' and l.duration_ms = 0 then ''
                        when s.endpoint_source = 'record' then 'record callbacks'
                        else odoo_eventd.host_of(s.webhook_url) end) as hosts,
         array_agg(case when l.status = 'failed' then coalesce(l.error, 'unknown') end) as errors,
         array_agg(l.duration_ms) as durations
    into ended
    from unnest(dates, ids) k (create_date, id)
    join public.mcp_webhook_delivery l on l.create_date = k.create_date and l.id = k.id and l.status <> 'pending'
    left join odoo_eventd.delivery d
      on d.event_id = l.event_id and d.subscription_id = l.subscription_id and d.delivery_id = l.delivery_id
    left join public.mcp_event_subscription s on s.id = l.subscription_id;
  if ended.dates is not null then
    perform odoo_eventd.count_attempts(ended.dates, ended.subscription_ids, ended.models, ended.event_types, ended.hosts,
                                       ended.errors, ended.durations);
  end if;
end $$;
comment on function odoo_eventd.count_logged(timestamp[], bigint[]) is
  'Counts attempts of the log that have ended, by their keys; in the transaction that ended them, or once for what was never '
  'counted.';

create or replace function odoo_eventd.backfill_traffic(of_term bigint, most integer) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  undone odoo_eventd.traffic_backfill;
  slice record;
begin
  perform odoo_eventd.assert_term(of_term);
  select * into undone from odoo_eventd.traffic_backfill for update;
  if not found then
    return false;
  end if;
  select count(*) as examined, array_agg(x.create_date) filter (where x.is_old) as dates, array_agg(x.id) filter (where x.is_old)
    as ids,
         (array_agg(x.create_date order by x.create_date desc, x.id desc))[1] as last_date,
         (array_agg(x.id order by x.create_date desc, x.id desc))[1] as last_id
    into slice
    from (select l.create_date, l.id, l.finished_at < undone.upto as is_old
            from public.mcp_webhook_delivery l
           where (l.create_date, l.id) > (undone.after_date, undone.after_id) and l.create_date < undone.upto
           order by l.create_date, l.id limit most) x;
  perform odoo_eventd.count_logged(slice.dates, slice.ids);
  if slice.examined < most then
    delete from odoo_eventd.traffic_backfill;
    return false;
  end if;
  update odoo_eventd.traffic_backfill b set after_date = slice.last_date, after_id = slice.last_id;
  return true;
end $$;
comment on function odoo_eventd.backfill_traffic(bigint, integer) is
  'Counts the next so many attempts that ended before traffic was counted; false when there are no more.';

create or replace function odoo_eventd.forget_traffic(of_term bigint, keep_days integer, most integer) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  before timestamp := date_trunc('hour', now() at time zone 'utc') - make_interval(days => keep_days);
  forgotten bigint;
  more bigint;
begin
  perform odoo_eventd.assert_term(of_term);
  delete from odoo_eventd.traffic t
   where t.ctid = any (array(select o.ctid from odoo_eventd.traffic o where o.hour < before order by o.hour limit most));
  get diagnostics forgotten = row_count;
  delete from odoo_eventd.subscription_traffic t
   where t.ctid = any (array(select o.ctid from odoo_eventd.subscription_traffic o where o.hour < before order by o.hour
     limit most));
  get diagnostics more = row_count;
  return forgotten + more;
end $$;
comment on function odoo_eventd.forget_traffic(bigint, integer, integer) is
  'Lets go of counts older than so many days, at most so many rows of each table.';

create or replace function odoo_eventd.percentile_of(latencies bigint[], share float8) returns float8
language sql immutable set search_path = pg_catalog, pg_temp
as $$
  -- Within its class a time is taken to be as likely as any other; the last class has no end.
  with classes as (
    select l.class, l.attempts, sum(l.attempts) over (order by l.class) as upto, sum(l.attempts) over () as total,
           b.bounds[l.class::integer] as lower, coalesce(b.bounds[l.class::integer + 1], b.bounds[l.class::integer]) as upper
      from unnest(latencies) with ordinality l (attempts, class) cross join (select odoo_eventd.latency_bounds()) b (bounds)
  )
  select c.lower + (c.upper - c.lower) * greatest(c.total::float8 * share - (c.upto - c.attempts)::float8, 0) / c.attempts
    from classes c where c.attempts > 0 and c.upto >= c.total::float8 * share order by c.class limit 1
$$;
comment on function odoo_eventd.percentile_of(bigint[], float8) is
  'The time in milliseconds that so large a share of the attempts did not exceed, as exactly as the classes tell; null without '
  'attempts.';
revoke all on function odoo_eventd.percentile_of(bigint[], float8) from public;

create or replace function odoo_eventd.dashboard(operator jsonb, days integer, tz text) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set jit = off
as $$
declare
  seen constant integer[] := odoo_eventd.seen_subscriptions(operator);
  models constant text[] := odoo_eventd.models_of(operator);
  today date;
  since timestamp;
  told jsonb;
begin
  perform odoo_eventd.assert_listener();
  today := (now() at time zone tz)::date;
  since := (today - days + 1)::timestamp at time zone tz at time zone 'utc';
  with counted as materialized (
    select t.hour, t.model, t.event_type, t.host, t.error, t.attempts, t.timed, t.duration_ms, t.latencies
      from odoo_eventd.traffic t where seen is null and t.hour >= since
    union all
    select t.hour, t.model, t.event_type, t.host, t.error, t.attempts, t.timed, t.duration_ms, t.latencies
      from odoo_eventd.subscription_traffic t
     where seen is not null and t.subscription_id = any (seen) and (models is null or t.model = any (models)) and t.hour >= since
  ), total as (
    select coalesce(sum(c.attempts), 0)::bigint as total, coalesce(sum(c.attempts) filter (where c.error = ''), 0)::bigint
      as success
      from counted c
  ), latency as (
    select array_agg(s.attempts order by s.class) as latencies
      from (select l.class, sum(l.attempts)::bigint as attempts from counted c cross
        join unnest(c.latencies) with ordinality l (attempts, class)
             group by l.class) s
  ), per_day as (
    select (c.hour at time zone 'utc' at time zone tz)::date as day, sum(c.attempts) filter (where c.error = '') as success,
           sum(c.attempts) filter (where c.error <> '') as failed
      from counted c group by 1
  )
  select jsonb_build_object(
      'summary', (select jsonb_build_object('total_sent', t.total, 'success_count', t.success, 'failed_count',
        t.total - t.success,
                    'success_rate', case when t.total > 0 then round(t.success * 100.0 / t.total, 2)::float8 end,
                    'p50_ms', round(odoo_eventd.percentile_of(l.latencies, 0.5)), 'p95_ms',
                      round(odoo_eventd.percentile_of(l.latencies, 0.95)))
                    from total t cross join latency l),
      'top_endpoints', coalesce((select jsonb_agg(e.told order by e.total desc, e.host) from (
          select c.host, sum(c.attempts) as total, jsonb_build_object('host', c.host, 'total', sum(c.attempts),
                   'success', coalesce(sum(c.attempts) filter (where c.error = ''), 0),
                   'failed', coalesce(sum(c.attempts) filter (where c.error <> ''), 0),
                   'success_rate', round(coalesce(sum(c.attempts) filter (where c.error = ''), 0) * 100.0 / sum(c.attempts),
                     2)::float8,
                   'avg_ms', round(sum(c.duration_ms)::numeric / nullif(sum(c.timed), 0), 1)::float8) as told
            from counted c where c.host <> '' group by c.host order by 2 desc, 1 limit 10) e), '[]'),
      'events_per_model', coalesce((select jsonb_agg(jsonb_build_object('model', m.model, 'total', m.total, 'success', m.success,
                   'failed', m.total - m.success) order by m.total desc, m.model) from (
          select c.model, sum(c.attempts) as total, coalesce(sum(c.attempts) filter (where c.error = ''), 0) as success
            from counted c group by c.model) m), '[]'),
      'daily_traffic', (select jsonb_agg(jsonb_build_object('date', d.day, 'success', coalesce(p.success, 0), 'failed',
        coalesce(p.failed, 0))
                                         order by d.day)
          from (select today - days + 1 + n as day from generate_series(0, days - 1) n) d left join per_day p on p.day = d.day),
      'event_type_distribution', coalesce((select jsonb_object_agg(t.event_type, t.total) from (
          select coalesce(nullif(c.event_type, ''), 'unknown') as event_type, sum(c.attempts) as total from counted c
            group by 1) t), '{}'),
      'errors', coalesce((select jsonb_agg(jsonb_build_object('error', e.error, 'count', e.total) order by e.total desc, e.error)
        from (
          select c.error, sum(c.attempts) as total from counted c where c.error <> '' group by c.error) e), '[]'),
      'is_complete', not exists (select from odoo_eventd.traffic_backfill))
    into told;
  return told;
end $$;
comment on function odoo_eventd.dashboard(jsonb, integer, text) is
  'Attempts of the last so many days of a time zone, today included, as an operator sees them. A zone that is off by half an '
  'hour has the hour of midnight in the day that it begins in. Not complete while what is older than the counting is being '
  'counted.';
