-- Purpose: makes, changes and removes the capture of one Odoo table: a trigger function written for exactly the columns that
-- subscriptions need, and the triggers that call it.
--
-- Locks: replacing a function body locks no table, and a transaction that is already open uses the new body from its next statement
-- on. CREATE TRIGGER takes SHARE ROW EXCLUSIVE and DROP TRIGGER takes ACCESS EXCLUSIVE on Odoo's table: both are tried under a short
-- lock_timeout, so that writers never queue behind them for longer, and the caller tries again later.
--
-- No text from outside enters the SQL built here: names come from the catalogue, checked against Odoo's own metadata, and are
-- quoted by format('%I').

create or replace function odoo_eventd.capturable_columns(of_model text)
returns table (column_name name, type_name text, image text, differs text)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  -- Only columns that a stored field of the model announces: res_users.password has a column and no stored field.
  select a.attname, format_type(a.atttypid, a.atttypmod),
         -- How a value is kept. A file is kept as its digest: enough to see that it changed.
         case when a.atttypid = 'bytea'::regtype then format('md5(%%1$s.%I)', a.attname)
              else format('%%1$s.%I::text', a.attname) end,
         -- How a change is seen. Types from extensions may have no equality on the pinned search_path: their text is compared.
         case when t.typnamespace = 'pg_catalog'::regnamespace
               and exists (select from pg_opclass o
                           join pg_am m on m.oid = o.opcmethod and m.amname = 'btree'
                           where o.opcdefault and o.opcintype = case when t.typcategory = 'A' then 'anyarray'::regtype
                                                                     when t.oid = 'varchar'::regtype then 'text'::regtype
                                                                     else t.oid end)
              then format('o.%1$I is distinct from n.%1$I', a.attname)
              else format('o.%1$I::text is distinct from n.%1$I::text', a.attname) end
  from pg_attribute a
  join pg_type t on t.oid = a.atttypid
  where a.attrelid = odoo_eventd.model_table(of_model) and a.attnum > 0 and not a.attisdropped
    and exists (select from public.ir_model_fields f
                where f.model = of_model and f.name = a.attname and f.store)
    and not exists (select from odoo_eventd.registry_secret_fields() s
                    where s.field = a.attname and s.model in (of_model, '*'))
$$;
comment on function odoo_eventd.capturable_columns(text) is
  'The columns of a model that may be captured: announced by a stored field, and holding no secret.';

create or replace function odoo_eventd.capture_function_name(of_model text) returns name
language sql immutable security definer set search_path = pg_catalog, pg_temp
as $$
  select (case when length(of_model) <= 50 then 'capture_' || replace(of_model, '.', '_')
               else 'capture_' || left(replace(of_model, '.', '_'), 40) || '_' || left(md5(of_model), 8) end)::name
$$;
comment on function odoo_eventd.capture_function_name(text) is 'The trigger function of a model''s table.';

create or replace function odoo_eventd.capture_body(of_capture odoo_eventd.capture) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  installed odoo_eventd.installation;
  made odoo_eventd.capture_generation;
  ring_table text;
  old_image text; new_image text; differs text;
  old_loose text; new_loose text; differs_loose text;
  has_create boolean; has_write boolean;
