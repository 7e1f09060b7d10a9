-- Purpose: makes, changes and removes the capture of one Odoo table: a trigger function written for exactly the columns that
-- subscriptions need, and the triggers that call it.
--
-- Locks: replacing a function body locks no table, and a transaction that is already open uses the new body from its next statement
-- on. CREATE TRIGGER takes SHARE ROW EXCLUSIVE and DROP TRIGGER takes ACCESS EXCLUSIVE on Odoo's table: both are tried under a short
-- lock_timeout, so that writers never queue behind them for longer, and the caller tries again later.
--
-- No text from outside enters the SQL built here: names come from the catalogue, checked against Odoo's own metadata, and are
-- quoted by format('%I').

create or replace function odoo_eventd.capturable_columns(of_model text, in_table oid default null)
returns table (column_name name, type_name text, is_comparable boolean)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  -- Only columns that a stored field announces, as its own or as its pair of ids: res_users.password has a column and no stored field.
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
  'The columns of a model that may be captured: announced by a stored field, and holding no secret. Its table, if it is known, saves a look.';

create or replace function odoo_eventd.capture_function_name(of_model text) returns name
language sql immutable security definer set search_path = pg_catalog, pg_temp
as $$
  select (case when length(of_model) <= 50 then 'capture_' || replace(of_model, '.', '_')
               else 'capture_' || left(replace(of_model, '.', '_'), 40) || '_' || left(md5(of_model), 8) end)::name
$$;
comment on function odoo_eventd.capture_function_name(text) is 'The trigger function of a model''s table.';

create or replace function odoo_eventd.digest_of(value text) returns text
language plpgsql immutable strict security definer set search_path = pg_catalog, pg_temp
as $$
begin
  -- Not in SQL: inlined, its parts would be set up for each column in every call of a capture function.
  return E'\x01sha256:' || encode(sha256(convert_to(value, 'UTF8')), 'hex');
end $$;
comment on function odoo_eventd.digest_of(text) is 'What is kept in place of a long text.';

create or replace function odoo_eventd.captured_value(value text, of_type text, is_whole boolean) returns text
language sql immutable security definer set search_path = pg_catalog, pg_temp
as $$
  -- SQL in, SQL out. A text that begins like a marker is kept as a digest whatever its length, so that no marker is ambiguous.
  select case
    when of_type = 'bytea' then format($v$E'\x01sha256:' || encode(sha256(%s), 'hex')$v$, value)
    when is_whole and of_type !~ '^(text|character)' then format($v$%s::text$v$, value)
    when is_whole then format($v$case when starts_with(%1$s, E'\x01') then E'\x01=' || %1$s else %1$s::text end$v$, value)
    when of_type in ('json', 'jsonb') then
      format($v$case when octet_length(%1$s::text) > 16384 then odoo_eventd.digest_of(%1$s::text) else %1$s::text end$v$, value)
    when of_type ~ '^(text|character)' then
      format($v$case when octet_length(%1$s) > 16384 or starts_with(%1$s, E'\x01') then odoo_eventd.digest_of(%1$s) else %1$s::text end$v$, value)
    else format($v$%s::text$v$, value)
  end
$$;
comment on function odoo_eventd.captured_value(text, text, boolean) is
  'The expression that keeps a value. A file, and more than 16 KiB of text, is kept as its digest, unless the value itself is needed.';

-- For a table whose columns are no longer what they were: through JSON, which asks for no column that is not there.

create or replace function odoo_eventd.drifted_image(of_row jsonb, columns text[], whole text[]) returns text[]
language sql immutable strict security definer set search_path = pg_catalog, pg_temp
as $$
  select array_agg(case
           when not of_row ? c.name then E'\x01gone'
           when c.name = any (whole) then of_row ->> c.name
           when octet_length(of_row ->> c.name) > 16384 or starts_with(of_row ->> c.name, E'\x01') 
             then E'\x01sha256:' || encode(sha256(convert_to(of_row ->> c.name, 'UTF8')), 'hex')
           else of_row ->> c.name end order by c.ord)
    from unnest(columns) with ordinality c (name, ord)
$$;
comment on function odoo_eventd.drifted_image(jsonb, text[], text[]) is
  'A row''s captured columns, after some were dropped, renamed or retyped: those are marked as gone.';

