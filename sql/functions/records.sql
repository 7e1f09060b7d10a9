-- Purpose: the values of records for payloads: the listener has no right on any table, and needs none for them.
--
-- No text from outside enters the SQL built here: tables and columns come from the catalogue, checked against Odoo's own metadata, and
-- are quoted by format('%I'). A column is read only if a stored field announces it and none of the lists calls it a secret.
-- Record rules do not apply, as everywhere in odoo-eventd; odoo_eventd.allowed_model bounds what is read here as well.
--
-- Locks: ACCESS SHARE on the tables read, nothing else.

create or replace function odoo_eventd.readable_table(of_model text) returns regclass
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  found_table regclass;
begin
  if exists (select from odoo_eventd.allowed_model) and not exists (select from odoo_eventd.allowed_model m where m.model = of_model) then
    raise exception 'model "%" is not among the allowed models', of_model
      using errcode = 'insufficient_privilege', hint = 'The owner adds models to odoo_eventd.allowed_model.';
  end if;
  -- Most tables have the model's name, and asking for one is much cheaper than asking for all. Read only, so views and INHERITS will do,
  -- but only the owner's: a view of somebody else, or the row security of his table, would call his functions with the owner's rights.
  select c.oid::regclass into found_table
    from public.ir_model m
    join pg_class c on c.relname = replace(m.model, '.', '_') and c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm')
    join pg_attribute a on a.attrelid = c.oid and a.attname = 'id' and not a.attisdropped
   where m.model = of_model and m.model not like 'ir.%' and m.model not like 'project.task.stage.%'
     and c.relowner = (select o.relowner from pg_class o where o.oid = 'public.ir_model'::regclass);
  if found then
    return found_table;
  end if;
  select to_regclass(format('public.%I', m.table_name)) into found_table
    from odoo_eventd.registry_models() m
   where m.model = of_model and m.relkind in ('r', 'p', 'v', 'm') and m.has_id;
  if found_table is null then
    raise exception 'model "%" has no table', of_model using errcode = 'undefined_table';
  end if;
  return found_table;
end $$;
comment on function odoo_eventd.readable_table(text) is 'Where a model''s records are read from. Raises if there is no such place, or the model is not allowed.';

create or replace function odoo_eventd.read_records_held(of_model text, ids bigint[], columns text[], most_bytes bigint)
returns table (id bigint, vals text[])
language plpgsql stable security definer set search_path = pg_catalog, pg_temp set datestyle = 'ISO, YMD' set extra_float_digits = 1 set timezone = 'UTC'
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
  select string_agg(case when c.type_name = 'bytea' then format($v$case when octet_length(t.%1$I) <= 65536 then encode(t.%1$I, 'base64') end$v$, w.name)
                         else odoo_eventd.printed(format('t.%I', w.name), f.is_ours_to_print) end, ', ' order by w.ord),
         min(w.name) filter (where c.column_name is null)
    into vals_of_row, missing
    from unnest(columns) with ordinality w (name, ord)
    left join odoo_eventd.capturable_columns(of_model, from_table) c on c.column_name = w.name
   cross join odoo_eventd.type_facts(c.type_name) f;
  if missing is not null then
    raise exception 'model "%" has no column "%" that may be read', of_model, missing using errcode = 'undefined_column';
  end if;
  -- OFFSET 0: each value is turned into text once. Rows past the budget come without values, so that nobody has to hold them.
  return query execute format($q$
      select r.id, case when r.total <= $2 then r.vals end
        from (select t.id::bigint, v.vals, sum(pg_column_size(v.vals)) over (order by t.id rows unbounded preceding) as total
                from %s t cross join lateral (select array[%s]::text[] as vals offset 0) v
               where t.id = any ($1)) r$q$, from_table, vals_of_row)
    using ids, most_bytes;
end $$;
revoke all on function odoo_eventd.read_records_held(text, bigint[], text[], bigint) from public;

create or replace function odoo_eventd.read_records(of_model text, ids bigint[], columns text[], most_bytes bigint)
returns table (id bigint, vals text[])
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.hold_metadata();
  perform odoo_eventd.hold(array[odoo_eventd.readable_table(of_model)::oid]);
  return query select * from odoo_eventd.read_records_held(of_model, ids, columns, most_bytes);
end $$;
comment on function odoo_eventd.read_records(text, bigint[], text[], bigint) is
  'Columns of records as text, a file as base64; by ascending id. Records that are gone are left out; past most_bytes vals is null.';

