-- Purpose: deliveries for which there is nothing to send: a template that failed, a body over its limit.
-- Locks: none but those of writing.

create or replace function odoo_eventd.fail_unsendable(
  of_term bigint, event_ids uuid[], subscription_ids integer[], parts bigint[], delivery_ids uuid[], models text[],
    event_types text[],
  record_ids text[], errors text[], details text[]
) returns bigint
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  failed record;
begin
  perform odoo_eventd.assert_term(of_term);
  perform odoo_eventd.ensure_log_days(0);
  with input as (
    select * from unnest(event_ids, subscription_ids, parts, delivery_ids, models, event_types, record_ids, errors, details)
      i (event_id, subscription_id, part, delivery_id, model, event_type, records, error, detail)
  ), made as (
    insert into odoo_eventd.delivery (event_id, subscription_id, part, delivery_id, model, event_type, record_ids, state,
      attempts, term)
    select i.event_id, i.subscription_id, i.part, i.delivery_id, i.model, i.event_type, i.records::bigint[], 'failed', 1, of_term
    from input i
    on conflict on constraint delivery_is_made_once do nothing
    returning delivery.delivery_id
  ), logged as (
    insert into public.mcp_webhook_delivery as l
           (delivery_id, subscription_id, event_id, model, record_ids, attempt, status, error, error_detail, duration_ms,
             finished_at)
    select i.delivery_id, i.subscription_id, i.event_id, i.model, i.records::bigint[], 1, 'failed', i.error, i.detail, 0,
           now() at time zone 'utc'
    from input i join made m on m.delivery_id = i.delivery_id
    returning l.create_date, l.id
  )
  select array_agg(l.create_date) as dates, array_agg(l.id) as ids into failed from logged l;
  perform odoo_eventd.count_logged(failed.dates, failed.ids);
  return coalesce(cardinality(failed.ids), 0);
end $$;
comment on function odoo_eventd.fail_unsendable(bigint, uuid[], integer[], bigint[], uuid[], text[], text[], text[], text[],
  text[]) is
  'Deliveries for which there is no body to send: made, logged as a failed attempt, and over.';
