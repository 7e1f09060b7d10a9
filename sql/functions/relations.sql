-- Purpose: fields that are kept in other tables than their model's: what captures a many2many field's relation table, and what
-- the service asks when it brings a change of another table home to the records it is about.
--
-- Locks: none on Odoo's tables but ACCESS SHARE where records are read. The triggers of a relation table are made by
-- sync_capture, as a model's are.
--
-- A relation table has two columns and no id. Each row of the outbox is one link: I where it was added, D where it was removed;
-- the pair is the image. An UPDATE is written as both. Which of them cancel each other is found when the transaction is folded.

create or replace function odoo_eventd.is_relation(of_capture odoo_eventd.capture) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select not exists (select from public.ir_model m where m.model = of_capture.model)
     and not exists (select from pg_attribute a where a.attrelid = of_capture.table_oid and a.attname = 'id'
       and not a.attisdropped)
$$;
comment on function odoo_eventd.is_relation(odoo_eventd.capture)
  is 'Whether a capture is of a many2many field''s relation table, not of a model''s.';

create or replace function odoo_eventd.captures_of(of_model text) returns text[]
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select array_agg(x.name)
  from (select of_model as name where of_model is not null
        union
        select c.model from odoo_eventd.capture c
         where c.model in (select f.relation_table from public.ir_model_fields f where f.model = of_model
           and f.ttype = 'many2many')) x
$$;
comment on function odoo_eventd.captures_of(text)
  is 'A model''s own capture and those of its many2many fields'' relation tables, by name.';

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
  'One large transaction''s rows of one table in pages, in order of their ids: a record of a relation table can have more rows '
  'than a page.';

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

create or replace function odoo_eventd.number_in(of_table oid, of_row text, of_column name) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  -- Ids of a table that somebody retyped are text, or anything: a value that is no whole number is nobody's id, and no statement
  -- fails for it. Printed by its output function: a cast to text may be another's code.
  select format(case when a.atttypid in ('smallint'::regtype, 'integer'::regtype, 'bigint'::regtype) then '%s.%I::bigint'
                     else $q$case when concat(%1$s.%2$I) ~ '^-?[0-9]{1,18}$' then concat(%1$s.%2$I)::bigint end$q$ end, of_row,
                       of_column)
    from pg_attribute a where a.attrelid = of_table and a.attname = of_column and not a.attisdropped
$$;
comment on function odoo_eventd.number_in(oid, text, name)
  is 'A column that holds ids, as a number whatever its type: SQL text; null where there is no such column.';
revoke all on function odoo_eventd.number_in(oid, text, name) from public;

