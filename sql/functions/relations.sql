-- Purpose: fields that are kept in other tables than their model's: what captures a many2many field's relation table, and what the
-- service asks when it brings a change of another table home to the records it is about.
--
-- Locks: none on Odoo's tables but ACCESS SHARE where records are read. The triggers of a relation table are made by sync_capture,
-- as a model's are.
--
-- A relation table has two columns and no id. Each row of the outbox is one link: I where it was added, D where it was removed; the
-- pair is the image. An UPDATE is written as both. Which of them cancel each other is found when the transaction is folded.

create or replace function odoo_eventd.is_relation(of_capture odoo_eventd.capture) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select not exists (select from public.ir_model m where m.model = of_capture.model)
     and not exists (select from pg_attribute a where a.attrelid = of_capture.table_oid and a.attname = 'id' and not a.attisdropped)
$$;
comment on function odoo_eventd.is_relation(odoo_eventd.capture) is 'Whether a capture is of a many2many field''s relation table, not of a model''s.';

create or replace function odoo_eventd.captures_of(of_model text) returns text[]
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select array_agg(x.name)
  from (select of_model as name where of_model is not null
        union
        select c.model from odoo_eventd.capture c
         where c.model in (select f.relation_table from public.ir_model_fields f where f.model = of_model and f.ttype = 'many2many')) x
$$;
comment on function odoo_eventd.captures_of(text) is 'A model''s own capture and those of its many2many fields'' relation tables, by name.';

create or replace function odoo_eventd.relation_body(of_capture odoo_eventd.capture) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  installed odoo_eventd.installation;
  made odoo_eventd.capture_generation;
  ring_table text;
  pair text;         -- both columns, as text[]; of any row
  drifted text;      -- the same of a row that came through JSON
  into_outbox text;
  room bigint;
