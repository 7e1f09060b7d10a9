-- Purpose: what happens when somebody writes public.mcp_event_subscription, and what the service reads and writes of it.

create or replace function odoo_eventd.keep_subscription() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  mask constant text := '********';
  kept odoo_eventd.subscription_secret;
begin
  if tg_op = 'INSERT' then
    new.secret_ref := null;
    new.captured_from := pg_current_xact_id();
    new.state := null;
    new.error := null;
    new.active_from := null;
    new.failing_since := null;
    new.failures_in_a_row := 0;
    new.disabled_at := null;
    new.disabled_reason := null;
    if new.webhook_secret = mask then new.webhook_secret := null; end if;
    if new.auth = mask then new.auth := null; end if;
  else
    new.secret_ref := old.secret_ref;
    -- Whoever serves the columns of state says so; for everybody else they are read-only, and a change asks for a new look.
    if current_setting('odoo_eventd.service_write', true) is distinct from 'on' then
      new.captured_from := case when new.active and not old.active then pg_current_xact_id() else old.captured_from end;
      new.write_date := now() at time zone 'utc';
      new.state := null;
      new.error := null;
      new.last_delivery := old.last_delivery;
      new.last_delivery_status := old.last_delivery_status;
      new.active_from := case when new.active and not old.active or new.model <> old.model then null else old.active_from end;
      -- Another address, or somebody who says so, gives the endpoint a new chance.
      if new.webhook_url is distinct from old.webhook_url or new.active and not old.active
         or new.disabled_at is null and old.disabled_at is not null then
        new.failing_since := null;
        new.failures_in_a_row := 0;
        new.disabled_at := null;
        new.disabled_reason := null;
      else
        new.failing_since := old.failing_since;
        new.failures_in_a_row := old.failures_in_a_row;
        new.disabled_at := old.disabled_at;
        new.disabled_reason := old.disabled_reason;
      end if;
    end if;
  end if;

  -- Secrets live in a table that only the service reads. A new row each time: what is in use is never changed under a reader.
  if tg_op = 'INSERT' or new.webhook_secret is distinct from old.webhook_secret or new.auth is distinct from old.auth then
    if new.secret_ref is not null then
      delete from odoo_eventd.subscription_secret s where s.secret_ref = new.secret_ref returning * into kept;
    end if;
    if new.webhook_secret is distinct from mask then kept.webhook_secret := new.webhook_secret; end if;
    if new.auth is distinct from mask then kept.auth := new.auth; end if;
    if kept.webhook_secret is null and kept.auth is null then
      new.secret_ref := null;
    else
      insert into odoo_eventd.subscription_secret (webhook_secret, auth)
        values (kept.webhook_secret, kept.auth) returning secret_ref into new.secret_ref;
    end if;
    new.webhook_secret := case when kept.webhook_secret is not null then mask end;
    new.auth := case when kept.auth is not null then mask end;
  end if;
  return new;
end $$;
comment on function odoo_eventd.keep_subscription() is 'Moves secrets away and keeps the service''s columns out of other hands.';

create or replace function odoo_eventd.forget_subscription() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  delete from odoo_eventd.subscription_secret s where s.secret_ref = old.secret_ref;
  delete from odoo_eventd.subscription_need n where n.subscription_id = old.id;
  return null;
end $$;
comment on function odoo_eventd.forget_subscription() is 'Removes what was kept for a deleted subscription.';

create or replace function odoo_eventd.ring_for_subscriptions() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  if (select i.notify from odoo_eventd.installation i)
     and current_setting('odoo_eventd.service_write', true) is distinct from 'on' then
    notify odoo_eventd, 'subscriptions';
  end if;
  return null;
end $$;
comment on function odoo_eventd.ring_for_subscriptions() is 'Tells the service that subscriptions changed; it also looks by itself every second.';

-- Dropped and created, not replaced: CREATE OR REPLACE TRIGGER came with PostgreSQL 14.
drop trigger if exists keep_subscription on public.mcp_event_subscription;
create trigger keep_subscription before insert or update on public.mcp_event_subscription
  for each row execute function odoo_eventd.keep_subscription();
drop trigger if exists forget_subscription on public.mcp_event_subscription;
create trigger forget_subscription after delete on public.mcp_event_subscription
  for each row execute function odoo_eventd.forget_subscription();
