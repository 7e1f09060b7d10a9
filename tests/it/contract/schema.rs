//! What is installed in a database: tables, constraints, indexes, triggers, views, signatures of functions, grants.

use super::assert_kept;
use crate::support::Database;
use crate::support::service::eventd_ok;

/// All of it as lines. Rights are those of PUBLIC, of the owner and of the listener by their parts, not by their names.
const INSTALLED: &str = "
    with ours as (
      select c.* from pg_class c
       where c.relnamespace = 'odoo_eventd'::regnamespace
          or (c.relnamespace = 'public'::regnamespace and c.relname like 'mcp\\_%')
    ), functions as (select p.* from pg_proc p where p.pronamespace = 'odoo_eventd'::regnamespace)
    select format('%s %s%s', case c.relkind when 'r' then 'table' when 'v' then 'view' when 'S' then 'sequence' when 'p' then 'partitioned table'
                            when 'c' then 'type' else c.relkind::text end, c.oid::regclass,
                  ' ' || nullif(array_to_string(c.reloptions, ', '), ''))
      from ours c where c.relkind not in ('i', 't')
    union all
    select format('column %s.%s %s%s%s', a.attrelid::regclass, a.attname, format_type(a.atttypid, a.atttypmod),
                  case when a.attnotnull then ' not null' end, ' default ' || pg_get_expr(d.adbin, d.adrelid))
      from ours c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
     where c.relkind in ('r', 'v', 'p', 'c')
    union all
    select format('constraint %s.%s %s', n.conrelid::regclass, n.conname, pg_get_constraintdef(n.oid))
      from ours c join pg_constraint n on n.conrelid = c.oid and n.contype <> 'n'
    union all
    select format('index %s', pg_get_indexdef(c.oid)) from ours c where c.relkind = 'i'
    union all
    select format('trigger %s', pg_get_triggerdef(t.oid)) from pg_trigger t
     where not t.tgisinternal and (t.tgrelid in (select c.oid from ours c) or t.tgfoid in (select p.oid from functions p))
    union all
    select format('function %s(%s) returns %s %s%s%s', p.oid::regproc, pg_get_function_arguments(p.oid), pg_get_function_result(p.oid),
                  case p.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end,
                  case when p.prosecdef then ' security definer' end, ' set ' || array_to_string(p.proconfig, ', '))
      from functions p
    union all
    select format('grant %s on %s to %s', a.privilege_type, what, case a.grantee when 0 then 'PUBLIC' else pg_get_userbyid(a.grantee) end)
      from (select coalesce(c.relacl, acldefault('r', c.relowner)), c.oid::regclass::text, c.relowner from ours c where c.relkind in ('r', 'v', 'p')
            union all
            select coalesce(p.proacl, acldefault('f', p.proowner)), p.oid::regprocedure::text, p.proowner from functions p
            union all
            select coalesce(n.nspacl, acldefault('n', n.nspowner)), n.nspname, n.nspowner from pg_namespace n where n.nspname = 'odoo_eventd'
           ) of (acl, what, owner), aclexplode(of.acl) a
     where a.grantee <> of.owner";

#[tokio::test(flavor = "multi_thread")]
async fn the_installed_schema_is_what_it_was() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let client = database.client().await;
    let rows = client.query(INSTALLED, &[]).await.unwrap();
    let mut lines: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    lines.sort();
    assert_kept(&database, "schema", &lines.join("\n"));
}
