-- Purpose: makes, changes and removes the capture of one Odoo table: its trigger function and the triggers that call it.
--
-- Locks: CREATE TRIGGER takes SHARE ROW EXCLUSIVE and DROP TRIGGER takes ACCESS EXCLUSIVE on Odoo's table: both are tried under a
-- short lock_timeout, so that writers never queue behind them for longer, and the caller tries again later.

create or replace function odoo_eventd.capturable_columns(of_model text, in_table oid default null)
returns table (column_name name, type_name text, is_comparable boolean)
language sql stable security definer set search_path = pg_catalog, pg_temp
  set quote_all_identifiers = off -- Names of types are compared.
as $$
  -- Only columns that a stored field announces, as its own or as its pair of ids: res_users.password has a column and no stored
  -- field.
  select a.attname, format_type(a.atttypid, a.atttypmod),
         -- Types from extensions may have no equality on the pinned search_path, json and point have none at all.
         t.typnamespace = 'pg_catalog'::regnamespace
           and exists (select from pg_opclass o
                       join pg_am m on m.oid = o.opcmethod and m.amname = 'btree'
                       where o.opcdefault and o.opcintype = case when t.typcategory = 'A' then 'anyarray'::regtype
                                                                 when t.oid = 'varchar'::regtype then 'text'::regtype
                                                                 else t.oid end)
  from pg_attribute a
  join pg_type t on t.oid = a.atttypid
  where a.attrelid = coalesce(in_table, odoo_eventd.model_table(of_model)) and a.attnum > 0 and not a.attisdropped
    and a.attname::text in (
      select f.name::text from public.ir_model_fields f where f.model = of_model and f.store
      union all
      select unnest(array[f.column1, f.column2])::text from public.ir_model_fields f
       where f.relation_table = of_model and f.ttype = 'many2many' and f.store)
    and not exists (select from odoo_eventd.registry_secret_fields() s
                    where s.field = a.attname and s.model in (of_model, '*'))
$$;
comment on function odoo_eventd.capturable_columns(text, oid) is
  'The columns of a model that may be captured: announced by a stored field, and holding no secret. Its table, if it is known, '
  'saves a look.';

create or replace function odoo_eventd.triggers_of_capture() returns table (name name, definition text)
language sql immutable security definer set search_path = pg_catalog, pg_temp
as $$
  -- Never with a column list or a WHEN: those break Odoo's upgrades.
  values ('odoo_eventd_insert'::name, 'after insert on %s referencing new table as new_rows'),
         ('odoo_eventd_update', 'after update on %s referencing old table as old_rows new table as new_rows'),
         ('odoo_eventd_delete', 'after delete on %s referencing old table as old_rows'),
         ('odoo_eventd_truncate', 'after truncate on %s')
$$;
comment on function odoo_eventd.triggers_of_capture() is 'The triggers that a captured table has.';
revoke all on function odoo_eventd.triggers_of_capture() from public;

create or replace function odoo_eventd.sync_capture(of_model text, lock_wait_ms integer default 300) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  known odoo_eventd.capture;
  made odoo_eventd.capture_generation;
  wanted name[]; wanted_compared name[]; wanted_whole name[]; wanted_types text[];
  relation oid;
  missing text;
  needed boolean;
  trigger_of record;
  repaired boolean := false;
  call text := format('odoo_eventd.%I()', odoo_eventd.capture_function_name(of_model));
