-- Purpose: deliveries from their making to their end, and the log of attempts.
--
-- Every function that writes takes the caller's term and refuses it (SQLSTATE OE001) when another instance leads: the fencing
-- token. An assistant (assistants.sql) has its number with a minus instead of a term, and is refused when it was taken for dead.

create or replace function odoo_eventd.assert_term(of_term bigint) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  -- A plain read: a row lock here would make every group of results wait for the batch that is being committed. Who loses the
  -- lead just after this look finds its deliveries in another state, because recover_interrupted has been there.
  if of_term < 0 and not odoo_eventd.is_assisting(-of_term)
     or of_term >= 0 and (select l.term from odoo_eventd.lead l) <> of_term then
    raise exception 'another instance of odoo-eventd leads now' using errcode = 'OE001';
  end if;
end $$;
comment on function odoo_eventd.assert_term(bigint)
  is 'Raises OE001 unless this term still leads, or this assistant still assists.';

-- Lanes: the deliveries of an ordered subscription for one record are sent one after the other. The first of a lane has the time
-- when it is due, those behind it have `infinity`, so that looking for what is due does not go through them; when the first has
-- ended, the next one gets its time. The index delivery_lane_idx finds both.

create or replace function odoo_eventd.wake_lanes(subscriptions integer[], parts bigint[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  update odoo_eventd.delivery d set due_at = now()
    from (select distinct u.subscription_id, u.part from unnest(subscriptions, parts) u (subscription_id, part)) lane
   where d.due_at = 'infinity' and d.subscription_id = lane.subscription_id and d.part = lane.part
     and d.lane_position = (select n.lane_position from odoo_eventd.delivery n
                             where n.subscription_id = lane.subscription_id and n.part = lane.part
                               and n.due_at is not null and n.lane_position is not null
                             order by n.lane_position limit 1);
end $$;
comment on function odoo_eventd.wake_lanes(integer[], bigint[]) is 'Lets the first delivery of each of these lanes be sent.';

create or replace function odoo_eventd.wake_all_lanes() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  lane_subscriptions integer[];
  lane_parts bigint[];
begin
  perform odoo_eventd.assert_listener();
  -- One look into the index for each lane.
  with recursive lane (subscription_id, part, due_at) as (
    (select d.subscription_id, d.part, d.due_at from odoo_eventd.delivery d
      where d.due_at is not null and d.lane_position is not null
      order by d.subscription_id, d.part, d.lane_position limit 1)
    union all
    select n.subscription_id, n.part, n.due_at from lane
    cross join lateral (select d.subscription_id, d.part, d.due_at from odoo_eventd.delivery d
                         where d.due_at is not null and d.lane_position is not null
                           and (d.subscription_id, d.part) > (lane.subscription_id, lane.part)
                         order by d.subscription_id, d.part, d.lane_position limit 1) n
  )
  select array_agg(l.subscription_id), array_agg(l.part) into lane_subscriptions, lane_parts from lane l
    where l.due_at = 'infinity';
  if lane_parts is not null then
    perform odoo_eventd.wake_lanes(lane_subscriptions, lane_parts);
  end if;
end $$;
comment on function odoo_eventd.wake_all_lanes() is
  'A net under wake_lanes(): finds lanes that nobody woke, because their first ended while another was being added.';

create or replace function odoo_eventd.ensure_log_days(days_ahead integer) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  first_day date := (now() at time zone 'utc')::date;
  day date;
begin
  perform odoo_eventd.assert_listener();
  for day in select first_day + n from generate_series(0, days_ahead) n loop
    continue when to_regclass(format('odoo_eventd.mcp_webhook_delivery_%s', to_char(day, 'YYYYMMDD'))) is not null;
    perform odoo_eventd.lock_capture();
    continue when to_regclass(format('odoo_eventd.mcp_webhook_delivery_%s', to_char(day, 'YYYYMMDD'))) is not null;
    -- Made apart and attached: ATTACH does not wait for readers of the log, CREATE .. PARTITION OF would.
    execute format('create table odoo_eventd.mcp_webhook_delivery_%s (like public.mcp_webhook_delivery including defaults including constraints)',
                   to_char(day, 'YYYYMMDD'));
    perform odoo_eventd.revoke_grants(format('odoo_eventd.mcp_webhook_delivery_%s', to_char(day, 'YYYYMMDD'))::regclass);
    execute format('alter table public.mcp_webhook_delivery attach partition odoo_eventd.mcp_webhook_delivery_%s for values from (%L) to (%L)',
                   to_char(day, 'YYYYMMDD'), day, day + 1);
  end loop;
end $$;
comment on function odoo_eventd.ensure_log_days(integer) is 'Makes the log''s partitions for today (UTC) and the days after it.';

drop function if exists odoo_eventd.commit_batch(bigint, pg_snapshot, pg_snapshot, xid8, bigint, uuid[], integer[], bigint[],
  uuid[], text[],
  text[], text[], text[], boolean[], integer[]);
create or replace function odoo_eventd.commit_batch(
  of_term bigint, new_done pg_snapshot, new_target pg_snapshot, new_last_xid xid8, new_last_id bigint,
  event_ids uuid[], subscription_ids integer[], parts bigint[], delivery_ids uuid[], models text[], event_types text[],
  record_ids text[], bodies text[], claimed boolean[], lease_ms integer[], lane_positions bigint[], behind boolean[]
) returns table (ord bigint, log_id bigint, log_date timestamp)
language plpgsql security definer set search_path = pg_catalog, pg_temp
-- One plan for ever, along the keys: planning takes longer than sending, and one that is made while the tables are empty reads
-- them whole. What is switched off counts as endless work, for which the planner would have each call compiled: hence jit.
set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off
as $$
begin
  perform odoo_eventd.assert_listener();
  -- Looked at here first: the function is needed once a day, and checks its caller anew.
  if to_regclass('odoo_eventd.mcp_webhook_delivery_' || to_char(now() at time zone 'utc', 'YYYYMMDD')) is null then
    perform odoo_eventd.ensure_log_days(0);
  end if;
  -- The fence: take_lead() changes the row that is locked here, so either it waits for this commit or this finds its term gone.
  perform from odoo_eventd.lead l where l.term = of_term for share;
  if not found then
    raise exception 'another instance of odoo-eventd leads now' using errcode = 'OE001';
  end if;
  perform odoo_eventd.assert_may_deliver();
  insert into odoo_eventd.progress (done, target, last_xid, last_id) values (new_done, new_target, new_last_xid, new_last_id);
  return query
    with given as (
      select * from unnest(event_ids, subscription_ids, parts, delivery_ids, models, event_types, record_ids, bodies, claimed,
        lease_ms,
                           lane_positions, behind)
        with ordinality i (event_id, subscription_id, part, delivery_id, model, event_type, records, body, wanted, lease,
          lane_position,
                           behind, ord)
    ), input as (
      -- Only for lanes: the first that is not over yet, from earlier batches. Scalar, because an EXISTS may be hashed: all lanes
      -- read.
      select g.*, l.first_open, g.wanted and not g.behind and l.first_open is null as claim
      from given g
      left join lateral (select case when g.lane_position is not null then (
               select d.lane_position from odoo_eventd.delivery d
                where d.subscription_id = g.subscription_id and d.part = g.part and d.due_at is not null and d.lane_position
                  is not null
                order by d.lane_position limit 1) end as first_open) l on true
    ), made as (
      insert into odoo_eventd.delivery
             (event_id, subscription_id, part, delivery_id, model, event_type, record_ids, body, state, attempts, due_at, term,
              lane_position, held_in)
      select i.event_id, i.subscription_id, i.part, i.delivery_id, i.model, i.event_type, i.records::bigint[],
             case when not i.claim then i.body end, case when i.claim then 'sending' else 'waiting' end,
             case when i.claim then 1 else 0 end,
             case when i.claim then clock_timestamp() + i.lease * interval '1 ms'
                  -- One after the other, so that whoever takes some knows where to go on.
                  when i.behind or i.first_open < i.lane_position then 'infinity' else clock_timestamp() end, of_term,
             i.lane_position,
             case when i.lane_position is not null and new_target is not null then pg_snapshot_xmax(new_done) end
      from input i
      on conflict on constraint delivery_is_made_once do nothing
      returning delivery.delivery_id
    ), logged as (
      insert into public.mcp_webhook_delivery as l
             (delivery_id, subscription_id, event_id, model, record_ids, attempt, status, payload)
      select i.delivery_id, i.subscription_id, i.event_id, i.model, i.records::bigint[], 1, 'pending', i.body
      from input i join made m on m.delivery_id = i.delivery_id
      where i.claim
      returning l.delivery_id, l.id, l.create_date
    )
    select i.ord, l.id, l.create_date from logged l join input i on i.delivery_id = l.delivery_id;
end $$;
comment on function odoo_eventd.commit_batch(bigint, pg_snapshot, pg_snapshot, xid8, bigint, uuid[], integer[], bigint[], uuid[],
  text[],
  text[], text[], text[], boolean[], integer[], bigint[], boolean[]) is
  'In one transaction: deliveries made, first attempts of the claimed ones logged as pending, position moved. One whose lane is '
  'busy is not claimed; `behind` says that another of the same batch comes before it.';

create or replace function odoo_eventd.due_subscriptions() returns table (subscription_id integer, due_at timestamptz,
  due_in_ms bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  return query
    -- One look into the index for each subscription, however many deliveries wait.
    with recursive due (subscription_id, due_at) as (
      (select d.subscription_id, d.due_at from odoo_eventd.delivery d where d.state = 'waiting' and d.due_at is not null
        order by d.subscription_id, d.due_at limit 1)
      union all
      select n.subscription_id, n.due_at from due
      cross join lateral (select d.subscription_id, d.due_at from odoo_eventd.delivery d
                           where d.state = 'waiting' and d.due_at is not null and d.subscription_id > due.subscription_id
                           order by d.subscription_id, d.due_at limit 1) n
    )
    -- An infinite time cannot be subtracted before PostgreSQL 17; the first of a lane has a finite one.
    select u.subscription_id, u.due_at, (extract(epoch from u.due_at - now()) * 1000)::bigint from due u
      where u.due_at < 'infinity';
end $$;
comment on function odoo_eventd.due_subscriptions()
  is 'Which subscriptions have waiting deliveries, and when the first of each is due.';

create or replace function odoo_eventd.due_since(subscriptions integer[], since timestamptz[])
returns table (subscription_id integer, due_at timestamptz)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  return query
    select s.id, w.due_at
      from unnest(subscriptions, since) s (id, since)
     cross join lateral (select d.due_at from odoo_eventd.delivery d
                          where d.state = 'waiting' and d.subscription_id = s.id and d.due_at >= coalesce(s.since, '-infinity')
                          order by d.due_at limit 1) w
     where w.due_at <= now();
end $$;
comment on function odoo_eventd.due_since(integer[], timestamptz[]) is
  'Which of these subscriptions have something to send, from a time on: what was sent before it need not be passed over again.';

-- Dropped first: what it is given has changed.
drop function if exists odoo_eventd.claim_deliveries(bigint, integer[], integer[], integer[]);
create or replace function odoo_eventd.claim_deliveries(
  of_term bigint, subscriptions integer[], limits integer[], lease_ms integer[], since timestamptz[]
) returns table (
  event_id uuid, subscription_id integer, part bigint, delivery_id uuid, model text, event_type text, record_ids bigint[],
  attempt integer, payload text, log_id bigint, log_date timestamp, redelivered boolean, was_due timestamptz
)
language plpgsql security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off -- See commit_batch().
as $$
declare
  held xid8;
begin
  perform odoo_eventd.assert_term(of_term);
  perform odoo_eventd.assert_may_deliver();
  -- See commit_batch().
  if to_regclass('odoo_eventd.mcp_webhook_delivery_' || to_char(now() at time zone 'utc', 'YYYYMMDD')) is null then
    perform odoo_eventd.ensure_log_days(0);
  end if;
  select pg_snapshot_xmax(p.done) into held from odoo_eventd.position p where p.target is not null;
  return query
    with picked as (
      select d.*, s.lease
      from unnest(subscriptions, limits, lease_ms, since) s (id, most, lease, since)
      cross join lateral (
        select * from odoo_eventd.delivery w
        where w.state = 'waiting' and w.subscription_id = s.id and w.due_at <= now()
          and w.due_at >= coalesce(s.since, '-infinity')
          -- The first of its lane, and none of the lane under way. One that was redelivered may stand before one that is.
          and (w.lane_position is null
               or (held is null or w.held_in is distinct from held)
                  and not exists (select from odoo_eventd.delivery e
                                   where e.subscription_id = w.subscription_id and e.part = w.part
                                     and e.due_at is not null and e.lane_position is not null
                                     and (e.lane_position < w.lane_position or e.state = 'sending')))
        order by w.due_at limit s.most for update skip locked
      ) d
    ), claimed as (
      update odoo_eventd.delivery d
         set state = 'sending', attempts = d.attempts + 1, due_at = clock_timestamp() + p.lease * interval '1 ms', term = of_term,
           body = null
        from picked p
       where d.event_id = p.event_id and d.subscription_id = p.subscription_id and d.part = p.part
      returning d.event_id, d.subscription_id, d.part, d.delivery_id, d.model, d.event_type, d.record_ids, d.attempts,
        d.redelivered,
                p.due_at as was_due,
                coalesce(p.body, (select l.payload from public.mcp_webhook_delivery l
                                   where l.delivery_id = d.delivery_id and l.payload is not null
                                   order by l.create_date desc, l.id desc limit 1)) as payload
    ), logged as (
      insert into public.mcp_webhook_delivery as l
             (delivery_id, subscription_id, event_id, model, record_ids, attempt, status, payload)
      select c.delivery_id, c.subscription_id, c.event_id, c.model, c.record_ids, c.attempts, 'pending', c.payload from claimed c
      returning l.delivery_id, l.id, l.create_date
    )
    select c.event_id, c.subscription_id, c.part, c.delivery_id, c.model, c.event_type, c.record_ids, c.attempts, c.payload,
           l.id, l.create_date, c.redelivered, c.was_due
    from claimed c join logged l on l.delivery_id = c.delivery_id;
end $$;
comment on function odoo_eventd.claim_deliveries(bigint, integer[], integer[], integer[], timestamptz[]) is
  'Claims due deliveries of the given subscriptions, up to a limit each and from a time on, and logs the attempt that follows '
  'as pending.';

drop function if exists odoo_eventd.record_attempts(bigint, uuid[], integer[], bigint[], bigint[], timestamp[], text[], integer[],
  text[],
  text[], text[], integer[], bigint[]);
create or replace function odoo_eventd.record_attempts(
  of_term bigint, event_ids uuid[], subscription_ids integer[], parts bigint[], log_ids bigint[], log_dates timestamp[],
  statuses text[], response_codes integer[], response_bodies text[], errors text[], error_details text[], durations_ms integer[],
  retry_in_ms bigint[], hosts text[]
) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan set jit = off set enable_seqscan = off -- See commit_batch().
as $$
declare
  ended record;
begin
  perform odoo_eventd.assert_term(of_term);
  with input as (
    select * from unnest(event_ids, subscription_ids, parts, log_ids, log_dates, statuses, response_codes, response_bodies,
      errors,
                         error_details, durations_ms, retry_in_ms, hosts)
      i (event_id, subscription_id, part, log_id, log_date, status, response_code, response_body, error, error_detail,
        duration_ms, retry_in,
         host)
  ), moved as (
    update odoo_eventd.delivery d
       set state = case when i.status = 'success' then 'success' when i.retry_in is null then 'failed' else 'waiting' end,
           due_at = case when i.status <> 'success' then now() + i.retry_in * interval '1 ms' end
      from input i
     where d.event_id = i.event_id and d.subscription_id = i.subscription_id and d.part = i.part
       and d.state = 'sending' and d.term = of_term
    returning i.log_id, i.log_date, i.error, i.duration_ms, i.host, d.subscription_id, d.part, d.model, d.event_type,
              d.lane_position is not null and d.due_at is null as frees_lane
  ), logged as (
    update public.mcp_webhook_delivery l
       set status = i.status, response_code = i.response_code, response_body = i.response_body, error = i.error,
           error_detail = i.error_detail, duration_ms = i.duration_ms, finished_at = now() at time zone 'utc',
           next_attempt_at = (now() + i.retry_in * interval '1 ms') at time zone 'utc'
      from input i join moved m on m.log_id = i.log_id
     where l.create_date = i.log_date and l.id = i.log_id
    returning l.id
  )
  select (select count(*) from logged) as recorded,
         array_agg(m.subscription_id) filter (where m.frees_lane) as lane_subscriptions, array_agg(m.part)
           filter (where m.frees_lane) as lane_parts,
         array_agg(m.log_date) as dates, array_agg(m.subscription_id) as subscription_ids, array_agg(m.model) as models,
         array_agg(m.event_type) as event_types, array_agg(m.host) as hosts, array_agg(m.error) as errors,
         array_agg(m.duration_ms) as durations
    into ended from moved m;
  if ended.lane_parts is not null then
    perform odoo_eventd.wake_lanes(ended.lane_subscriptions, ended.lane_parts);
  end if;
  -- Last: what others may count too is locked for as short as can be.
  if ended.dates is not null then
    perform odoo_eventd.count_attempts(ended.dates, ended.subscription_ids, ended.models, ended.event_types, ended.hosts,
      ended.errors,
                                       ended.durations);
  end if;
  return ended.recorded;
end $$;
comment on function odoo_eventd.record_attempts(bigint, uuid[], integer[], bigint[], bigint[], timestamp[], text[], integer[],
  text[],
  text[], text[], integer[], bigint[], text[]) is
  'Records how attempts ended and what becomes of their deliveries, and counts them, in one transaction.';

create or replace function odoo_eventd.give_back(of_term bigint, own_terms bigint[], begun bigint[]) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  given bigint;
begin
  perform odoo_eventd.assert_term(of_term);
  -- No request was made, so there was no attempt: its row goes from the log, and the body back to where it was.
  with unsent as (
    select d.event_id, d.subscription_id, d.part, l.id, l.create_date, l.payload
    from odoo_eventd.delivery d
    join public.mcp_webhook_delivery l on l.delivery_id = d.delivery_id and l.status = 'pending'
    where d.due_at is not null and d.state = 'sending' and d.term = any (own_terms) and l.id <> all (begun)
  ), gone as (
    delete from public.mcp_webhook_delivery l using unsent u where l.create_date = u.create_date and l.id = u.id
  )
  update odoo_eventd.delivery d
     set state = 'waiting', attempts = d.attempts - 1, due_at = now(), body = u.payload
    from unsent u
   where d.event_id = u.event_id and d.subscription_id = u.subscription_id and d.part = u.part;
  get diagnostics given = row_count;
  return given;
end $$;
comment on function odoo_eventd.give_back(bigint, bigint[], bigint[]) is
  'Lets deliveries be claimed anew that were claimed in these terms and never sent: all but those whose attempt was begun. Only '
  'who led in these terms knows which.';

create or replace function odoo_eventd.recover_interrupted(of_term bigint) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  ended record;
begin
  perform odoo_eventd.assert_term(of_term);
  perform odoo_eventd.note_ended_assistants();
  -- Sent or not, nobody knows: a one-shot is over, a retrying delivery is sent again under the same ids.
  with lost as (
    select d.event_id, d.subscription_id, d.part, d.delivery_id,
           coalesce(s.active, false) and d.attempts < s.max_attempts as again
    from odoo_eventd.delivery d
    left join public.mcp_event_subscription s on s.id = d.subscription_id
    where d.due_at is not null and d.state = 'sending'
      and (d.due_at < now() or case when d.term < 0 then not odoo_eventd.is_assisting(-d.term) else d.term < of_term end)
  ), moved as (
    update odoo_eventd.delivery d
       set state = case when l.again then 'waiting' else 'failed' end, due_at = case when l.again then now() end
      from lost l
     where d.event_id = l.event_id and d.subscription_id = l.subscription_id and d.part = l.part
    returning d.subscription_id, d.part, d.lane_position is not null and d.due_at is null as frees_lane
  ), logged as (
    update public.mcp_webhook_delivery w
       set status = 'failed', error = 'interrupted', finished_at = now() at time zone 'utc',
           next_attempt_at = case when l.again then now() at time zone 'utc' end
      from lost l
     where w.delivery_id = l.delivery_id and w.status = 'pending'
    returning w.create_date, w.id
  ), freed as (
    select array_agg(m.subscription_id) as subscriptions, array_agg(m.part) as parts from moved m where m.frees_lane
  )
  select array_agg(l.create_date) as dates, array_agg(l.id) as ids, (select f.subscriptions from freed f) as lane_subscriptions,
         (select f.parts from freed f) as lane_parts
    into ended from logged l;
  if ended.lane_parts is not null then
    perform odoo_eventd.wake_lanes(ended.lane_subscriptions, ended.lane_parts);
  end if;
  perform odoo_eventd.count_logged(ended.dates, ended.ids);
  return coalesce(cardinality(ended.ids), 0);
end $$;
comment on function odoo_eventd.recover_interrupted(bigint) is
  'Ends the attempts that earlier leaders or dead assistants began, or whose lease ran out, without a result: failed, '
  'interrupted.';

drop function if exists odoo_eventd.cancel_deliveries(bigint);
create or replace function odoo_eventd.cancel_deliveries(of_term bigint, most integer) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  cancelled record;
begin
  perform odoo_eventd.assert_term(of_term);
  perform odoo_eventd.ensure_log_days(0);
  with gone as (
    select d.subscription_id, case when s.id is null then 'cancelled' else 'disabled' end as why
    from odoo_eventd.due_subscriptions() d
    left join public.mcp_event_subscription s on s.id = d.subscription_id and s.active
     and (coalesce(s.webhook_url, '') <> '' or s.endpoint_source = 'record')
    where s.id is null or s.disabled_at is not null
  ), picked as (
    select w.event_id, w.subscription_id, w.part, w.body, g.why
    from gone g
    cross join lateral (select * from odoo_eventd.delivery d
                         where d.subscription_id = g.subscription_id and d.state = 'waiting' and d.due_at is not null
                           limit most) w
    limit most
  ), ended as (
    update odoo_eventd.delivery d
       set state = 'failed', due_at = null, body = null, attempts = d.attempts + 1
      from picked p
     where d.event_id = p.event_id and d.subscription_id = p.subscription_id and d.part = p.part and d.state = 'waiting'
    returning d.*, p.body as unsent, p.why
  ), logged as (
    insert into public.mcp_webhook_delivery as l
           (delivery_id, subscription_id, event_id, model, record_ids, attempt, status, payload, error, duration_ms, finished_at)
    select e.delivery_id, e.subscription_id, e.event_id, e.model, e.record_ids, e.attempts, 'failed', e.unsent, e.why, 0,
           now() at time zone 'utc'
    from ended e
    returning l.create_date, l.id
  )
  select array_agg(l.create_date) as dates, array_agg(l.id) as ids into cancelled from logged l;
  perform odoo_eventd.count_logged(cancelled.dates, cancelled.ids);
  return coalesce(cardinality(cancelled.ids), 0);
end $$;
comment on function odoo_eventd.cancel_deliveries(bigint, integer) is
  'Ends the unsent deliveries of subscriptions that were deactivated, deleted, or have no URL any more: failed, cancelled; and '
  'of those that are disabled: failed, disabled. At most so many at once.';
