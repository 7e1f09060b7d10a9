-- Purpose: who may call the listener's functions, and whether this database is the one that was installed.
--
-- The functions of this schema run with the owner's rights and are executable by everybody, because a grant to a named role would
-- break restores on other clusters (migrations/000001). So each begins by looking at who is logged in.

create or replace function odoo_eventd.assert_listener() returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp
as $$
declare
  listener name := (select i.listener_role from odoo_eventd.installation i);
begin
  -- current_user is the owner here. session_user is who logged in: SET ROLE does not change it.
  if pg_has_role(session_user, current_user, 'member') then
    return;
  end if;
  -- The role is looked up first: on a cluster without it pg_has_role would raise an error of its own.
  if exists (select from pg_roles r where r.rolname = listener and pg_has_role(session_user, r.oid, 'member')) then
    return;
  end if;
  raise exception 'role "%" is not the listener of odoo-eventd in database "%"', session_user, current_database()
    using errcode = 'insufficient_privilege',
          hint = 'Log in as the role that `odoo-eventd install` named, or as a member of the role that owns Odoo''s tables.';
end $$;
comment on function odoo_eventd.assert_listener() is 'Raises insufficient_privilege unless the session may act as the listener.';

create or replace function odoo_eventd.signs_of_a_copy(may_wait boolean) returns text
-- Volatile for the lock alone.
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  installed odoo_eventd.installation;
  parameter record;
begin
  select * into strict installed from odoo_eventd.installation;
  if installed.database_name <> current_database() then
    return format('this is a copy: odoo-eventd was installed in database "%s", and this one is called "%s"',
                  installed.database_name, current_database());
  end if;
  if installed.epoch = '00000000-0000-0000-0000-000000000000' then
    return 'this database has forgotten what the service had committed: it was restored to an earlier time, or a failover has lost its last '
           'commits';
  end if;
  -- A dump, or a template: in place of a database that had another number.
  if odoo_eventd.home() <> (select d.oid from pg_database d where d.datname = current_database()) then
    return 'this is not the database that odoo-eventd was installed in, but one of the same name: restored from a dump, or made from a copy';
  end if;
  if (select pg_snapshot_xmax(p.done) from odoo_eventd.position p) > pg_snapshot_xmax(pg_current_snapshot()) then
    return 'the position in the outbox is ahead of this server''s transactions: the database was restored to an earlier time';
  end if;
  if not may_wait then
    -- An upgrade of Odoo may hold this table for minutes. Until it ends nobody else can change it, and what it changes is not
    -- committed: the last answer still holds.
    begin
      lock table public.ir_config_parameter in access share mode nowait;
    exception when lock_not_available then
      return null;
    end;
  end if;
  for parameter in
    select p.key, p.value from public.ir_config_parameter p where p.key in ('database.uuid', 'database.is_neutralized')
  loop
    if parameter.key = 'database.uuid' and installed.database_uuid is distinct from parameter.value then
      return 'Odoo''s database.uuid is not the one it was at installation: this is a copy that Odoo gave an identity of its own';
    end if;
    if parameter.key = 'database.is_neutralized' and lower(parameter.value) not in ('false', '0', '')
      and not installed.neutralized then
      return 'Odoo has marked this database as neutralized: a copy for tests';
    end if;
  end loop;
  return null;
end $$;
comment on function odoo_eventd.signs_of_a_copy(boolean) is
  'As fence(), but for what cannot change while a session lasts and costs most to ask.';
revoke all on function odoo_eventd.signs_of_a_copy(boolean) from public;

drop function if exists odoo_eventd.fence();
create or replace function odoo_eventd.fence(may_wait boolean default true) returns text
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
begin
  perform odoo_eventd.assert_listener();
  if (select i.system_identifier from odoo_eventd.installation i) <> (select c.system_identifier from pg_control_system() c)
     and (select i.database_name from odoo_eventd.installation i) = current_database() then
    return 'this is another cluster than the one odoo-eventd was installed on: a restore, or a major upgrade of PostgreSQL';
  end if;
  return odoo_eventd.signs_of_a_copy(may_wait);
end $$;
comment on function odoo_eventd.fence(boolean) is
  'Null if this database may deliver; else a sentence that says why it looks like a copy. `odoo-eventd adopt` settles it. '
  'Whoever may not wait for an upgrade of Odoo is not told what Odoo''s parameters say meanwhile.';

create or replace function odoo_eventd.assert_may_deliver() returns void
language plpgsql volatile security definer set search_path = pg_catalog, pg_temp
as $$
declare
  reason text := odoo_eventd.signs_of_a_copy(false);
begin
  if reason is not null then
    raise exception '%', reason using errcode = 'OE002', hint = 'If this database should deliver: `odoo-eventd adopt`.';
  end if;
end $$;
comment on function odoo_eventd.assert_may_deliver() is
  'Raises OE002 where fence() has a reason: a database can become a copy, or be marked as one, while the service runs. Part of '
  'every statement that claims.';
revoke all on function odoo_eventd.assert_may_deliver() from public;
