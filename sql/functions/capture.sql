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
language sql stable security definer set search_path = pg_catalog, pg_temp set quote_all_identifiers = off -- Names of types are compared.
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
  -- Two names never meet in one function: sale.order and a relation table sale_order would, if the dots alone were replaced.
  select (case when of_model ~ '^[a-z0-9.]{1,50}$' then 'capture_' || replace(of_model, '.', '_')
               else 'capture_' || left(regexp_replace(of_model, '[^a-z0-9]', '_', 'g'), 40) || '_' || left(md5(of_model), 8) end)::name
$$;
comment on function odoo_eventd.capture_function_name(text) is 'The trigger function of a model''s table.';

create or replace function odoo_eventd.is_still(anyelement, anyelement) returns boolean
language sql immutable security definer set search_path = pg_catalog, pg_temp
as $$ select true $$;
comment on function odoo_eventd.is_still(anyelement, anyelement) is
  'Never run: a call with two types is an error where it is parsed, which is how a capture function finds out that a column was retyped.';

create or replace function odoo_eventd.kept_value(value text, is_whole boolean) returns text
language plpgsql immutable strict security definer set search_path = pg_catalog, pg_temp
as $$
-- Not in SQL: inlined, its parts would be set up for each column in every call of a capture function.
declare
  bytes constant integer := octet_length(value);
begin
  if bytes <= 16384 or is_whole and bytes <= 1048576 then
    return '=' || value;
  elsif bytes <= 67108864 then
    return '#' || encode(sha256(convert_to(value, 'UTF8')), 'hex');
  end if;
  -- No copy is made of what is larger still.
  return '~' || bytes || ':' || to_hex(hashtextextended(value collate "C", 0)) || to_hex(hashtextextended(value collate "C", 1));
end $$;
comment on function odoo_eventd.kept_value(text, boolean) is
  'A value with the character before it that tells what is kept: = the value itself, # its SHA-256, ~ another digest of one over 64 MiB. More than '
  '16 KiB of text is kept as a digest, and where the value itself is needed more than 1 MiB.';

create or replace function odoo_eventd.pinned_text(value anyelement) returns text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set datestyle = 'ISO, YMD' set timezone = 'UTC' set intervalstyle = 'postgres' set extra_float_digits = 1
set bytea_output = 'hex' set lc_monetary = 'C'
as $$
begin
  return case when value is distinct from null then concat(value) end;
end $$;
comment on function odoo_eventd.pinned_text(anyelement) is 'A value as text, whatever the session''s settings: slow, and so for types of which nothing better is known.';

create or replace function odoo_eventd.type_facts(type_name text, out base oid, out is_ours_to_print boolean, out is_text boolean, out is_short boolean,
                                                  out is_comparable boolean)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  t pg_type;
  element oid;
begin
  base := to_regtype(type_name);
  select * into t from pg_type y where y.oid = base;
  while t.typtype = 'd' loop
    base := t.typbasetype;
    select * into t from pg_type y where y.oid = base;
  end loop;
  -- What another made is printed by its output function alone: a cast to text of his would run with the owner's rights. So would its operators.
  is_ours_to_print := t.typnamespace = 'pg_catalog'::regnamespace is true;
  is_text := base in ('text'::regtype, 'varchar'::regtype, 'bpchar'::regtype);
  is_short := is_ours_to_print and (t.typlen > 0 or base = 'numeric'::regtype)
              or is_text and substring(type_name from '^character(?: varying)?[(]([0-9]{1,4})[)]$')::integer <= 4096;
  is_short := coalesce(is_short, false);
  element := coalesce(case when t.typcategory = 'A' then (select e.oid from pg_type e where e.typarray = base) end,
                      (select r.rngsubtype from pg_range r where r.rngtypid = base), base);
  -- json and point have no equality at all, nor have arrays of them.
  is_comparable := is_ours_to_print
    and exists (select from pg_type e where e.oid = element and e.typnamespace = 'pg_catalog'::regnamespace)
    and exists (select from pg_opclass o join pg_am m on m.oid = o.opcmethod and m.amname = 'btree'
                 where o.opcdefault and o.opcintype = case when element = 'varchar'::regtype then 'text'::regtype else element end);
end $$;
comment on function odoo_eventd.type_facts(text) is
  'What capture must know of a type: printed and compared by PostgreSQL''s own functions or not, text, never long, comparable. Domains count as what they are made of.';

create or replace function odoo_eventd.printed(value text, is_ours_to_print boolean) returns text
language sql immutable security definer set search_path = pg_catalog, pg_temp
as $$
  -- SQL in, SQL out.
  select case when is_ours_to_print then format('%s::text', value)
              else format('case when %1$s is distinct from null then concat(%1$s) end', value) end
$$;
comment on function odoo_eventd.printed(text, boolean) is 'The expression that makes a value text, by functions of PostgreSQL''s own only; see type_facts().';

create or replace function odoo_eventd.is_short(texts text, others text) returns text
language sql immutable security definer set search_path = pg_catalog, pg_temp
as $$
  -- GREATEST passes over nulls, and takes as many as there are columns.
  select coalesce(nullif(concat_ws(' and ', 'coalesce(greatest(' || texts || '), 0) <= 16384', 'coalesce(greatest(' || others || '), 0) <= 4096'), ''), 'true')
$$;
comment on function odoo_eventd.is_short(text, text) is
  'The condition that no value of a row is long, as SQL text, of the lengths of its texts and of its other values, listed with commas.';

create or replace function odoo_eventd.captured_expressions(of_table oid, columns name[], types text[], whole name[], unreadable name[] default '{}',
                                                            pinned name[] default '{}')
