-- Purpose: how a column's value becomes text, and when two of them differ: the expressions that capture functions are written
-- with, and the functions that they call.
--
-- Locks: none; they read the catalogue.
--
-- No text from outside enters the SQL built here: names come from the catalogue, checked against Odoo's own metadata, and are
-- quoted by format('%I').

create or replace function odoo_eventd.is_still(anyelement, anyelement) returns boolean
language sql immutable security definer set search_path = pg_catalog, pg_temp
as $$ select true $$;
comment on function odoo_eventd.is_still(anyelement, anyelement) is
  'Never run: a call with two types is an error where it is parsed, which is how a capture function finds out that a column was '
  'retyped.';
revoke all on function odoo_eventd.is_still(anyelement, anyelement) from public;

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
  'A value with the character before it that tells what is kept: = the value itself, # its SHA-256, ~ another digest of one '
  'over 64 MiB. More than 16 KiB of text is kept as a digest, and where the value itself is needed more than 1 MiB.';
revoke all on function odoo_eventd.kept_value(text, boolean) from public;

create or replace function odoo_eventd.pinned_text(value anyelement) returns text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp set datestyle = 'ISO, YMD' set timezone = 'UTC' set intervalstyle = 'postgres'
  set extra_float_digits = 1
set bytea_output = 'hex' set lc_monetary = 'C'
as $$
begin
  return case when value is distinct from null then concat(value) end;
end $$;
comment on function odoo_eventd.pinned_text(anyelement)
  is 'A value as text, whatever the session''s settings: slow, and so for types of which nothing better is known.';
revoke all on function odoo_eventd.pinned_text(anyelement) from public;

create or replace function odoo_eventd.type_facts(type_name text, out base oid, out is_ours_to_print boolean, out is_text boolean,
  out is_short boolean,
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
  -- What another made is printed by its output function alone: a cast to text of his would run with the owner's rights. So would
  -- its operators.
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
                 where o.opcdefault and o.opcintype = case when element = 'varchar'::regtype then 'text'::regtype
                   else element end);
end $$;
comment on function odoo_eventd.type_facts(text) is
  'What capture must know of a type: printed and compared by PostgreSQL''s own functions or not, text, never long, comparable. '
  'Domains count as what they are made of.';
revoke all on function odoo_eventd.type_facts(text) from public;

create or replace function odoo_eventd.printed(value text, is_ours_to_print boolean) returns text
language sql immutable security definer set search_path = pg_catalog, pg_temp
as $$
  -- SQL in, SQL out.
  select case when is_ours_to_print then format('%s::text', value)
              else format('case when %1$s is distinct from null then concat(%1$s) end', value) end
$$;
comment on function odoo_eventd.printed(text, boolean)
  is 'The expression that makes a value text, by functions of PostgreSQL''s own only; see type_facts().';
revoke all on function odoo_eventd.printed(text, boolean) from public;

create or replace function odoo_eventd.is_short(texts text, others text) returns text
language sql immutable security definer set search_path = pg_catalog, pg_temp
as $$
  -- GREATEST passes over nulls, and takes as many as there are columns.
  select coalesce(nullif(concat_ws(' and ', 'coalesce(greatest(' || texts || '), 0) <= 16384',
    'coalesce(greatest(' || others || '), 0) <= 4096'), ''), 'true')
$$;
comment on function odoo_eventd.is_short(text, text) is
  'The condition that no value of a row is long, as SQL text, of the lengths of its texts and of its other values, listed with '
  'commas.';
revoke all on function odoo_eventd.is_short(text, text) from public;

create or replace function odoo_eventd.captured_expressions(of_table oid, columns name[], types text[], whole name[],
  unreadable name[] default '{}',
                                                            pinned name[] default '{}')
returns table (name name, ord bigint, type_name text, differs text, size text, most_size integer, plain_old text, plain_new text,
  tagged_old text, tagged_new text,
               was text)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  f record;
  exact boolean;
  o text; n text;
