-- Purpose: dead letters, the deliveries that ended without success, and sending ended deliveries once more.
--
-- A delivery is a dead letter by its state, and its last attempt in the log says why. Test events (`odoo-eventd test`) are none.

create or replace function odoo_eventd.count_dead_letters() returns table (subscription_id integer, dead bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  return query
    select d.subscription_id, count(*) from odoo_eventd.delivery d
     where d.state = 'failed' and d.event_type <> 'test' group by d.subscription_id order by d.subscription_id;
end $$;
comment on function odoo_eventd.count_dead_letters()
  is 'How many deliveries of each subscription ended without success; from an index alone.';

drop function if exists odoo_eventd.find_failed(integer, text, timestamptz);
drop function if exists odoo_eventd.list_dead_letters(integer, text, bigint, timestamptz, timestamptz, integer);
drop function if exists odoo_eventd.find_dead_letters(integer, text, bigint, timestamptz, timestamptz);
drop function if exists odoo_eventd.find_dead_letters(jsonb, integer, text, bigint, timestamptz, timestamptz);
create or replace function odoo_eventd.find_dead_letters(
  operator jsonb, of_subscription integer, of_model text, of_record bigint, since timestamptz, until timestamptz,
  after_date timestamp, after_id bigint, most integer
) returns table (delivery_id uuid, create_date timestamp, id bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  seen constant integer[] := odoo_eventd.seen_subscriptions(operator);
  models constant text[] := odoo_eventd.models_of(operator);
begin
  perform odoo_eventd.assert_listener();
  return query
    select l.delivery_id, l.create_date, l.id
    from public.mcp_webhook_delivery l
    join odoo_eventd.delivery d
      on d.event_id = l.event_id and d.subscription_id = l.subscription_id and d.delivery_id = l.delivery_id
        and d.attempts = l.attempt
    where l.status = 'failed' and d.state = 'failed' and d.event_type <> 'test'
      and (seen is null or l.subscription_id = any (seen))
      and (models is null or l.model = any (models))
      and l.create_date >= since at time zone 'utc'
      and (until is null or l.create_date < until at time zone 'utc')
      and (of_subscription is null or l.subscription_id = of_subscription)
      and (of_model is null or l.model = of_model)
      and (of_record is null or of_record = any (l.record_ids))
      and (after_date is null or (l.create_date, l.id) > (after_date, after_id))
    order by l.create_date, l.id limit most;
end $$;
comment on function odoo_eventd.find_dead_letters(jsonb, integer, text, bigint, timestamptz, timestamptz, timestamp, bigint, integer) is
  'The next dead letters that an operator sees, whose last attempt was made in this time, oldest first; each filter but `since` '
  'may be null, and the place after which they are.';

-- Dropped first: what it returns has changed.
drop function if exists odoo_eventd.redeliver(uuid[], boolean);
drop function if exists odoo_eventd.redeliver(uuid[], boolean, boolean);
create function odoo_eventd.redeliver(deliveries uuid[], only_show boolean, with_payload boolean) returns table (
  delivery_id uuid, subscription_id integer, event_id uuid, model text, event_type text, record_ids bigint[], state text,
    attempts integer,
  payload text, refused text
)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  return query
    with last_attempt as (
      select distinct on (l.delivery_id) l.delivery_id, l.event_id, l.subscription_id, l.error, l.payload is not null as has_payload,
             case when with_payload then l.payload end as payload
      from public.mcp_webhook_delivery l where l.delivery_id = any (deliveries)
      order by l.delivery_id, l.payload is null, l.create_date desc, l.id desc
    ), known as (
      select d.event_id, d.subscription_id, d.part, d.delivery_id, d.model, d.event_type, d.record_ids, d.state, d.attempts,
             l.payload,
             case when d.state not in ('failed', 'success') then format('it is still %s', d.state)
                  when d.event_type = 'test' then 'it is a test event'
                  when s.id is null then format('subscription %s is gone', d.subscription_id)
                  when not s.active then format('subscription %s is inactive', s.id)
                  when coalesce(s.webhook_url, '') = '' then format('subscription %s has no URL', s.id)
                  when s.disabled_at is not null
                    then format('subscription %s is disabled: run `odoo-eventd subscriptions enable %s` first', s.id, s.id)
                  when not l.has_payload and l.error in ('template', 'body_too_large')
                    then 'it never had a body that could be sent (`odoo-eventd emit` sends its records as they are now)'
                  when not l.has_payload then 'what was sent is not in the log any more'
             end as refused
      from last_attempt l
      join odoo_eventd.delivery d on d.event_id = l.event_id and d.subscription_id = l.subscription_id
        and d.delivery_id = l.delivery_id
      left join public.mcp_event_subscription s on s.id = d.subscription_id
    ), moved as (
      update odoo_eventd.delivery d set state = 'waiting', due_at = now(), redelivered = true
        from known k
       where not only_show and k.refused is null and d.event_id = k.event_id and d.subscription_id = k.subscription_id
         and d.part = k.part
         and d.state in ('failed', 'success')
    )
    select k.delivery_id, k.subscription_id, k.event_id, k.model, k.event_type, k.record_ids, k.state, k.attempts, k.payload,
      k.refused
    from known k join unnest(deliveries) with ordinality asked (id, ord) on asked.id = k.delivery_id
    order by asked.ord;
end $$;
comment on function odoo_eventd.redeliver(uuid[], boolean, boolean) is
  'Sends ended deliveries once more, under the same ids, and says of each that is not why; with only_show it only tells which '
  'would be sent, and with_payload what.';