returns table (name name, ord bigint, type_name text, differs text, size text, most_size integer, plain_old text, plain_new text, tagged_old text, tagged_new text,
               was text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  f record;
  exact boolean;
  o text; n text;
begin
  -- In one statement, and a type's facts once for all its columns: between DDL and the next look every statement of a writer comes by here.
  for f in
    select c.name, c.type, c.ord, c.name = any (whole) as is_whole, c.name = any (unreadable) as is_unreadable, c.name = any (pinned) as is_pinned, t.*,
           exists (select from pg_attribute a join pg_collation l on l.oid = a.attcollation
                    where a.attrelid = of_table and a.attname = c.name and not a.attisdropped and not l.collisdeterministic) as has_vague_collation
      from unnest(columns, types) with ordinality c (name, type, ord)
      left join (select d.type as of_type, y.* from (select distinct unnest(types)) d (type) cross join odoo_eventd.type_facts(d.type) y) t
        on t.of_type = c.type
     order by c.ord
  loop
    name := f.name; ord := f.ord; type_name := f.type; size := null; most_size := null;
    o := format('o.%I', f.name);
    n := format('n.%I', f.name);
    if f.type is null then
      differs := null; plain_old := null; plain_new := null; tagged_old := $q$'-'$q$; tagged_new := $q$'-'$q$; was := $q$'-'$q$;
      return next;
      continue;
    end if;
    if f.is_pinned then
      plain_old := format('odoo_eventd.pinned_text(%s)', o);
      plain_new := format('odoo_eventd.pinned_text(%s)', n);
    elsif f.is_ours_to_print then
      -- As printed(), which would be set up for every column anew.
      plain_old := o || '::text';
      plain_new := n || '::text';
    else
      plain_old := odoo_eventd.printed(o, false);
      plain_new := odoo_eventd.printed(n, false);
    end if;
    exact := f.is_comparable and not f.has_vague_collation;
    differs := case when exact then format('%s is distinct from %s', o, n)
                    when f.is_unreadable then format('(%s is distinct from null or %s is distinct from null)', o, n)
                    else format('(%s) collate "C" is distinct from (%s) collate "C"', plain_old, plain_new) end;
    if f.is_unreadable then
      tagged_old := format($q$case when %s is distinct from null then '?' end$q$, o);
      tagged_new := format($q$case when %s is distinct from null then '?' end$q$, n);
      plain_old := tagged_old; plain_new := tagged_new;
    elsif f.base = 'bytea'::regtype then
      plain_old := format($q$'#' || encode(sha256(%s), 'hex')$q$, o);
      plain_new := format($q$'#' || encode(sha256(%s), 'hex')$q$, n);
      tagged_old := plain_old; tagged_new := plain_new;
    elsif f.is_short then
      tagged_old := format($q$'=' || %s$q$, plain_old);
      tagged_new := format($q$'=' || %s$q$, plain_new);
    else
      tagged_old := format('odoo_eventd.kept_value(%s, %L)', plain_old, f.is_whole);
      tagged_new := format('odoo_eventd.kept_value(%s, %L)', plain_new, f.is_whole);
      -- The length of a text is known without reading it; of other values what they take on disk is.
      size := format(case when f.is_text then 'octet_length(%s)' else 'pg_column_size(%s)' end, '%1$s.' || replace(quote_ident(f.name), '%', '%%'));
      most_size := case when f.is_text then 16384 else 4096 end;
    end if;
    was := case when f.is_unreadable or size is null then tagged_old
                else format($q$case when %s <= %s then '=' || %s else %s end$q$, format(size, 'o'), most_size, plain_old, tagged_old) end;
    was := format($q$case when %s then coalesce(%s, '') end$q$, differs, was);
    return next;
  end loop;
end $$;
comment on function odoo_eventd.captured_expressions(oid, name[], text[], name[], name[], name[]) is
  'The SQL for each column of an old row o and a new row n: whether it differs, its length where it can be long, its value as it is and tagged (kept_value), '
  'and for the old image of an update: null = unchanged, empty = was NULL, else tagged. A column without a type is gone.';

create or replace function odoo_eventd.image_of(expressions text[]) returns text
language sql immutable security definer set search_path = pg_catalog, pg_temp
as $$ select format(E'array[%s]::text[]', array_to_string(expressions, E',\n               ')) $$;
comment on function odoo_eventd.image_of(text[]) is 'An image, as SQL text.';

create or replace function odoo_eventd.is_told_as_row(types text[]) returns boolean
language sql immutable security definer set search_path = pg_catalog, pg_temp
as $$
  -- Of these types a value's text as it stands in a row's is the value cast to text (but for booleans: t and f), and two texts are of one
  -- value only where they are the same or whoever reads them can tell: zeros behind the point of a number. Of few columns an expression
  -- each costs no more, and the outbox is read more easily.
  select cardinality(types) > 16
     and (select bool_and(t ~ '^(boolean|smallint|integer|bigint|real|double precision|text|date|uuid|json|jsonb|character varying([(][0-9]+[)])?'
                              '|numeric([(][0-9,-]+[)])?|time(stamp)?([(][0-9][)])? with(out)? time zone)$') is true from unnest(types) t)
$$;
comment on function odoo_eventd.is_told_as_row(text[]) is 'Whether columns of these types are told as the text of one row (op R), which costs a plan little however many they are.';

create or replace function odoo_eventd.row_is_long() returns odoo_eventd.captured_row
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$ begin raise exception 'a row is too long to be told as one text, or is not one of a pair'; end $$;
comment on function odoo_eventd.row_is_long() is 'Raises: a statement in which a row is long, or changes its id, is told value by value.';
revoke all on function odoo_eventd.is_told_as_row(text[]) from public;
revoke all on function odoo_eventd.row_is_long() from public;

create or replace function odoo_eventd.written_by(of_table oid, out created text, out written text, out still text)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  -- Only where the row's own audit columns were written by this very transaction.
  select case when count(*) filter (where a.attname like 'create%') = 2
              then $q$case when n.create_date = now() at time zone 'utc' then n.create_uid end$q$ else 'null::integer' end,
         case when count(*) filter (where a.attname like 'write%') = 2
              then $q$case when n.write_date = now() at time zone 'utc' then n.write_uid end$q$ else 'null::integer' end,
         coalesce(string_agg(format('odoo_eventd.is_still(n.%I, null::%s)', a.attname, format_type(a.atttypid, null)), ' and '), 'true')
    from pg_attribute a
   where a.attrelid = of_table and not a.attisdropped
     and (a.attname, a.atttypid) in (values ('create_date'::name, 'timestamp'::regtype::oid), ('create_uid', 'integer'::regtype),
                                            ('write_date', 'timestamp'::regtype), ('write_uid', 'integer'::regtype))
$$;
comment on function odoo_eventd.written_by(oid) is 'The expressions that tell who created and who wrote a new row n, and one that is an error once their columns are retyped.';

create or replace function odoo_eventd.rows_query(of_table oid, operation text, of_columns name[], compared name[], of_types text[], of_whole name[],
                                                  id_type text default 'integer', in_halves boolean default false,
                                                  unreadable name[] default '{}', retyped name[] default '{}',
                                                  old_still text default null, new_still text default null)
returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  e record;
  author record;
  is_short_old text; is_short_new text;
  from_old text; from_new text;
  -- A link of a many2many field has no id; which record it is about depends on the field.
  id_of text := case when id_type is null then '0::bigint' when id_type in ('smallint', 'integer', 'bigint') then '%s.id::bigint'
                     else $q$case when %1$s.id::text ~ '^-?[0-9]{1,18}$' then %1$s.id::text::bigint end$q$ end;
  id_is text := case when id_type in ('smallint', 'integer', 'bigint') then '%s.id' else '%s.id::text' end;
begin
  select coalesce(string_agg(x.differs, E'\n            or ' order by x.ord) filter (where x.name = any (compared)), 'false') as differs,
         odoo_eventd.image_of(array_agg(x.plain_old order by x.ord)) as plain_old, odoo_eventd.image_of(array_agg(x.plain_new order by x.ord)) as plain_new,
         odoo_eventd.image_of(array_agg(x.tagged_old order by x.ord)) as tagged_old, odoo_eventd.image_of(array_agg(x.tagged_new order by x.ord)) as tagged_new,
         odoo_eventd.image_of(array_agg(x.was order by x.ord)) as was,
         bool_or(x.type_name is null) or cardinality(unreadable || retyped) > 0 as is_partial,
         string_agg(format(x.size, 'o'), ', ' order by x.ord) filter (where x.most_size = 16384) as texts_old,
         string_agg(format(x.size, 'n'), ', ' order by x.ord) filter (where x.most_size = 16384) as texts_new,
         string_agg(format(x.size, 'o'), ', ' order by x.ord) filter (where x.most_size = 4096) as others_old,
         string_agg(format(x.size, 'n'), ', ' order by x.ord) filter (where x.most_size = 4096) as others_new
    into e
    from odoo_eventd.captured_expressions(of_table, of_columns, of_types, of_whole, unreadable, retyped) x;
  select * into author from odoo_eventd.written_by(of_table) w;
  if id_type is null then
    author.created := 'null::integer';
  end if;
  is_short_old := odoo_eventd.is_short(e.texts_old, e.others_old);
  is_short_new := odoo_eventd.is_short(e.texts_new, e.others_new);
  if e.is_partial then
    is_short_old := 'false'; is_short_new := 'false';
  end if;
  from_new := format($q$select case when %1$s then 'I' else 'i' end::"char" as op, %2$s as record_id, %3$s as user_id, null::text[] as old,
             case when %1$s then %4$s
             else %5$s end as new
        from new_rows n where %6$s$q$, is_short_new, format(id_of, 'n'), author.created, e.plain_new, e.tagged_new, coalesce(new_still, 'true'));
  from_old := format($q$select case when %1$s then 'D' else 'd' end::"char" as op, %2$s as record_id, %5$s as user_id,
             case when %1$s then %3$s
             else %4$s end as old, null::text[] as new
        from old_rows o where %6$s$q$, is_short_old, format(id_of, 'o'), e.plain_old, e.tagged_old,
        -- Nobody wrote the row, so nobody's id is in it; a writer may say who it is by SET LOCAL mcp.uid. Read as text, never trusted.
        case when id_type is null or operation = 'UPDATE' then 'null::integer'
             else $q$substring(current_setting('mcp.uid', true) from '^[0-9]{1,9}$')::integer$q$ end, coalesce(old_still, 'true'));
  if operation = 'INSERT' then
    return from_new;
  elsif operation = 'DELETE' then
    return from_old;
  elsif in_halves or id_type is null then
    -- What was and what is, apart: who folds them needs no pairs.
    return from_old || E'\n      union all\n      ' || from_new;
  end if;
  -- FULL JOIN: an UPDATE of the id takes one record away and makes another. It also rules a nested loop out: the plan is kept, and
  -- one made for few rows must serve a thousand.
  return format($q$select case when o.id is null then case when %1$s then 'I' else 'i' end
                  when n.id is null then case when %2$s then 'D' else 'd' end
                  when %1$s then 'U' else 'u' end::"char" as op,
             coalesce(%3$s, %4$s) as record_id, case when o.id is null then %5$s else %6$s end as user_id,
             case when o.id is null then null
                  when n.id is not null then %7$s
                  when %2$s then %8$s
                  else %9$s end as old,
             case when n.id is null then null
                  when %1$s then %10$s
                  else %11$s end as new
        from old_rows o full join new_rows n on %12$s = %13$s
       where (o.id is null or n.id is null or %14$s) and %15$s$q$,
    is_short_new, is_short_old, format(id_of, 'n'), format(id_of, 'o'), author.created, author.written, e.was, e.plain_old, e.tagged_old, e.plain_new, e.tagged_new,
    format(id_is, 'n'), format(id_is, 'o'), e.differs, coalesce(new_still, 'true'));
end $$;
comment on function odoo_eventd.rows_query(oid, text, name[], name[], text[], name[], text, boolean, name[], name[], text, text) is
  'What a statement did to a table, one row for each record: op, record_id, user_id, old, new. SQL text over old_rows and new_rows. Upper case ops have the '
  'values as they are (but for the old ones of an update), lower case ones have each value tagged.';

-- For a table whose columns are no longer what they were, and for statements of many rows: from the catalogue as it is at that moment.

drop function if exists odoo_eventd.rows_query_now(bigint, oid, text, boolean, name[]);
create or replace function odoo_eventd.rows_query_now(of_table oid, operation text, in_halves boolean, unreadable name[],
                                                      of_columns name[], of_types text[], compared name[], of_whole name[], is_of_links boolean)
returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
as $$
declare
  types_now text[];
  retyped jsonb;
  id_type text;
  gathers text;
begin
  -- The generation is told, not looked up: a transaction whose snapshot is older than the generation does not see its row, and Odoo's
  -- transactions have one snapshot from their first statement to their end.
  select array_agg(format_type(a.atttypid, a.atttypmod) order by w.ord),
         jsonb_object_agg(w.name, format_type(a.atttypid, a.atttypmod)) filter (where format_type(a.atttypid, a.atttypmod) <> w.type)
    into types_now, retyped
    from unnest(of_columns, of_types) with ordinality w (name, type, ord)
    left join pg_attribute a on a.attrelid = of_table and a.attname = w.name and a.attnum > 0 and not a.attisdropped;
  select format_type(a.atttypid, null) into id_type
    from pg_attribute a where a.attrelid = of_table and a.attname = 'id' and not a.attisdropped;
  if id_type is null and not is_of_links then
    raise exception 'the table has no id';
  end if;
  gathers := odoo_eventd.rows_query(of_table, operation, of_columns, compared, types_now, of_whole, id_type, in_halves, unreadable,
                                  coalesce((select array_agg(k::name) from jsonb_object_keys(retyped) k), '{}'));
  if retyped is null then
    return gathers;
  end if;
  -- Which columns were retyped, and to what, stands behind the images' last value.
  return format('select x.op, x.record_id, x.user_id, case when x.old is not null then x.old || %1$L::text end as old,
             case when x.new is not null then x.new || %1$L::text end as new from (%2$s) x', retyped, gathers);
end $$;
comment on function odoo_eventd.rows_query_now(oid, text, boolean, name[], name[], text[], name[], name[], boolean) is
  'rows_query for the columns of a generation as they are now: one that is gone, or that another cannot read, is marked as such.';

drop function if exists odoo_eventd.unreadable_columns_query(bigint, oid, text, name);
create or replace function odoo_eventd.unreadable_columns_query(of_table oid, operation text, of_column name, is_whole boolean) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
as $$
declare
  e record;
begin
  select x.* into e
    from pg_attribute a, odoo_eventd.captured_expressions(
           of_table, array[of_column], array[format_type(a.atttypid, a.atttypmod)], case when is_whole then array[of_column] else '{}' end) x
   where a.attrelid = of_table and a.attname = of_column and not a.attisdropped;
  return 'select ' || concat_ws(', ', case when operation in ('UPDATE', 'DELETE') then format('(select count(%s) from old_rows o)', coalesce(e.tagged_old, '1')) end,
                                case when operation in ('UPDATE', 'INSERT') then format('(select count(%s) from new_rows n)', coalesce(e.tagged_new, '1')) end);
end $$;
comment on function odoo_eventd.unreadable_columns_query(oid, text, name, boolean) is 'Fails where a column''s values cannot be made text: one over a gigabyte, a type whose output function raises.';

create or replace function odoo_eventd.doorbell(installed odoo_eventd.installation) returns text
language sql immutable security definer set search_path = pg_catalog, pg_temp
as $$
  select case when (installed).notify then $body$
  -- The doorbell. The service holds this lock exclusively only while it sleeps: NOTIFY, whose commit lock is cluster-wide, is
  -- issued then and only then. Who got the lock keeps it until its commit is visible, so the service cannot fall asleep over it.
  if (how_many > 0) is not false and not pg_try_advisory_xact_lock_shared(1868853103, 2) then
    notify odoo_eventd;
  end if;
$body$ else '' end
$$;
comment on function odoo_eventd.doorbell(odoo_eventd.installation) is 'The end of a trigger function: wakes the service, as SQL text.';

create or replace function odoo_eventd.outbox_room(installed odoo_eventd.installation, ring_table text) returns bigint
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  -- What the other tables of the ring hold is taken off: nothing is added to them any more.
  select greatest((installed).outbox_max_bytes - coalesce(sum(odoo_eventd.outbox_bytes(n)), 0), 0)::bigint
    from generate_series(0, 3) n where to_regclass(format('odoo_eventd.outbox_%s', n)) <> to_regclass(ring_table)
$$;
comment on function odoo_eventd.outbox_room(odoo_eventd.installation, text) is 'How many bytes the current table of the ring may take, long values included.';

create or replace function odoo_eventd.idle_body(of_capture odoo_eventd.capture) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select case when of_capture.active then E'\n-- Not captured: switched off.\nbegin\n  return null;\nend '
              else E'\n-- Not captured: no subscription needs it.\nbegin\n  return null;\nend ' end
$$;
comment on function odoo_eventd.idle_body(odoo_eventd.capture) is 'The body of a trigger function that captures nothing, as SQL text.';

drop function if exists odoo_eventd.one_updated_row(integer, text, text, text, text, text, text, text);
create or replace function odoo_eventd.row_of(row_name text, columns name[]) returns text
language sql immutable security definer set search_path = pg_catalog, pg_temp
as $$ select format('row(%s)', string_agg(format('%s.%I', row_name, c), ', ' order by ord)) from unnest(columns) with ordinality u (c, ord) $$;
comment on function odoo_eventd.row_of(text, name[]) is 'These columns of a row as one value, as SQL text.';
revoke all on function odoo_eventd.row_of(text, name[]) from public;

create or replace function odoo_eventd.one_row_as_text(operation text, columns name[], compared name[], author text, unused text) returns text
language sql immutable security definer set search_path = pg_catalog, pg_temp
as $$
  -- Odoo's pool resets its sessions (DISCARD ALL), so the plans are made anew in most transactions, and what a plan costs grows with its
  -- expressions: here a column is nothing but its name. What is small on disk is at most some megabytes as text: 255 times as much.
  select case when operation = 'INSERT' then format($body$
      select x.record_no, x.by_user, case when pg_column_size(x.n) <= 16384 then x.n::text end, x.unused
        into strict record_no, by_user, row_is, unused
        from (select n.id as record_no, %1$s as by_user, %2$s as n, %3$s as unused
                from new_rows n offset 0) x;
      if octet_length(row_is) <= 16384 then
        became := array[row_is];
      end if;$body$, author, odoo_eventd.row_of('n', columns), unused)
  else format($body$
      select x.is_one, x.record_no, x.by_user, case when x.is_short then x.o::text end, case when x.is_short then x.n::text end, %6$s, x.unused
        into strict is_one, record_no, by_user, row_was, row_is, differs, unused
        from (select y.*, pg_column_size(y.o) <= 16384 and pg_column_size(y.n) <= 16384 as is_short
                from (select o.id = n.id as is_one, n.id as record_no, %1$s as by_user, %2$s as o, %3$s as n, %4$s%5$s as unused
                        from old_rows o, new_rows n offset 0) y) x;
      if is_one and row_was is not null and (row_was = row_is or not differs) then
        return null;
      end if;
      if octet_length(row_was) <= 16384 and octet_length(row_is) <= 16384 then
        was := array[row_was];
        became := array[row_is];
      end if;$body$, author, odoo_eventd.row_of('o', columns), odoo_eventd.row_of('n', columns),
                  case when columns = compared then ''
                       else format('%s as compared_o, %s as compared_n, ', odoo_eventd.row_of('o', compared), odoo_eventd.row_of('n', compared)) end,
                  unused,
                  case when columns = compared then 'true'
                       else 'case when x.is_short then x.compared_o::text is distinct from x.compared_n::text end' end) end
$$;
comment on function odoo_eventd.one_row_as_text(text, name[], name[], text, text) is
  'What a trigger function does with an INSERT or UPDATE of one row whose columns are told as one text, as SQL text.';
revoke all on function odoo_eventd.one_row_as_text(text, name[], name[], text, text) from public;

create or replace function odoo_eventd.rows_as_text(operation text, columns name[], compared name[], author text, unused text) returns text
language sql immutable security definer set search_path = pg_catalog, pg_temp
as $$
  select case when operation = 'INSERT' then format($q$select case when octet_length(x.became) <= 16384
                 then row('R', x.record_id, x.user_id, null, array[x.became])::odoo_eventd.captured_row else odoo_eventd.row_is_long() end
          from (select y.record_id, y.user_id, case when pg_column_size(y.n) <= 16384 then y.n::text end as became
                  from (select n.id as record_id, %1$s as user_id, %2$s as n, %3$s as unused from new_rows n offset 0) y offset 0) x
         where x.record_id is not null$q$, author, odoo_eventd.row_of('n', columns), unused)
  -- FULL JOIN rules a nested loop out: the plan is kept, and one made for few rows must serve a thousand.
  else format($q$select case when octet_length(x.was) <= 16384 and octet_length(x.became) <= 16384
                 then row('R', x.record_id, x.user_id, array[x.was], array[x.became])::odoo_eventd.captured_row else odoo_eventd.row_is_long() end
          from (select y.record_id, y.user_id, y.is_short, case when y.is_short then y.o::text end as was, case when y.is_short then y.n::text end as became%6$s
                  from (select z.*, z.is_pair and pg_column_size(z.o) <= 16384 and pg_column_size(z.n) <= 16384 as is_short
                          from (select o.id = n.id is true as is_pair, n.id as record_id, %1$s as user_id, %2$s as o, %3$s as n, %4$s%5$s as unused
                                  from old_rows o full join new_rows n on o.id = n.id offset 0) z) y offset 0) x
         where not x.is_short or x.was <> x.became%7$s$q$, author, odoo_eventd.row_of('o', columns), odoo_eventd.row_of('n', columns),
                  case when columns = compared then ''
                       else format('%s as compared_o, %s as compared_n, ', odoo_eventd.row_of('o', compared), odoo_eventd.row_of('n', compared)) end,
                  unused,
                  case when columns = compared then '' else ', case when y.is_short then y.compared_o::text is distinct from y.compared_n::text end as differs' end,
                  case when columns = compared then '' else ' and x.differs' end) end
$$;
comment on function odoo_eventd.rows_as_text(text, name[], name[], text, text) is
  'A query for what a statement did to a table whose columns are told as one text, one captured_row for each record, as SQL text. It raises where that cannot be.';
revoke all on function odoo_eventd.rows_as_text(text, name[], name[], text, text) from public;

create or replace function odoo_eventd.one_row_by_values(operation text, of_columns integer, differs text, author text, is_short text, plain_new text, was text,
                                                         unused text) returns text
language sql immutable security definer set search_path = pg_catalog, pg_temp
as $$
  -- Of many columns each is compared once before anything is made of them. Of few columns a second statement costs more than it saves.
  select case when operation = 'INSERT' then format($body$
      select n.id, %1$s,
             case when %2$s then
             %3$s end,
             %4$s
        into strict record_no, by_user, became, unused
        from new_rows n;$body$, author, is_short, plain_new, unused)
  when of_columns > 16 then format($body$
      select o.id = n.id, n.id, %2$s,
             %1$s,
             %6$s
        into strict is_one, record_no, by_user, differs, unused
        from old_rows o, new_rows n;
      if is_one and not differs then
        return null;
      end if;
      if is_one then
        select case when %3$s then
                 %4$s end,
               %5$s
          into strict became, was
          from old_rows o, new_rows n;
      end if;$body$, differs, author, is_short, plain_new, was, unused)
  else format($body$
      select o.id = n.id, n.id, %2$s,
             %1$s,
             case when (%1$s) and %3$s then
               %4$s end,
             case when %1$s then
               %5$s end,
             %6$s
        into strict is_one, record_no, by_user, differs, became, was, unused
        from old_rows o, new_rows n;
      if is_one and not differs then
        return null;
      end if;$body$, differs, author, is_short, plain_new, was, unused) end
$$;
comment on function odoo_eventd.one_row_by_values(text, integer, text, text, text, text, text, text) is
  'What a trigger function does with an INSERT or UPDATE of one row whose columns are told one by one, as SQL text.';
revoke all on function odoo_eventd.one_row_by_values(text, integer, text, text, text, text, text, text) from public;

create or replace function odoo_eventd.capture_body(of_capture odoo_eventd.capture) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  installed odoo_eventd.installation;
  made odoo_eventd.capture_generation;
  is_of_links boolean := odoo_eventd.is_relation(of_capture);
  ring_table text;
  x record;
  author record;
  is_short text;
  still text; old_still text;
  never_old text; never_new text;
  may_append text; has_room text; room bigint;   -- of the outbox
  as_made text;                                  -- the generation, as literals
  as_row boolean;                                -- a row's columns are told as one text
  unused text;
  id_type text := case when odoo_eventd.is_relation(of_capture) then null else 'integer' end;
begin
  select * into strict installed from odoo_eventd.installation;
  if not installed.capture or of_capture.switched_off or not of_capture.active then
    return odoo_eventd.idle_body(of_capture);
  end if;
  select * into strict made from odoo_eventd.capture_generation g where g.generation = of_capture.generation;
  select format('odoo_eventd.outbox_%s', r.current) into strict ring_table from odoo_eventd.ring r;

  select coalesce(string_agg(e.differs, E'\n            or ' order by e.ord) filter (where e.name = any (made.compared)), 'false') as differs,
         odoo_eventd.image_of(array_agg(e.plain_new order by e.ord)) as plain_new,
         odoo_eventd.image_of(array_agg(e.was order by e.ord)) as was,
         string_agg(format(e.size, 'n'), ', ' order by e.ord) filter (where e.most_size = 16384) as texts,
         string_agg(format(e.size, 'n'), ', ' order by e.ord) filter (where e.most_size = 4096) as others
    into x
    from odoo_eventd.captured_expressions(of_capture.table_oid, made.columns, made.types, made.whole) e;
  is_short := odoo_eventd.is_short(x.texts, x.others);
  select * into author from odoo_eventd.written_by(of_capture.table_oid);
  -- Parsed and never run: an error once a column was dropped, renamed or retyped.
  select string_agg(format('odoo_eventd.is_still(n.%I, null::%s)', w.name, w.type), E'\n                    and ' order by w.ord),
         string_agg(format('odoo_eventd.is_still(o.%I, null::%s)', w.name, w.type), E'\n                    and ' order by w.ord)
    into still, old_still
    from unnest(made.columns, made.types) with ordinality w (name, type, ord);
  still := concat_ws(E'\n                    and ', 'true', still, case when is_of_links then null else author.still end);
  never_old := format('case when false then %s else true end', concat_ws(' and ', 'true', old_still));
  never_new := format('case when false then %s else true end', still);
  unused := format($q$case when false then ((%s)::text, (select nextval('odoo_eventd.outbox_id_seq'::regclass) from %s limit 1))::text end$q$, still, ring_table);
  as_row := not is_of_links and odoo_eventd.is_told_as_row(made.types);

  as_made := format('%L::name[], %L::text[], %L::name[], %L::name[], %L::boolean', made.columns, made.types, made.compared, made.whole, is_of_links);

  -- Sizes are counted as outbox_bytes() does; in here, for a call would cost more than the two sizes.
  room := odoo_eventd.outbox_room(installed, ring_table);
  may_append := format($check$has_table_privilege(to_regclass(%1$L), 'insert')
              and has_sequence_privilege(to_regclass('odoo_eventd.outbox_id_seq'), 'usage')$check$, ring_table);
  has_room := format($check$pg_relation_size(to_regclass(%L), 'main') + pg_relation_size(%s::oid::regclass, 'main') <= %s$check$,
                     ring_table, (select c.reltoastrelid from pg_class c where c.oid = to_regclass(ring_table)), room);

  -- No name of the table's shares a scope with ours: every column is named with its row, and where a variable and a column could be meant it
  -- is the variable. No comment holds a name from the catalogue.
  return format($body$
#variable_conflict use_variable
-- Made by odoo_eventd.sync_capture, generation %1$s. Do not edit: it is replaced when subscriptions change.
declare
  -- No variable begins with a value: that would be one expression more to be set up in each transaction.
  is_one    boolean;    -- one row, as most of Odoo's statements have
  is_hard   boolean;    -- not even the catalogue of this moment helps
  is_as_made boolean;   -- the table is what it was when this was made, as far as is known
  in_halves boolean;    -- what was and what is are written apart
  differs   boolean;
  how_many  bigint;     -- rows of the statement, more than a thousand counted as a thousand and one
  record_no bigint;
  by_user   integer;
  was       text[];
  became    text[];
  row_was   text;
  row_is    text;
  unused    text;
  gathered  odoo_eventd.captured_row[];
  unreadable name[];
  candidate name;
begin
  -- A copy of the database, under another name or restored elsewhere, stays silent.
  if current_database() <> %2$L or tg_relid <> %3$s then
    return null;
  end if;
$body$, of_capture.generation, installed.database_name, of_capture.table_oid)

  -- The values are made in here, where an error is no error of the user's statement, and written outside: a row written in here would take a
  -- subtransaction id for each captured statement.
  || case when is_of_links then $body$
  is_one := tg_op = 'TRUNCATE';
  is_as_made := true;
$body$ else format($body$
  -- Has anything to be captured? That is asked of one row only, in a plan as small as can be, for most writes change nothing that is watched.
  begin
    is_as_made := true;
    if tg_op = 'UPDATE' then
%1$s
    elsif tg_op = 'INSERT' then
%2$s
    end if;
    is_one := case tg_op when 'UPDATE' then is_one and became is not null when 'INSERT' then became is not null and record_no is not null else tg_op = 'TRUNCATE' end;
  exception
    when no_data_found then return null;
    when too_many_rows then is_one := false;
    when others then is_one := false; is_as_made := false; became := null;
  end;
$body$, case when as_row then odoo_eventd.one_row_as_text('UPDATE', made.columns, made.compared, author.written, unused)
             else odoo_eventd.one_row_by_values('UPDATE', cardinality(made.columns), x.differs, author.written, is_short, x.plain_new, x.was, unused) end,
        case when as_row then odoo_eventd.one_row_as_text('INSERT', made.columns, made.compared, author.created, unused)
             else odoo_eventd.one_row_by_values('INSERT', cardinality(made.columns), x.differs, author.created, is_short, x.plain_new, x.was, unused) end) end

  || format($body$
  if is_one is not true then
    is_one := false;
    is_hard := false;
    in_halves := false;
    unreadable := '{}';
    if tg_op = 'DELETE' then
      select count(*) into how_many from (select from old_rows limit 1001) few;
    else
      select count(*) into how_many from (select from new_rows limit 1001) few;
    end if;
    if how_many = 0 then
      return null;
    end if;
%4$s    begin
      if how_many > 1000 or in_halves and tg_op = 'UPDATE' or not is_as_made or gathered is not null then
        null;
      elsif tg_op = 'UPDATE' then
        gathered := array(select row(x.op, x.record_id, x.user_id, x.old, x.new)::odoo_eventd.captured_row from (
      %1$s) x where x.record_id is not null);
      elsif tg_op = 'INSERT' then
        gathered := array(select row(x.op, x.record_id, x.user_id, x.old, x.new)::odoo_eventd.captured_row from (
      %2$s) x where x.record_id is not null);
      else
        gathered := array(select row(x.op, x.record_id, x.user_id, x.old, x.new)::odoo_eventd.captured_row from (
      %3$s) x where x.record_id is not null);
      end if;
    exception when others then
      gathered := null;
    end;
$body$, (select q from odoo_eventd.rows_query(of_capture.table_oid, 'UPDATE', made.columns, made.compared, made.types, made.whole, id_type, old_still => never_old, new_still => never_new) q),
        (select q from odoo_eventd.rows_query(of_capture.table_oid, 'INSERT', made.columns, made.compared, made.types, made.whole, id_type, old_still => never_old, new_still => never_new) q),
        (select q from odoo_eventd.rows_query(of_capture.table_oid, 'DELETE', made.columns, made.compared, made.types, made.whole, id_type, old_still => never_old, new_still => never_new) q),
        -- Keys that cascade put one record into one statement as often as there are keys.
        case when is_of_links then E'    in_halves := true;\n' else $part$    begin
      if tg_op = 'UPDATE' then
        in_halves := exists (select from new_rows n group by n.id having count(*) > 1)
                     or exists (select from old_rows o group by o.id having count(*) > 1);
      end if;
    exception when others then
      is_as_made := false;
    end;
$part$ end
        || case when not as_row then '' else format($part$    begin
      if how_many > 1000 or in_halves or not is_as_made then
        null;
      elsif tg_op = 'UPDATE' then
        gathered := array(%s);
      elsif tg_op = 'INSERT' then
        gathered := array(%s);
      end if;
    exception when others then
      gathered := null;
    end;
$part$, odoo_eventd.rows_as_text('UPDATE', made.columns, made.compared, author.written, unused),
        odoo_eventd.rows_as_text('INSERT', made.columns, made.compared, author.created, unused)) end)
  || format($body$
    -- From the catalogue as it is now: columns were dropped, renamed or retyped, or one record is in the statement twice.
    if gathered is null and how_many <= 1000 then
      begin
        execute format('select array(select row(x.op, x.record_id, x.user_id, x.old, x.new)::odoo_eventd.captured_row from (%%s) x where x.record_id is not null)',
                       odoo_eventd.rows_query_now(tg_relid, tg_op, in_halves, unreadable, %1$s)) into gathered;
      exception when others then
        is_hard := true;
      end;
    end if;
  end if;
$body$, as_made)

  -- Every expression of a function is set up anew in each transaction, and a relation's size costs system calls: hence one condition,
  -- and a session that found room in the outbox looks again in one of 64 transactions, and after every larger statement.
  || format($body$
  if is_one and tg_op <> 'TRUNCATE'
     and has_table_privilege(%1$s::oid, 'insert') and has_sequence_privilege(%2$s::oid, 'usage')
     and current_setting('odoo_eventd.room_%3$s', true) = %4$L and txid_current() %% 64 <> 0
  then
    insert into %5$s (id, xid, generation, op, record_id, at, user_id, old, new)
    values (nextval('odoo_eventd.outbox_id_seq'), pg_current_xact_id(), %6$s, %12$s,
            record_no, now(), by_user, was, became);
  else
    -- Without an outbox to write to nothing is kept, and Odoo goes on; `odoo-eventd status` tells.
    if (%7$s) is not true then
      return null;
    end if;
    -- Nor is it when the outbox, with its long values (the second number), has outgrown its room. Who was not captured is noted, as
    -- long as that takes little room itself.
    if (%8$s) is not true then
      perform set_config('odoo_eventd.room_%3$s', '', false);
      if pg_relation_size(to_regclass('odoo_eventd.capture_overflow'), 'main') < 67108864
         and has_table_privilege(to_regclass('odoo_eventd.capture_overflow'), 'insert') then
        insert into odoo_eventd.capture_overflow (xid, capture_id, at) values (pg_current_xact_id(), %3$s, now());
      end if;
      return null;
    end if;
    perform set_config('odoo_eventd.room_%3$s', case when is_one and tg_op <> 'TRUNCATE' then %4$L else '' end, false);
    if tg_op = 'TRUNCATE' then
      insert into %5$s (id, xid, generation, op, record_id, at, user_id, old, new)
      values (nextval('odoo_eventd.outbox_id_seq'), pg_current_xact_id(), %6$s, 'T', 0, now(), null, null, null);
    elsif is_one then
      insert into %5$s (id, xid, generation, op, record_id, at, user_id, old, new)
      values (nextval('odoo_eventd.outbox_id_seq'), pg_current_xact_id(), %6$s, %12$s,
              record_no, now(), by_user, was, became);
    else
      -- More rows than are held in memory are written in here after all: one subtransaction id for a thousand rows.
      if gathered is null and not is_hard then
        begin
          execute format('insert into %5$s (id, xid, generation, op, record_id, at, user_id, old, new)
                          select nextval(''odoo_eventd.outbox_id_seq''), pg_current_xact_id(), %6$s, x.op, x.record_id, now(), x.user_id, x.old, x.new from (%%s) x where x.record_id is not null',
                         odoo_eventd.rows_query_now(tg_relid, tg_op, in_halves, unreadable, %10$s));
          get diagnostics how_many = row_count;
        exception when others then
          is_hard := true;
        end;
      end if;
      -- A value that cannot be made text, or a statement too large for what the session may use: what can be read is kept, pair by pair or apart.
      if is_hard then
        foreach candidate in array %9$L::name[] loop
          begin
            execute odoo_eventd.unreadable_columns_query(tg_relid, tg_op, candidate, candidate = any (%11$L::name[]));
          exception when others then
            unreadable := unreadable || candidate;
          end;
        end loop;
        begin
          execute format('insert into %5$s (id, xid, generation, op, record_id, at, user_id, old, new)
                          select nextval(''odoo_eventd.outbox_id_seq''), pg_current_xact_id(), %6$s, x.op, x.record_id, now(), x.user_id, x.old, x.new from (%%s) x where x.record_id is not null',
                         odoo_eventd.rows_query_now(tg_relid, tg_op, in_halves or how_many > 1000, unreadable, %10$s));
        exception when others then
          begin
            execute format('insert into %5$s (id, xid, generation, op, record_id, at, user_id, old, new)
                            select nextval(''odoo_eventd.outbox_id_seq''), pg_current_xact_id(), %6$s, x.op, x.record_id, now(), x.user_id, x.old, x.new from (%%s) x where x.record_id is not null',
                           odoo_eventd.rows_query_now(tg_relid, tg_op, true, %9$L, %10$s));
          exception when others then
            insert into odoo_eventd.capture_overflow (xid, capture_id, at, reason)
            values (pg_current_xact_id(), %3$s, now(), format('a write could not be captured: %%s', sqlstate));
          end;
        end;
      elsif gathered is not null then
        insert into %5$s (id, xid, generation, op, record_id, at, user_id, old, new)
        select nextval('odoo_eventd.outbox_id_seq'), pg_current_xact_id(), %6$s, (x.kept).op, (x.kept).record_id, now(), (x.kept).user_id, (x.kept).old, (x.kept).new
          from (select unnest(gathered) as kept) x;
        get diagnostics how_many = row_count;
      end if;
    end if;
  end if;
$body$, to_regclass(ring_table)::oid, to_regclass('odoo_eventd.outbox_id_seq')::oid, of_capture.capture_id,
        format('%s in %s', room, ring_table), ring_table, of_capture.generation, may_append, has_room, made.columns, as_made, made.whole,
        case when as_row then $q$'R'::"char"$q$ else $q$case when tg_op = 'UPDATE' then 'U'::"char" else 'I'::"char" end$q$ end)

  || odoo_eventd.doorbell(installed)

  || E'  return null;\nend ';
end $$;
comment on function odoo_eventd.capture_body(odoo_eventd.capture) is 'The body of a table''s trigger function, as SQL text.';

create or replace function odoo_eventd.capture_comment(of_capture odoo_eventd.capture) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
as $$
  -- The columns that tell who wrote a row are in the body, and in no generation.
  select format('Captures writes to %s for odoo-eventd. Stamps: %s', of_capture.model, md5(concat_ws(' ', w.created, w.written, w.still)))
    from odoo_eventd.written_by(of_capture.table_oid) w
$$;
comment on function odoo_eventd.capture_comment(odoo_eventd.capture) is 'What a trigger function that is as its table is has for a comment.';

create or replace function odoo_eventd.has_other_stamps(of_capture odoo_eventd.capture) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select of_capture.active and odoo_eventd.capture_comment(of_capture) is distinct from
         obj_description(to_regprocedure(format('odoo_eventd.%I()', odoo_eventd.capture_function_name(of_capture.model))), 'pg_proc')
$$;
comment on function odoo_eventd.has_other_stamps(odoo_eventd.capture) is
  'Whether the columns that tell who wrote a row came, went or were retyped since the trigger function was made.';
revoke all on function odoo_eventd.capture_comment(odoo_eventd.capture) from public;
revoke all on function odoo_eventd.has_other_stamps(odoo_eventd.capture) from public;

create or replace function odoo_eventd.replace_capture_function(of_capture odoo_eventd.capture) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  pinned text;
begin
  -- Values are kept as text, so what shapes the text must not depend on the writer's session. Pinned where it matters only: each
  -- setting costs every call about a microsecond. JIT costs a hundred times what it could save here.
  select string_agg(' set ' || v.setting, '') into pinned
    from (values ('date|time|^ts', $pin$datestyle = 'ISO, YMD'$pin$), ('with time zone|^tstz', $pin$timezone = 'UTC'$pin$),
                 ('^interval', $pin$intervalstyle = 'postgres'$pin$), ('^(double|real|point|line|lseg|box|path|polygon|circle)', 'extra_float_digits = 1'),
                 ('^money', $pin$lc_monetary = 'C'$pin$), ('^bytea[[]', $pin$bytea_output = 'hex'$pin$)) v (of_type, setting)
   where exists (select from odoo_eventd.capture_generation g cross join unnest(g.types) t cross join odoo_eventd.type_facts(t) f
                  where g.generation = of_capture.generation
                    and (format_type(f.base, null) ~ v.of_type or not f.is_ours_to_print and (select y.typtype <> 'e' from pg_type y where y.oid = f.base)));
  execute format('create or replace function odoo_eventd.%I() returns trigger language plpgsql security definer '
                 'set search_path = pg_catalog, pg_temp set jit = off%s as %L',
                 odoo_eventd.capture_function_name(of_capture.model), pinned,
                 odoo_eventd.capture_body(of_capture));
  execute format('revoke all on function odoo_eventd.%I() from public', odoo_eventd.capture_function_name(of_capture.model));
  execute format('comment on function odoo_eventd.%I() is %L', odoo_eventd.capture_function_name(of_capture.model),
                 odoo_eventd.capture_comment(of_capture));
end $$;
comment on function odoo_eventd.replace_capture_function(odoo_eventd.capture) is 'Puts a table''s trigger function into force.';

create or replace function odoo_eventd.renew_generation(of_capture odoo_eventd.capture) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  renewed odoo_eventd.capture := of_capture;
begin
  -- What older functions wrote is read as they wrote it.
  insert into odoo_eventd.capture_generation (capture_id, columns, types, compared, whole)
    select g.capture_id, g.columns, g.types, g.compared, g.whole
      from odoo_eventd.capture_generation g where g.generation = of_capture.generation and g.format < 2
  returning generation into renewed.generation;
  if found then
    update odoo_eventd.capture c set generation = renewed.generation where c.capture_id = of_capture.capture_id returning * into renewed;
  else
    renewed := of_capture;
  end if;
  perform odoo_eventd.replace_capture_function(renewed);
end $$;
comment on function odoo_eventd.renew_generation(odoo_eventd.capture) is 'Puts a table''s trigger function into force as it is written now.';

create or replace function odoo_eventd.rename_capture_functions() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  known record;
begin
  -- Earlier installations named them so that two models could meet in one. A trigger goes on calling its function under the new name.
  for known in
    select odoo_eventd.capture_function_name(c.model) as new_name,
           (case when length(c.model) <= 50 then 'capture_' || replace(c.model, '.', '_')
                 else 'capture_' || left(replace(c.model, '.', '_'), 40) || '_' || left(md5(c.model), 8) end)::name as old_name
      from odoo_eventd.capture c
      join pg_trigger t on t.tgrelid = c.table_oid and t.tgname = 'odoo_eventd_insert'
      join pg_proc p on p.oid = t.tgfoid and p.pronamespace = 'odoo_eventd'::regnamespace
     where odoo_eventd.capture_function_name(c.model) <> p.proname
     order by c.capture_id
  loop
    if to_regprocedure(format('odoo_eventd.%I()', known.new_name)) is null and to_regprocedure(format('odoo_eventd.%I()', known.old_name)) is not null then
      execute format('alter function odoo_eventd.%I() rename to %I', known.old_name, known.new_name);
    end if;
  end loop;
end $$;
comment on function odoo_eventd.rename_capture_functions() is 'Gives trigger functions of earlier installations their names.';
revoke all on function odoo_eventd.renew_generation(odoo_eventd.capture) from public;
revoke all on function odoo_eventd.rename_capture_functions() from public;

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
     or made.compared <> wanted_compared or made.whole <> wanted_whole or made.types <> wanted_types or odoo_eventd.has_other_stamps(known)
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
  return case when exists (select from odoo_eventd.captured_column cc where cc.capture_id = known.capture_id and cc.captured_from is null)
              then 'changed' when repaired then 'repaired' else 'unchanged' end;
end $$;
comment on function odoo_eventd.sync_capture(text, integer) is
  'Makes a model''s capture what its active subscriptions need. Raises lock_not_available if the table is busy: try again.';

create or replace function odoo_eventd.settle_gaps() returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  -- In a transaction after the one that switched capture on: whoever has no transaction id yet will see the function at its first write.
  update odoo_eventd.capture_gap g set until = pg_snapshot_xmax(pg_current_snapshot()) where g.until is null and g.ended_at < now();
end $$;
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
  'The emergency switch: capture of one model, or of all, on or off. Locks no table: select odoo_eventd.switch_capture(false); After switching on: select odoo_eventd.settle_capture(); in a transaction of its own; else what is written until the service looks is not judged.';

-- Only the capture functions call these, and they are the owner's.
revoke all on function odoo_eventd.is_still(anyelement, anyelement) from public;
revoke all on function odoo_eventd.kept_value(text, boolean) from public;
revoke all on function odoo_eventd.pinned_text(anyelement) from public;
revoke all on function odoo_eventd.type_facts(text) from public;
revoke all on function odoo_eventd.printed(text, boolean) from public;
revoke all on function odoo_eventd.is_short(text, text) from public;
revoke all on function odoo_eventd.image_of(text[]) from public;
revoke all on function odoo_eventd.triggers_of_capture() from public;
