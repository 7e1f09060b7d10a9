-- Purpose: which table an Odoo model is kept in.

create or replace function odoo_eventd.model_table(of_model text) returns oid
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  -- INHERITS (is_partial): an UPDATE of the parent fires nothing on the child, so neither can be captured exactly.
  select to_regclass(format('public.%I', m.table_name))::oid
  from odoo_eventd.registry_models() m
  where m.model = of_model and m.relkind = 'r' and m.has_id and not m.is_partial
$$;
comment on function odoo_eventd.model_table(text) is
  'The table of a model, if it is one whose changes can be captured: no view, no INHERITS, with an id.';
