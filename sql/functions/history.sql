-- Purpose: writes down who changed which subscription and how, without any secret.
-- Locks: appends a row of its own in the writer's transaction; waits for nobody and nobody waits for it.

create or replace function odoo_eventd.told_of_subscription(subscription public.mcp_event_subscription) returns jsonb
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  -- URLs of chat services are secrets, path and query both: of a URL only scheme and host are kept, with a digest that tells
  -- whether the rest changed. Headers and templates may hold tokens: of headers the names are kept, of a template its digest.
  select to_jsonb(subscription)
         - '{last_delivery,last_delivery_status,failure_count,state,error,active_from,captured_from,create_date,write_date,secret_ref}'::text[]
      || jsonb_build_object(
           'webhook_url', regexp_replace((subscription).webhook_url, '^([A-Za-z][A-Za-z0-9+.-]*://)?([^/?#]*@)?([^/?#]*).*$',
             E'\\1\\3')
                          || ' (sha256 ' || left(encode(sha256(convert_to((subscription).webhook_url, 'UTF8')), 'hex'),
                            16) || ')',
           'headers', coalesce((select jsonb_agg(h.key order by h.key)
                                  from jsonb_object_keys(case jsonb_typeof((subscription).headers) when 'object'
                                    then (subscription).headers
                                                              else '{}' end) h (key)), '[]'),
           'webhook_payload_template',
             'sha256 ' || left(encode(sha256(convert_to((subscription).webhook_payload_template, 'UTF8')), 'hex'), 16))
$$;
comment on function odoo_eventd.told_of_subscription(public.mcp_event_subscription)
  is 'A subscription as its history keeps it: without secrets.';

create or replace function odoo_eventd.record_subscription_history() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  was jsonb;
  is_now jsonb;
  differing text[];
  wrote_credentials text := coalesce(current_setting('odoo_eventd.wrote_credentials', true), '');
  is_secret_new boolean := false;
  uid integer := case when current_setting('mcp.uid', true) ~ '^[0-9]{1,9}$' then current_setting('mcp.uid', true)::integer end;
begin
  -- The service's own columns change with every delivery; that is what the log is for.
  if current_setting('odoo_eventd.service_write', true) = 'on' then
    return null;
  end if;
  if tg_op = 'TRUNCATE' then
    insert into odoo_eventd.subscription_history (op, odoo_uid) values ('truncate', uid);
    return null;
  end if;
  if tg_op <> 'INSERT' then was := odoo_eventd.told_of_subscription(old); end if;
  if tg_op <> 'DELETE' then is_now := odoo_eventd.told_of_subscription(new); end if;
  if tg_op = 'UPDATE' then
    differing := array(select n.key from jsonb_each(is_now) n where was -> n.key is distinct from n.value order by n.key);
    -- Masks look alike: whoever wrote a secret left the subscription's id here.
    if position(format(',%s,', new.id) in wrote_credentials) > 0 then
      perform set_config('odoo_eventd.wrote_credentials', replace(wrote_credentials, format(',%s,', new.id), ','), true);
      is_secret_new := true;
    end if;
    if is_secret_new and not differing && '{webhook_secret,auth}' then
      differing := differing || 'credentials'::text;
    end if;
    if differing = '{}' then
      return null;
    end if;
    was := (select coalesce(jsonb_object_agg(o.key, o.value), '{}') from jsonb_each(was) o where o.key = any (differing));
    is_now := (select coalesce(jsonb_object_agg(n.key, n.value), '{}') from jsonb_each(is_now) n
      where n.key = any (differing || '{write_uid}'));
  end if;
  insert into odoo_eventd.subscription_history (subscription_id, op, odoo_uid, changed, before, after)
    values (case when tg_op = 'DELETE' then old.id else new.id end, lower(tg_op), uid, coalesce(differing, '{}'), was, is_now);
  return null;
end $$;
comment on function odoo_eventd.record_subscription_history() is 'Appends to odoo_eventd.subscription_history.';

create or replace function odoo_eventd.refuse_history_change() returns trigger
language plpgsql set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception 'the history of subscriptions is only appended to' using errcode = 'object_not_in_prerequisite_state';
end $$;
comment on function odoo_eventd.refuse_history_change() is 'Nobody changes odoo_eventd.subscription_history by mistake.';

-- Only those that are missing: made anew they would wait for whoever reads the tables, a dump for one.
do $triggers$
declare
  wanted record;
begin
  for wanted in
    select * from (values ('record_subscription_history', 'record_subscription_history', 'public.mcp_event_subscription',
                           'after insert or update or delete on %s for each row'),
                          ('record_subscription_history_truncate', 'record_subscription_history', 'public.mcp_event_subscription',
                           'after truncate on %s for each statement'),
                          ('refuse_history_change', 'refuse_history_change', 'odoo_eventd.subscription_history',
                           'before update or delete or truncate on %s for each statement')) v (name, calls, relation, event)
     where not exists (select from pg_trigger t where t.tgrelid = v.relation::regclass and t.tgname = v.name)
  loop
    execute format('create trigger %I ' || wanted.event || ' execute function odoo_eventd.%I()', wanted.name, wanted.relation,
      wanted.calls);
  end loop;
end $triggers$;

drop function if exists odoo_eventd.list_history(integer, integer);
create or replace function odoo_eventd.list_history(operator jsonb, of_subscription integer, older_than bigint,
  most integer) returns setof jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set timezone = 'UTC' -- Times with a zone are told in that one, as all others are.
as $$
declare
  seen constant integer[] := odoo_eventd.seen_subscriptions(operator);
  models constant text[] := odoo_eventd.models_of(operator);
begin
  perform odoo_eventd.assert_listener();
  return query
    select to_jsonb(h) from odoo_eventd.subscription_history h
    where (of_subscription is null or h.subscription_id = of_subscription)
      and (seen is null or h.subscription_id = any (seen))
      -- A change of the model has both; of another there is neither, and what it tells is of the model that the last such change
      -- left.
      and (models is null or not exists (
             select from odoo_eventd.subscription_history m cross
               join lateral (values (m.before ->> 'model'), (m.after ->> 'model')) v (model)
              where m.subscription_id = h.subscription_id and m.history_id >= h.history_id and v.model <> all (models)))
      and (older_than is null or h.history_id < older_than)
    order by h.history_id desc limit most;
end $$;
comment on function odoo_eventd.list_history(jsonb, integer, bigint, integer) is
  'Changes of one subscription, or of all that an operator sees, newest first, before a place in the history.';

revoke all on function odoo_eventd.told_of_subscription(public.mcp_event_subscription) from public;