create or replace function odoo_eventd.inheriting_records_held(of_model text, link name, parents bigint[])
returns table (parent bigint, id bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  in_table oid := odoo_eventd.model_table(of_model);
begin
  perform odoo_eventd.assert_listener();
  if in_table is null or not exists (select from odoo_eventd.registry_inherits() i where i.model = of_model
    and i.link_field = link)
     or not exists (select from pg_attribute a where a.attrelid = in_table and a.attname = link and not a.attisdropped)
  then
    return;
  end if;
  return query execute
    -- A whole number is compared as its column is: by an index, where there is one.
    format('select %1$s, %2$s from %3$s r where %4$s = any ($1)', odoo_eventd.number_in(in_table, 'r', link),
      odoo_eventd.number_in(in_table, 'r', 'id'),
           in_table::regclass, replace(odoo_eventd.number_in(in_table, 'r', link), format('r.%I::bigint', link),
             format('r.%I', link))) using parents;
end $$;
revoke all on function odoo_eventd.inheriting_records_held(text, name, bigint[]) from public;

create or replace function odoo_eventd.inheriting_records(of_model text, link name, parents bigint[])
returns table (parent bigint, id bigint)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.hold_metadata();
  perform odoo_eventd.hold(array[odoo_eventd.model_table(of_model)]);
  return query select * from odoo_eventd.inheriting_records_held(of_model, link, parents);
end $$;
comment on function odoo_eventd.inheriting_records(text, name, bigint[]) is
  'The records of a model that inherit these parents'' fields through _inherits, as they are now.';

create or replace function odoo_eventd.current_records_held(of_model text, ids bigint[], xids text[], times timestamptz[],
  wanted name[])
returns table (place bigint, columns text[], types text[], image text[], user_id integer)
language plpgsql stable security definer
-- As the capture functions print values.
set search_path = pg_catalog, pg_temp set datestyle = 'ISO, YMD' set timezone = 'UTC' set intervalstyle = 'postgres'
  set extra_float_digits = 1
as $$
declare
  in_table oid := odoo_eventd.model_table(of_model);
  -- As its column is, where it is a whole number: then an index finds it.
  id_of text := replace(odoo_eventd.number_in(in_table, 'n', 'id'), 'n.id::bigint', 'n.id');
  now_there text[];
  now_of_type text[];
  image_of text;
  written_by text := 'null::integer';
  sound text := 'true';
  gone bigint[];
begin
  perform odoo_eventd.assert_listener();
  if in_table is null or id_of is null then
    return;
  end if;
  select coalesce(array_agg(c.column_name::text order by c.column_name), '{}'),
    coalesce(array_agg(c.type_name order by c.column_name), '{}')
    into now_there, now_of_type
    from odoo_eventd.capturable_columns(of_model, in_table) c
   where c.column_name = any (wanted)
     -- No more can be read than is captured.
     and exists (select from odoo_eventd.capture k join odoo_eventd.capture_generation g on g.generation = k.generation
                  where k.model = of_model and k.active and c.column_name = any (g.columns));
  select coalesce(odoo_eventd.image_of(array_agg(e.tagged_new order by e.ord)), '''{}''::text[]') into image_of
    from odoo_eventd.captured_expressions(in_table, now_there::name[], now_of_type, now_there::name[]) e;
  -- Odoo stamps a record of which it writes a many2many field: then the stamp is of this transaction, or of a later one.
  if (select count(*) from pg_attribute a where a.attrelid = in_table and not a.attisdropped
        and (a.attname, a.atttypid) in (values ('write_date'::name, 'timestamp'::regtype::oid),
          ('write_uid', 'integer'::regtype))) = 2
  then
    written_by := 'case when n.write_date = g.at at time zone ''utc'' then n.write_uid end';
  end if;
  -- A transaction of which the model's own rows may be missing might have made the record, or have removed it and made it again.
  if exists (select from odoo_eventd.capture_gap) or exists (select from odoo_eventd.capture_overflow) then
    sound := 'not exists (select from odoo_eventd.capture c where c.model = $5 and odoo_eventd.is_in_gap(g.xid::xid8, c.generation))';
  end if;
  return query execute
    format('select g.place, $4, $6, %s, %s from unnest($1, $2, $3) with ordinality g (id, xid, at, place) join %s n on %s = g.id where %s',
           image_of, written_by, in_table::regclass, id_of, sound)
    using ids, xids, times, now_there, of_model, now_of_type;
  -- Of a record that was removed since, what it was then; the rows of its removal are in the outbox, for the position is before
  -- them.
  execute format('select array_agg(g.id) from unnest($1) g (id) where not exists (select from %s n where %s = g.id)',
                 in_table::regclass, id_of)
    into gone using ids;
  if gone is not null then
    return query execute
      format('select g.place, $4, $6, array(select case when d.op = ''D'' and d.types[array_position(d.columns, c::name)] <> ''bytea'' then ''='' else '''' end
                                                   || d.old[array_position(d.columns, c::name)] from unnest($4) with ordinality n (c, ord) order by n.ord),
                     null::integer
                from unnest($1, $2, $3) with ordinality g (id, xid, at, place)
                join (select distinct on (o.record_id) o.record_id, o.op, o.old, k.columns, k.types
                        from odoo_eventd.outbox o
                        join odoo_eventd.capture_generation k on k.generation = o.generation
                        join odoo_eventd.capture c on c.capture_id = k.capture_id
                       where c.model = $5 and o.op in (''D'', ''d'') and k.format = 2 and o.record_id = any ($7) and k.columns @> $4::name[]
                       order by o.record_id, o.id desc) d on d.record_id = g.id
               where %s', sound)
      using ids, xids, times, now_there, of_model, now_of_type, gone;
  end if;
end $$;
revoke all on function odoo_eventd.current_records_held(text, bigint[], text[], timestamptz[], name[]) from public;

create or replace function odoo_eventd.current_records(of_model text, ids bigint[], xids text[], times timestamptz[],
  wanted name[])
returns table (place bigint, columns text[], types text[], image text[], user_id integer)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.hold_metadata();
  perform odoo_eventd.hold(array[odoo_eventd.model_table(of_model)]);
  return query select * from odoo_eventd.current_records_held(of_model, ids, xids, times, wanted);
end $$;
comment on function odoo_eventd.current_records(text, bigint[], text[], timestamptz[], name[]) is
  'Records as they are now, for changes that showed in other tables: those of the columns asked for that may be captured, as '
  'capture would keep them, and who wrote the record if that was in this very transaction. Records that are gone are as they '
  'were when they were removed.';
