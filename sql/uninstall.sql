-- Purpose: removes what works: the triggers on Odoo's tables and all functions. Subscriptions, outbox and log stay (purge.sql).
-- Locks: DROP TRIGGER takes ACCESS EXCLUSIVE on each captured table, tried under the session's lock_timeout. The functions are
-- emptied first, without any lock, so that nothing is captured while this waits.

do $uninstall$
declare
  doomed record;
begin
  -- As session.sql does for an installation.
  perform pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true),
    pg_catalog.set_config('quote_all_identifiers', 'off', true);
  -- One change of the capture at a time; the table came with schema version 15.
  if to_regclass('odoo_eventd.capture_lock') is not null then
    lock table odoo_eventd.capture_lock in exclusive mode;
  end if;
  for doomed in
    select t.tgname, t.tgrelid::regclass as relation
      from pg_trigger t join pg_proc p on p.oid = t.tgfoid
     where p.pronamespace = to_regnamespace('odoo_eventd') and not t.tgisinternal
     order by t.tgrelid
  loop
    execute format('drop trigger %I on %s', doomed.tgname, doomed.relation);
  end loop;
  for doomed in
    select p.oid::regprocedure as signature from pg_proc p where p.pronamespace = to_regnamespace('odoo_eventd')
  loop
    execute format('drop function %s', doomed.signature);
  end loop;
end $uninstall$;
