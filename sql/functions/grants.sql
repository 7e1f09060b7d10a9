-- Purpose: what the tables of this schema are granted to others is taken away, whoever granted it: default privileges do so
-- unasked.
-- Locks: none that a reader or a writer waits for; rows of the catalogue.

create or replace function odoo_eventd.revoke_grants(of_relation regclass) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp
as $$
declare
  granted record;
begin
  for granted in
    select distinct x.grantee, c.relkind from pg_class c cross join lateral aclexplode(c.relacl) x
     where c.oid = of_relation and x.grantee <> c.relowner
       -- Which migrations there are may be read by everybody.
       and not (c.oid = to_regclass('odoo_eventd.schema_migration') and x.grantee = 0 and x.privilege_type = 'SELECT')
  loop
    execute format('revoke all on %s %s from %s cascade', case granted.relkind when 'S' then 'sequence' else 'table' end,
      of_relation,
                   case granted.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(granted.grantee)) end);
  end loop;
end $$;
comment on function odoo_eventd.revoke_grants(regclass)
  is 'Takes from everybody but the owner what a table of this schema was granted to them.';
revoke all on function odoo_eventd.revoke_grants(regclass) from public;

do $grants$
declare
  ours regclass;
begin
  for ours in
    select c.oid from pg_class c where c.relnamespace = 'odoo_eventd'::regnamespace and c.relkind in ('r', 'p', 'v', 'S')
      and c.relacl is not null
  loop
    perform odoo_eventd.revoke_grants(ours);
  end loop;
end $grants$;