create or replace function odoo_eventd.drifted_differs(old_row jsonb, new_row jsonb, columns text[]) returns boolean
language sql immutable security definer set search_path = pg_catalog, pg_temp
as $$ select exists (select from unnest(columns) c where old_row -> c is distinct from new_row -> c) $$;
comment on function odoo_eventd.drifted_differs(jsonb, jsonb, text[]) is 'Whether one of the columns changed; see drifted_image.';

create or replace function odoo_eventd.doorbell(installed odoo_eventd.installation) returns text
language sql immutable security definer set search_path = pg_catalog, pg_temp
as $$
  select case when (installed).notify then $body$
  -- The doorbell. The service holds this lock exclusively only while it sleeps: NOTIFY, whose commit lock is cluster-wide, is
  -- issued then and only then. Who got the lock keeps it until its commit is visible, so the service cannot fall asleep over it.
  if found and not pg_try_advisory_xact_lock_shared(1868853103, 2) then
    notify odoo_eventd;
  end if;
$body$ else '' end
$$;
comment on function odoo_eventd.doorbell(odoo_eventd.installation) is 'The end of a trigger function: wakes the service, as SQL text.';

create or replace function odoo_eventd.outbox_room(installed odoo_eventd.installation, ring_table text) returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  -- What the other tables of the ring hold is taken off: nothing is added to them any more.
  select greatest((installed).outbox_max_bytes - (select coalesce(sum(pg_table_size(r.name)), 0)
                                                    from (select to_regclass(format('odoo_eventd.outbox_%s', n)) from generate_series(0, 3) n) r (name)
                                                   where r.name <> to_regclass(ring_table)), 0)::bigint
$$;
comment on function odoo_eventd.outbox_room(odoo_eventd.installation, text) is 'How many bytes the current table of the ring may take, long values included.';

create or replace function odoo_eventd.capture_body(of_capture odoo_eventd.capture) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  installed odoo_eventd.installation;
  made odoo_eventd.capture_generation;
  ring_table text;
  old_image text; new_image text;   -- all columns, as text[]
  was_image text;                   -- of an UPDATE: the old values of those that changed
  plain_new_image text; plain_was_image text;
  texts text;
  differs text;
  created_by text := 'null::integer';
  written_by text := 'null::integer';
  into_outbox text;
  may_append text; has_room text; room bigint;   -- of the outbox
