-- Purpose: the subscriptions and the log as an Odoo add-on can map them (`_auto = False`, `_table =
-- 'mcp_event_subscription_view'`): Odoo has no fields for arrays, jsonb, uuid and interval, so these are text here, arrays with
-- commas in between.
-- Locks: rows of the tables behind the views. A view is made only where it is missing or its table has got new columns; a
-- migration that changes or drops a column drops the view first.

create or replace function odoo_eventd.write_through_view() returns trigger
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  of_table constant text := format('public.%I', tg_argv[0]);
  of_view constant text := format('public.%I', tg_table_name);
  was constant jsonb := case when tg_op <> 'INSERT' then to_jsonb(old) end;
  given constant jsonb := case when tg_op <> 'DELETE' then to_jsonb(new) end;
  names text[];
  contents text[];
  written record;
begin
  -- A trigger that somebody else made with this function would write to a table of his choice, with the owner's rights.
  if tg_table_schema <> 'public' or tg_argv[0] not in ('mcp_event_subscription', 'mcp_webhook_delivery')
    or tg_table_name <> tg_argv[0] || '_view' then
    raise exception 'this function serves the views of odoo-eventd alone' using errcode = 'insufficient_privilege';
  end if;
  if tg_op = 'DELETE' then
    execute format('delete from %s t where t.id = ($1).id and t.create_date = ($1).create_date returning t.id', of_table)
      into written using old;
    return case when written.id is not null then old end;
  end if;
  -- What was not given, or emptied, gets the table's default. What did not change is left alone. Odoo writes NULL for an empty
  -- field, but reads an empty number as 0, and its copy(), its forms and its imports write that back: 0 is none wherever it is no
  -- setting, which is so for all numbers of a subscription. A text that holds none of our types' values is none too.
  select array_agg(format('%I', c.name) order by c.number),
         array_agg(case when given -> c.name = 'null' or c.zero_is_none and given -> c.name = '0' or c.blank_is_none
           and given -> c.name = '""'
                          then case when c.is_required then 'default' else 'null' end
                        -- A list of paths has commas inside of braces too; an element may hold several paths.
                        when c.name in ('payload_fields', 'enrich_fields')
                          then format('array_remove(array[btrim(($1).%I)], %L)', c.name, '')
                        when c.is_array then
                          format('(select coalesce(array_agg(btrim(u.item) order by u.place), %2$L)
                                   from unnest(string_to_array(($1).%1$I, %3$L)) with ordinality u (item, place) where btrim(u.item) <> %4$L)::%5$s',
                                 c.name, '{}', ',', '', c.type_name)
                        else format('($1).%I::%s', c.name, c.type_name) end order by c.number)
    into names, contents
    from (select a.attname::text, a.attnum, a.attnotnull, t.typcategory = 'A', format_type(a.atttypid, a.atttypmod),
                 t.typcategory = 'N' and a.attname <> 'id' and tg_argv[0] = 'mcp_event_subscription',
                   t.typname in ('jsonb', 'uuid', 'interval')
            from pg_attribute a join pg_type t on t.oid = a.atttypid
           where a.attrelid = of_table::regclass and a.attnum > 0 and not a.attisdropped) c (name, number, is_required, is_array,
             type_name, zero_is_none, blank_is_none)
   where given ? c.name
     and case when tg_op = 'INSERT' then given -> c.name <> 'null' else given -> c.name is distinct from was -> c.name end;
  if tg_op = 'INSERT' then
    execute format('insert into %s %s returning id, create_date', of_table,
                   coalesce('(' || array_to_string(names, ', ') || ') values (' || array_to_string(contents, ', ') || ')',
                     'default values'))
      into written using new;
  elsif names is not null then
    execute format('update %s t set %s where t.id = ($2).id and t.create_date = ($2).create_date returning t.id, t.create_date',
      of_table,
                   (select string_agg(u.name || ' = ' || u.content, ', ') from unnest(names, contents) u (name, content)))
      into written using new, old;
  else
    written := old;
  end if;
  -- Deleted meanwhile.
  if written.id is null then
    return null;
  end if;
  -- For RETURNING: with defaults, and with what the table's own triggers made of it.
  execute format('select v.* from %s v where v.id = $1 and v.create_date = $2', of_view)
    into new using written.id, written.create_date;
  return new;
end $$;
revoke all on function odoo_eventd.write_through_view() from public;
comment on function odoo_eventd.write_through_view() is
  'Lets the views of subscriptions and log be written: lists are read from text with commas, and what is empty gets its default.';

do $views$
declare
  of_table text;
  of_view text;
  wanted text[];
  selected text;
begin
  foreach of_table in array '{mcp_event_subscription,mcp_webhook_delivery}'::text[] loop
    of_view := of_table || '_view';
    -- Keys into tables of ours are of no use outside.
    select array_agg(a.attname::text order by a.attnum),
           string_agg(case when t.typcategory = 'A' then format('array_to_string(%1$I, '','') as %1$I', a.attname)
                           when t.typname in ('jsonb', 'uuid', 'interval') then format('%1$I::text as %1$I', a.attname)
                           else format('%I', a.attname) end, ', ' order by a.attnum)
      into wanted, selected
      from pg_attribute a join pg_type t on t.oid = a.atttypid
     where a.attrelid = format('public.%I', of_table)::regclass and a.attnum > 0 and not a.attisdropped
       and a.attname <> all ('{secret_ref,captured_from}');
    if wanted is distinct from (select array_agg(a.attname::text order by a.attnum) from pg_attribute a
                                 where a.attrelid = to_regclass(format('public.%I', of_view)) and a.attnum > 0) then
      execute format('create or replace view public.%I as select %s from public.%I', of_view, selected, of_table);
    end if;
    if not exists (select from pg_trigger t where t.tgrelid = to_regclass(format('public.%I', of_view))
      and t.tgname = 'write_through') then
      execute format('create trigger write_through instead of insert or update or delete on public.%I
                        for each row execute function odoo_eventd.write_through_view(%L)', of_view, of_table);
    end if;
  end loop;
end $views$;
comment on view public.mcp_event_subscription_view is
  'odoo-eventd: mcp_event_subscription for an Odoo model: lists as text with commas in between. Can be written.';
comment on view public.mcp_webhook_delivery_view is
  'odoo-eventd: mcp_webhook_delivery for an Odoo model: lists as text with commas in between. Can be written.';
