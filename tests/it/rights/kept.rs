//! What everybody may call and read.

use odoo_eventd::demo::Options;
use odoo_eventd::demo::cluster::SUPERUSER;

use super::trap;
use crate::support::Server;
use crate::support::service::eventd_ok;

/// They compute something from what they are given, and look at nothing.
const HARMLESS: &[&str] = &["builtin_secret_fields", "capture_function_name"];

#[tokio::test(flavor = "multi_thread")]
async fn every_function_that_everybody_may_call_looks_at_its_caller_or_at_nothing() {
    let server = Server::private(Options::new());
    server.cluster().create_role("outsider", "").unwrap();
    let database = server.fixture().await;
    eventd_ok(&database.admin_url(), &["install"]).await;
    eventd_ok(
        &database.admin_url(),
        &["subscribe", "--model", "sale.order", "--url", "https://127.0.0.1:9/"],
    )
    .await;
    let outsider = trap::pinned(&database, "outsider").await;
    let callable = outsider
        .query(
            "select p.proname::text, p.provolatile = 'i',
                    'select odoo_eventd.' || quote_ident(p.proname) || '('
                    || coalesce((select string_agg(case t when 'text'::regtype then '''x''' else 'null' end || '::' || format_type(t, null), ', ' order by n) from unnest(p.proargtypes) with ordinality u (t, n)), '')
                    || ')'
               from pg_proc p
              where p.pronamespace = 'odoo_eventd'::regnamespace and has_function_privilege(p.oid, 'execute')
              order by 1",
            &[],
        )
        .await
        .unwrap();
    assert!(callable.len() > 50);
    let mut open = Vec::new();
    for row in &callable {
        let (name, is_immutable, call): (&str, bool, &str) = (row.get(0), row.get(1), row.get(2));
        if HARMLESS.contains(&name) && is_immutable {
            continue;
        }
        match outsider.batch_execute(call).await {
            Err(refused) if refused.code().is_some_and(|code| code.code() == "42501") => {}
            answered => open.push(format!("{call}: {answered:?}")),
        }
    }
    assert!(open.is_empty(), "{open:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_schema_is_granted_whatever_the_default_privileges_are() {
    let server = Server::private(Options::new());
    server.cluster().create_role("reporting", "").unwrap();
    let database = server.fixture().await;
    let admin = trap::pinned(&database, SUPERUSER).await;
    admin
        .batch_execute(
            "alter default privileges for role odoo grant all on tables to reporting;
             alter default privileges for role odoo grant all on sequences to public",
        )
        .await
        .unwrap();
    eventd_ok(&database.admin_url(), &["install"]).await;
    let granted = admin
        .query_one(
            "select array_agg(format('%s: %s %s', c.oid::regclass, case x.grantee when 0 then 'everybody' else pg_get_userbyid(x.grantee)::text end,
                                     x.privilege_type) order by c.relname)
               from pg_class c cross join lateral aclexplode(c.relacl) x
              where c.relnamespace = 'odoo_eventd'::regnamespace and x.grantee <> c.relowner",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(
        granted.get::<_, Vec<String>>(0),
        ["odoo_eventd.schema_migration: everybody SELECT"]
    );
}