begin
  perform odoo_eventd.assert_listener();
  perform odoo_eventd.lock_capture();
  perform odoo_eventd.hold_metadata();
  perform set_config('lock_timeout', lock_wait_ms || 'ms', true);

  -- What the active subscriptions need, read after the lock was had: nobody narrows it behind another's back.
  select count(*) > 0 into needed
    from odoo_eventd.subscription_need n join public.mcp_event_subscription s on s.id = n.subscription_id
   where n.model = of_model and s.active;
  select * into known from odoo_eventd.capture c where c.model = of_model for update;

  if not needed then
    if known.active then
      update odoo_eventd.capture c set active = false, changed_at = now() where c.capture_id = known.capture_id returning *
        into known;
      delete from odoo_eventd.captured_column cc where cc.capture_id = known.capture_id;
      update odoo_eventd.capture_gap g set ended_at = now() where g.capture_id = known.capture_id
        and g.reason = 'a trigger was missing' and g.ended_at is null;
      perform odoo_eventd.replace_capture_function(known);
      return 'stopped';
    end if;
    return 'unchanged';
  end if;

  -- What may be subscribed is bounded, not what tells that a subscribed record's own fields changed.
  if exists (select from odoo_eventd.allowed_model)
    and not exists (select from odoo_eventd.allowed_model m where m.model = of_model)
     and exists (select from odoo_eventd.subscription_need n join public.mcp_event_subscription s on s.id = n.subscription_id
                  where n.model = of_model and s.model = of_model and s.active)
  then
    raise exception 'model "%" is not among those the installer allowed', of_model using errcode = 'insufficient_privilege';
  end if;
  relation := odoo_eventd.model_table(of_model);
  if relation is null then
    raise exception 'model "%" has no table that can be captured', of_model using errcode = 'undefined_table';
  end if;

  select array_agg(w.column_name order by w.column_name), array_agg(w.column_name order by w.column_name)
    filter (where w.compared),
         array_agg(w.column_name order by w.column_name) filter (where w.whole),
         array_agg(w.type_name order by w.column_name), string_agg(w.column_name, ', ') filter (where w.type_name is null)
    into wanted, wanted_compared, wanted_whole, wanted_types, missing
    from (select u.column_name, bool_or(u.column_name = any (n.compared)) as compared, bool_or(u.column_name = any (n.whole))
      as whole, c.type_name
            -- Thousands need the same: one of them tells for all.
            from (select distinct on (coalesce(d.digest, d.subscription_id::text)) d.columns, d.compared, d.whole
                    from odoo_eventd.subscription_need d
                    join public.mcp_event_subscription s on s.id = d.subscription_id and s.active
                   where d.model = of_model
                   order by coalesce(d.digest, d.subscription_id::text)) n
           cross join unnest(n.columns) u (column_name)
            left join odoo_eventd.capturable_columns(of_model, relation) c on c.column_name = u.column_name
           group by u.column_name, c.type_name) w;
  if missing is not null then
    raise exception 'model "%" has no stored field that may be captured called: %', of_model, missing
      using errcode = 'undefined_column';
  end if;
  wanted := coalesce(wanted, '{}');
  wanted_compared := coalesce(wanted_compared, '{}');
  wanted_whole := coalesce(wanted_whole, '{}');
  wanted_types := coalesce(wanted_types, '{}');

  if known.capture_id is not null then
    select * into made from odoo_eventd.capture_generation g where g.generation = known.generation;
  end if;
  if known.capture_id is null or not known.active or known.table_oid <> relation or made.columns <> wanted
     or made.compared <> wanted_compared or made.whole <> wanted_whole or made.types <> wanted_types
       or odoo_eventd.has_other_stamps(known)
     or to_regprocedure(format('odoo_eventd.%I()', odoo_eventd.capture_function_name(of_model))) is null
  then
    insert into odoo_eventd.capture (model, table_name, table_oid, generation)
      values (of_model, (select c.relname from pg_class c where c.oid = relation), relation, 0)
      on conflict (model) do update set table_name = excluded.table_name, table_oid = excluded.table_oid
      returning * into known;
    insert into odoo_eventd.capture_generation (capture_id, columns, types, compared, whole)
      values (known.capture_id, wanted, wanted_types, wanted_compared, wanted_whole) returning * into made;
    update odoo_eventd.capture c set generation = made.generation, active = true, changed_at = now()
     where c.capture_id = known.capture_id returning * into known;
    delete from odoo_eventd.captured_column cc
     where cc.capture_id = known.capture_id
       and cc.column_name <> all (case when cc.whole then wanted_whole else wanted || 'id'::name end);
    insert into odoo_eventd.captured_column (capture_id, column_name, whole)
      select known.capture_id, u, false from unnest(wanted || 'id'::name) u
      union all select known.capture_id, u, true from unnest(wanted_whole) u
      on conflict do nothing;
    perform odoo_eventd.replace_capture_function(known);
  end if;

  -- The triggers, where they are missing or switched off. What was captured without them was captured in part: a gap, and
  -- everybody is served on. ENABLE takes the same lock as CREATE, which readers do not hinder; DROP would wait for them.
  perform odoo_eventd.note_missing_triggers(known);
  for trigger_of in
    select v.name, v.definition, t.oid is not null as is_there, t.tgfoid = to_regprocedure(call) is true as is_ours
      from odoo_eventd.triggers_of_capture() v
      left join pg_trigger t on t.tgrelid = relation and t.tgname = v.name
     where t.oid is null or t.tgenabled not in ('O', 'A') or t.tgfoid is distinct from to_regprocedure(call)
  loop
    repaired := true;
    if trigger_of.is_ours then
      execute format('alter table %s enable trigger %I', relation::regclass, trigger_of.name);
      continue;
    end if;
    if trigger_of.is_there then
      execute format('drop trigger %I on %s', trigger_of.name, relation::regclass);
    end if;
    execute format('create trigger %I ' || trigger_of.definition || ' for each statement execute function odoo_eventd.%I()',
                   trigger_of.name, relation::regclass, odoo_eventd.capture_function_name(of_model));
  end loop;
  update odoo_eventd.capture_gap g set ended_at = now()
   where g.capture_id = known.capture_id and g.reason = 'a trigger was missing' and g.ended_at is null;
  return case when exists (select from odoo_eventd.captured_column cc where cc.capture_id = known.capture_id and cc.captured_from
    is null)
              then 'changed' when repaired then 'repaired' else 'unchanged' end;
