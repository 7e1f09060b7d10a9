-- Purpose: the operator's verbs. Each is one call: `odoo-eventd` has no SQL of its own for them.

drop function if exists odoo_eventd.add_subscription(jsonb);
create or replace function odoo_eventd.add_subscription(operator jsonb, options jsonb) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  given public.mcp_event_subscription;
  made integer;
begin
  perform odoo_eventd.assert_listener();
  perform odoo_eventd.act_for(operator);
  given := odoo_eventd.drafted_subscription(options);
  insert into public.mcp_event_subscription
         (name, model, event_type, domain, fields, trigger_mode, user_id, connection, created_from, active, webhook_url,
           webhook_secret,
          auth, webhook_payload_template, payload_fields, enrich_fields, http_method, headers, format, lang, timeout_ms,
            max_attempts,
          ordered, rate_limit, "grouping", max_event_age, max_body_bytes, ignore_user_ids, endpoint_source,
          retry_first_ms, retry_max_ms, retry_jitter, paused, in_session)
  values (given.name, given.model, given.event_type, given.domain, given.fields, given.trigger_mode, given.user_id,
    given.connection,
          given.created_from, given.active, given.webhook_url, given.webhook_secret, given.auth, given.webhook_payload_template,
          given.payload_fields, given.enrich_fields, given.http_method, given.headers, given.format, given.lang, given.timeout_ms,
          given.max_attempts, given.ordered, given.rate_limit, given."grouping", given.max_event_age, given.max_body_bytes,
          given.ignore_user_ids, given.endpoint_source, given.retry_first_ms, given.retry_max_ms, given.retry_jitter,
            given.paused,
          given.in_session)
  returning id into made;
  if (operator ->> 'leases')::boolean then
    perform odoo_eventd.lease_subscription(made);
  end if;
  return made;
end $$;
comment on function odoo_eventd.add_subscription(jsonb, jsonb) is
  'Adds a subscription; keys are the columns of mcp_event_subscription, what is not given is the table''s default. Returns its '
  'id.';

create or replace function odoo_eventd.enable_subscription(subscription integer) returns timestamp
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  was_disabled_at timestamp;
begin
  perform odoo_eventd.assert_listener();
  select s.disabled_at into was_disabled_at from public.mcp_event_subscription s where s.id = subscription for update;
  if not found then
    raise exception 'there is no subscription %', subscription using errcode = 'no_data_found';
  end if;
  -- The trigger clears what goes with it.
  update public.mcp_event_subscription s set disabled_at = null where s.id = subscription and s.disabled_at is not null;
  return was_disabled_at;
end $$;
comment on function odoo_eventd.enable_subscription(integer) is
  'Sends to an endpoint again that the service had given up. Returns since when it was (UTC); null = it was not.';

create or replace function odoo_eventd.remove_subscription(subscription integer) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  -- Whoever asked for it with an Idempotency-Key is told that it was refused, and may ask again.
  update odoo_eventd.answered_request r set subscription_id = null where r.subscription_id = subscription and r.answer is null;
  delete from public.mcp_event_subscription s where s.id = subscription;
  return found;
end $$;
comment on function odoo_eventd.remove_subscription(integer) is 'Deletes a subscription. False if there is none.';

-- Operators read by subscription_reads.sql and delivery_reads.sql, and change by subscription_writes.sql.
drop function if exists odoo_eventd.deactivate_subscription(integer);
drop function if exists odoo_eventd.pause_subscription(integer, boolean);
drop function if exists odoo_eventd.list_subscriptions();
drop function if exists odoo_eventd.list_deliveries(integer, text, text, bigint, timestamptz, integer);