begin
  select * into strict installed from odoo_eventd.installation;
  if not installed.capture or of_capture.switched_off or not of_capture.active then
    return format(E'\n-- %s: not captured (%s).\nbegin\n  return null;\nend ', of_capture.model,
                  case when of_capture.active then 'switched off' else 'no subscription needs it' end);
  end if;
  select * into strict made from odoo_eventd.capture_generation g where g.generation = of_capture.generation;
  select format('odoo_eventd.outbox_%s', r.current) into strict ring_table from odoo_eventd.ring r;

  -- A column that went since the generation was made stays in the expressions: they fail where they are tried out, and the row is kept
  -- through JSON. Of an update the old image holds what changed:
  -- of a table with 90 columns that is a few, and most of the cost of a captured row is turning values into text. The plain ones are
  -- for a row of which is known that no text in it is long or begins like a marker: to ask each value costs as much as all the rest.
  select format(E'array[\n               %s]::text[]', string_agg(v.old_value, E',\n               ' order by v.ord)),
         format(E'array[\n               %s]::text[]', string_agg(v.new_value, E',\n               ' order by v.ord)),
         format(E'array[\n               %s]::text[]',
                string_agg(case when v.differs is null then 'null' else format($w$case when %s then coalesce(%s, E'\x01null') end$w$, v.differs, v.old_value) end,
                           E',\n               ' order by v.ord)),
         format(E'array[\n               %s]::text[]', string_agg(v.plain_new, E',\n               ' order by v.ord)),
         format(E'array[\n               %s]::text[]',
                string_agg(case when v.differs is null then 'null' else format($w$case when %s then coalesce(%s, E'\x01null') end$w$, v.differs, v.plain_old) end,
                           E',\n               ' order by v.ord)),
         coalesce('concat(' || string_agg(v.texts, ', ' order by v.ord) || ')', $q$''$q$),
         coalesce(string_agg(v.differs, E'\n            or ' order by v.ord) filter (where v.name = any (made.compared)), 'false')
    into old_image, new_image, was_image, plain_new_image, plain_was_image, texts, differs
    from (select w.name, w.ord,
                 odoo_eventd.captured_value(format('o.%I', w.name), c.type_name, w.name = any (made.whole)) as old_value,
                 odoo_eventd.captured_value(format('n.%I', w.name), c.type_name, w.name = any (made.whole)) as new_value,
                 case when c.type_name = 'bytea' then odoo_eventd.captured_value(format('o.%I', w.name), 'bytea', false)
                      else format('o.%I::text', w.name) end as plain_old,
                 case when c.type_name = 'bytea' then odoo_eventd.captured_value(format('n.%I', w.name), 'bytea', false)
                      else format('n.%I::text', w.name) end as plain_new,
                 case when c.type_name ~ '^(text|character|json)' then format('o.%1$I, n.%1$I', w.name) end as texts,
                 format(case when c.is_comparable then 'o.%1$I is distinct from n.%1$I'
                             when c.column_name is not null then 'o.%1$I::text is distinct from n.%1$I::text' end, w.name) as differs
            from unnest(made.columns) with ordinality w (name, ord)
            left join odoo_eventd.capturable_columns(of_capture.model, of_capture.table_oid) c on c.column_name = w.name) v;

  -- Who did it: only where the row's own audit columns were written by this very transaction.
  select case when count(*) filter (where a.attname like 'create%') = 2
              then 'case when n.create_date = now() at time zone ''utc'' then n.create_uid end' else created_by end,
         case when count(*) filter (where a.attname like 'write%') = 2
              then 'case when n.write_date = now() at time zone ''utc'' then n.write_uid end' else written_by end
    into created_by, written_by
    from pg_attribute a
   where a.attrelid = of_capture.table_oid and not a.attisdropped
     and (a.attname, a.atttypid) in (values ('create_date'::name, 'timestamp'::regtype::oid), ('create_uid', 'integer'::regtype),
                                            ('write_date', 'timestamp'::regtype), ('write_uid', 'integer'::regtype));

  into_outbox := format('insert into %s (id, xid, generation, op, record_id, at, user_id, old, new)', ring_table);
  -- Sizes are counted without indexes, with long values.
  select format($check$has_table_privilege(to_regclass(%1$L), 'insert')
              and has_sequence_privilege(to_regclass('odoo_eventd.outbox_id_seq'), 'usage')$check$, ring_table),
         odoo_eventd.outbox_room(installed, ring_table)
    into may_append, room;
  has_room := format($check$pg_relation_size(to_regclass(%L), 'main') + pg_relation_size(%s::oid::regclass, 'main') <= %s$check$,
                     ring_table, (select c.reltoastrelid from pg_class c where c.oid = to_regclass(ring_table)), room);

  return format($body$
-- %s (table %I): made by odoo_eventd.sync_capture, generation %s. Do not edit: it is replaced when subscriptions change.
declare
  intact  boolean := true;     -- the columns are what they were when this was written
  one_row boolean := false;    -- an UPDATE of one row, as most of Odoo's statements are
  changed boolean;             -- a compared column of it
  texts   text;                -- its values of text
  by_user integer;
  unused  text;
begin
  -- A copy of the database, under another name or restored elsewhere, stays silent.
  if current_database() <> %L or tg_relid <> %s then
    return null;
  end if;
$body$, of_capture.model, (select c.relname from pg_class c where c.oid = of_capture.table_oid), of_capture.generation,
        installed.database_name, of_capture.table_oid)

  || format($body$
  -- Has anything to be captured? That is asked of one row only, in a plan as small as can be, for most writes change nothing that
  -- is watched. If a column, or the outbox, was dropped or renamed since, this fails and not the user's statement, in sessions too
  -- that have run the function before: hence the expressions behind `when false`, which are parsed and never run. Nothing is
  -- written in here: that would take a subtransaction id for every captured statement.
  begin
    if tg_op = 'UPDATE' then
      select o.id = n.id, %1$s,
             %2$s,
             case when false then (%3$s, %4$s, %5$s, (select nextval('odoo_eventd.outbox_id_seq'::regclass) from %6$s limit 1))::text end
        into strict one_row, changed, texts, unused
        from old_rows o, new_rows n;
      if one_row and not changed then
        return null;
      end if;
    elsif tg_op = 'INSERT' then
      perform case when false then (n.id, %7$s, %8$s) end from new_rows n limit 0;
    elsif tg_op = 'DELETE' then
      perform case when false then (o.id, %9$s) end from old_rows o limit 0;
      -- Nobody wrote the row, so nobody's id is in it; a writer may say who it is by SET LOCAL mcp.uid. Read as text, never trusted.
      by_user := substring(current_setting('mcp.uid', true) from '^[0-9]{1,9}$')::integer;
    end if;
  exception
    when no_data_found then return null;
    when too_many_rows then one_row := false;
    when others then intact := false; one_row := false;
  end;
$body$, differs, texts, plain_was_image, plain_new_image, written_by, ring_table, new_image, created_by, old_image)

  -- Every expression of a function is set up anew in each transaction, and a relation's size costs system calls: hence one condition,
  -- and a session that found room in the outbox looks again in one of 64 transactions, and after every larger statement.
  || format($body$
  if one_row and octet_length(texts) <= 16384 and strpos(texts, E'\x01') = 0
     and has_table_privilege(%1$s::oid, 'insert') and has_sequence_privilege(%2$s::oid, 'usage')
     and current_setting('odoo_eventd.room_%3$s', true) = %4$L and txid_current() %% 64 <> 0
  then
    %5$s
    select nextval('odoo_eventd.outbox_id_seq'), pg_current_xact_id(), %6$s, 'U', n.id, now(), %7$s,
           %8$s,
           %9$s
      from old_rows o, new_rows n;
  else
    -- Without an outbox to write to nothing is kept, and Odoo goes on; `odoo-eventd status` tells.
    if (%10$s) is not true then
      return null;
    end if;
    -- Nor is it when the outbox, with its long values (the second number), has outgrown its room. Who was not captured is noted, as
    -- long as that takes little room itself.
    if (%11$s) is not true then
      perform set_config('odoo_eventd.room_%3$s', '', false);
      if pg_relation_size(to_regclass('odoo_eventd.capture_overflow'), 'main') < 67108864
         and has_table_privilege(to_regclass('odoo_eventd.capture_overflow'), 'insert') then
        insert into odoo_eventd.capture_overflow values (pg_current_xact_id(), %3$s, now());
      end if;
      return null;
    end if;
    perform set_config('odoo_eventd.room_%3$s', case when one_row then %4$L else '' end, false);
$body$, to_regclass(ring_table)::oid, to_regclass('odoo_eventd.outbox_id_seq')::oid, of_capture.capture_id,
        format('%s in %s', room, ring_table), into_outbox, of_capture.generation, written_by, plain_was_image, plain_new_image,
        may_append, has_room)

  -- FULL JOIN: an UPDATE of the id takes one record away and makes another. It also rules a nested loop out: the plan is kept, and
  -- one made for few rows must serve a million.
  || format($body$
    if tg_op = 'TRUNCATE' then
      %1$s
      values (nextval('odoo_eventd.outbox_id_seq'), pg_current_xact_id(), %2$s, 'T', 0, now(), null, null, null);
    elsif intact and tg_op = 'UPDATE' then
      %1$s
      select nextval('odoo_eventd.outbox_id_seq'), pg_current_xact_id(), %2$s,
             case when o.id is null then 'I' when n.id is null then 'D' else 'U' end, coalesce(n.id, o.id), now(), %7$s,
             case when o.id is not null then %8$s end, case when n.id is not null then %4$s end
        from old_rows o full join new_rows n on n.id = o.id
       where o.id is null or n.id is null or %5$s;
    elsif intact and tg_op = 'INSERT' then
      %1$s
      select nextval('odoo_eventd.outbox_id_seq'), pg_current_xact_id(), %2$s, 'I', n.id, now(), %6$s, null, %4$s from new_rows n;
    elsif intact then
      %1$s
      select nextval('odoo_eventd.outbox_id_seq'), pg_current_xact_id(), %2$s, 'D', o.id, now(), by_user, %3$s, null from old_rows o;
$body$, into_outbox, of_capture.generation, old_image, new_image, differs, created_by, written_by, was_image)

  || format($body$
    -- Columns were dropped, renamed or retyped. What is still there under its name is kept, the rest is marked as gone.
    elsif tg_op = 'UPDATE' then
      %1$s
      select nextval('odoo_eventd.outbox_id_seq'), pg_current_xact_id(), %2$s,
             case when o.id is null then 'i' when n.id is null then 'd' else 'u' end, coalesce(n.id, o.id)::bigint, now(), null,
             odoo_eventd.drifted_image(o.j, %3$L, %4$L), odoo_eventd.drifted_image(n.j, %3$L, %4$L)
        from (select to_jsonb(r) as j, to_jsonb(r) ->> 'id' as id from old_rows r offset 0) o
        full join (select to_jsonb(r) as j, to_jsonb(r) ->> 'id' as id from new_rows r offset 0) n on n.id = o.id
       where coalesce(n.id, o.id) is not null
         and (o.id is null or n.id is null or odoo_eventd.drifted_differs(o.j, n.j, %5$L));
    elsif tg_op = 'INSERT' then
      %1$s
      select nextval('odoo_eventd.outbox_id_seq'), pg_current_xact_id(), %2$s, 'i', (n.j ->> 'id')::bigint, now(), null,
             null, odoo_eventd.drifted_image(n.j, %3$L, %4$L)
        from (select to_jsonb(r) as j from new_rows r offset 0) n where n.j ->> 'id' is not null;
    elsif tg_op = 'DELETE' then
      %1$s
      select nextval('odoo_eventd.outbox_id_seq'), pg_current_xact_id(), %2$s, 'd', (o.j ->> 'id')::bigint, now(), by_user,
             odoo_eventd.drifted_image(o.j, %3$L, %4$L), null
        from (select to_jsonb(r) as j from old_rows r offset 0) o where o.j ->> 'id' is not null;
    end if;
  end if;
$body$, into_outbox, of_capture.generation, made.columns, made.whole, made.compared)

  || odoo_eventd.doorbell(installed)

  || E'  return null;\nend ';