begin
  select * into strict installed from odoo_eventd.installation;
  if not installed.capture or of_capture.switched_off or not of_capture.active then
    return format(E'\n-- %s: not captured (%s).\nbegin\n  return null;\nend ', of_capture.model,
                  case when of_capture.active then 'switched off' else 'no subscription needs it' end);
  end if;
  select * into strict made from odoo_eventd.capture_generation g where g.generation = of_capture.generation;
  select format('odoo_eventd.outbox_%s', r.current) into strict ring_table from odoo_eventd.ring r;

  select coalesce(string_agg(format(c.image, 'o'), ', ' order by w.ord), ''),
         coalesce(string_agg(format(c.image, 'n'), ', ' order by w.ord), ''),
         coalesce(string_agg(format('to_jsonb(o) ->> %L', w.name), ', ' order by w.ord), ''),
         coalesce(string_agg(format('to_jsonb(n) ->> %L', w.name), ', ' order by w.ord), ''),
         coalesce(string_agg(c.differs, ' or ' order by w.ord) filter (where w.name = any (made.compared)), 'false'),
         coalesce(string_agg(format('to_jsonb(o) -> %1$L is distinct from to_jsonb(n) -> %1$L', w.name), ' or ' order by w.ord)
                    filter (where w.name = any (made.compared)), 'false')
    into old_image, new_image, old_loose, new_loose, differs, differs_loose
    from unnest(made.columns) with ordinality w (name, ord)
    join odoo_eventd.capturable_columns(of_capture.model) c on c.column_name = w.name;

  -- Who did it: only where the row's own audit columns were written by this very transaction.
  select coalesce(bool_or(a.attname = 'create_date'), false) and coalesce(bool_or(a.attname = 'create_uid'), false),
         coalesce(bool_or(a.attname = 'write_date'), false) and coalesce(bool_or(a.attname = 'write_uid'), false)
    into has_create, has_write
    from pg_attribute a
   where a.attrelid = of_capture.table_oid and not a.attisdropped
     and (a.attname, a.atttypid) in (values ('create_date'::name, 'timestamp'::regtype::oid), ('create_uid', 'integer'::regtype),
                                            ('write_date', 'timestamp'::regtype), ('write_uid', 'integer'::regtype));

  return format($body$
-- %1$s (table %2$I): made by odoo_eventd.sync_capture, generation %3$s. Do not edit: it is replaced when subscriptions change.
declare
  intact boolean := true;
  by_user integer;
begin
  -- A copy of the database, under another name or restored elsewhere, stays silent.
  if current_database() <> %4$L or tg_relid <> %5$s then
    return null;
  end if;

  -- Are the columns still what they were? Nothing is written or read in here; without it a renamed column would fail the user's
  -- statement in every session that had run this function before.
  begin
    if tg_op = 'UPDATE' then
      perform array[%6$s]::text[], array[%7$s]::text[], o.id::bigint, n.id::bigint, nextval('odoo_eventd.outbox_id_seq')%13$s
        from old_rows o full join new_rows n on n.id = o.id, %8$s b where %9$s limit 0;
    elsif tg_op = 'INSERT' then
      perform array[%7$s]::text[], n.id::bigint, nextval('odoo_eventd.outbox_id_seq')%14$s from new_rows n, %8$s b limit 0;
    elsif tg_op = 'DELETE' then
      perform array[%6$s]::text[], o.id::bigint, nextval('odoo_eventd.outbox_id_seq') from old_rows o, %8$s b limit 0;
    end if;
  exception when others then
    -- Without an outbox nothing can be kept, and Odoo must go on: `odoo-eventd status` reports it.
    if to_regclass('%8$s') is null or to_regclass('odoo_eventd.outbox_id_seq') is null then
      return null;
    end if;
    intact := false;
  end;

  if tg_op = 'UPDATE' then
    if intact then
      insert into %8$s (id, xid, generation, op, record_id, at, user_id, old, new)
      select nextval('odoo_eventd.outbox_id_seq'), pg_current_xact_id(), %3$s,
             case when o.id is null then 'I' when n.id is null then 'D' else 'U' end, coalesce(n.id, o.id), now(), %10$s,
             case when o.id is not null then array[%6$s]::text[] end, case when n.id is not null then array[%7$s]::text[] end
        from old_rows o full join new_rows n on n.id = o.id
       where o.id is null or n.id is null or %9$s;
    else
      insert into %8$s (id, xid, generation, op, record_id, at, old, new)
      select nextval('odoo_eventd.outbox_id_seq'), pg_current_xact_id(), %3$s, 'u', (to_jsonb(n) ->> 'id')::bigint, now(),
             array[%11$s]::text[], array[%12$s]::text[]
        from old_rows o join new_rows n on to_jsonb(n) ->> 'id' = to_jsonb(o) ->> 'id'
       where %15$s;
    end if;
  elsif tg_op = 'INSERT' then
    if intact then
      insert into %8$s (id, xid, generation, op, record_id, at, user_id, new)
      select nextval('odoo_eventd.outbox_id_seq'), pg_current_xact_id(), %3$s, 'I', n.id, now(), %16$s, array[%7$s]::text[]
        from new_rows n;
    else
      insert into %8$s (id, xid, generation, op, record_id, at, new)
      select nextval('odoo_eventd.outbox_id_seq'), pg_current_xact_id(), %3$s, 'i', (to_jsonb(n) ->> 'id')::bigint, now(),
             array[%12$s]::text[]
        from new_rows n where to_jsonb(n) ->> 'id' is not null;
    end if;
  elsif tg_op = 'DELETE' then
    -- Nobody wrote the row, so nobody's id is in it; a writer may say who it is by SET LOCAL mcp.uid. Read as text, never trusted.
    by_user := substring(current_setting('mcp.uid', true) from '^[0-9]{1,9}$')::integer;
    if intact then
      insert into %8$s (id, xid, generation, op, record_id, at, user_id, old)
      select nextval('odoo_eventd.outbox_id_seq'), pg_current_xact_id(), %3$s, 'D', o.id, now(), by_user, array[%6$s]::text[]
        from old_rows o;
    else
      insert into %8$s (id, xid, generation, op, record_id, at, user_id, old)
      select nextval('odoo_eventd.outbox_id_seq'), pg_current_xact_id(), %3$s, 'd', (to_jsonb(o) ->> 'id')::bigint, now(), by_user,
             array[%11$s]::text[]
        from old_rows o where to_jsonb(o) ->> 'id' is not null;
    end if;
  else
    insert into %8$s (id, xid, generation, op, record_id, at)
    values (nextval('odoo_eventd.outbox_id_seq'), pg_current_xact_id(), %3$s, 'T', 0, now());
  end if;
%17$s
  return null;
end $body$,
    of_capture.model, (select c.relname from pg_class c where c.oid = of_capture.table_oid), of_capture.generation,
    installed.database_name, of_capture.table_oid,
    old_image, new_image, ring_table, '(' || differs || ')',
    case when has_write then 'case when n.write_date = now() at time zone ''utc'' then n.write_uid end' else 'null::integer' end,
    old_loose, new_loose,
    case when has_write then ', n.write_date, n.write_uid' else '' end,
    case when has_create then ', n.create_date, n.create_uid' else '' end,
    '(' || differs_loose || ')',
    case when has_create then 'case when n.create_date = now() at time zone ''utc'' then n.create_uid end' else 'null::integer' end,
    case when installed.notify then $bell$
  -- The doorbell. The service holds this lock exclusively only while it sleeps: NOTIFY, whose commit lock is cluster-wide, is
  -- issued then and only then. Who got the lock keeps it until its commit is visible, so the service cannot fall asleep over it.
  if found and not pg_try_advisory_xact_lock_shared(1868853103, 2) then
    notify odoo_eventd;
  end if;$bell$ else '' end);
