-- Purpose: the values of records for payloads: the listener has no right on any table, and needs none for them.
--
-- No text from outside enters the SQL built here: tables and columns come from the catalogue, checked against Odoo's own
-- metadata, and are quoted by format('%I'). A column is read only if a stored field announces it and none of the lists calls it a
-- secret. Record rules do not apply, as everywhere in odoo-eventd; odoo_eventd.allowed_model bounds what is read here as well.
--
-- Locks: ACCESS SHARE on the tables read, nothing else; see hold.sql for the ones it waits for.

create or replace function odoo_eventd.kept_in(of_model text) returns regclass
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  -- Most tables have the model's name, and asking for one is much cheaper than asking for all.
  select coalesce((select c.oid::regclass
                     from public.ir_model m
                     join pg_class c on c.relname = replace(m.model, '.', '_') and c.relnamespace = 'public'::regnamespace
                      and c.relkind in ('r', 'p', 'v', 'm')
                     join pg_attribute a on a.attrelid = c.oid and a.attname = 'id' and not a.attisdropped
                    where m.model = of_model and m.model not like 'ir.%' and m.model not like 'project.task.stage.%'
                      and c.relowner = (select o.relowner from pg_class o where o.oid = 'public.ir_model'::regclass)),
                  (select to_regclass(format('public.%I', m.table_name)) from odoo_eventd.registry_models() m
                    where m.model = of_model and m.relkind in ('r', 'p', 'v', 'm') and m.has_id))
$$;
comment on function odoo_eventd.kept_in(text) is
  'Where a model''s records are. Read only, so views and INHERITS will do, but only the owner''s: a view of somebody else, or '
  'the row security of his table, would call his functions with the owner''s rights. Null if there is no such place.';
revoke all on function odoo_eventd.kept_in(text) from public;

create or replace function odoo_eventd.readable_table(of_model text) returns regclass
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  found_table constant regclass := odoo_eventd.kept_in(of_model);
begin
  if exists (select from odoo_eventd.allowed_model)
    and not exists (select from odoo_eventd.allowed_model m where m.model = of_model) then
    raise exception 'model "%" is not among the allowed models', of_model
      using errcode = 'insufficient_privilege', hint = 'The owner adds models to odoo_eventd.allowed_model.';
  end if;
  if found_table is null then
    raise exception 'model "%" has no table', of_model using errcode = 'undefined_table';
  end if;
  return found_table;
end $$;
comment on function odoo_eventd.readable_table(text)
  is 'Where a model''s records are read from. Raises if there is no such place, or the model is not allowed.';

create or replace function odoo_eventd.property_of(of_model text, field text, company integer) returns text
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  f public.ir_model_fields;
begin
  -- Gone from 18 on.
  if odoo_eventd.own_table('ir_property') is null then
    return null;
  end if;
  select g.* into f from public.ir_model_fields g
   where g.model = of_model and g.name = field and not coalesce(g.store, false) and coalesce(g.related, '') = ''
     and not exists (select from odoo_eventd.registry_secret_fields() s where s.field = g.name and s.model in (of_model, '*'));
  if not found then
    return null;
  end if;
  -- The record's own value goes before the default, and the company's before that of all; a row without a value says that there
  -- is none.
  return format('(select %s from public.ir_property p where p.fields_id = %s and (p.company_id = %s or p.company_id is null)
                     and (p.res_id = %L || t.id or p.res_id is null) order by p.res_id nulls last, p.company_id nulls last limit 1)',
                case f.ttype when 'many2one' then 'split_part(p.value_reference, '','', 2)' when 'float'
                  then 'p.value_float::text'
                             when 'boolean' then '(p.value_integer <> 0)::text' when 'integer' then 'p.value_integer::text'
                             when 'date' then 'p.value_datetime::date::text' when 'datetime' then 'p.value_datetime::text'
                             else 'p.value_text' end,
                f.id, company, of_model || ',');
end $$;
comment on function odoo_eventd.property_of(text, text, integer) is
  'The value of a company-dependent field of record t up to 17, as text; null where the field is none. Source: '
  'ir.property._get_multi.';
revoke all on function odoo_eventd.property_of(text, text, integer) from public;

create or replace function odoo_eventd.read_records_held(of_model text, ids bigint[], columns text[], most_bytes bigint,
  company integer)
returns table (id bigint, vals text[])
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set lock_timeout = '10ms'
  set datestyle = 'ISO, YMD' set extra_float_digits = 1 set timezone = 'UTC'
set quote_all_identifiers = off -- See registry_columns().
as $$
declare
  from_table regclass;
  missing text;
  vals_of_row text;
