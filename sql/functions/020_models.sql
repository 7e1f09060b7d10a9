-- Purpose: which table an Odoo model is kept in.

create or replace function odoo_eventd.model_table(of_model text) returns oid
language sql stable security definer set search_path = pg_catalog, pg_temp
as $$
  -- Odoo's rule is "dots become underscores"; nothing in the database tells the exceptions (Odoo 16 to 19).
  select c.oid
  from pg_class c
  where c.relnamespace = 'public'::regnamespace
    and c.relname = coalesce((select x.table_name from (values
          ('ir.actions.actions', 'ir_actions'), ('ir.actions.act_window', 'ir_act_window'),
          ('ir.actions.act_window.view', 'ir_act_window_view'), ('ir.actions.act_url', 'ir_act_url'),
          ('ir.actions.client', 'ir_act_client'), ('ir.actions.report', 'ir_act_report_xml'),
          ('ir.actions.server', 'ir_act_server'), ('project.task.stage.personal', 'project_task_user_rel')
        ) x (model, table_name) where x.model = of_model), replace(of_model, '.', '_'))
    and c.relkind = 'r'
    -- INHERITS: an UPDATE of the parent fires nothing on the child, so neither can be captured exactly.
    and not exists (select from pg_inherits i where c.oid in (i.inhrelid, i.inhparent))
    and exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'id' and a.atttypid in ('integer'::regtype, 'bigint'::regtype))
    and exists (select from public.ir_model m where m.model = of_model)
$$;
comment on function odoo_eventd.model_table(text) is
  'The table of a model, if it is one whose changes can be captured: no view, no INHERITS, with an id.';