drop trigger if exists ring_for_subscriptions on public.mcp_event_subscription;
create trigger ring_for_subscriptions after insert or update or delete or truncate on public.mcp_event_subscription
  for each statement execute function odoo_eventd.ring_for_subscriptions();

create or replace function odoo_eventd.subscriptions_version() returns bigint
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  -- write_date moves with every change but the service's own.
  return (select coalesce(sum(hashtextextended(s.id || ' ' || s.write_date, 0)::numeric) % 9223372036854775807, 0)::bigint
          from public.mcp_event_subscription s);
end $$;
comment on function odoo_eventd.subscriptions_version() is 'Differs after any change of a subscription; asked every second.';

create or replace function odoo_eventd.load_subscriptions() returns setof jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  return query
    select to_jsonb(s) - 'webhook_secret' - 'auth' - 'secret_ref'
           || jsonb_build_object(
                'webhook_secret', k.webhook_secret,
                'auth', k.auth,
                'max_event_age_s', extract(epoch from s.max_event_age)::bigint,
                'write_stamp', s.write_date::text,
                'needed', (select n.columns from odoo_eventd.subscription_need n where n.subscription_id = s.id and n.model = s.model),
                'needed_whole', (select n.whole from odoo_eventd.subscription_need n where n.subscription_id = s.id and n.model = s.model),
                'needed_compared', (select n.compared from odoo_eventd.subscription_need n where n.subscription_id = s.id and n.model = s.model),
                'captured_from', greatest(s.captured_from, c.captured_from)::text)
    from public.mcp_event_subscription s
    left join odoo_eventd.subscription_secret k on k.secret_ref = s.secret_ref
    left join lateral (
      -- max(xid8) came with PostgreSQL 15.
      select cc.captured_from
      from odoo_eventd.subscription_need n
      join odoo_eventd.capture p on p.model = n.model
      join odoo_eventd.captured_column cc on cc.capture_id = p.capture_id 
       and (cc.column_name = any (case when cc.whole then n.whole else n.columns end) or cc.column_name = 'id')
      where n.subscription_id = s.id
      order by cc.captured_from desc nulls last limit 1
    ) c on true
    order by s.id;
end $$;
comment on function odoo_eventd.load_subscriptions() is 'All subscriptions with their secrets, and since which transaction each is judged.';

create or replace function odoo_eventd.judge_subscription(
  subscription integer, write_stamp text, verdict text, reason text, needed_model text, needed name[], compared name[], whole name[]
) returns boolean
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  perform set_config('odoo_eventd.service_write', 'on', true);
  update public.mcp_event_subscription s
     set state = case when verdict = 'invalid' then 'invalid' else s.state end, error = reason
   where s.id = subscription and s.write_date::text = write_stamp;
  if not found then
    perform set_config('odoo_eventd.service_write', 'off', true);
    return false;
  end if;
  perform set_config('odoo_eventd.service_write', 'off', true);
  if verdict = 'invalid' then
    delete from odoo_eventd.subscription_need n where n.subscription_id = subscription;
  else
    insert into odoo_eventd.subscription_need values (subscription, needed_model, needed, compared, whole)
      on conflict (subscription_id) do update
      set model = excluded.model, columns = excluded.columns, compared = excluded.compared, whole = excluded.whole;
  end if;
  return true;
end $$;
comment on function odoo_eventd.judge_subscription(integer, text, text, text, text, name[], name[], name[]) is
  'Records what the service found a subscription to be, and which columns it needs. False if it changed meanwhile.';

create or replace function odoo_eventd.mark_ready(subscriptions integer[]) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  perform set_config('odoo_eventd.service_write', 'on', true);
  update public.mcp_event_subscription s
     set state = case when s.disabled_at is null then 'ready' else 'disabled' end, error = s.disabled_reason,
         active_from = coalesce(s.active_from, now() at time zone 'utc')
   where s.id = any (subscriptions)
     and (s.state is distinct from case when s.disabled_at is null then 'ready' else 'disabled' end
          or s.error is distinct from s.disabled_reason or s.active_from is null);
  perform set_config('odoo_eventd.service_write', 'off', true);
end $$;
comment on function odoo_eventd.mark_ready(integer[]) is
  'Everything these subscriptions need is captured from now on: ready, or disabled where their endpoint was given up.';