end $$;
comment on function odoo_eventd.capture_body(odoo_eventd.capture) is 'The body of a table''s trigger function, as SQL text.';

create or replace function odoo_eventd.replace_capture_function(of_capture odoo_eventd.capture) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  pinned text;
begin
  -- Values are kept as text, so what shapes the text must not depend on the writer's session. Pinned where it matters only: each
  -- setting costs every call about a microsecond.
  select string_agg(' set ' || v.setting, '') into pinned
    from (values ('^(date|time)', $pin$datestyle = 'ISO, YMD'$pin$),
                 ('with time zone', $pin$timezone = 'UTC'$pin$),
                 ('^interval', $pin$intervalstyle = 'postgres'$pin$),
                 ('^(double|real)', 'extra_float_digits = 1')) v (of_type, setting)
   where exists (select from odoo_eventd.capture_generation g cross join unnest(g.types) t
                  where g.generation = of_capture.generation and t ~ v.of_type);
  execute format('create or replace function odoo_eventd.%I() returns trigger language plpgsql security definer '
                 'set search_path = pg_catalog, pg_temp%s as %L',
                 odoo_eventd.capture_function_name(of_capture.model), pinned,
                 case when odoo_eventd.is_relation(of_capture) then odoo_eventd.relation_body(of_capture)
                      else odoo_eventd.capture_body(of_capture) end);
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

