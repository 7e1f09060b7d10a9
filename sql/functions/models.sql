-- Purpose: which table an Odoo model, or a many2many field's pairs, are kept in.

create or replace function odoo_eventd.hides_rows(of_table pg_class) returns boolean
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select of_table.relrowsecurity and of_table.relforcerowsecurity
     and not exists (select from pg_roles u where u.rolname = current_user and (u.rolsuper or u.rolbypassrls))
$$;
comment on function odoo_eventd.hides_rows(pg_class)
  is 'Whether row level security is forced on the owner too, who then reads some rows and never hears of the others.';
revoke all on function odoo_eventd.hides_rows(pg_class) from public;

create or replace function odoo_eventd.own_table(table_name text) returns oid
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  select c.oid from pg_class c
   where c.oid = to_regclass(format('public.%I', table_name)) and c.relkind = 'r'
     and c.relowner = (select o.relowner from pg_class o where o.oid = 'public.ir_model'::regclass)
$$;
comment on function odoo_eventd.own_table(text) is
  'A table of Odoo''s by its name; null if there is none, or it is somebody else''s: what hangs on that would run as the owner.';
revoke all on function odoo_eventd.own_table(text) from public;

create or replace function odoo_eventd.model_table(of_model text) returns oid
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  -- A table of anybody but the owner of Odoo's tables is none of Odoo's, whatever it is called: what hangs on it would run as the
  -- owner. INHERITS (is_partial): an UPDATE of the parent fires nothing on the child, so neither can be captured exactly. The
  -- registry goes through all models at each call, and looking for drift asks for each captured one: it is left to those whose
  -- table may have another name. For all others the second branch is never begun.
  select c.oid
  from public.ir_model m
  join pg_class c on c.relname = replace(m.model, '.', '_') and c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
  where m.model = of_model and m.model not like 'ir.%' and m.model not like 'project.task.stage.%'
    and c.relowner = (select o.relowner from pg_class o where o.oid = 'public.ir_model'::regclass)
    and exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'id' and not a.attisdropped)
    and not exists (select from pg_inherits i where c.oid in (i.inhrelid, i.inhparent))
    and not odoo_eventd.hides_rows(c)
  union all
  select to_regclass(format('public.%I', m.table_name))::oid
  from odoo_eventd.registry_models() m
  where (of_model like 'ir.%' or of_model like 'project.task.stage.%')
    and m.model = of_model and m.relkind = 'r' and m.has_id and not m.is_partial
  union all
  -- A relation table goes by its own name. One with an id is a model's, and is captured as that.
  select c.oid
  from pg_class c
  where c.relname = of_model::name and c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
    and c.relowner = (select o.relowner from pg_class o where o.oid = 'public.ir_model'::regclass)
    and exists (select from public.ir_model_fields f where f.relation_table = of_model and f.ttype = 'many2many' and f.store)
    and not exists (select from public.ir_model m where m.model = of_model)
    and not exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'id' and not a.attisdropped)
    and not exists (select from pg_inherits i where c.oid in (i.inhrelid, i.inhparent))
    and not odoo_eventd.hides_rows(c)
$$;
comment on function odoo_eventd.model_table(text) is
  'The table of a model, or of a many2many field''s pairs, if it is one whose changes can be captured: no view, no INHERITS, no '
  'forced row level security, and a model''s with an id.';
