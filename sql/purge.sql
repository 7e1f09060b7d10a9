-- Purpose: after uninstall.sql, removes the tables as well: subscriptions, outbox, deliveries, log. Nothing of odoo-eventd is
-- left in the database. Roles that odoo-eventd made go with the last database that used them.

drop table if exists public.mcp_webhook_delivery, public.mcp_event_subscription, public.mcp_record_callback cascade;
drop schema if exists odoo_eventd cascade;

-- Roles are the session's own business, not the owner's.
reset role;

do $purge$
declare
  made record;
  others pg_catalog.text; -- Types are looked for before the path is set.
begin
  perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
  if not (select r.rolsuper or r.rolcreaterole from pg_roles r where r.rolname = session_user) then
    return;
  end if;
  -- Anybody can hold it: not for ever.
  perform set_config('lock_timeout', '60s', true);
  perform pg_advisory_xact_lock(1868853103, 4);
  for made in
    select r.rolname, shobj_description(r.oid, 'pg_authid') as known_for from pg_roles r
     where shobj_description(r.oid, 'pg_authid') like 'made by odoo-eventd for: %'
       and position(format('[%s]', current_database()) in shobj_description(r.oid, 'pg_authid')) > 0
  loop
    others := replace(made.known_for, format('[%s]', current_database()), '');
    begin
      if others = 'made by odoo-eventd for: ' then
        execute format('drop role %I', made.rolname);
      else
        execute format('comment on role %I is %L', made.rolname, others);
      end if;
    exception when dependent_objects_still_exist or insufficient_privilege then
      raise notice 'role "%" is still in use and was kept', made.rolname;
    end;
  end loop;
end $purge$;