end $$;
comment on function odoo_eventd.sync_capture(text, integer) is
  'Makes a model''s capture what its active subscriptions need. Raises lock_not_available if the table is busy: try again.';

create or replace function odoo_eventd.settle_capture() returns setof text
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  perform odoo_eventd.settle_gaps();
  -- Runs in a transaction after the one that changed the function: whoever had no transaction id yet will see the new body at its
  -- first write, and whoever had one has an id below xmax and is not judged.
  return query
    with settled as (
      update odoo_eventd.captured_column cc
         set captured_from = pg_snapshot_xmax(pg_current_snapshot()), captured_at = now()
       where cc.captured_from is null
      returning cc.capture_id)
    select distinct c.model from settled s join odoo_eventd.capture c on c.capture_id = s.capture_id;
end $$;
comment on function odoo_eventd.settle_capture()
  is 'Notes from which transaction on newly captured columns count; call it after sync_capture was committed.';

create or replace function odoo_eventd.drop_idle_triggers(lock_wait_ms integer default 300) returns setof text
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  idle record;
  dropped name;
begin
  perform odoo_eventd.assert_listener();
  perform odoo_eventd.lock_capture();
  perform set_config('lock_timeout', lock_wait_ms || 'ms', true);
  -- Of models that nobody watches, and of tables that are a model's no more.
  for idle in
    select t.tgrelid::regclass as relation, array_agg(t.tgname order by t.tgname) as triggers
      from odoo_eventd.capture c
      join pg_trigger t on t.tgfoid = to_regprocedure(format('odoo_eventd.%I()', odoo_eventd.capture_function_name(c.model)))
     where not c.active or t.tgrelid <> c.table_oid
     group by t.tgrelid
  loop
    begin
      execute format('lock table %s in access exclusive mode', idle.relation);
      foreach dropped in array idle.triggers loop
        execute format('drop trigger %I on %s', dropped, idle.relation);
      end loop;
    exception
      when lock_not_available then continue;
      -- Somebody's event trigger, for one: the tables behind this one have theirs dropped all the same.
      when others then
        perform odoo_eventd.note_trouble('drop triggers that nobody needs', format('%s: %s', idle.relation, sqlerrm));
        continue;
    end;
    foreach dropped in array idle.triggers loop
      return next format('%s on %s', dropped, idle.relation);
    end loop;
    -- One table a transaction: nobody waits for this one while the next is waited for.
    return;
  end loop;
end $$;
comment on function odoo_eventd.drop_idle_triggers(integer) is
  'Drops the triggers of one table that nobody watches any more and that is not busy; to be called until it drops none.';

create or replace function odoo_eventd.switch_capture(to_on boolean, of_model text default null) returns setof text
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  known odoo_eventd.capture;
  concerned text[] := odoo_eventd.captures_of(of_model);
begin
  perform odoo_eventd.assert_listener();
  perform odoo_eventd.lock_capture();
  -- The gap begins with the statement before: what has ended by then was captured to its end.
  if not to_on then
    insert into odoo_eventd.capture_gap (capture_id, reason, since)
      select c.capture_id, 'switched off', pg_current_snapshot()
        from odoo_eventd.capture c
       where (of_model is null or c.model = any (concerned)) and c.active
         and not exists (select from odoo_eventd.capture_gap g
                          where g.capture_id = c.capture_id and g.reason = 'switched off' and g.ended_at is null);
  end if;
  if of_model is null then
    update odoo_eventd.installation i set capture = to_on;
    update odoo_eventd.capture c set switched_off = false where to_on;
  else
    update odoo_eventd.capture c set switched_off = not to_on where c.model = any (concerned);
    if not found then
      raise exception 'model "%" is not captured', of_model using errcode = 'undefined_object';
    end if;
  end if;
  if to_on then
    update odoo_eventd.capture_gap g set ended_at = now()
      from odoo_eventd.capture c, odoo_eventd.installation i
     where g.capture_id = c.capture_id and g.reason = 'switched off' and g.ended_at is null and i.capture and not c.switched_off;
  end if;
  for known in select * from odoo_eventd.capture c where of_model is null or c.model = any (concerned) order by c.model loop
    -- In an emergency one that cannot be replaced, because of somebody's event trigger, keeps no other from it.
    begin
      perform odoo_eventd.replace_capture_function(known);
      return next known.model;
    exception when others then
      raise warning 'the capture of model "%" stays as it is: %', known.model, sqlerrm;
    end;
  end loop;
end $$;
comment on function odoo_eventd.switch_capture(boolean, text) is
  'The emergency switch: capture of one model, or of all, on or off. Locks no table: select odoo_eventd.switch_capture(false); '
  'After switching on: select odoo_eventd.settle_capture(); in a transaction of its own; else what is written until the service '
  'looks is not judged.';
