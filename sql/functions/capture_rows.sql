-- Purpose: what a statement did to a table, as SQL text over its transition tables: one row's changes or many's, each row as one
-- text or value by value, in the columns as they were when a function was made or as they are now.
--
-- Locks: none; they read the catalogue.

create or replace function odoo_eventd.rows_query(of_table oid, operation text, of_columns name[], compared name[],
  of_types text[], of_whole name[],
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
                     -- By its output function: a cast to text may be another's code.
                     else $q$case when concat(%1$s.id) ~ '^-?[0-9]{1,18}$' then concat(%1$s.id)::bigint end$q$ end;
  id_is text := case when id_type in ('smallint', 'integer', 'bigint') then '%s.id' else 'nullif(concat(%s.id), '''')' end;
begin
  select coalesce(string_agg(x.differs, E'\n            or ' order by x.ord) filter (where x.name = any (compared)), 'false')
    as differs,
         odoo_eventd.image_of(array_agg(x.plain_old order by x.ord)) as plain_old,
           odoo_eventd.image_of(array_agg(x.plain_new order by x.ord)) as plain_new,
         odoo_eventd.image_of(array_agg(x.tagged_old order by x.ord)) as tagged_old,
           odoo_eventd.image_of(array_agg(x.tagged_new order by x.ord)) as tagged_new,
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
  from_new := format($q$select case when %1$s then 'I' else 'i' end::"char" as op, %2$s as record_id, %3$s as user_id,
    null::text[] as old,
             case when %1$s then %4$s
             else %5$s end as new
        from new_rows n where %6$s$q$, is_short_new, format(id_of, 'n'), author.created, e.plain_new, e.tagged_new,
          coalesce(new_still, 'true'));
  from_old := format($q$select case when %1$s then 'D' else 'd' end::"char" as op, %2$s as record_id, %5$s as user_id,
             case when %1$s then %3$s
             else %4$s end as old, null::text[] as new
        from old_rows o where %6$s$q$, is_short_old, format(id_of, 'o'), e.plain_old, e.tagged_old,
        -- Nobody wrote the row, so nobody's id is in it; a writer may say who it is by SET LOCAL mcp.uid. Read as text, never
        -- trusted.
        case when id_type is null or operation = 'UPDATE' then 'null::integer'
             else $q$substring(current_setting('mcp.uid', true) from '^[0-9]{1,9}$')::integer$q$ end,
               coalesce(old_still, 'true'));
  if operation = 'INSERT' then
    return from_new;
  elsif operation = 'DELETE' then
    return from_old;
  elsif in_halves or id_type is null then
    -- What was and what is, apart: who folds them needs no pairs.
    return from_old || E'\n      union all\n      ' || from_new;
  end if;
  -- FULL JOIN: an UPDATE of the id takes one record away and makes another. It also rules a nested loop out: the plan is kept,
  -- and one made for few rows must serve a thousand.
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
    is_short_new, is_short_old, format(id_of, 'n'), format(id_of, 'o'), author.created, author.written, e.was, e.plain_old,
      e.tagged_old, e.plain_new, e.tagged_new,
    format(id_is, 'n'), format(id_is, 'o'), e.differs, coalesce(new_still, 'true'));
end $$;
comment on function odoo_eventd.rows_query(oid, text, name[], name[], text[], name[], text, boolean, name[], name[], text, text)
  is
  'What a statement did to a table, one row for each record: op, record_id, user_id, old, new. SQL text over old_rows and '
  'new_rows. Upper case ops have the values as they are (but for the old ones of an update), lower case ones have each value '
  'tagged.';

-- For a table whose columns are no longer what they were, and for statements of many rows: from the catalogue as it is at that
-- moment.
drop function if exists odoo_eventd.rows_query_now(bigint, oid, text, boolean, name[]);
create or replace function odoo_eventd.rows_query_now(of_table oid, operation text, in_halves boolean, unreadable name[],
                                                      of_columns name[], of_types text[], compared name[], of_whole name[],
                                                        is_of_links boolean)
returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
as $$
declare
  types_now text[];
  retyped jsonb;
  id_type text;
  gathers text;
begin
  -- The generation is told, not looked up: a transaction whose snapshot is older than the generation does not see its row, and
  -- Odoo's transactions have one snapshot from their first statement to their end.
  select array_agg(format_type(a.atttypid, a.atttypmod) order by w.ord),
         jsonb_object_agg(w.name, format_type(a.atttypid, a.atttypmod))
           filter (where format_type(a.atttypid, a.atttypmod) <> w.type)
    into types_now, retyped
    from unnest(of_columns, of_types) with ordinality w (name, type, ord)
    left join pg_attribute a on a.attrelid = of_table and a.attname = w.name and a.attnum > 0 and not a.attisdropped;
  select format_type(a.atttypid, null) into id_type
    from pg_attribute a where a.attrelid = of_table and a.attname = 'id' and not a.attisdropped;
  if id_type is null and not is_of_links then
    raise exception 'the table has no id';
  end if;
  gathers := odoo_eventd.rows_query(of_table, operation, of_columns, compared, types_now, of_whole, id_type, in_halves,
    unreadable,
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
create or replace function odoo_eventd.unreadable_columns_query(of_table oid, operation text, of_column name,
  is_whole boolean) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set quote_all_identifiers = off
as $$
declare
  e record;
begin
  select x.* into e
    from pg_attribute a, odoo_eventd.captured_expressions(
           of_table, array[of_column], array[format_type(a.atttypid, a.atttypmod)], case when is_whole then array[of_column]
             else '{}' end) x
   where a.attrelid = of_table and a.attname = of_column and not a.attisdropped;
  return 'select ' || concat_ws(', ', case when operation in ('UPDATE', 'DELETE')
    then format('(select count(%s) from old_rows o)', coalesce(e.tagged_old, '1')) end,
                                case when operation in ('UPDATE', 'INSERT')
                                  then format('(select count(%s) from new_rows n)', coalesce(e.tagged_new, '1')) end);
end $$;
comment on function odoo_eventd.unreadable_columns_query(oid, text, name, boolean)
  is 'Fails where a column''s values cannot be made text: one over a gigabyte, a type whose output function raises.';

drop function if exists odoo_eventd.one_updated_row(integer, text, text, text, text, text, text, text);
create or replace function odoo_eventd.row_of(row_name text, columns name[]) returns text
language sql immutable security definer set search_path = pg_catalog, pg_temp
as $$ select format('row(%s)', string_agg(format('%s.%I', row_name, c), ', ' order by ord))
  from unnest(columns) with ordinality u (c, ord) $$;
comment on function odoo_eventd.row_of(text, name[]) is 'These columns of a row as one value, as SQL text.';
revoke all on function odoo_eventd.row_of(text, name[]) from public;

create or replace function odoo_eventd.pair_of(columns name[], compared name[], author text, unused text) returns text
language sql immutable security definer set search_path = pg_catalog, pg_temp
as $$
  select format('o.id = n.id is true as is_pair, n.id as record_no, %s as by_user, %s as o, %s as n, %s%s as unused',
                author, odoo_eventd.row_of('o', columns), odoo_eventd.row_of('n', columns),
                case when columns <> compared
                     then format('%s as compared_o, %s as compared_n, ', odoo_eventd.row_of('o', compared),
                       odoo_eventd.row_of('n', compared)) end,
                unused)
$$;
comment on function odoo_eventd.pair_of(name[], name[], text, text) is
  'What is selected of an old row o and a new row n for pair_differs() and for their texts, as SQL text.';
revoke all on function odoo_eventd.pair_of(name[], name[], text, text) from public;

create or replace function odoo_eventd.pair_differs(pair text, columns name[], compared name[]) returns text
language sql immutable security definer set search_path = pg_catalog, pg_temp
as $$
  -- Byte by byte, before a text is made of either: most writes change nothing that is watched, and a text may be long, or become
  -- long, however small its value is on disk.
  select format(case when columns = compared then '%1$s.o operator(pg_catalog.*<>) %1$s.n'
                     else '%1$s.compared_o operator(pg_catalog.*<>) %1$s.compared_n' end, pair)
$$;
comment on function odoo_eventd.pair_differs(text, name[], name[])
  is 'Whether what is watched of a pair of rows differs, as SQL text; see pair_of().';
revoke all on function odoo_eventd.pair_differs(text, name[], name[]) from public;

create or replace function odoo_eventd.one_row_as_text(operation text, columns name[], compared name[], author text,
  is_elsewhere text, unused text) returns text
language sql immutable security definer set search_path = pg_catalog, pg_temp
as $$
  -- Odoo's pool resets its sessions (DISCARD ALL), so the plans are made anew in most transactions, and what a plan costs grows
  -- with its expressions and with its levels: here a column is nothing but its name.
  select case when operation = 'INSERT' then format($body$
      select x.record_no, x.by_user, case when pg_column_size(x.n) <= 16384 then x.n::text end, x.unused
        into strict record_no, by_user, row_is, unused
        from (select n.id as record_no, %1$s as by_user, %2$s as n, %3$s as unused
                from new_rows n offset 0) x;
      if %4$s then
        is_one := null;
      else
        is_one := (octet_length(row_is) <= 16384) is true and record_no is not null;
        became := array[row_is];
      end if;$body$, author, odoo_eventd.row_of('n', columns), unused, is_elsewhere)
  else format($body$
      select x.is_pair, x.record_no, x.by_user, %2$s, case when %2$s and %3$s then x.o::text end, case when %2$s and %3$s
        then x.n::text end, x.unused
        into strict is_one, record_no, by_user, differs, row_was, row_is, unused
        from (select %1$s
                from old_rows o, new_rows n offset 0) x;
      if is_one and not differs or %4$s then
        is_one := null;
      elsif is_one then
        is_one := (octet_length(row_was) <= 16384 and octet_length(row_is) <= 16384) is true;
        was := array[row_was];
        became := array[row_is];
      end if;$body$, odoo_eventd.pair_of(columns, compared, author, unused), odoo_eventd.pair_differs('x', columns, compared),
                  'pg_column_size(x.o) <= 16384 and pg_column_size(x.n) <= 16384', is_elsewhere) end
$$;
comment on function odoo_eventd.one_row_as_text(text, name[], name[], text, text, text) is
  'What a trigger function does with an INSERT or UPDATE of one row whose columns are told as one text, as SQL text.';
revoke all on function odoo_eventd.one_row_as_text(text, name[], name[], text, text, text) from public;

create or replace function odoo_eventd.rows_as_text(operation text, columns name[], compared name[], author text,
  unused text) returns text
language sql immutable security definer set search_path = pg_catalog, pg_temp
as $$
  select case when operation = 'INSERT' then format($q$select case when octet_length(x.became) <= 16384
                 then row('R', x.record_id, x.user_id, null, array[x.became])::odoo_eventd.captured_row
                   else odoo_eventd.row_is_long() end
          from (select y.record_id, y.user_id, case when pg_column_size(y.n) <= 16384 then y.n::text end as became
                  from (select n.id as record_id, %1$s as user_id, %2$s as n, %3$s as unused
                    from new_rows n offset 0) y offset 0) x
         where x.record_id is not null$q$, author, odoo_eventd.row_of('n', columns), unused)
  -- FULL JOIN rules a nested loop out: the plan is kept, and one made for few rows must serve a thousand.
  else format($q$select case when octet_length(x.was) <= 16384 and octet_length(x.became) <= 16384
                 then row('R', x.record_no, x.by_user, array[x.was], array[x.became])::odoo_eventd.captured_row
                   else odoo_eventd.row_is_long() end
          from (select y.record_no, y.by_user, case when y.is_short then y.o::text end as was, case when y.is_short
            then y.n::text end as became
                  from (select z.*, z.is_pair and pg_column_size(z.o) <= 16384 and pg_column_size(z.n) <= 16384 as is_short
                          from (select %1$s
                                  from old_rows o full join new_rows n on o.id = n.id offset 0) z
                         where not z.is_pair or %2$s) y offset 0) x$q$,
                  odoo_eventd.pair_of(columns, compared, author, unused), odoo_eventd.pair_differs('z', columns, compared)) end
$$;
comment on function odoo_eventd.rows_as_text(text, name[], name[], text, text) is
  'A query for what a statement did to a table whose columns are told as one text, one captured_row for each record, as SQL '
  'text. It raises where that cannot be.';
revoke all on function odoo_eventd.rows_as_text(text, name[], name[], text, text) from public;

create or replace function odoo_eventd.one_row_by_values(operation text, of_columns integer, differs text, author text,
  is_short text, plain_new text, was text,
                                                         is_elsewhere text, unused text) returns text
language sql immutable security definer set search_path = pg_catalog, pg_temp
as $$
  -- Of many columns each is compared once before anything is made of them. Of few columns a second statement costs more than it
  -- saves.
  select case when operation = 'INSERT' then format($body$
      select case when %5$s then null else true end, n.id, %1$s,
             case when %2$s then
             %3$s end,
             %4$s
        into strict is_one, record_no, by_user, became, unused
        from new_rows n;
      if became is null or record_no is null then
        is_one := false;
      end if;$body$, author, is_short, plain_new, unused, is_elsewhere)
  when of_columns > 16 then format($body$
      select o.id = n.id is true, n.id, %2$s,
             %1$s,
             %6$s
        into strict is_one, record_no, by_user, differs, unused
        from old_rows o, new_rows n;
      if is_one and not differs or %7$s then
        is_one := null;
      elsif is_one then
        select case when %3$s then
                 %4$s end,
               %5$s
          into strict became, was
          from old_rows o, new_rows n;
        is_one := became is not null;
      end if;$body$, differs, author, is_short, plain_new, was, unused, is_elsewhere)
  else format($body$
      select o.id = n.id is true, n.id, %2$s,
             %1$s,
             case when (%1$s) and %3$s then
               %4$s end,
             case when %1$s then
               %5$s end,
             %6$s
        into strict is_one, record_no, by_user, differs, became, was, unused
        from old_rows o, new_rows n;
      if is_one and not differs or %7$s then
        is_one := null;
      elsif became is null then
        is_one := false;
      end if;$body$, differs, author, is_short, plain_new, was, unused, is_elsewhere) end
$$;
comment on function odoo_eventd.one_row_by_values(text, integer, text, text, text, text, text, text, text) is
  'What a trigger function does with an INSERT or UPDATE of one row whose columns are told one by one, as SQL text.';
revoke all on function odoo_eventd.one_row_by_values(text, integer, text, text, text, text, text, text, text) from public;