begin
  perform odoo_eventd.assert_listener();
  from_table := odoo_eventd.readable_table(of_model);
  -- A file of more than 64 KiB is left out; the encoding says nothing about what it holds.
  select string_agg(case when c.column_name is null then w.property
                         when c.type_name = 'bytea'
                           then format($v$case when octet_length(t.%1$I) <= 65536 then encode(t.%1$I, 'base64') end$v$, w.name)
                         else odoo_eventd.printed(format('t.%I', w.name), f.is_ours_to_print) end, ', ' order by w.ord),
         min(w.name) filter (where c.column_name is null and w.property is null)
    into vals_of_row, missing
    from (select n.name, n.ord, k.column_name, k.type_name, case when k.column_name is null
      then odoo_eventd.property_of(of_model, n.name, company) end
            from unnest(columns) with ordinality n (name, ord)
            left join odoo_eventd.capturable_columns(of_model, from_table) k on k.column_name = n.name) w (name, ord, column_name,
              type_name, property)
   cross join lateral (select w.column_name, w.type_name) c
   cross join odoo_eventd.type_facts(c.type_name) f;
  if missing is not null then
    raise exception 'model "%" has no column "%" that may be read', of_model, missing using errcode = 'undefined_column';
  end if;
  -- OFFSET 0: each value is turned into text once. Rows past the budget come without values, so that nobody has to hold them.
  return query execute format($q$
      select r.id, case when r.total <= $2 then r.vals end
        from (select %3$s as id, v.vals, sum(pg_column_size(v.vals)) over (order by t.id rows unbounded preceding) as total
                from %1$s t cross join lateral (select array[%2$s]::text[] as vals offset 0) v
               where %4$s = any ($1)) r$q$, from_table, vals_of_row, odoo_eventd.number_in(from_table, 't', 'id'),
                 replace(odoo_eventd.number_in(from_table, 't', 'id'), 't.id::bigint', 't.id'))
    using ids, most_bytes;
end $$;
revoke all on function odoo_eventd.read_records_held(text, bigint[], text[], bigint, integer) from public;

create or replace function odoo_eventd.read_records(of_model text, ids bigint[], columns text[], most_bytes bigint,
  company integer default 1)
returns table (id bigint, vals text[])
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.hold_metadata();
  perform odoo_eventd.hold(array[odoo_eventd.readable_table(of_model)::oid]);
  return query select * from odoo_eventd.read_records_held(of_model, ids, columns, most_bytes, company);
end $$;
comment on function odoo_eventd.read_records(text, bigint[], text[], bigint, integer) is
  'Columns of records as text, a file as base64, company-dependent values of 16 and 17 from ir_property; by ascending id. '
  'Records that are gone are left out; past most_bytes vals is null.';

create or replace function odoo_eventd.order_of(of_model text, alias text, lang text, given text default null,
  is_reversed boolean default false,
                                                seen text[] default '{}', out joins text[], out terms text[])
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  in_table constant regclass := odoo_eventd.kept_in(of_model);
  term text; part text[]; path text[]; field record; sub record;
  descends boolean; nulls text; suffix text; sorted text; other text;
