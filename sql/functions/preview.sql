-- Purpose: what a subscription would be and have captured, asked before one is added and by a dry run. Nothing here writes, not
-- even the sequence of ids.
-- Locks: ACCESS SHARE on the tables read, nothing else.

create or replace function odoo_eventd.drafted_subscription(options jsonb) returns public.mcp_event_subscription
language plpgsql stable set search_path = pg_catalog, pg_temp
as $$
declare
  expressions text;
  defaults jsonb;
begin
  -- The table's own defaults, from the catalogue: one place says what a row is, and it is the table. One statement for all of
  -- them: each one has to be planned.
  select string_agg(format('(%L, to_jsonb(%s))', a.attname, pg_get_expr(d.adbin, d.adrelid)), ', ') into expressions
    from pg_attrdef d join pg_attribute a on a.attrelid = d.adrelid and a.attnum = d.adnum
   where d.adrelid = 'public.mcp_event_subscription'::regclass and a.attidentity = '';
  execute 'select jsonb_object_agg(v.name, v.value) from (values ' || expressions || ') v (name, value)' into defaults;
  return jsonb_populate_record(null::public.mcp_event_subscription, defaults || jsonb_strip_nulls(options) || '{"id": 0}');
end $$;
comment on function odoo_eventd.drafted_subscription(jsonb) is
  'The row of mcp_event_subscription that has these values and the table''s defaults; its id is 0.';
revoke all on function odoo_eventd.drafted_subscription(jsonb) from public;

drop function if exists odoo_eventd.preview_subscription(jsonb);
create or replace function odoo_eventd.preview_subscription(operator jsonb, options jsonb, of_subscription integer default null)
returns table (version text, subscription jsonb, broken jsonb)
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  was public.mcp_event_subscription;
  given public.mcp_event_subscription;
  rules text;
begin
  perform odoo_eventd.assert_listener();
  if of_subscription is null then
    given := odoo_eventd.drafted_subscription(options);
  else
    select * into was from public.mcp_event_subscription s
      where s.id = of_subscription and odoo_eventd.sees(operator, s);
    if not found then
      return;
    end if;
    given := odoo_eventd.patched_subscription(was, options);
  end if;
  -- As above, and all that do not hold.
  select string_agg(format('(%L, %s, %L, %L)', c.conname, pg_get_expr(c.conbin, c.conrelid), pg_get_constraintdef(c.oid, true),
           -- Of several columns the one that the rule is named after.
           (select a.attname from pg_attribute a where a.attrelid = c.conrelid and a.attnum = any (c.conkey)
             order by nullif(position(a.attname in c.conname), 0) nulls last limit 1)), ', ')
    into rules
    from pg_constraint c where c.conrelid = 'public.mcp_event_subscription'::regclass and c.contype = 'c';
  execute 'select coalesce(jsonb_agg(jsonb_build_object(''column'', v.column_name, ''constraint'', v.name, ''rule'', v.definition)
                                     order by v.name), ''[]'')
             from (select ($1).*) given, lateral (values ' || rules || ') v (name, holds, definition, column_name)
            where v.holds is false' into broken using given;
  if given.model is null then
    broken := jsonb_build_object('column', 'model', 'message', 'a subscription needs a model') || broken;
  end if;
  broken := broken || coalesce((select jsonb_agg(jsonb_build_object('column', u.of_column, 'constraint', u.constraint_name))
                                  from odoo_eventd.unreadable_values(given.rate_limit, given.headers) u
                                    where options ? u.of_column), '[]');
  version := odoo_eventd.subscription_version(was);
  subscription := to_jsonb(given) || jsonb_build_object(
    'max_event_age_s', case when isfinite(given.max_event_age) then extract(epoch from given.max_event_age)::bigint end,
      'write_stamp', '',
    'captured_from', null);
  return next;
end $$;
comment on function odoo_eventd.preview_subscription(jsonb, jsonb, integer) is
  'The row that add_subscription would make of these options, or change_subscriptions of a subscription that the operator sees, '
  'in the form of load_subscriptions; the version that it would replace, and the rules that it breaks. Writes nothing.';

create or replace function odoo_eventd.preview_capture(of_model text, needed name[]) returns jsonb
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  relation oid := odoo_eventd.model_table(of_model);
  known odoo_eventd.capture;
  captured name[];
begin
  perform odoo_eventd.assert_listener();
  select * into known from odoo_eventd.capture c where c.model = of_model and c.active and c.table_oid = relation;
  select g.columns into captured from odoo_eventd.capture_generation g where g.generation = known.generation;
  return jsonb_build_object(
    'is_allowed', not exists (select from odoo_eventd.allowed_model)
      or exists (select from odoo_eventd.allowed_model m where m.model = of_model),
    'table', (select c.relname from pg_class c where c.oid = relation),
    'columns_to_add', (select coalesce(jsonb_agg(n order by n), '[]') from unnest(needed) n
      where n <> all (coalesce(captured, '{}'))),
    'columns_that_cannot_be', (select coalesce(jsonb_agg(n order by n), '[]') from unnest(needed) n
       where not exists (select from odoo_eventd.capturable_columns(of_model, relation) c where c.column_name = n)),
    'triggers_to_make', (select coalesce(jsonb_agg(v.name), '[]')
       from (values ('odoo_eventd_insert'), ('odoo_eventd_update'), ('odoo_eventd_delete'), ('odoo_eventd_truncate')) v (name)
      where not exists (select from pg_trigger t where t.tgrelid = relation and t.tgname = v.name and t.tgenabled <> 'D')));
end $$;
comment on function odoo_eventd.preview_capture(text, name[]) is
  'What sync_capture would do to capture these columns of a model: triggers and columns that are not there yet. Writes nothing.';
