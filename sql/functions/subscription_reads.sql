-- Purpose: subscriptions as operators read them: one, those that fit a filter page by page, how many there are.
-- Locks: ACCESS SHARE on public.mcp_event_subscription.

create or replace function odoo_eventd.subscription_version(subscription public.mcp_event_subscription) returns text
language sql stable set search_path = pg_catalog, pg_temp set intervalstyle = 'postgres'
as $$
  -- What its user writes, and nothing that the service or a trigger keeps: results and states do not make somebody's change a
  -- conflict. Of secrets, which look alike as masks, it is when they were written.
  select left(encode(sha256(convert_to(concat_ws(' ', to_jsonb(subscription)
    - '{last_delivery,last_delivery_status,failure_count,failing_since,failures_in_a_row,disabled_at,disabled_reason}'::text[]
    - '{state,error,active_from,captured_from,secret_ref,create_date,write_date,create_uid,write_uid}'::text[],
    (select extract(epoch from k.written_at) from odoo_eventd.subscription_secret k
      where k.secret_ref = (subscription).secret_ref)),
    'UTF8')), 'hex'), 32)
$$;
comment on function odoo_eventd.subscription_version(public.mcp_event_subscription) is
  'Differs after any change of the columns that a subscription''s user writes, secrets included.';
revoke all on function odoo_eventd.subscription_version(public.mcp_event_subscription) from public;

create or replace function odoo_eventd.shown_subscription(subscription public.mcp_event_subscription) returns jsonb
language sql stable set search_path = pg_catalog, pg_temp set intervalstyle = 'postgres'
as $$
  -- An element that is NULL says nothing, nor do lists in lists.
  select to_jsonb(subscription) - 'secret_ref' - 'captured_from' || jsonb_build_object(
    'fields', array(select u from unnest((subscription).fields) u where u is not null),
    'payload_fields', array(select u from unnest((subscription).payload_fields) u where u is not null),
    'enrich_fields', array(select u from unnest((subscription).enrich_fields) u where u is not null),
    'ignore_user_ids', array(select u from unnest((subscription).ignore_user_ids) u where u is not null))
$$;
comment on function odoo_eventd.shown_subscription(public.mcp_event_subscription) is
  'A subscription as operators are shown it; the service masks its URL and its headers.';
revoke all on function odoo_eventd.shown_subscription(public.mcp_event_subscription) from public;

create or replace function odoo_eventd.fits(subscription public.mcp_event_subscription, filter jsonb) returns boolean
language sql stable set search_path = pg_catalog, pg_temp
as $$
  select coalesce(
    (not filter ? 'ids' or filter -> 'ids' @> to_jsonb((subscription).id))
    and (not filter ? 'models' or filter -> 'models' ? (subscription).model)
    and (not filter ? 'states' or filter -> 'states' ? coalesce((subscription).state, 'unseen'))
    and (not filter ? 'active' or (filter ->> 'active')::boolean = (subscription).active)
    and (not filter ? 'paused' or (filter ->> 'paused')::boolean = (subscription).paused)
    and (not filter ? 'created_from' or filter ->> 'created_from' = (subscription).created_from)
    and (not filter ? 'user_id' or (filter ->> 'user_id')::integer = (subscription).user_id)
    and (not filter ? 'text' or position(lower(filter ->> 'text') in lower(concat_ws(' ', (subscription).name,
           (subscription).model, (subscription).connection, (subscription).domain, (subscription).error))) > 0), false)
$$;
comment on function odoo_eventd.fits(public.mcp_event_subscription, jsonb) is
  'Whether a subscription is one that is looked for; what the filter does not name does not matter.';
revoke all on function odoo_eventd.fits(public.mcp_event_subscription, jsonb) from public;

create or replace function odoo_eventd.find_subscriptions(
  operator jsonb, filter jsonb, order_by text, descending boolean, after_key jsonb, after_id integer, most integer
) returns table (version text, shown jsonb, sort_key jsonb)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  return query
    with found as (
      -- As JSON all columns are ordered by one rule, and NULL comes first in it.
      select s.id, coalesce(case order_by
               when 'id' then to_jsonb(s.id)
               when 'name' then to_jsonb(s.name)
               when 'model' then to_jsonb(s.model)
               when 'state' then to_jsonb(s.state)
               when 'active' then to_jsonb(s.active)
               when 'last_delivery' then to_jsonb(s.last_delivery)
               when 'failure_count' then to_jsonb(s.failure_count)
               when 'create_date' then to_jsonb(s.create_date)
               when 'write_date' then to_jsonb(s.write_date) end, 'null') as key
        from public.mcp_event_subscription s
       where odoo_eventd.sees(operator, s)
         and (filter = '{}' or odoo_eventd.fits(s, filter))
    ), page as (
      select f.id, f.key,
             row_number() over (order by case when not descending then f.key end, case when not descending then f.id end,
                                         case when descending then f.key end desc, case when descending then f.id end desc)
                                           as place
        from found f
       where after_id is null
          or case when descending then (f.key, f.id) < (after_key, after_id) else (f.key, f.id) > (after_key, after_id) end
    )
    select odoo_eventd.subscription_version(s), odoo_eventd.shown_subscription(s), p.key
      from page p join public.mcp_event_subscription s on s.id = p.id
     where p.place <= most order by p.place;
