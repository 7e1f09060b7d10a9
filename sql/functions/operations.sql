-- Purpose: the operator's verbs. Each is one call: `odoo-eventd` has no SQL of its own for them.

create or replace function odoo_eventd.add_subscription(options jsonb) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  given public.mcp_event_subscription := jsonb_populate_record(null::public.mcp_event_subscription, options);
  made integer;
begin
  perform odoo_eventd.assert_listener();
  insert into public.mcp_event_subscription
         (name, model, event_type, domain, fields, trigger_mode, user_id, connection, created_from, active, webhook_url, webhook_secret,
          auth, webhook_payload_template, payload_fields, enrich_fields, http_method, headers, format, lang, timeout_ms, max_attempts,
          ordered, rate_limit, "grouping", max_event_age, max_body_bytes, ignore_user_ids, endpoint_source)
  values (given.name, given.model, coalesce(given.event_type, 'all'), coalesce(given.domain, '[]'), coalesce(given.fields, '{}'),
          coalesce(given.trigger_mode, 'match'), given.user_id, given.connection, coalesce(given.created_from, 'manual'),
          coalesce(given.active, true), given.webhook_url, given.webhook_secret, given.auth, given.webhook_payload_template,
          coalesce(given.payload_fields, '{}'), coalesce(given.enrich_fields, '{}'), coalesce(given.http_method, 'POST'),
          coalesce(given.headers, '{}'), coalesce(given.format, 'json'), given.lang, coalesce(given.timeout_ms, 5000),
          coalesce(given.max_attempts, 1), coalesce(given.ordered, false), given.rate_limit, coalesce(given."grouping", 'transaction'),
          given.max_event_age, coalesce(given.max_body_bytes, 262144), coalesce(given.ignore_user_ids, '{}'),
          coalesce(given.endpoint_source, 'static'))
  returning id into made;
  return made;
end $$;
comment on function odoo_eventd.add_subscription(jsonb) is 'Adds a subscription; keys are the columns of mcp_event_subscription. Returns its id.';

create or replace function odoo_eventd.deactivate_subscription(subscription integer) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  update public.mcp_event_subscription s set active = false where s.id = subscription;
  return found;
end $$;
comment on function odoo_eventd.deactivate_subscription(integer) is 'Deactivates a subscription; its row is kept. False if there is none.';

create or replace function odoo_eventd.remove_subscription(subscription integer) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  delete from public.mcp_event_subscription s where s.id = subscription;
  return found;
end $$;
comment on function odoo_eventd.remove_subscription(integer) is 'Deletes a subscription. False if there is none.';

create or replace function odoo_eventd.list_subscriptions() returns setof jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  return query select to_jsonb(s) - 'secret_ref' - 'captured_from' from public.mcp_event_subscription s order by s.id;
end $$;
comment on function odoo_eventd.list_subscriptions() is 'All subscriptions as JSON, secrets masked.';

create or replace function odoo_eventd.list_deliveries(
  of_subscription integer, with_status text, of_model text, of_record bigint, since timestamptz, most integer
) returns setof jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  return query
    select to_jsonb(l) from public.mcp_webhook_delivery l
    where (of_subscription is null or l.subscription_id = of_subscription)
      and (with_status is null or l.status = with_status)
      and (of_model is null or l.model = of_model)
      and (of_record is null or of_record = any (l.record_ids))
      and (since is null or l.create_date >= since at time zone 'utc')
    order by l.create_date desc, l.id desc limit most;
end $$;
comment on function odoo_eventd.list_deliveries(integer, text, text, bigint, timestamptz, integer) is
  'Attempts, newest first; each filter may be null.';

create or replace function odoo_eventd.find_failed(of_subscription integer, of_model text, since timestamptz) returns setof uuid
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  return query
    select distinct l.delivery_id
    from public.mcp_webhook_delivery l
    join odoo_eventd.delivery d on d.event_id = l.event_id and d.subscription_id = l.subscription_id and d.delivery_id = l.delivery_id
    where l.create_date >= since at time zone 'utc' and l.status = 'failed' and d.state = 'failed'
      and (of_subscription is null or l.subscription_id = of_subscription)
      and (of_model is null or l.model = of_model);
end $$;
comment on function odoo_eventd.find_failed(integer, text, timestamptz) is 'Deliveries that are over, failed, and were tried since then.';

create or replace function odoo_eventd.redeliver(deliveries uuid[], only_show boolean) returns table (
  delivery_id uuid, subscription_id integer, event_id uuid, model text, record_ids bigint[], state text, attempts integer, payload text
)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  return query
    with last_attempt as (
      select distinct on (l.delivery_id) l.delivery_id, l.event_id, l.subscription_id, l.payload
      from public.mcp_webhook_delivery l where l.delivery_id = any (deliveries)
      order by l.delivery_id, l.create_date desc, l.id desc
    ), known as (
      select d.event_id, d.subscription_id, d.part, d.delivery_id, d.model, d.record_ids, d.state, d.attempts, l.payload
      from last_attempt l
      join odoo_eventd.delivery d on d.event_id = l.event_id and d.subscription_id = l.subscription_id and d.delivery_id = l.delivery_id
    ), moved as (
      update odoo_eventd.delivery d set state = 'waiting', due_at = now()
        from known k
       where not only_show and d.event_id = k.event_id and d.subscription_id = k.subscription_id and d.part = k.part
         and d.state in ('failed', 'success') and k.payload is not null
    )
    select k.delivery_id, k.subscription_id, k.event_id, k.model, k.record_ids, k.state, k.attempts, k.payload from known k;
end $$;
comment on function odoo_eventd.redeliver(uuid[], boolean) is
  'Sends ended deliveries once more, under the same ids; with only_show it just tells what would be sent.';
