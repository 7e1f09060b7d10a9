-- Purpose: operators change and delete subscriptions, one or hundreds, each only while it is the version that they have seen.
-- Locks: the rows that are changed, in the order of their ids, so that two who change several never wait for each other in a
-- ring.

create or replace function odoo_eventd.unmasked_headers(was jsonb, given jsonb) returns jsonb
language sql immutable set search_path = pg_catalog, pg_temp
as $$
  -- *** is what is shown of a value: written back it stands for what was there.
  select case when jsonb_typeof(given) = 'object' and jsonb_typeof(was) = 'object' then coalesce(
    (select jsonb_object_agg(h.key, case when h.value = '"***"' and was ? h.key then was -> h.key else h.value end)
       from jsonb_each(given) h), '{}') else given end
$$;
comment on function odoo_eventd.unmasked_headers(jsonb, jsonb)
  is 'Headers that are given, with the values that were there in the place of their masks.';
revoke all on function odoo_eventd.unmasked_headers(jsonb, jsonb) from public;

create or replace function odoo_eventd.patched_subscription(subscription public.mcp_event_subscription, patch jsonb)
returns public.mcp_event_subscription
language sql stable set search_path = pg_catalog, pg_temp
as $$
  -- null = the table's default, which is none for most columns.
  select jsonb_populate_record(subscription, coalesce(
    (select jsonb_object_agg(p.key, case when p.value = 'null' then defaults.row_ -> p.key
                                         when p.key = 'headers' then odoo_eventd.unmasked_headers((subscription).headers, p.value)
                                         else p.value end)
       from jsonb_each(patch) p cross join (select to_jsonb(odoo_eventd.drafted_subscription('{}')) offset 0) defaults (row_)),
         '{}'))
$$;
comment on function odoo_eventd.patched_subscription(public.mcp_event_subscription, jsonb) is
  'A subscription with these columns in the place of its own; null stands for the table''s default.';
revoke all on function odoo_eventd.patched_subscription(public.mcp_event_subscription, jsonb) from public;

create or replace function odoo_eventd.lock_subscriptions(operator jsonb, subscriptions integer[]) returns void
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  perform odoo_eventd.act_for(operator);
  perform from public.mcp_event_subscription s
    where s.id = any (subscriptions) and odoo_eventd.sees(operator, s) order by s.id for update;
end $$;
comment on function odoo_eventd.lock_subscriptions(jsonb, integer[]) is
  'Locks those of these subscriptions that an operator sees.';
revoke all on function odoo_eventd.lock_subscriptions(jsonb, integer[]) from public;

drop function if exists odoo_eventd.change_subscriptions(jsonb, integer[], text[], jsonb);
create or replace function odoo_eventd.change_subscriptions(operator jsonb, subscriptions integer[], versions text[],
  reaches jsonb[], patches jsonb[], places integer[], all_or_none boolean)
returns table (id integer, outcome text, version text)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  told record;
begin
  -- A statement of its own: the next one sees what whoever had the locks has committed.
  perform odoo_eventd.lock_subscriptions(operator, subscriptions);
  for told in
    with asked as (
      select a.id, a.version, a.reach, a.place from unnest(subscriptions, versions, reaches, places) a (id, version, reach, place)
    ), known as (
      select s.id, s as was, odoo_eventd.subscription_version(s) as version
        from public.mcp_event_subscription s
       where s.id = any (subscriptions) and odoo_eventd.sees(operator, s)
    ), judged as (
      select a.*, k.was, k.version as known_version,
             case when k.id is null then 'not_found'
                  when coalesce(a.version, k.version) <> k.version then 'conflict'
                  else 'done' end as outcome
        from asked a left join known k on k.id = a.id
    ), wanted as (
      select p.* from judged j cross join lateral odoo_eventd.patched_subscription(j.was, patches[j.place]) p
       where j.outcome = 'done' and not (all_or_none and exists (select from judged o where o.outcome <> 'done'))
    ), changed as (
      update public.mcp_event_subscription s
         set name = w.name, model = w.model, event_type = w.event_type, domain = w.domain, fields = w.fields,
             trigger_mode = w.trigger_mode, user_id = w.user_id, connection = w.connection, created_from = w.created_from,
               active = w.active,
             webhook_url = w.webhook_url, webhook_secret = w.webhook_secret, auth = w.auth,
             webhook_payload_template = w.webhook_payload_template, payload_fields = w.payload_fields,
               enrich_fields = w.enrich_fields,
             http_method = w.http_method, headers = w.headers, format = w.format, lang = w.lang, timeout_ms = w.timeout_ms,
             max_attempts = w.max_attempts, ordered = w.ordered, rate_limit = w.rate_limit, "grouping" = w."grouping",
             max_event_age = w.max_event_age, max_body_bytes = w.max_body_bytes, ignore_user_ids = w.ignore_user_ids,
             endpoint_source = w.endpoint_source, retry_first_ms = w.retry_first_ms, retry_max_ms = w.retry_max_ms,
             retry_jitter = w.retry_jitter, paused = w.paused, in_session = w.in_session
        from wanted w where s.id = w.id
      returning s.id, odoo_eventd.subscription_version(s) as version
    )
    select j.id, case when j.outcome = 'done' and c.id is null then 'left' else j.outcome end as outcome,
           coalesce(c.version, j.known_version) as version, j.reach
      from judged j left join changed c on c.id = j.id
  loop
    -- Of what was written without a look, which changes nothing of that, it is null.
    if told.outcome = 'done' and told.reach is not null then
      perform odoo_eventd.note_reach(told.id, told.reach);
    end if;
    id := told.id;
    outcome := told.outcome;
    version := told.version;
    return next;
  end loop;
end $$;
comment on function odoo_eventd.change_subscriptions(jsonb, integer[], text[], jsonb[], jsonb[], integer[], boolean) is
  'Writes to each of these subscriptions the patch at its place, where it is still the version that is named, or none is, and '
  'notes which models it was found to read. Says of each whether it was done, is not there, or is another version by now, and '
  'which one it is then. all_or_none: nothing is written unless all can be; those that could are left.';

drop function if exists odoo_eventd.delete_subscriptions(jsonb, integer[], text[]);
create or replace function odoo_eventd.delete_subscriptions(operator jsonb, subscriptions integer[], versions text[],
  all_or_none boolean)
returns table (id integer, outcome text, version text)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.lock_subscriptions(operator, subscriptions);
  return query
    with asked as (
      select a.id, a.version from unnest(subscriptions, versions) a (id, version)
    ), known as (
      select s.id, odoo_eventd.subscription_version(s) as version
        from public.mcp_event_subscription s
       where s.id = any (subscriptions) and odoo_eventd.sees(operator, s)
    ), judged as (
      select a.id, k.version,
             case when k.id is null then 'not_found'
                  when coalesce(a.version, k.version) <> k.version then 'conflict'
                  else 'done' end as outcome
        from asked a left join known k on k.id = a.id
    ), gone as (
      delete from public.mcp_event_subscription s using judged j
       where j.id = s.id and j.outcome = 'done' and not (all_or_none and exists (select from judged o where o.outcome <> 'done'))
      returning s.id
    )
    select j.id, case when j.outcome = 'done' and g.id is null then 'left' else j.outcome end, j.version
      from judged j left join gone g on g.id = j.id;
end $$;
comment on function odoo_eventd.delete_subscriptions(jsonb, integer[], text[], boolean) is
  'Deletes subscriptions, each where it is still the version that is named, or none is. Says of each what became of it. '
  'all_or_none: none is deleted unless all can be; those that could are left.';
