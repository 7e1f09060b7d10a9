-- Purpose: what happens when somebody writes public.mcp_event_subscription, and what the service reads and writes of it.

create or replace function odoo_eventd.unreadable_values(rate_limit numeric, headers jsonb)
returns table (of_column text, constraint_name text, message text)
language sql immutable set search_path = pg_catalog, pg_temp
as $$
  -- NaN and infinity are greater than any.
  select 'rate_limit', 'subscription_rate_limit_is_0.000001_to_1000000_requests_a_second',
         'rate_limit must be between 0.000001 and 1000000 requests a second'
   where rate_limit not between 0.000001 and 1000000
  union all
  select 'headers', 'subscription_headers_are_texts', 'a number in headers is too large'
   where exists (select from jsonb_each(case when jsonb_typeof(headers) = 'object' then headers else '{}' end) h
                  where jsonb_typeof(h.value) = 'number' and length(h.value #>> '{}') > 300)
$$;
comment on function odoo_eventd.unreadable_values(numeric, jsonb)
  is 'Which of these columns hold what no program reads as a number.';
revoke all on function odoo_eventd.unreadable_values(numeric, jsonb) from public;

create or replace function odoo_eventd.keep_subscription() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  mask constant text := '********';
  writes_secret boolean;
  writes_auth boolean;
  unreadable record;
  kept odoo_eventd.subscription_secret;
begin
  -- A row that came past this, as with a restore, stays as it is: the service must be able to say what is wrong with it.
  if tg_op = 'INSERT' or new.rate_limit is distinct from old.rate_limit or new.headers is distinct from old.headers then
    select * into unreadable from odoo_eventd.unreadable_values(new.rate_limit, new.headers) limit 1;
    if found then
      raise exception '%', unreadable.message using errcode = 'check_violation', constraint = unreadable.constraint_name;
    end if;
  end if;
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
      if (new.model, new.domain, new.fields, new.payload_fields, new.enrich_fields, new.webhook_payload_template) is distinct from
         (old.model, old.domain, old.fields, old.payload_fields, old.enrich_fields, old.webhook_payload_template) then
        update odoo_eventd.subscription_reach r set is_known = false where r.subscription_id = new.id;
      end if;
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

  -- Secrets live in a table that only the service reads. Their row keeps its key: what is encrypted is bound to it.
  if tg_op = 'INSERT' or new.webhook_secret is distinct from old.webhook_secret or new.auth is distinct from old.auth then
    writes_secret := new.webhook_secret is distinct from mask;
    writes_auth := new.auth is distinct from mask;
    if tg_op = 'UPDATE' and (writes_secret or writes_auth) then
      -- Masks look alike: so the history is told.
      perform set_config('odoo_eventd.wrote_credentials',
                         coalesce(nullif(current_setting('odoo_eventd.wrote_credentials', true), ''), ',') || new.id || ',',
                           true);
    end if;
    if new.secret_ref is not null then
      update odoo_eventd.subscription_secret s
         set written_at = case when writes_secret or writes_auth then clock_timestamp() else s.written_at end,
             webhook_secret = case when writes_secret then new.webhook_secret else s.webhook_secret end,
             sealed_secret = case when not writes_secret then s.sealed_secret end,
             -- A secret that is written replaces at once; rotate_secret() is the way with an overlap.
             previous_secret = case when not writes_secret then s.previous_secret end,
             sealed_previous = case when not writes_secret then s.sealed_previous end,
             previous_until = case when not writes_secret then s.previous_until end,
             auth = case when writes_auth then new.auth else s.auth end,
             sealed_auth = case when not writes_auth then s.sealed_auth end
       where s.secret_ref = new.secret_ref returning * into kept;
      if num_nonnulls(kept.webhook_secret, kept.sealed_secret, kept.auth, kept.sealed_auth) = 0 then
        delete from odoo_eventd.subscription_secret s where s.secret_ref = new.secret_ref;
        new.secret_ref := null;
      end if;
    elsif writes_secret and new.webhook_secret is not null or writes_auth and new.auth is not null then
      insert into odoo_eventd.subscription_secret (webhook_secret, auth)
        values (nullif(new.webhook_secret, mask), nullif(new.auth, mask)) returning * into kept;
      new.secret_ref := kept.secret_ref;
    end if;
    new.webhook_secret := case when num_nonnulls(kept.webhook_secret, kept.sealed_secret) > 0 then mask end;
    new.auth := case when num_nonnulls(kept.auth, kept.sealed_auth) > 0 then mask end;
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
  delete from odoo_eventd.subscription_reach r where r.subscription_id = old.id;
  -- Whoever makes another under the same number does not read this one's events.
  insert into odoo_eventd.feed_dropped (subscription_id, seq) select old.id, s.last_value from odoo_eventd.feed_seq s;
  return null;
end $$;
comment on function odoo_eventd.forget_subscription() is 'Removes what was kept for a deleted subscription.';

create or replace function odoo_eventd.forget_truncated() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  delete from odoo_eventd.subscription_secret k
   where not exists (select from public.mcp_event_subscription s where s.secret_ref = k.secret_ref)
     and not exists (select from public.mcp_record_callback c where c.secret_ref = k.secret_ref);
  delete from odoo_eventd.subscription_need n
    where not exists (select from public.mcp_event_subscription s where s.id = n.subscription_id);
  delete from odoo_eventd.subscription_reach r
    where not exists (select from public.mcp_event_subscription s where s.id = r.subscription_id);
  if tg_table_name = 'mcp_event_subscription' then
    insert into odoo_eventd.feed_dropped (subscription_id, seq) select 0, s.last_value from odoo_eventd.feed_seq s;
  end if;
  return null;
end $$;
comment on function odoo_eventd.forget_truncated()
  is 'Removes what was kept for subscriptions or callbacks that were truncated away.';

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
comment on function odoo_eventd.ring_for_subscriptions()
  is 'Tells the service that subscriptions changed; it also looks by itself every second.';

-- Where they are missing only: DROP TRIGGER would wait for whoever reads the table, a dump for one, and the service behind it.
do $triggers$
declare
  wanted record;
begin
  for wanted in
    select * from (values ('keep_subscription', 'mcp_event_subscription', 'before insert or update', 'row'),
                          ('forget_subscription', 'mcp_event_subscription', 'after delete', 'row'),
                          ('forget_truncated', 'mcp_event_subscription', 'after truncate', 'statement'),
                          ('forget_truncated', 'mcp_record_callback', 'after truncate', 'statement'),
                          ('ring_for_subscriptions', 'mcp_event_subscription', 'after insert or update or delete or truncate',
                            'statement'))
             v (name, of_table, event, each)
     where not exists (select from pg_trigger t where t.tgrelid = format('public.%I', v.of_table)::regclass and t.tgname = v.name)
  loop
    execute format('create trigger %1$I %2$s on public.%3$I for each %4$s execute function odoo_eventd.%1$I()',
                   wanted.name, wanted.event, wanted.of_table, wanted.each);
  end loop;
end $triggers$;

create or replace function odoo_eventd.subscriptions_version() returns bigint
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  -- write_date moves with every change but the service's own. A thousand subscriptions are gone through at every look into the
  -- outbox: hence a hash of the date itself, with the id for its seed, and not of a text.
  return (select coalesce(sum(timestamp_hash_extended(coalesce(s.write_date, '-infinity'), s.id)) % 9223372036854775807,
    0)::bigint
          from public.mcp_event_subscription s);
end $$;
comment on function odoo_eventd.subscriptions_version() is 'Differs after any change of a subscription; asked at every look.';

drop function if exists odoo_eventd.subscription_stamps();
create or replace function odoo_eventd.edited_subscriptions(known integer[], stamps text[]) returns table (id integer, model text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  return query
    select coalesce(s.id, k.id), s.model
      from unnest(known, stamps) k (id, stamp)
      full join public.mcp_event_subscription s on s.id = k.id
     where s.id is null or k.stamp is distinct from s.write_date::text;
end $$;
comment on function odoo_eventd.edited_subscriptions(integer[], text[]) is
  'Subscriptions that are not of these versions, each with its model; null for one that is gone.';

drop function if exists odoo_eventd.load_subscriptions();
create or replace function odoo_eventd.load_subscriptions(of_ids integer[] default null) returns setof jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  of_ids := coalesce(of_ids, array(select s.id from public.mcp_event_subscription s));
  return query
    with needs as materialized (
      select n.subscription_id, n.model, coalesce(n.digest, n.subscription_id::text) as digest
        from unnest(of_ids) wanted (id) join odoo_eventd.subscription_need n on n.subscription_id = wanted.id
    ), since as materialized (
      -- Since when what is needed is captured: asked once for all that need the same, which thousands may do.
      select d.model, d.digest, c.captured_from, c.captured_at, c.is_relation, c.is_watched_only
        from (select n.model, n.digest, min(n.subscription_id) as subscription_id from needs n group by n.model, n.digest) one
       cross join lateral (select one.digest, n.model, n.columns, n.whole from odoo_eventd.subscription_need n
                            where n.subscription_id = one.subscription_id and n.model = one.model) d
       cross join lateral (
         select distinct cc.captured_from, cc.captured_at,
                -- Not by Odoo's models: whoever reads subscriptions waits for no upgrade.
                not exists (select from pg_attribute a where a.attrelid = p.table_oid and a.attname = 'id' and not a.attisdropped)
                  as is_relation,
                cc.column_name <> 'id' and cc.column_name <> all (d.whole) as is_watched_only
           from odoo_eventd.capture p
           join odoo_eventd.captured_column cc on cc.capture_id = p.capture_id
            and (cc.column_name = any (case when cc.whole then d.whole else d.columns end) or cc.column_name = 'id')
          where p.model = d.model and cc.captured_from is not null) c
    ), judged as (
      -- max(xid8) came with PostgreSQL 15.
      select n.subscription_id, (array_agg(x.captured_from order by x.captured_from desc))[1] as captured_from
        from needs n
        join public.mcp_event_subscription s on s.id = n.subscription_id
        join since x on x.model = n.model and x.digest = n.digest
       -- Who watches any field, whichever there are, is judged on as before when one more comes: what was captured without that
       -- one was captured for all that there was. Whose value is needed, for the domain or to be sent, is another matter.
       where not coalesce(coalesce(s.fields, '{}') = '{}' and x.captured_at > s.active_from at time zone 'utc'
                          and (n.model = s.model and x.is_watched_only or x.is_relation), false)
       group by n.subscription_id
    )
    select to_jsonb(s) - 'webhook_secret' - 'auth' - 'secret_ref'
           || jsonb_build_object(
                -- An element that is NULL says nothing, nor do lists in lists.
                'fields', array(select u from unnest(s.fields) u where u is not null),
                'payload_fields', array(select u from unnest(s.payload_fields) u where u is not null),
                'enrich_fields', array(select u from unnest(s.enrich_fields) u where u is not null),
                'ignore_user_ids', array(select u from unnest(s.ignore_user_ids) u where u is not null),
                'webhook_secret', k.webhook_secret,
                'auth', k.auth,
                'kept', odoo_eventd.kept_secrets(k),
                -- PostgreSQL 17 has infinite intervals: no limit.
                'max_event_age_s', case when isfinite(s.max_event_age) then extract(epoch from s.max_event_age)::bigint end,
                'write_stamp', s.write_date::text,
                'needed', own.columns,
                'needed_whole', own.whole,
                'needed_compared', own.compared,
                'needed_elsewhere', (select coalesce(jsonb_object_agg(n.model, jsonb_build_object(
                                              'columns', n.columns, 'compared', n.compared, 'whole', n.whole)), '{}')
                                       from odoo_eventd.subscription_need n where n.subscription_id = s.id
                                         and n.model <> s.model),
                'reach', (select r.models from odoo_eventd.subscription_reach r where r.subscription_id = s.id and r.is_known),
                'captured_from', greatest(s.captured_from, j.captured_from)::text)
    from unnest(of_ids) wanted (id)
    join public.mcp_event_subscription s on s.id = wanted.id
    left join odoo_eventd.subscription_secret k on k.secret_ref = s.secret_ref
    left join odoo_eventd.subscription_need own on own.subscription_id = s.id and own.model = s.model
    left join judged j on j.subscription_id = s.id
    order by s.id;
end $$;
comment on function odoo_eventd.load_subscriptions(integer[]) is
  'Subscriptions with their secrets, and since which transaction each is judged: all, or these.';

create or replace function odoo_eventd.note_reach(subscription integer, found jsonb) returns void
language sql volatile set search_path = pg_catalog, pg_temp
as $$
  insert into odoo_eventd.subscription_reach as r (subscription_id, models, is_known) values (subscription, found, true)
    on conflict (subscription_id) do update
      set models = (select coalesce(jsonb_agg(distinct one_of), '[]') from jsonb_array_elements(r.models || found) one_of),
          is_known = true
$$;
comment on function odoo_eventd.note_reach(integer, jsonb) is
  'Adds which other models a subscription reads, as whoever looked at this version of its row has found it.';
revoke all on function odoo_eventd.note_reach(integer, jsonb) from public;

-- Until now one at a time, which cost a commit for each of the thousands that somebody may write at once.
drop function if exists odoo_eventd.judge_subscription(integer, text, text, text, text, name[], name[], name[]);
drop function if exists odoo_eventd.judge_subscription(integer, text, text, text, text, name[], name[], name[], jsonb);

create or replace function odoo_eventd.judge_subscriptions(verdicts jsonb) returns setof integer
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  judged integer[];
begin
  perform odoo_eventd.assert_listener();
  perform set_config('odoo_eventd.service_write', 'on', true);
  -- Locked in order of their ids: whoever else looks at the same time does so too.
  perform from public.mcp_event_subscription s
     where s.id in (select v.id from jsonb_to_recordset(verdicts) v (id integer)) order by s.id for no key update;
  with told as (
    update public.mcp_event_subscription s
       set state = case when v.needs is null then 'invalid' else s.state end, error = v.reason
      from jsonb_to_recordset(verdicts) v (id integer, write_stamp text, reason text, needs jsonb)
     where s.id = v.id and s.write_date::text = v.write_stamp
    returning s.id)
  select coalesce(array_agg(t.id), '{}') into judged from told t;
  perform set_config('odoo_eventd.service_write', 'off', true);
  delete from odoo_eventd.subscription_need n where n.subscription_id = any (judged);
  insert into odoo_eventd.subscription_need (subscription_id, model, columns, compared, whole, digest)
    select v.id, of_table.name, n.columns, n.compared, n.whole,
      md5(concat_ws('/', n.columns::text, n.compared::text, n.whole::text))
      from jsonb_to_recordset(verdicts) v (id integer, needs jsonb)
     cross join jsonb_each(case jsonb_typeof(v.needs) when 'object' then v.needs else '{}' end) of_table (name, need)
     cross join jsonb_to_record(of_table.need) n (columns name[], compared name[], whole name[])
     where v.id = any (judged);
  perform odoo_eventd.note_reach(v.id, v.reach) from jsonb_to_recordset(verdicts) v (id integer, reach jsonb)
    where v.id = any (judged) and v.reach is not null order by v.id;
  return query select unnest(judged);
end $$;
comment on function odoo_eventd.judge_subscriptions(jsonb) is
  'Records what the service found subscriptions to be: which columns of which tables each needs and which models it reads, or '
  'the reason why it cannot be served. Returns those that have not changed meanwhile.';

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
          or s.error is distinct from s.disabled_reason or s.active_from is null)
     -- Whom somebody else found to be invalid meanwhile has no needs any more.
     and exists (select from odoo_eventd.subscription_need n where n.subscription_id = s.id);
  perform set_config('odoo_eventd.service_write', 'off', true);
end $$;
comment on function odoo_eventd.mark_ready(integer[]) is
  'Everything these subscriptions need is captured from now on: ready, or disabled where their endpoint was given up.';

drop function if exists odoo_eventd.note_results(integer[], timestamptz[], text[], integer[]);
create or replace function odoo_eventd.note_results(
  subscriptions integer[], last_deliveries timestamptz[], statuses text[], failures integer[], succeeded boolean[],
    since_success integer[],
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
                          else format('every request has failed since %s UTC',
                            to_char(o.failing_since, 'YYYY-MM-DD HH24:MI')) end, o.id) as why
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
comment on function odoo_eventd.note_results(integer[], timestamptz[], text[], integer[], boolean[], integer[], boolean[], bigint,
  integer) is
  'Keeps what the requests of each subscription came to, and disables those whose endpoint is gone or has failed everything for '
  'too long. Returns these. Called at most once a second.';

drop function if exists odoo_eventd.unsynced_models();
create or replace function odoo_eventd.unsynced_models(of_models text[] default null) returns setof text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set lock_timeout = '300ms' -- An upgrade of Odoo is not waited for.
set quote_all_identifiers = off -- See registry_columns().
as $$
begin
  perform odoo_eventd.assert_listener();
  return query
    with needs as materialized (
      -- Thousands need the same: one of them tells for all.
      select n.model, min(n.subscription_id) as subscription_id
        from odoo_eventd.subscription_need n
        join public.mcp_event_subscription s on s.id = n.subscription_id and s.active
       where of_models is null or n.model = any (of_models)
       group by n.model, coalesce(n.digest, n.subscription_id::text)
    ), wanted as (
      select n.model,
             coalesce(array_agg(distinct u.column_name order by u.column_name) filter (where u.column_name is not null), '{}')
               as columns,
             coalesce(array_agg(distinct u.column_name order by u.column_name) filter (where u.column_name = any (n.compared)),
               '{}') as compared,
             coalesce(array_agg(distinct u.column_name order by u.column_name) filter (where u.column_name = any (n.whole)), '{}')
               as whole
      from needs d
      join odoo_eventd.subscription_need n on n.subscription_id = d.subscription_id and n.model = d.model
      left join lateral unnest(n.columns) u (column_name) on true
      group by n.model
    )
    select coalesce(w.model, c.model)
    from wanted w
    full join (select * from odoo_eventd.capture k where of_models is null or k.model = any (of_models)) c on c.model = w.model
    left join odoo_eventd.capture_generation g on g.generation = c.generation
    where w.model is null and c.active
       or w.model is not null
          and (c.capture_id is null or not c.active or g.columns <> w.columns or g.compared <> w.compared or g.whole <> w.whole)
    union
    select d from odoo_eventd.drifted_models() d where of_models is null or d = any (of_models);
end $$;
comment on function odoo_eventd.unsynced_models(text[]) is
  'Models, all or of these, whose capture is not what their subscriptions need, or has drifted from their tables.';

create or replace function odoo_eventd.drifted_models() returns setof text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set lock_timeout = '300ms' -- An upgrade of Odoo is not waited for.
set quote_all_identifiers = off -- See registry_columns().
as $$
begin
  perform odoo_eventd.assert_listener();
  -- Asked every few seconds: not what thousands of subscriptions need, but what is captured for them.
  return query
    select c.model
    from odoo_eventd.capture c
    join odoo_eventd.capture_generation g on g.generation = c.generation
    where c.active
      and (-- The table was made anew, a trigger is gone, a column was dropped, renamed or retyped.
           c.capture_id not in (select w from odoo_eventd.whole_captures() w)
             and (to_regclass(format('public.%I', c.table_name))::oid is distinct from c.table_oid
               or odoo_eventd.missing_triggers(c) > 0)
           or odoo_eventd.has_other_stamps(c)
           or exists (select from odoo_eventd.capture_gap o
                      where o.capture_id = c.capture_id and o.reason = 'a trigger was missing' and o.ended_at is null)
           or exists (select from unnest(g.columns, g.types) u (column_name, type_name)
                      left join pg_attribute a on a.attrelid = c.table_oid and a.attname = u.column_name and not a.attisdropped
                      where a.attnum is null or format_type(a.atttypid, a.atttypmod) <> u.type_name));
end $$;
comment on function odoo_eventd.drifted_models() is 'Models whose capture has drifted from their tables.';

create or replace function odoo_eventd.unmet_models(subscriptions integer[]) returns setof text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  return query
    select distinct n.model
      from unnest(subscriptions) wanted (id)
      join odoo_eventd.subscription_need n on n.subscription_id = wanted.id
      left join odoo_eventd.capture c on c.model = n.model and c.active
      left join odoo_eventd.capture_generation g on g.generation = c.generation
     where g.generation is null or not (n.columns <@ g.columns and n.compared <@ g.compared and n.whole <@ g.whole);
end $$;
comment on function odoo_eventd.unmet_models(integer[]) is 'Models of which less is captured than these subscriptions need.';