end $$;
comment on function odoo_eventd.capture_body(odoo_eventd.capture) is 'The body of a table''s trigger function, as SQL text.';

create or replace function odoo_eventd.replace_capture_function(of_capture odoo_eventd.capture) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  pinned text := '';
begin
  -- Values are kept as text, so what shapes the text must not depend on the writer's session. Pinned where it matters only: each
  -- setting costs every call about a microsecond.
  if exists (select from odoo_eventd.capture_generation g cross join unnest(g.types) t
              where g.generation = of_capture.generation and t ~ '^(date|time)') then
    pinned := pinned || $pin$ set datestyle = 'ISO, YMD'$pin$;
  end if;
  if exists (select from odoo_eventd.capture_generation g cross join unnest(g.types) t
              where g.generation = of_capture.generation and t ~ '^(double|real)') then
    pinned := pinned || ' set extra_float_digits = 1';
  end if;
  execute format('create or replace function odoo_eventd.%I() returns trigger language plpgsql security definer '
                 'set search_path = pg_catalog, pg_temp%s as %L',
                 odoo_eventd.capture_function_name(of_capture.model), pinned, odoo_eventd.capture_body(of_capture));
  execute format('revoke all on function odoo_eventd.%I() from public', odoo_eventd.capture_function_name(of_capture.model));
  execute format('comment on function odoo_eventd.%I() is %L', odoo_eventd.capture_function_name(of_capture.model),
                 format('Captures writes to %s for odoo-eventd.', of_capture.model));