end $$;
comment on function odoo_eventd.find_subscriptions(jsonb, jsonb, text, boolean, jsonb, integer, integer) is
  'Subscriptions that an operator sees and looks for, in an order, after a place in it: what is added or deleted meanwhile '
  'moves nobody else.';

create or replace function odoo_eventd.count_subscriptions(operator jsonb, filter jsonb) returns bigint
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  return (select count(*) from public.mcp_event_subscription s
           where odoo_eventd.sees(operator, s) and (filter = '{}' or odoo_eventd.fits(s, filter)));
end $$;
comment on function odoo_eventd.count_subscriptions(jsonb, jsonb) is 'How many find_subscriptions() would find.';

create or replace function odoo_eventd.count_subscriptions_apart(operator jsonb) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  return (select jsonb_build_object(
            'all', count(*), 'ai', count(*) filter (where s.created_from = 'ai'),
            'manual', count(*) filter (where s.created_from = 'manual'),
            'active', count(*) filter (where s.active), 'inactive', count(*) filter (where not s.active),
            'invalid', count(*) filter (where s.active and s.state = 'invalid'),
            'disabled', count(*) filter (where s.active and s.state = 'disabled'),
            'paused', count(*) filter (where s.active and s.paused))
            from public.mcp_event_subscription s where odoo_eventd.sees(operator, s));
end $$;
comment on function odoo_eventd.count_subscriptions_apart(jsonb) is
  'How many subscriptions an operator sees, altogether and by each of the filters that the web page has.';

create or replace function odoo_eventd.subscription_overview(operator jsonb) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  seen constant integer[] := odoo_eventd.seen_subscriptions(operator);
  models constant text[] := odoo_eventd.models_of(operator);
begin
  perform odoo_eventd.assert_listener();
  -- Counts of deliveries stop at 100,000: what is beyond is an alarm either way.
  return jsonb_build_object(
    'subscriptions', (select jsonb_build_object(
        'ready', count(*) filter (where s.active and s.state = 'ready'),
        'waiting', count(*) filter (where s.active and s.state = 'waiting'),
        'unseen', count(*) filter (where s.active and s.state is null),
        'invalid', count(*) filter (where s.active and s.state = 'invalid'),
        'disabled', count(*) filter (where s.active and s.state = 'disabled'),
        'inactive', count(*) filter (where not s.active),
        'paused', count(*) filter (where s.active and s.paused))
      from public.mcp_event_subscription s where seen is null or s.id = any (seen)),
    'deliveries', jsonb_build_object(
        'unfinished', (select count(*) from (select from odoo_eventd.delivery d
                         where d.due_at is not null and (seen is null or d.subscription_id = any (seen))
                           and (models is null or d.model = any (models)) limit 100000) x),
        'dead', (select count(*) from (select from odoo_eventd.delivery d
                         where d.state = 'failed' and d.event_type <> 'test'
                           and (seen is null or d.subscription_id = any (seen)) and (models is null or d.model = any (models))
                             limit 100000) x)),
    'leading_since', (select p.led_since from odoo_eventd.position p
                       where exists (select from odoo_eventd.leader() l where l.pid is not null)));
end $$;
comment on function odoo_eventd.subscription_overview(jsonb) is
  'What an operator''s subscriptions and their deliveries have come to, in numbers, and since when a service runs.';

create or replace function odoo_eventd.allowed_models() returns text[]
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  return (select array_agg(m.model order by m.model) from odoo_eventd.allowed_model m);
end $$;
comment on function odoo_eventd.allowed_models() is 'The models that the installer allowed; null = all.';

create or replace function odoo_eventd.searched_subscriptions(operator jsonb)
returns table (id integer, name text, model text, event_type text, domain text, fields text, trigger_mode text, user_id integer,
               connection text, created_from text, active boolean, webhook_url text, format text, lang text, paused boolean,
               in_session boolean, ordered boolean, "grouping" text, endpoint_source text, http_method text, timeout_ms integer,
               max_attempts integer, state text, error text, failure_count integer, failures_in_a_row integer,
               last_delivery timestamp, last_delivery_status text, active_from timestamp,
               disabled_at timestamp, create_date timestamp, write_date timestamp, create_uid integer, write_uid integer)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  return query
    select s.id, s.name, s.model, s.event_type, s.domain, array_to_string(s.fields, ','), s.trigger_mode, s.user_id,
           s.connection, s.created_from, s.active, s.webhook_url, s.format, s.lang, s.paused, s.in_session, s.ordered,
           s."grouping", s.endpoint_source, s.http_method, s.timeout_ms, s.max_attempts, s.state, s.error,
           s.failure_count, s.failures_in_a_row, s.last_delivery, s.last_delivery_status, s.active_from,
           s.disabled_at, s.create_date, s.write_date, s.create_uid, s.write_uid
      from public.mcp_event_subscription s
     where odoo_eventd.sees(operator, s);
end $$;
comment on function odoo_eventd.searched_subscriptions(jsonb) is
  'The subscriptions that an operator sees, in the columns that a domain may speak of: none that holds a secret.';