begin
  joins := '{}';
  terms := '{}';
  -- Odoo's _order is recorded with the model; what is given is one term of it, on the record that a field is inherited from.
  for term in
    select trim(w.term)
      from regexp_split_to_table(coalesce(given,
        (select coalesce(nullif(trim(m."order"), ''), 'id') from public.ir_model m where m.model = of_model)),
                                 ',') with ordinality w (term, ord) order by w.ord
  loop
    part := regexp_match(term,
      '^"?([a-z_][a-z0-9_]*)"?(?:[.]([a-z0-9_]+))?(?:[[:space:]]+(asc|desc))?(?:[[:space:]]+nulls[[:space:]]+(first|last))?$',
      'i');
    continue when part is null;
    descends := (coalesce(lower(part[3]), 'asc') = 'desc') <> is_reversed;
    nulls := case when is_reversed then case lower(part[4]) when 'first' then 'last' when 'last' then 'first' end
      else lower(part[4]) end;
    suffix := case when descends then ' desc' else '' end || coalesce(' nulls ' || nulls, '');
    select f.ttype, f.relation, f.related, coalesce(f.store, false) as stored, f.translate::text not in ('false', '')
      as translated,
           format_type(a.atttypid, null) as type_name
      into field
      from public.ir_model_fields f
      left join pg_attribute a on a.attrelid = in_table and a.attname = f.name and not a.attisdropped and f.store
     where f.model = of_model and f.name = part[1]
       -- To sort by a secret is to tell of it.
       and not exists (select from odoo_eventd.registry_secret_fields() s where s.field = f.name and s.model in (of_model, '*'));
    continue when not found;
    if not field.stored then
      -- Inherited, or related: as the record has it that the field is kept at.
      path := string_to_array(nullif(field.related, ''), '.');
      continue when coalesce(cardinality(path), 0) < 2;
      select f.relation into other from public.ir_model_fields f where f.model = of_model and f.name = path[1]
        and f.ttype = 'many2one' and f.store;
      continue when not found or cardinality(path) > 2 or odoo_eventd.kept_in(other) is null
                 or not exists (select from pg_attribute a where a.attrelid = in_table and a.attname = path[1]
                   and not a.attisdropped);
      sorted := 'j' || md5(alias || '/' || path[1]);
      joins := joins || format('left join %1$s %2$I on %2$I.id = %3$I.%4$I', odoo_eventd.kept_in(other), sorted, alias, path[1]);
      select o.joins, o.terms into sub
        from odoo_eventd.order_of(other, sorted, lang,
        path[2] || coalesce(' ' || part[3], '') || coalesce(' nulls ' || part[4], ''),
                                                                 is_reversed, seen) o;
      joins := joins || sub.joins;
      terms := terms || sub.terms;
      continue;
    end if;
    continue when field.type_name is null;
    sorted := format('%I.%I', alias, part[1]);
    if field.ttype = 'many2one' then
      continue when field.type_name not in ('integer', 'bigint') or odoo_eventd.kept_in(field.relation) is null
                 or of_model || '.' || part[1] = any (seen);
      if part[2] = 'id' or (select m."order" from public.ir_model m where m.model = field.relation) = 'id' then
        terms := terms || (sorted || suffix);
        continue;
      end if;
      -- As the records are ordered that it leads to.
      if nulls is not null then
        terms := terms || (sorted || case nulls when 'first' then ' is not null' else ' is null' end);
      end if;
      other := 'j' || md5(alias || '/' || part[1]);
      joins := joins || format('left join %1$s %2$I on %2$I.id = %3$s', odoo_eventd.kept_in(field.relation), other, sorted);
      select o.joins, o.terms into sub
        from odoo_eventd.order_of(field.relation, other, lang, null, descends, seen || (of_model || '.' || part[1])) o;
      joins := joins || sub.joins;
      terms := terms || sub.terms;
    elsif field.type_name = 'boolean' then
      terms := terms || (format('coalesce(%s, false)', sorted) || suffix);
    elsif field.type_name = 'jsonb' and field.translated then
      terms := terms || (case when lang = 'en_US' then format('(%s ->> ''en_US'')', sorted)
                              else format('coalesce(%1$s ->> %2$L, %1$s ->> ''en_US'')', sorted, lang) end || suffix);
    elsif field.type_name in ('smallint', 'integer', 'bigint', 'numeric', 'real', 'double precision', 'character varying', 'text',
      'character',
                              'date', 'timestamp without time zone', 'timestamp with time zone') then
      terms := terms || (sorted || suffix);
    end if;
  end loop;
end $$;
comment on function odoo_eventd.order_of(text, text, text, text, boolean, text[]) is
  'The order Odoo shows a model''s records in: joins and terms. Fields inherited or of a many2one are sorted by where they '
  'lead, translated ones by what a language reads. Source: _order_to_sql of 17 to 19, _generate_order_by_inner of 16.';

create or replace function odoo_eventd.each_once(texts text[]) returns text
language sql immutable parallel safe security definer set search_path = pg_catalog, pg_temp
as $$
  select coalesce(string_agg(u.piece, ' ' order by u.first), '')
    from (select t.piece, min(t.ord) as first from unnest(texts) with ordinality t (piece, ord) group by t.piece) u
$$;
comment on function odoo_eventd.each_once(text[])
  is 'The texts in their order, each once: two terms of an order may need the same join.';
revoke all on function odoo_eventd.each_once(text[]) from public;

create or replace function odoo_eventd.archived_elsewhere(of_model text, link text) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select format(' and exists (select from %s kept where kept.id = t.%I and kept.active)', odoo_eventd.kept_in(l.relation), l.name)
    from public.ir_model_fields l
    join public.ir_model_fields a on a.model = l.relation and a.name = 'active' and a.ttype = 'boolean' and a.store
   where l.model = of_model and l.name = link and l.ttype = 'many2one' and l.store
$$;
comment on function odoo_eventd.archived_elsewhere(text, text) is
  'The condition that the record is active which a model inherits its archiving from; t is the model''s table.';
revoke all on function odoo_eventd.archived_elsewhere(text, text) from public;

create or replace function odoo_eventd.read_related_held(of_model text, field text, ids bigint[], model_column text,
  most_rows integer,
                                                    with_archived boolean, lang text)