end $$;
comment on function odoo_eventd.replace_capture_function(odoo_eventd.capture) is 'Puts a table''s trigger function into force.';

-- One change of capture at a time in a database: plans are made from what is there.
create or replace function odoo_eventd.lock_capture() returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$ select pg_advisory_xact_lock(1868853103, 3) $$;
comment on function odoo_eventd.lock_capture() is 'Serializes changes of the capture; no writer of Odoo''s waits for it.';

create or replace function odoo_eventd.sync_capture(of_model text, lock_wait_ms integer default 300) returns text
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  known odoo_eventd.capture;
  made odoo_eventd.capture_generation;
  wanted name[]; wanted_compared name[]; wanted_types text[];
  relation oid;
  missing text;
  needed boolean;
  trigger_of record;
begin
  perform odoo_eventd.assert_listener();
  perform odoo_eventd.lock_capture();
  perform set_config('lock_timeout', lock_wait_ms || 'ms', true);

  -- What the active subscriptions need, read after the lock was had: nobody narrows it behind another's back.
  select count(*) > 0 into needed
    from odoo_eventd.subscription_need n join public.mcp_event_subscription s on s.id = n.subscription_id
   where n.model = of_model and s.active;
  select * into known from odoo_eventd.capture c where c.model = of_model for update;

  if not needed then
    if known.active then
      update odoo_eventd.capture c set active = false, changed_at = now() where c.capture_id = known.capture_id returning * into known;
      delete from odoo_eventd.captured_column cc where cc.capture_id = known.capture_id;
      perform odoo_eventd.replace_capture_function(known);
      return 'stopped';
    end if;
    return 'unchanged';
  end if;

  if exists (select from odoo_eventd.allowed_model) and not exists (select from odoo_eventd.allowed_model m where m.model = of_model) then
    raise exception 'model "%" is not among those the installer allowed', of_model using errcode = 'insufficient_privilege';
  end if;
  relation := odoo_eventd.model_table(of_model);
  if relation is null then
    raise exception 'model "%" has no table that can be captured', of_model using errcode = 'undefined_table';
  end if;

  select array_agg(w.column_name order by w.column_name), array_agg(w.column_name order by w.column_name) filter (where w.compared),
         array_agg(w.type_name order by w.column_name), string_agg(w.column_name, ', ') filter (where w.type_name is null)
    into wanted, wanted_compared, wanted_types, missing
    from (select u.column_name, bool_or(u.column_name = any (n.compared)) as compared, c.type_name
            from odoo_eventd.subscription_need n
            join public.mcp_event_subscription s on s.id = n.subscription_id and s.active
           cross join unnest(n.columns) u (column_name)
            left join odoo_eventd.capturable_columns(of_model) c on c.column_name = u.column_name
           where n.model = of_model
           group by u.column_name, c.type_name) w;
  if missing is not null then
    raise exception 'model "%" has no stored field that may be captured called: %', of_model, missing using errcode = 'undefined_column';
  end if;
  wanted := coalesce(wanted, '{}');
  wanted_compared := coalesce(wanted_compared, '{}');
  wanted_types := coalesce(wanted_types, '{}');

  if known.capture_id is not null then
    select * into made from odoo_eventd.capture_generation g where g.generation = known.generation;
  end if;
  if known.capture_id is null or not known.active or known.table_oid <> relation or made.columns <> wanted
     or made.compared <> wanted_compared or made.types <> wanted_types
     or to_regprocedure(format('odoo_eventd.%I()', odoo_eventd.capture_function_name(of_model))) is null
  then
    insert into odoo_eventd.capture (model, table_name, table_oid, generation)
      values (of_model, (select c.relname from pg_class c where c.oid = relation), relation, 0)
      on conflict (model) do update set table_name = excluded.table_name, table_oid = excluded.table_oid
      returning * into known;
    insert into odoo_eventd.capture_generation (capture_id, columns, types, compared)
      values (known.capture_id, wanted, wanted_types, wanted_compared) returning * into made;
    update odoo_eventd.capture c set generation = made.generation, active = true, changed_at = now()
     where c.capture_id = known.capture_id returning * into known;
    delete from odoo_eventd.captured_column cc where cc.capture_id = known.capture_id and cc.column_name <> all (wanted || 'id'::name);
    insert into odoo_eventd.captured_column (capture_id, column_name)
      select known.capture_id, u from unnest(wanted || 'id'::name) u on conflict do nothing;
    perform odoo_eventd.replace_capture_function(known);
  end if;

  -- The triggers, where they are missing or switched off. Never with a column list or a WHEN: those break Odoo's upgrades.
  for trigger_of in
    select v.name, v.definition
      from (values ('odoo_eventd_insert', 'after insert on %s referencing new table as new_rows'),
                   ('odoo_eventd_update', 'after update on %s referencing old table as old_rows new table as new_rows'),
                   ('odoo_eventd_delete', 'after delete on %s referencing old table as old_rows'),
                   ('odoo_eventd_truncate', 'after truncate on %s')) v (name, definition)
     where not exists (select from pg_trigger t where t.tgrelid = relation and t.tgname = v.name
                         and t.tgfoid = to_regprocedure(format('odoo_eventd.%I()', odoo_eventd.capture_function_name(of_model))))
  loop
    -- What was captured without the trigger is not captured: all columns begin anew.
    update odoo_eventd.captured_column cc set captured_from = null, captured_at = null where cc.capture_id = known.capture_id;
    execute format('create trigger %I ' || trigger_of.definition || ' for each statement execute function odoo_eventd.%I()',
                   trigger_of.name, relation::regclass, odoo_eventd.capture_function_name(of_model));
  end loop;
  return case when exists (select from odoo_eventd.captured_column cc where cc.capture_id = known.capture_id and cc.captured_from is null)
              then 'changed' else 'unchanged' end;