drop function if exists odoo_eventd.note_results(integer[], timestamptz[], text[], integer[]);
create or replace function odoo_eventd.note_results(
  subscriptions integer[], last_deliveries timestamptz[], statuses text[], failures integer[], succeeded boolean[], since_success integer[],
  gone boolean[], disable_after_ms bigint, disable_after_failures integer
) returns table (disabled_id integer, reason text)
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  perform set_config('odoo_eventd.service_write', 'on', true);
  update public.mcp_event_subscription s
     set last_delivery = r.last_delivery at time zone 'utc', last_delivery_status = r.status,
         failure_count = s.failure_count + r.failures,
         failures_in_a_row = case when r.succeeded then 0 else s.failures_in_a_row end + r.since_success,
         failing_since = case when r.since_success = 0 and r.succeeded then null
                              when r.succeeded then now() at time zone 'utc'
                              when r.since_success > 0 then coalesce(s.failing_since, now() at time zone 'utc')
                              else s.failing_since end
    from unnest(subscriptions, last_deliveries, statuses, failures, succeeded, since_success)
      r (id, last_delivery, status, failures, succeeded, since_success)
   where s.id = r.id;
  return query
    update public.mcp_event_subscription s
       set disabled_at = now() at time zone 'utc', state = 'disabled', disabled_reason = w.why, error = w.why
      from (select o.id, format('%s; `odoo-eventd subscriptions enable %s` sends again',
                     case when r.gone then 'the endpoint answered 410 Gone: it wants nothing more'
                          else format('every request has failed since %s UTC', to_char(o.failing_since, 'YYYY-MM-DD HH24:MI')) end, o.id) as why
              from unnest(subscriptions, gone, since_success) r (id, gone, since_success)
              join public.mcp_event_subscription o on o.id = r.id
             where o.disabled_at is null
               and (r.gone
                    or disable_after_ms > 0 and r.since_success > 0 and o.failures_in_a_row >= disable_after_failures
                       and o.failing_since <= (now() - disable_after_ms * interval '1 ms') at time zone 'utc')) w
     where s.id = w.id
    returning s.id, s.disabled_reason;
  perform set_config('odoo_eventd.service_write', 'off', true);
end $$;
comment on function odoo_eventd.note_results(integer[], timestamptz[], text[], integer[], boolean[], integer[], boolean[], bigint, integer) is
  'Keeps what the requests of each subscription came to, and disables those whose endpoint is gone or has failed everything for too '
  'long. Returns these. Called at most once a second.';

create or replace function odoo_eventd.unsynced_models() returns setof text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  return query
    with wanted as (
      select n.model,
             coalesce(array_agg(distinct u.column_name order by u.column_name) filter (where u.column_name is not null), '{}') as columns,
             coalesce(array_agg(distinct u.column_name order by u.column_name) filter (where u.column_name = any (n.compared)), '{}') as compared,
             coalesce(array_agg(distinct u.column_name order by u.column_name) filter (where u.column_name = any (n.whole)), '{}') as whole
      from odoo_eventd.subscription_need n
      join public.mcp_event_subscription s on s.id = n.subscription_id and s.active
      left join lateral unnest(n.columns) u (column_name) on true
      group by n.model
    ), triggers as (
      select t.tgrelid, count(*) as many from pg_trigger t
      where t.tgname like 'odoo\_eventd\_%' and t.tgenabled <> 'D' group by t.tgrelid
    )
    select coalesce(w.model, c.model)
    from wanted w
    full join odoo_eventd.capture c on c.model = w.model
    left join odoo_eventd.capture_generation g on g.generation = c.generation
    left join triggers t on t.tgrelid = c.table_oid
    where w.model is null and c.active
       or w.model is not null and (
            c.capture_id is null or not c.active or g.columns <> w.columns or g.compared <> w.compared or g.whole <> w.whole
            -- Drift: the table was made anew, a trigger is gone, a column was dropped, renamed or retyped.
            or to_regclass(format('public.%I', c.table_name))::oid is distinct from c.table_oid
            or coalesce(t.many, 0) < 4
            or exists (select from unnest(g.columns, g.types) u (column_name, type_name)
                       left join pg_attribute a on a.attrelid = c.table_oid and a.attname = u.column_name and not a.attisdropped
                       where a.attnum is null or format_type(a.atttypid, a.atttypmod) <> u.type_name));
end $$;
comment on function odoo_eventd.unsynced_models() is 'Models whose capture is not what their subscriptions need, or has drifted from their tables.';
