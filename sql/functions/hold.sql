-- Purpose: Odoo's tables are read after a lock on them was had, never before.
--
-- A statement sees what was committed when it began; for the locks of its tables it waits afterwards. An ALTER TABLE that writes
-- a table anew and is committed during that wait leaves nothing that such a statement may see: it would find the table empty, and
-- believe that records, fields or models are gone. So a statement of its own holds the tables, and the one that reads them comes
-- after it.
--
-- Nobody waits here for one lock while he has another. An upgrade of Odoo that alters two tables and a reader of both would end
-- in a deadlock, and PostgreSQL might choose Odoo's transaction to end. What cannot be had at once is given back, and tried
-- again.
--
-- Locks: ACCESS SHARE on the tables held, until the transaction ends.

create or replace function odoo_eventd.hold(relations oid[], wait_ms integer default 300) returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp set lock_timeout = '1ms'
as $$
declare
  until constant timestamptz := clock_timestamp() + wait_ms * interval '1 millisecond';
  held record;
begin
  loop
    begin
      for held in
        -- Only the owner's, as they are read: what is in a view of somebody else's would run as the owner when it is looked at.
        select c.oid::regclass as relation, c.relkind from pg_class c
         where c.oid = any (relations)
           and c.relowner = (select o.relowner from pg_class o where o.oid = 'public.ir_model'::regclass)
         order by c.oid
      loop
        if held.relkind in ('r', 'p') then
          execute format('lock table %s in access share mode', held.relation);
        else
          -- A view: what it reads.
          execute format('select from %s limit 0', held.relation);
        end if;
      end loop;
      return;
    exception when lock_not_available then
      if clock_timestamp() > until then
        raise exception 'table % is locked: somebody is altering it', held.relation
          using errcode = 'lock_not_available', hint = 'An upgrade of Odoo does so for as long as it takes. This is tried again.';
      end if;
    end;
    perform pg_sleep(0.01);
  end loop;
end $$;
comment on function odoo_eventd.hold(oid[], integer) is
  'Keeps anybody from writing these tables anew until the transaction ends. Raises lock_not_available when that cannot be had '
  'in time.';
revoke all on function odoo_eventd.hold(oid[], integer) from public;

create or replace function odoo_eventd.hold_metadata() returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  -- What tells where a model's records and their fields are; not every version of Odoo has all.
  perform odoo_eventd.hold(array(
    select odoo_eventd.own_table(t) from unnest('{ir_model,ir_model_fields,ir_model_inherit,ir_property}'::text[]) t));
end $$;
comment on function odoo_eventd.hold_metadata()
  is 'Holds the tables in which Odoo keeps its models and fields: what is read of them afterwards is whole.';

create or replace function odoo_eventd.hold_registry() returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  perform odoo_eventd.hold(array(
    select odoo_eventd.own_table(t)
      from unnest('{ir_model,ir_model_fields,ir_model_inherit,ir_property,ir_model_fields_selection,ir_default,ir_module_module,res_lang,res_company,decimal_precision}'::text[]) t));
end $$;
comment on function odoo_eventd.hold_registry() is 'Holds all tables that the registry is read from.';
