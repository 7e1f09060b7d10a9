-- Purpose: the three roles.
--
--   owner      owns what is installed and may act for the owner of Odoo's tables: it is the role that owns them. Odoo's manager
--              dumps with that role, so it must be able to read every table in the database, and a grant to any other named role
--              would make its restore fail on a cluster without that role (pg_restore ends with 1, which Odoo reports as a failed restore).
--   installer  a member of the owner: becomes it (SET ROLE) to install, upgrade and uninstall, and has no rights of its own.
--   listener   what the service logs in as. Has no right on any table, neither Odoo's nor ours: it calls the functions of the
--              schema odoo_eventd, and those do what they are named after and nothing else. Odoo's role is made a member of it, so that
--              Odoo's manager can end its sessions before it drops, renames or duplicates the database.
--
-- Names come from the settings odoo_eventd.listener_role and odoo_eventd.installer_role; empty = no such role. Where the session
-- may not create roles, none is made: the service then logs in as the owner.
-- Locks: none on tables.

do $roles$
declare
  owner name := (select pg_get_userbyid(c.relowner) from pg_class c where c.oid = to_regclass('public.ir_model'));
  listener text := nullif(current_setting('odoo_eventd.listener_role', true), '');
  installer text := nullif(current_setting('odoo_eventd.installer_role', true), '');
  role_name text;
  known_for text;
begin
  if owner is null then
    raise exception 'database "%" has no table public.ir_model: it is not an Odoo database', current_database()
      using errcode = 'undefined_table';
  end if;
  if not (select r.rolsuper or r.rolcreaterole from pg_roles r where r.rolname = session_user) then
    raise notice 'role "%" may not create roles: the service will have to log in as "%", or as a member of it', session_user,
      owner;
    return;
  end if;
  foreach role_name in array array_remove(array[listener, installer], null) loop
    continue when role_name = owner;
    -- Roles belong to the whole cluster, and no lock reaches across its databases: whoever changes one at the same time makes
    -- this fail with "tuple concurrently updated" or a duplicate. Then it is looked at anew.
    for try in 1..20 loop
      begin
        if not exists (select from pg_roles r where r.rolname = role_name) then
          -- The installer becomes the owner when it says so; the listener has at once what it is granted: pg_read_all_data.
          execute format('create role %I nologin %s', role_name, case role_name when listener then 'inherit'
            else 'noinherit' end);
          execute format('comment on role %I is %L', role_name, 'made by odoo-eventd for: ');
        end if;
        -- Which databases use it, so that the last uninstall may drop it.
        known_for := shobj_description((select r.oid from pg_roles r where r.rolname = role_name), 'pg_authid');
        if known_for like 'made by odoo-eventd for: %' and position(format('[%s]', current_database()) in known_for) = 0 then
          execute format('comment on role %I is %L', role_name, known_for || format('[%s]', current_database()));
        end if;
        if role_name = listener and known_for like 'made by odoo-eventd for: %'
           and not (select r.rolinherit from pg_roles r where r.rolname = listener) then
          begin
            execute format('alter role %I inherit', listener);
          exception when insufficient_privilege then
            -- It is needed where the listener was granted more than this program asks for; whoever made the role can do it.
            raise notice 'role "%" does not inherit what it is granted: alter role % inherit', listener, quote_ident(listener);
          end;
        end if;
        if role_name = listener and not pg_has_role(owner, listener, 'member') then
          execute format('grant %I to %I', listener, owner);
        end if;
        if role_name = installer and not pg_has_role(installer, owner, 'member') then
          execute format('grant %I to %I', owner, installer);
        end if;
        exit;
      exception when duplicate_object or unique_violation or internal_error then
        if try = 20 then
          raise;
        end if;
        perform pg_sleep(random() * 0.05);
      end;
    end loop;
  end loop;
end $roles$;