begin
  -- In one statement, and a type's facts once for all its columns: between DDL and the next look every statement of a writer
  -- comes by here.
  for f in
    select c.name, c.type, c.ord, c.name = any (whole) as is_whole, c.name = any (unreadable) as is_unreadable,
      c.name = any (pinned) as is_pinned, t.*,
           exists (select from pg_attribute a join pg_collation l on l.oid = a.attcollation
                    where a.attrelid = of_table and a.attname = c.name and not a.attisdropped and not l.collisdeterministic)
                      as has_vague_collation
      from unnest(columns, types) with ordinality c (name, type, ord)
      left join (select d.type as of_type, y.* from (select distinct unnest(types)) d (type) cross
        join odoo_eventd.type_facts(d.type) y) t
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
      size := format(case when f.is_text then 'octet_length(%s)' else 'pg_column_size(%s)' end,
        '%1$s.' || replace(quote_ident(f.name), '%', '%%'));
      most_size := case when f.is_text then 16384 else 4096 end;
    end if;
    was := case when f.is_unreadable or size is null then tagged_old
                else format($q$case when %s <= %s then '=' || %s else %s end$q$, format(size, 'o'), most_size, plain_old,
                  tagged_old) end;
    was := format($q$case when %s then coalesce(%s, '') end$q$, differs, was);
    return next;
  end loop;
end $$;
comment on function odoo_eventd.captured_expressions(oid, name[], text[], name[], name[], name[]) is
  'The SQL for each column of an old row o and a new row n: whether it differs, its length where it can be long, its value as '
  'it is and tagged (kept_value), and for the old image of an update: null = unchanged, empty = was NULL, else tagged. A column '
  'without a type is gone.';

create or replace function odoo_eventd.image_of(expressions text[]) returns text
language sql immutable security definer set search_path = pg_catalog, pg_temp
as $$ select format(E'array[%s]::text[]', array_to_string(expressions, E',\n               ')) $$;
comment on function odoo_eventd.image_of(text[]) is 'An image, as SQL text.';
revoke all on function odoo_eventd.image_of(text[]) from public;

create or replace function odoo_eventd.is_told_as_row(types text[]) returns boolean
language sql immutable security definer set search_path = pg_catalog, pg_temp
as $$
  -- Of these types a value's text as it stands in a row's is the value cast to text (but for booleans: t and f), and two texts
  -- are of one value only where they are the same or whoever reads them can tell: zeros behind the point of a number. Of few
  -- columns an expression each costs no more, and the outbox is read more easily.
  select cardinality(types) > 16
     and (select bool_and(t ~ '^(boolean|smallint|integer|bigint|real|double precision|text|date|uuid|json|jsonb|character varying([(][0-9]+[)])?'
                              '|numeric([(][0-9,-]+[)])?|time(stamp)?([(][0-9][)])? with(out)? time '
                              'zone)$') is true from unnest(types) t)
$$;
comment on function odoo_eventd.is_told_as_row(text[])
  is 'Whether columns of these types are told as the text of one row (op R), which costs a plan little however many they are.';

create or replace function odoo_eventd.row_is_long() returns odoo_eventd.captured_row
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$ begin raise exception 'a row is too long to be told as one text, or is not one of a pair'; end $$;
comment on function odoo_eventd.row_is_long()
  is 'Raises: a statement in which a row is long, or changes its id, is told value by value.';
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
         coalesce(string_agg(format('odoo_eventd.is_still(n.%I, null::%s)', a.attname, format_type(a.atttypid, null)), ' and '),
           'true')
    from pg_attribute a
   where a.attrelid = of_table and not a.attisdropped
     and (a.attname, a.atttypid) in (values ('create_date'::name, 'timestamp'::regtype::oid), ('create_uid', 'integer'::regtype),
                                            ('write_date', 'timestamp'::regtype), ('write_uid', 'integer'::regtype))
$$;
comment on function odoo_eventd.written_by(oid)
  is 'The expressions that tell who created and who wrote a new row n, and one that is an error once their columns are retyped.';