returns table (id bigint, related_id bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set lock_timeout = '10ms'
set quote_all_identifiers = off -- See registry_columns().
as $$
declare
  f public.ir_model_fields;
  from_table regclass;
  links regclass;
  readable name[];
  conditions text := '';
  joins text[];
  terms text[];
  active record;
  missing text;
begin
  perform odoo_eventd.assert_listener();
  perform odoo_eventd.readable_table(of_model);
  select g.* into f from public.ir_model_fields g
   where g.model = of_model and g.name = field and g.store and g.ttype in ('one2many', 'many2many')
     and not exists (select from odoo_eventd.registry_secret_fields() s where s.field = g.name and s.model in (of_model, '*'));
  if not found then
    raise exception 'model "%" has no one2many or many2many field "%" that may be read', of_model, field
      using errcode = 'undefined_column';
  end if;
  from_table := odoo_eventd.readable_table(f.relation);
  select array_agg(c.column_name) into readable from odoo_eventd.capturable_columns(f.relation, from_table) c;
  select min(w.name) into missing
    from unnest(array[model_column, case when f.ttype = 'one2many' then f.relation_field end]) w (name)
      where w.name <> all (readable);
  if missing is not null then
    raise exception 'model "%" has no column "%" that may be read', f.relation, missing using errcode = 'undefined_column';
  end if;
  select o.joins, o.terms into joins, terms from odoo_eventd.order_of(f.relation, 't', lang) o;
  -- As Odoo's read(): archived records are not listed, unless the field's own context asks for them.
  if not with_archived then
    select g.name, g.related, coalesce(g.store, false) as stored into active
      from public.ir_model_fields g where g.model = f.relation and g.name in ('active', 'x_active') and g.ttype = 'boolean'
        order by g.name limit 1;
    if active.stored then
      conditions := format(' and t.%I', active.name);
    elsif active.related like '%.active' and split_part(active.related, '.', 3) = '' then
      conditions := odoo_eventd.archived_elsewhere(f.relation, split_part(active.related, '.', 1));
    end if;
  end if;
  if model_column is not null then
    conditions := conditions || format(' and t.%I = %L', model_column, of_model);
  end if;
  -- Files of binary fields are attachments too, which a search leaves out unless it speaks of them.
  if f.relation = 'ir.attachment' and 'res_field' = any (readable) then
    conditions := conditions || ' and t.res_field is null';
  end if;
  if f.ttype = 'one2many' then
    return query execute format($q$
        select t.%1$I::bigint, t.id::bigint from %2$s t %5$s where t.%1$I = any ($1)%3$s order by %4$s limit $2$q$,
        f.relation_field, from_table, conditions, array_to_string(terms || 't.id'::text, ', '), odoo_eventd.each_once(joins))
          using ids, most_rows;
  else
    links := odoo_eventd.own_table(f.relation_table);
    if links is null then
      raise exception 'field "%" of "%" has no table of pairs', field, of_model using errcode = 'undefined_table';
    end if;
    return query execute format($q$
        select l.%1$I::bigint, t.id::bigint from %2$s l join %3$s t on t.id = l.%4$I %7$s where l.%1$I = any ($1)%5$s
          order by %6$s limit $2$q$,
        f.column1, links, from_table, f.column2, conditions, array_to_string(terms || 't.id'::text, ', '),
          odoo_eventd.each_once(joins))
      using ids, most_rows;
  end if;
end $$;
revoke all on function odoo_eventd.read_related_held(text, text, bigint[], text, integer, boolean, text) from public;

create or replace function odoo_eventd.read_related(of_model text, field text, ids bigint[], model_column text, most_rows integer,
                                                    with_archived boolean default false, lang text default 'en_US')
returns table (id bigint, related_id bigint)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.hold_metadata();
  perform odoo_eventd.hold(array(
    select unnest(array[odoo_eventd.readable_table(f.relation)::oid,
                        case when f.relation_table is not null then odoo_eventd.own_table(f.relation_table) end])
      from public.ir_model_fields f where f.model = of_model and f.name = field and f.store
        and f.ttype in ('one2many', 'many2many')));
  return query select * from odoo_eventd.read_related_held(of_model, field, ids, model_column, most_rows, with_archived, lang);
end $$;
comment on function odoo_eventd.read_related(text, text, bigint[], text, integer, boolean, text) is
  'The records that a one2many or many2many field of these records leads to, in Odoo''s order, at most so many; archived ones '
  'are left out unless the field''s own context asks for them.';
revoke all on function odoo_eventd.order_of(text, text, text, text, boolean, text[]) from public;
revoke all on function odoo_eventd.readable_table(text) from public;