create or replace function odoo_eventd.capture_triggers() returns table (name name, definition text)
language sql immutable security definer set search_path = pg_catalog, pg_temp
as $$
  -- Never with a column list or a WHEN: those break Odoo's upgrades.
  values ('odoo_eventd_insert'::name, 'after insert on %s referencing new table as new_rows'),
         ('odoo_eventd_update', 'after update on %s referencing old table as old_rows new table as new_rows'),
         ('odoo_eventd_delete', 'after delete on %s referencing old table as old_rows'),
         ('odoo_eventd_truncate', 'after truncate on %s')
$$;
comment on function odoo_eventd.capture_triggers() is 'The triggers that a captured table has.';

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
      update odoo_eventd.capture_gap g set ended_at = now() where g.capture_id = known.capture_id and g.reason = 'a trigger was missing' and g.ended_at is null;
      perform odoo_eventd.replace_capture_function(known);
      return 'stopped';
    end if;
    return 'unchanged';
  end if;

  -- What may be subscribed is bounded, not what tells that a subscribed record's own fields changed.
  if exists (select from odoo_eventd.allowed_model) and not exists (select from odoo_eventd.allowed_model m where m.model = of_model)
     and exists (select from odoo_eventd.subscription_need n join public.mcp_event_subscription s on s.id = n.subscription_id
                  where n.model = of_model and s.model = of_model and s.active)
  then
    raise exception 'model "%" is not among those the installer allowed', of_model using errcode = 'insufficient_privilege';
  end if;
  relation := odoo_eventd.model_table(of_model);
  if relation is null then
    raise exception 'model "%" has no table that can be captured', of_model using errcode = 'undefined_table';
  end if;

  select array_agg(w.column_name order by w.column_name), array_agg(w.column_name order by w.column_name) filter (where w.compared),
         array_agg(w.column_name order by w.column_name) filter (where w.whole),
         array_agg(w.type_name order by w.column_name), string_agg(w.column_name, ', ') filter (where w.type_name is null)
    into wanted, wanted_compared, wanted_whole, wanted_types, missing
    from (select u.column_name, bool_or(u.column_name = any (n.compared)) as compared, bool_or(u.column_name = any (n.whole)) as whole, c.type_name
            from odoo_eventd.subscription_need n
            join public.mcp_event_subscription s on s.id = n.subscription_id and s.active
           cross join unnest(n.columns) u (column_name)
            left join odoo_eventd.capturable_columns(of_model, relation) c on c.column_name = u.column_name
           where n.model = of_model
           group by u.column_name, c.type_name) w;
  if missing is not null then
    raise exception 'model "%" has no stored field that may be captured called: %', of_model, missing using errcode = 'undefined_column';
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
     where cc.capture_id = known.capture_id and cc.column_name <> all (case when cc.whole then wanted_whole else wanted || 'id'::name end);
    insert into odoo_eventd.captured_column (capture_id, column_name, whole)
      select known.capture_id, u, false from unnest(wanted || 'id'::name) u
      union all select known.capture_id, u, true from unnest(wanted_whole) u
      on conflict do nothing;
    perform odoo_eventd.replace_capture_function(known);
  end if;

  -- The triggers, where they are missing or switched off. What was captured without them was captured in part: a gap, and everybody is
  -- served on. ENABLE takes the same lock as CREATE, which readers do not hinder; DROP would wait for them.
  perform odoo_eventd.note_missing_triggers(known);
  for trigger_of in
    select v.name, v.definition, t.oid is not null as is_there, t.tgfoid = to_regprocedure(call) is true as is_ours
      from odoo_eventd.capture_triggers() v
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
  return case when exists (select from odoo_eventd.captured_column cc where cc.capture_id = known.capture_id and cc.captured_from is null)
              then 'changed' when repaired then 'repaired' else 'unchanged' end;