begin
  select * into strict installed from odoo_eventd.installation;
  if not installed.capture or of_capture.switched_off or not of_capture.active then
    return format(E'\n-- %s: not captured (%s).\nbegin\n  return null;\nend ', of_capture.model,
                  case when of_capture.active then 'switched off' else 'no subscription needs it' end);
  end if;
  select * into strict made from odoo_eventd.capture_generation g where g.generation = of_capture.generation;
  select format('odoo_eventd.outbox_%s', r.current) into strict ring_table from odoo_eventd.ring r;
  room := odoo_eventd.outbox_room(installed, ring_table);

  -- A column that went keeps its place in the images.
  select format('array[%s]::text[]', string_agg(case when a.attname is null then $g$E'\x01gone'$g$ else format('r.%I::text', w.name) end,
                                                ', ' order by w.ord))
    into pair
    from unnest(made.columns) with ordinality w (name, ord)
    left join pg_attribute a on a.attrelid = of_capture.table_oid and a.attname = w.name and not a.attisdropped;
  drifted := format('odoo_eventd.drifted_image(to_jsonb(r), %L, %L)', made.columns, '{}');
  into_outbox := format('insert into %s (id, xid, generation, op, record_id, at, user_id, old, new)', ring_table);

  return format($body$
-- Relation table %s: made by odoo_eventd.sync_capture, generation %s. Do not edit: it is replaced when subscriptions change.
declare
  intact boolean := true;    -- the columns are what they were when this was written
begin
  -- A copy of the database, under another name or restored elsewhere, stays silent.
  if current_database() <> %L or tg_relid <> %s then
    return null;
  end if;
$body$, of_capture.model, of_capture.generation, installed.database_name, of_capture.table_oid)

  -- As in a model's function: if a column was dropped, renamed or retyped, this fails and not the user's statement.
  || format($body$
  begin
    if tg_op = 'INSERT' then
      perform case when false then %1$s end from new_rows r limit 1;
    elsif tg_op = 'DELETE' then
      perform case when false then %1$s end from old_rows r limit 1;
    elsif tg_op = 'UPDATE' then
      perform case when false then %1$s end from new_rows r limit 1;
      perform case when false then %1$s end from old_rows r limit 1;
    end if;
    if tg_op <> 'TRUNCATE' and not found then
      return null;
    end if;
  exception when others then
    intact := false;
  end;
$body$, pair)

  || format($body$
  -- Without an outbox to write to nothing is kept, and Odoo goes on; `odoo-eventd status` tells.
  if (has_table_privilege(to_regclass('%1$s'), 'insert')
      and has_sequence_privilege(to_regclass('odoo_eventd.outbox_id_seq'), 'usage')) is not true then
    return null;
  end if;
  -- Nor is it when the outbox has outgrown its room. Who was not captured is noted, as long as that takes little room itself.
  if pg_relation_size(to_regclass('%1$s'), 'main') + pg_relation_size(%2$s::oid::regclass, 'main') > %3$s then
    if pg_relation_size(to_regclass('odoo_eventd.capture_overflow'), 'main') < 67108864
       and has_table_privilege(to_regclass('odoo_eventd.capture_overflow'), 'insert') then
      insert into odoo_eventd.capture_overflow values (pg_current_xact_id(), %4$s, now());
    end if;
    return null;
  end if;
$body$, ring_table, (select c.reltoastrelid from pg_class c where c.oid = to_regclass(ring_table)), room, of_capture.capture_id)

  -- The record id only orders the rows; which record a link is about depends on the field.
  || format($body$
  if tg_op = 'TRUNCATE' then
    %1$s
    values (nextval('odoo_eventd.outbox_id_seq'), pg_current_xact_id(), %2$s, 'T', 0, now(), null, null, null);
  elsif intact and tg_op = 'INSERT' then
    %1$s
    select nextval('odoo_eventd.outbox_id_seq'), pg_current_xact_id(), %2$s, 'I', 0, now(), null, null, %3$s from new_rows r;
  elsif intact and tg_op = 'DELETE' then
    %1$s
    select nextval('odoo_eventd.outbox_id_seq'), pg_current_xact_id(), %2$s, 'D', 0, now(), null, %3$s, null from old_rows r;
  elsif intact then
    %1$s
    select nextval('odoo_eventd.outbox_id_seq'), pg_current_xact_id(), %2$s, 'D'::"char", 0, now(), null::integer, x.pair, null::text[]
      from (select %3$s as pair from old_rows r except all select %3$s from new_rows r) x
    union all
    select nextval('odoo_eventd.outbox_id_seq'), pg_current_xact_id(), %2$s, 'I'::"char", 0, now(), null::integer, null::text[], x.pair
      from (select %3$s as pair from new_rows r except all select %3$s from old_rows r) x;
  elsif tg_op = 'INSERT' then
    %1$s
    select nextval('odoo_eventd.outbox_id_seq'), pg_current_xact_id(), %2$s, 'i', 0, now(), null, null, %4$s from new_rows r;
  elsif tg_op = 'DELETE' then
    %1$s
    select nextval('odoo_eventd.outbox_id_seq'), pg_current_xact_id(), %2$s, 'd', 0, now(), null, %4$s, null from old_rows r;
  else
    %1$s
    select nextval('odoo_eventd.outbox_id_seq'), pg_current_xact_id(), %2$s, 'd'::"char", 0, now(), null::integer, x.pair, null::text[]
      from (select %4$s as pair from old_rows r except all select %4$s from new_rows r) x
    union all
    select nextval('odoo_eventd.outbox_id_seq'), pg_current_xact_id(), %2$s, 'i'::"char", 0, now(), null::integer, null::text[], x.pair
      from (select %4$s as pair from new_rows r except all select %4$s from old_rows r) x;
  end if;
$body$, into_outbox, of_capture.generation, pair, drifted)

  || odoo_eventd.doorbell(installed)

  || E'  return null;\nend ';
end $$;
comment on function odoo_eventd.relation_body(odoo_eventd.capture) is 'The body of a relation table''s trigger function, as SQL text.';

-- What the service asks.

create or replace function odoo_eventd.read_links(of_xid xid8, of_capture integer, after_id bigint, max_rows integer)
returns table (id bigint, generation bigint, op "char", record_id bigint, at timestamptz, user_id integer, old text[], new text[])
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  -- Asked once, and not joined: so the index gives the order, and no page sorts what is left of a million rows.
  sound bigint[] := array(select g.generation from odoo_eventd.capture_generation g
                           where g.capture_id = of_capture and not odoo_eventd.is_in_gap(of_xid, g.generation));
begin
  perform odoo_eventd.assert_listener();
  return query
    select o.id, o.generation, o.op, o.record_id, o.at, o.user_id, o.old, o.new
    from odoo_eventd.outbox o
    where o.xid = of_xid and o.id > after_id and o.generation = any (sound)
    order by o.id limit max_rows;
end $$;
comment on function odoo_eventd.read_links(xid8, integer, bigint, integer) is
  'One large transaction''s rows of one table in pages, in order of their ids: a record of a relation table can have more rows than a page.';