create or replace function odoo_eventd.order_of(of_model text, sortable name[]) returns text
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  -- Only terms that are a column of the model itself: the order of a many2one is that of another table, and is left out.
  select coalesce(string_agg(format('t.%I %s', term.parts[1], case when lower(term.parts[2]) = 'desc' then 'desc' else 'asc' end), ', ' order by term.ord)
                  || ', ', '') || 't.id'
    from public.ir_model m
    cross join lateral (select regexp_match(trim(w.term), '^"?([a-z_][a-z0-9_]*)"?(?:[[:space:]]+(asc|desc))?', 'i') as parts, w.ord
                          from regexp_split_to_table(to_jsonb(m) ->> 'order', ',') with ordinality w (term, ord)) term
    join public.ir_model_fields f on f.model = of_model and f.name = term.parts[1] and f.ttype <> 'many2one'
   where m.model = of_model and term.parts[1] = any (sortable)
$$;
comment on function odoo_eventd.order_of(text, name[]) is 'The order Odoo shows a model''s records in, as far as its own columns decide it, then by id.';

create or replace function odoo_eventd.read_related_held(of_model text, field text, ids bigint[], model_column text, most_rows integer)
returns table (id bigint, related_id bigint)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
set quote_all_identifiers = off -- See registry_columns().
as $$
declare
  f public.ir_model_fields;
  from_table regclass;
  links regclass;
  readable name[]; sortable name[];
  has_active boolean;
  conditions text := '';
  missing text;
  in_order text;
begin
  perform odoo_eventd.assert_listener();
  perform odoo_eventd.readable_table(of_model);
  select g.* into f from public.ir_model_fields g
   where g.model = of_model and g.name = field and g.store and g.ttype in ('one2many', 'many2many')
     and not exists (select from odoo_eventd.registry_secret_fields() s where s.field = g.name and s.model in (of_model, '*'));
  if not found then
    raise exception 'model "%" has no one2many or many2many field "%" that may be read', of_model, field using errcode = 'undefined_column';
  end if;
  from_table := odoo_eventd.readable_table(f.relation);
  select array_agg(c.column_name), array_agg(c.column_name) filter (where c.is_comparable and c.type_name <> 'jsonb'),
         bool_or(c.column_name = 'active' and c.type_name = 'boolean')
    into readable, sortable, has_active
    from odoo_eventd.capturable_columns(f.relation, from_table) c;
  select min(w.name) into missing
    from unnest(array[model_column, case when f.ttype = 'one2many' then f.relation_field end]) w (name) where w.name <> all (readable);
  if missing is not null then
    raise exception 'model "%" has no column "%" that may be read', f.relation, missing using errcode = 'undefined_column';
  end if;
  in_order := odoo_eventd.order_of(f.relation, sortable);
  -- As Odoo's read(): archived records are not listed.
  if has_active then
    conditions := ' and t.active';
  end if;
  if model_column is not null then
    conditions := conditions || format(' and t.%I = %L', model_column, of_model);
  end if;
  if f.ttype = 'one2many' then
    return query execute format($q$
        select t.%1$I::bigint, t.id::bigint from %2$s t where t.%1$I = any ($1)%3$s order by %4$s limit $2$q$,
        f.relation_field, from_table, conditions, in_order) using ids, most_rows;
  else
    links := (select c.oid from pg_class c
               where c.oid = to_regclass(format('public.%I', f.relation_table)) and c.relkind = 'r' and c.relowner = (
                       select o.relowner from pg_class o where o.oid = 'public.ir_model'::regclass));
    if links is null then
      raise exception 'field "%" of "%" has no table of pairs', field, of_model using errcode = 'undefined_table';
    end if;
    return query execute format($q$
        select l.%1$I::bigint, t.id::bigint from %2$s l join %3$s t on t.id = l.%4$I where l.%1$I = any ($1)%5$s order by %6$s limit $2$q$,
        f.column1, links, from_table, f.column2, conditions, in_order) using ids, most_rows;
  end if;
end $$;
revoke all on function odoo_eventd.read_related_held(text, text, bigint[], text, integer) from public;

create or replace function odoo_eventd.read_related(of_model text, field text, ids bigint[], model_column text, most_rows integer)
returns table (id bigint, related_id bigint)
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.hold_metadata();
  perform odoo_eventd.hold(array(
    select unnest(array[odoo_eventd.readable_table(f.relation)::oid,
                        case when f.relation_table is not null then to_regclass(format('public.%I', f.relation_table))::oid end])
      from public.ir_model_fields f where f.model = of_model and f.name = field and f.store and f.ttype in ('one2many', 'many2many')));
  return query select * from odoo_eventd.read_related_held(of_model, field, ids, model_column, most_rows);
end $$;
revoke all on function odoo_eventd.readable_table(text) from public;
revoke all on function odoo_eventd.order_of(text, name[]) from public;
comment on function odoo_eventd.read_related(text, text, bigint[], text, integer) is
  'The records that a one2many or many2many field of these records leads to, in Odoo''s order, archived ones left out; at most so many.';