end $$;
comment on function odoo_eventd.sync_capture(text, integer) is
  'Makes a model''s capture what its active subscriptions need. Raises lock_not_available if the table is busy: try again.';

create or replace function odoo_eventd.settle_capture() returns setof text
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
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
comment on function odoo_eventd.settle_capture() is 'Notes from which transaction on newly captured columns count; call it after sync_capture was committed.';

create or replace function odoo_eventd.drop_idle_triggers(lock_wait_ms integer default 300) returns setof text
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  idle record;
begin
  perform odoo_eventd.assert_listener();
  perform odoo_eventd.lock_capture();
  perform set_config('lock_timeout', lock_wait_ms || 'ms', true);
  for idle in
    select c.model, t.tgrelid::regclass as relation, t.tgname
      from odoo_eventd.capture c
      join pg_trigger t on t.tgrelid = c.table_oid and t.tgname in ('odoo_eventd_insert', 'odoo_eventd_update', 'odoo_eventd_delete', 'odoo_eventd_truncate')
     where not c.active
  loop
    execute format('drop trigger %I on %s', idle.tgname, idle.relation);
    return next format('%s on %s', idle.tgname, idle.relation);
  end loop;
end $$;
comment on function odoo_eventd.drop_idle_triggers(integer) is
  'Drops the triggers of models that nobody watches any more. Raises lock_not_available if a table is busy: try again.';

create or replace function odoo_eventd.switch_capture(to_on boolean, of_model text default null) returns setof text
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  known odoo_eventd.capture;
begin
  perform odoo_eventd.assert_listener();
  perform odoo_eventd.lock_capture();
  if of_model is null then
    update odoo_eventd.installation i set capture = to_on;
    update odoo_eventd.capture c set switched_off = false where to_on;
  else
    update odoo_eventd.capture c set switched_off = not to_on where c.model = of_model;
    if not found then
      raise exception 'model "%" is not captured', of_model using errcode = 'undefined_object';
    end if;
  end if;
  for known in select * from odoo_eventd.capture c where of_model is null or c.model = of_model order by c.model loop
    perform odoo_eventd.replace_capture_function(known);
    return next known.model;
  end loop;
end $$;
comment on function odoo_eventd.switch_capture(boolean, text) is
  'The emergency switch: capture of one model, or of all, on or off. Locks no table: select odoo_eventd.switch_capture(false);';