end $$;
comment on function odoo_eventd.sync_capture(text, integer) is
  'Makes a model''s capture what its active subscriptions need. Raises lock_not_available if the table is busy: try again.';

create or replace function odoo_eventd.settle_gaps() returns void
language sql volatile security definer set search_path = pg_catalog, pg_temp
as $$
  -- In a transaction after the one that switched capture on: whoever has no transaction id yet will see the function at its first write.
  update odoo_eventd.capture_gap g set until = pg_snapshot_xmax(pg_current_snapshot()) where g.until is null and g.ended_at < now()
$$;
comment on function odoo_eventd.settle_gaps() is 'Notes from which transaction on gaps that have ended no longer count.';

create or replace function odoo_eventd.is_in_gap(of_xid xid8, of_generation bigint) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select exists (select from odoo_eventd.capture_generation cg
                 join odoo_eventd.capture_gap g on g.capture_id = cg.capture_id
                 where cg.generation = of_generation
                   and not pg_visible_in_snapshot(of_xid, g.since) and (g.until is null or of_xid < g.until))
      or exists (select from odoo_eventd.capture_generation cg
                 join odoo_eventd.capture_overflow f on f.capture_id = cg.capture_id and f.xid = of_xid
                 where cg.generation = of_generation)
$$;
comment on function odoo_eventd.is_in_gap(xid8, bigint) is 'Whether a transaction may be captured in part only: it overlaps a gap, or met a full outbox.';

create or replace function odoo_eventd.has_gaps(done pg_snapshot) returns boolean
-- Not "language sql": such a function is parsed and planned at each call, and this one is called at every look into the outbox.
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (select from odoo_eventd.capture_gap g where g.until is null or g.until > pg_snapshot_xmin(done))
      or exists (select from odoo_eventd.capture_overflow);
end $$;
comment on function odoo_eventd.has_gaps(pg_snapshot) is 'Whether a transaction that is not finished with can be in a gap: mostly not, and then nobody need ask for each.';

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
comment on function odoo_eventd.settle_capture() is 'Notes from which transaction on newly captured columns count; call it after sync_capture was committed.';

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
    exception when lock_not_available then
      continue;
    end;
    foreach dropped in array idle.triggers loop
      execute format('drop trigger %I on %s', dropped, idle.relation);
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
    perform odoo_eventd.replace_capture_function(known);
    return next known.model;
  end loop;
end $$;
comment on function odoo_eventd.switch_capture(boolean, text) is
  'The emergency switch: capture of one model, or of all, on or off. Locks no table: select odoo_eventd.switch_capture(false); After switching on: select odoo_eventd.settle_capture(); in a transaction of its own; else what is written until the service looks is not judged.';