create or replace function odoo_eventd.read_parents(of_xid xid8, of_model text, ids bigint[])
returns table (id bigint, generation bigint, op "char", record_id bigint, at timestamptz, user_id integer, old text[], new text[])
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  sound bigint[] := array(select g.generation from odoo_eventd.capture_generation g
                            join odoo_eventd.capture c on c.capture_id = g.capture_id
                           where c.model = of_model and not odoo_eventd.is_in_gap(of_xid, g.generation));
begin
  perform odoo_eventd.assert_listener();
  return query
    select o.id, o.generation, o.op, o.record_id, o.at, o.user_id, o.old, o.new
    from odoo_eventd.outbox o
    where o.xid = of_xid and o.generation = any (sound) and o.record_id = any (ids) and o.op <> 'T'
    order by o.record_id, o.id;
end $$;
comment on function odoo_eventd.read_parents(xid8, text, bigint[]) is
  'What one large transaction did to these records, which others inherit from.';

create or replace function odoo_eventd.inheriting_records(of_model text, link name, parents bigint[])
returns table (parent bigint, id bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  in_table oid := odoo_eventd.model_table(of_model);
begin
  perform odoo_eventd.assert_listener();
  if in_table is null or not exists (select from odoo_eventd.registry_inherits() i where i.model = of_model and i.link_field = link)
     or not exists (select from pg_attribute a where a.attrelid = in_table and a.attname = link and not a.attisdropped)
  then
    return;
  end if;
  return query execute
    format('select r.%1$I::bigint, r.id::bigint from %2$s r where r.%1$I = any ($1)', link, in_table::regclass) using parents;
end $$;
comment on function odoo_eventd.inheriting_records(text, name, bigint[]) is
  'The records of a model that inherit these parents'' fields through _inherits, as they are now.';

create or replace function odoo_eventd.current_records(of_model text, ids bigint[], xids text[], times timestamptz[], wanted name[])
returns table (place bigint, columns text[], types text[], image text[], user_id integer)
language plpgsql stable security definer
-- As the capture functions print values.
set search_path = pg_catalog, pg_temp set datestyle = 'ISO, YMD' set timezone = 'UTC' set intervalstyle = 'postgres' set extra_float_digits = 1
as $$
declare
  in_table oid := odoo_eventd.model_table(of_model);
  now_there text[];
  now_of_type text[];
  image_of text;
  written_by text := 'null::integer';
  sound text := 'true';
begin
  perform odoo_eventd.assert_listener();
  if in_table is null then
    return;
  end if;
  select coalesce(array_agg(c.column_name::text order by c.column_name), '{}'), coalesce(array_agg(c.type_name order by c.column_name), '{}'),
         coalesce(format('array[%s]::text[]', string_agg(odoo_eventd.captured_value(format('r.%I', c.column_name), c.type_name, true), ', '
                                                         order by c.column_name)), '''{}''::text[]')
    into now_there, now_of_type, image_of
    from odoo_eventd.capturable_columns(of_model, in_table) c
   where c.column_name = any (wanted)
     -- No more can be read than is captured.
     and exists (select from odoo_eventd.capture k join odoo_eventd.capture_generation g on g.generation = k.generation
                  where k.model = of_model and k.active and c.column_name = any (g.columns));
  -- Odoo stamps a record of which it writes a many2many field: then the stamp is of this transaction, or of a later one.
  if (select count(*) from pg_attribute a where a.attrelid = in_table and not a.attisdropped
        and (a.attname, a.atttypid) in (values ('write_date'::name, 'timestamp'::regtype::oid), ('write_uid', 'integer'::regtype))) = 2
  then
    written_by := 'case when r.write_date = g.at at time zone ''utc'' then r.write_uid end';
  end if;
  -- A transaction of which the model's own rows may be missing might have made the record, or have removed it and made it again.
  if exists (select from odoo_eventd.capture_gap) or exists (select from odoo_eventd.capture_overflow) then
    sound := 'not exists (select from odoo_eventd.capture c where c.model = $5 and odoo_eventd.is_in_gap(g.xid::xid8, c.generation))';
  end if;
  return query execute
    format('select g.place, $4, $6, %s, %s from unnest($1, $2, $3) with ordinality g (id, xid, at, place) join %s r on r.id = g.id where %s',
           image_of, written_by, in_table::regclass, sound)
    using ids, xids, times, now_there, of_model, now_of_type;
end $$;
comment on function odoo_eventd.current_records(text, bigint[], text[], timestamptz[], name[]) is
  'Records as they are now, for changes that showed in other tables: those of the columns asked for that may be captured, as capture would '
  'keep them, and who wrote the record if that was in this very transaction. Records that are gone are left out.';
