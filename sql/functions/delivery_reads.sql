-- Purpose: deliveries as operators read them: attempts page by page, one delivery with all of its attempts.
-- Locks: ACCESS SHARE on public.mcp_webhook_delivery and odoo_eventd.delivery.
--
-- The log is never counted and never skipped over: a page begins at a place in its key.

create or replace function odoo_eventd.find_attempts(operator jsonb, filter jsonb, after_date timestamp, after_id bigint,
  most integer)
returns setof jsonb
-- Planned for what is asked, each time: a plan for any question reads the whole log.
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set plan_cache_mode = force_custom_plan
as $$
declare
  seen constant integer[] := odoo_eventd.seen_subscriptions(operator);
  models constant text[] := odoo_eventd.models_of(operator);
  wanted record;
  dead uuid[];
begin
  perform odoo_eventd.assert_listener();
  select * into wanted from jsonb_to_record(filter) f (
    subscription integer, statuses text[], codes integer[], code_classes integer[], errors text[], model text, record_id bigint,
    event_id uuid, delivery_id uuid, since timestamptz, until timestamptz, text text, is_dead boolean, without_bodies boolean);
  if wanted.is_dead then
    -- Few of many: they are looked up by their ids.
    dead := array(select d.delivery_id from odoo_eventd.delivery d
                   where d.state = 'failed' and d.event_type <> 'test' and (seen is null or d.subscription_id = any (seen))
                     and (wanted.subscription is null or d.subscription_id = wanted.subscription));
  end if;
  return query
    -- What is left out of the answer is not read either: it lies beside the table.
    select case when wanted.without_bodies then
             (select to_jsonb(told)
               from (select l.id, l.delivery_id, l.subscription_id, l.event_id, l.model, l.record_ids, l.attempt, l.status,
                                                 l.response_code, l.error, l.error_detail, l.duration_ms, l.create_date,
                                                   l.finished_at,
                                                 l.next_attempt_at) told)
           else to_jsonb(l) end
      from public.mcp_webhook_delivery l
    where (seen is null or l.subscription_id = any (seen))
      and (models is null or l.model = any (models))
      and (wanted.subscription is null or l.subscription_id = wanted.subscription)
      and (wanted.statuses is null or l.status = any (wanted.statuses))
      and (wanted.codes is null and wanted.code_classes is null
           or l.response_code = any (wanted.codes) or l.response_code / 100 = any (wanted.code_classes))
      and (wanted.errors is null or l.error = any (wanted.errors))
      and (wanted.model is null or l.model = wanted.model)
      and (wanted.record_id is null or wanted.record_id = any (l.record_ids))
      and (wanted.event_id is null or l.event_id = wanted.event_id)
      and (wanted.delivery_id is null or l.delivery_id = wanted.delivery_id)
      and (wanted.since is null or l.create_date >= wanted.since at time zone 'utc')
      and (wanted.until is null or l.create_date < wanted.until at time zone 'utc')
      and (wanted.text is null
           or position(lower(wanted.text) in lower(concat_ws(' ', l.error_detail, l.response_body, l.payload))) > 0)
      -- The last attempts of those that ended without success.
      and (dead is null or l.delivery_id = any (dead))
      and (wanted.is_dead is not true or l.status = 'failed' and exists (
             select from odoo_eventd.delivery d
              where d.event_id = l.event_id and d.subscription_id = l.subscription_id and d.delivery_id = l.delivery_id
                and d.attempts = l.attempt and d.state = 'failed' and d.event_type <> 'test'))
      and (after_id is null or l.create_date <= after_date and (l.create_date, l.id) < (after_date, after_id))
    order by l.create_date desc, l.id desc limit most;
end $$;
comment on function odoo_eventd.find_attempts(jsonb, jsonb, timestamp, bigint, integer) is
  'Attempts that an operator sees and looks for, newest first, before a place in the log; what the filter does not name does '
  'not matter.';

create or replace function odoo_eventd.find_delivery(operator jsonb, delivery uuid) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  seen constant integer[] := odoo_eventd.seen_subscriptions(operator);
  models constant text[] := odoo_eventd.models_of(operator);
begin
  perform odoo_eventd.assert_listener();
  return (
    with attempts as (
      select l.* from public.mcp_webhook_delivery l
       where l.delivery_id = delivery and (seen is null or l.subscription_id = any (seen))
         and (models is null or l.model = any (models))
    ), whole as (
      select a.payload from attempts a where a.payload is not null order by a.create_date desc, a.id desc limit 1
    ), compared as (
      select a.*, a.payload = w.payload as is_shared from attempts a left join whole w on true
    ), weighed as (
      -- A hundred attempts have a hundred times the body: it is told once, and of others no more than one could have.
      select c.*, sum(octet_length(c.payload)) filter (where not c.is_shared) over newest_first <= 16777216 as is_light
        from compared c window newest_first as (order by c.create_date desc, c.id desc)
    ), told as (
      select t.id, t.create_date, jsonb_build_object(
               'id', t.id, 'delivery_id', t.delivery_id, 'subscription_id', t.subscription_id, 'event_id', t.event_id,
               'model', t.model, 'record_ids', t.record_ids, 'attempt', t.attempt, 'status', t.status,
               'response_code', t.response_code, 'response_body', t.response_body, 'error', t.error,
               'error_detail', t.error_detail, 'duration_ms', t.duration_ms, 'create_date', t.create_date,
               'finished_at', t.finished_at, 'next_attempt_at', t.next_attempt_at,
               'payload', case when not t.is_shared and t.is_light then t.payload end,
               'payload_is', case when t.payload is null then 'cleared' when t.is_shared then 'shared'
                                  when t.is_light then 'own' else 'left_out' end) as attempt
        from weighed t
    )
    select jsonb_build_object(
             'payload', (select w.payload from whole w), 'delivery_id', delivery, 'event_id', a.event_id,
             'subscription_id', a.subscription_id, 'model', a.model, 'record_ids', a.record_ids,
             'event_type', d.event_type, 'state', d.state,
             -- An infinite time is that of one behind another of its lane.
             'due_at', case when d.state = 'waiting' and isfinite(d.due_at) then d.due_at at time zone 'utc' end,
             'attempts', (select jsonb_agg(t.attempt order by t.create_date, t.id) from told t))
      from (select * from attempts order by create_date desc, id desc limit 1) a
      left join odoo_eventd.delivery d
        on d.event_id = a.event_id and d.subscription_id = a.subscription_id and d.delivery_id = a.delivery_id);
end $$;
comment on function odoo_eventd.find_delivery(jsonb, uuid) is
  'One delivery with its body and all of its attempts, the oldest first, each with its own body where it was another; null where '
  'none was logged, or the operator does not see it.';

create or replace function odoo_eventd.seen_deliveries(operator jsonb, deliveries uuid[]) returns uuid[]
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  seen constant integer[] := odoo_eventd.seen_subscriptions(operator);
  models constant text[] := odoo_eventd.models_of(operator);
begin
  perform odoo_eventd.assert_listener();
  if seen is null then
    return deliveries;
  end if;
  return array(select asked.id from unnest(deliveries) with ordinality asked (id, place)
                where exists (select from public.mcp_webhook_delivery l
                               where l.delivery_id = asked.id and l.subscription_id = any (seen)
                                 and (models is null or l.model = any (models)))
                order by asked.place);
end $$;
comment on function odoo_eventd.seen_deliveries(jsonb, uuid[]) is
  'Those of these deliveries that an operator sees, in the same order.';
