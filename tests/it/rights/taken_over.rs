//! What looks like Odoo's or ours and is somebody else's is refused, and never read.

use odoo_eventd::demo::Options;
use odoo_eventd::demo::cluster::SUPERUSER;
use tokio_postgres::Client;

use super::trap;
use crate::support::db::ODOO;
use crate::support::service::{eventd, eventd_ok};
use crate::support::{Database, Server};

/// A fixture where the roles `plain` and ours may make tables, and a function that notes that it ran.
async fn world() -> (Database, Client) {
    let server = Server::private(Options::new());
    for role in ["plain", "odoo_eventd_listener"] {
        server.cluster().create_role(role, "").unwrap();
    }
    let database = server.fixture().await;
    let admin = trap::pinned(&database, SUPERUSER).await;
    trap::prepare(&admin).await;
    admin
        .batch_execute(&format!(
            "grant create on schema public to public; grant create on database \"{}\" to public;
             select trap.sequence_for('it');
             -- As the roles that use it would write it: with the rights of whoever calls it.
             create function trap.it() returns boolean language plpgsql as
               $$ begin perform pg_catalog.nextval('trap.it'); return true; end $$;
             create function trap.it(text) returns text language plpgsql as
               $$ begin perform pg_catalog.nextval('trap.it'); return $1; end $$",
            database.name()
        ))
        .await
        .unwrap();
    (database, admin)
}

async fn refused(database: &Database, role: &str, arguments: &[&str], because: &str) {
    let output = eventd(&database.url_as(role), arguments).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains(because),
        "{arguments:?}: {said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_call_like_a_models_table_is_read_by_nobody() {
    let (database, admin) = world().await;
    eventd_ok(&database.admin_url(), &["install"]).await;
    let odoo = database.client().await;
    odoo.batch_execute(
        "insert into ir_model (model, name, \"order\") values ('sequence.mixin', '{\"en_US\": \"Mixin\"}', 'id');
         insert into ir_model_fields (model, model_id, name, ttype, state, field_description, store)
         select 'sequence.mixin', m.id, f.name, f.ttype, 'base', '{\"en_US\": \"x\"}', true
           from ir_model m, (values ('id', 'integer'), ('name', 'char')) f (name, ttype) where m.model = 'sequence.mixin';
         insert into ir_model_fields (model, model_id, name, ttype, state, field_description, store, relation, relation_table, column1, column2)
         select 'sale.order', m.id, 'x_mixed', 'many2many', 'manual', '{\"en_US\": \"x\"}', true, 'crm.tag', 'x_mixed_rel', 'a', 'b'
           from ir_model m where m.model = 'sale.order'",
    )
    .await
    .unwrap();
    let listener = trap::pinned(&database, "odoo_eventd_listener").await;
    for (made, dropped) in [
        (
            "create view public.sequence_mixin as select 1 as id, 'x'::varchar as name where trap.it()",
            "drop view public.sequence_mixin",
        ),
        (
            "create materialized view public.sequence_mixin as select 1 as id, 'x'::varchar as name",
            "drop materialized view public.sequence_mixin",
        ),
        (
            "create table public.sequence_mixin (id integer, name varchar); insert into public.sequence_mixin values (1, 'x');
             alter table public.sequence_mixin enable row level security; grant all on public.sequence_mixin to public;
             create policy everybody on public.sequence_mixin using (trap.it())",
            "drop table public.sequence_mixin",
        ),
        (
            "create table public.sequence_mixin (id integer, name varchar) partition by list (id); grant all on public.sequence_mixin to public",
            "drop table public.sequence_mixin",
        ),
        (
            "create type public.theirs as (a text);
             create function public.print(public.theirs) returns text language sql as $$ select trap.it('x') $$;
             create cast (public.theirs as text) with function public.print(public.theirs);
             create table public.sequence_mixin (id integer, name public.theirs); insert into public.sequence_mixin values (1, row('x'));
             grant all on public.sequence_mixin to public",
            "drop table public.sequence_mixin",
        ),
    ] {
        listener.batch_execute(made).await.unwrap();
        let read = listener
            .query("select * from odoo_eventd.read_records('sequence.mixin', '{1}', '{name}', 1000)", &[])
            .await;
        assert_eq!(read.unwrap_err().code().unwrap().code(), "42P01", "{made}");
        let table: Option<u32> = admin
            .query_one("select odoo_eventd.model_table('sequence.mixin')", &[])
            .await
            .unwrap()
            .get(0);
        assert_eq!(table, None, "{made}");
        for role in [SUPERUSER, ODOO] {
            let output = eventd(&database.url_as(role), &["domain", "eval", "--model", "sequence.mixin", "[('name', '=', 'x')]"]).await;
            assert!(!output.status.success(), "{made}");
        }
        assert_eq!(trap::sprung(&admin).await, [""; 0], "{made}");
        listener.batch_execute(dropped).await.unwrap();
    }
    // A table of pairs as well.
    listener
        .batch_execute("create view public.x_mixed_rel as select 1 as a, 1 as b where trap.it(); grant all on public.x_mixed_rel to public")
        .await
        .unwrap();
    let read = listener
        .query(
            "select * from odoo_eventd.read_related('sale.order', 'x_mixed', '{1}', null, 10)",
            &[],
        )
        .await;
    assert_eq!(read.unwrap_err().code().unwrap().code(), "42P01");
    eventd(
        &database.admin_url(),
        &["domain", "eval", "--model", "sale.order", "[('x_mixed', '=', 1)]"],
    )
    .await;
    assert_eq!(trap::sprung(&admin).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unaccent_of_somebody_who_could_act_for_others_by_it_is_not_called() {
    let (database, admin) = world().await;
    let accent = ["domain", "eval", "--model", "res.partner", "[('name', 'ilike', 'é')]"];
    let plain = trap::pinned(&database, "plain").await;
    let function =
        "create function public.unaccent(text) returns text language sql immutable as $$ select trap.it($1) $$";
    plain.batch_execute(function).await.unwrap();
    for role in [SUPERUSER, ODOO] {
        refused(&database, role, &accent, "public.unaccent").await;
    }
    eventd_ok(&database.admin_url(), &["install"]).await;
    for role in [SUPERUSER, ODOO, "odoo_eventd_listener"] {
        refused(&database, role, &accent, "public.unaccent").await;
    }
    assert_eq!(trap::sprung(&admin).await, [""; 0]);
    plain
        .batch_execute("drop function public.unaccent(text)")
        .await
        .unwrap();

    // Odoo's own: for itself, not for a superuser.
    let odoo = trap::pinned(&database, ODOO).await;
    odoo.batch_execute(function).await.unwrap();
    refused(&database, SUPERUSER, &accent, "public.unaccent").await;
    assert_eq!(trap::sprung(&admin).await, [""; 0]);
    eventd_ok(&database.url(), &accent).await;
    odoo.batch_execute("drop function public.unaccent(text)").await.unwrap();

    // A superuser's is like the extension's; one more beside it for another type is not what is called.
    admin
        .batch_execute("create function public.unaccent(text) returns text language sql immutable as $$ select pg_catalog.lower($1) $$")
        .await
        .unwrap();
    eventd_ok(&database.admin_url(), &accent).await;
    plain
        .batch_execute("create function public.unaccent(varchar) returns text language sql immutable as $$ select trap.it($1::text) $$")
        .await
        .unwrap();
    let before = trap::sprung(&admin).await;
    refused(&database, SUPERUSER, &accent, "public.unaccent").await;
    assert_eq!(trap::sprung(&admin).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_others_prepared_under_our_names_is_refused_and_not_looked_into() {
    let (database, admin) = world().await;
    let plain = trap::pinned(&database, "plain").await;
    for (made, dropped) in [
        ("create schema odoo_eventd", "drop schema odoo_eventd cascade"),
        (
            "create schema odoo_eventd; grant usage on schema odoo_eventd to public;
             create view odoo_eventd.schema_migration as select 14 as version where trap.it(); grant all on odoo_eventd.schema_migration to public;
             create function odoo_eventd.assert_listener() returns void language sql as $$ select trap.it() $$;
             create function odoo_eventd.registry_facts() returns void language sql as $$ select trap.it() $$;
             create function odoo_eventd.status() returns jsonb language sql as $$ select pg_catalog.to_jsonb(trap.it()) $$",
            "drop schema odoo_eventd cascade",
        ),
        (
            "create table public.mcp_event_subscription (id integer)",
            "drop table public.mcp_event_subscription",
        ),
        (
            "create view public.mcp_webhook_delivery as select 1 as id where trap.it(); grant all on public.mcp_webhook_delivery to public",
            "drop view public.mcp_webhook_delivery",
        ),
        (
            "create view public.mcp_event_subscription_view as select 1 as id where trap.it()",
            "drop view public.mcp_event_subscription_view",
        ),
    ] {
        plain.batch_execute(made).await.unwrap();
        for role in [SUPERUSER, ODOO] {
            let url = database.url_as(role);
            let installed = eventd(&url, &["install"]).await;
            let said = String::from_utf8_lossy(&installed.stderr);
            assert!(!installed.status.success() && said.contains("\"plain\""), "{made}: {said}");
            for arguments in [
                &["plan"][..],
                &["status"],
                &["doctor"],
                &["domain", "eval", "--model", "sale.order", "[]"],
                &["uninstall"],
            ] {
                eventd(&url, arguments).await;
            }
            assert_eq!(trap::sprung(&admin).await, [""; 0], "{made}");
        }
        plain.batch_execute(dropped).await.unwrap();
    }
    eventd_ok(&database.admin_url(), &["install"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_odoos_role_hung_on_our_tables_does_not_become_a_superuser_with_the_next_installation() {
    let (database, admin) = world().await;
    eventd_ok(&database.admin_url(), &["install"]).await;
    let odoo = trap::pinned(&database, ODOO).await;
    odoo.batch_execute(
        "create function public.theirs() returns trigger language plpgsql as $$ begin perform trap.it(); return new; end $$;
         create function public.their_default() returns integer language sql as $$ select trap.it('x')::integer $$;
         create type public.their_type as (a integer)",
    )
    .await
    .unwrap();
    for (made, undone) in [
        (
            "create trigger theirs before insert on odoo_eventd.schema_migration for each row execute function public.theirs()",
            "drop trigger theirs on odoo_eventd.schema_migration",
        ),
        (
            "create rule theirs as on insert to odoo_eventd.progress do also select trap.it()",
            "drop rule theirs on odoo_eventd.progress",
        ),
        (
            "alter table odoo_eventd.capture_check add column theirs integer default 1;
             alter table odoo_eventd.capture_check alter column theirs set default public.their_default()",
            "alter table odoo_eventd.capture_check drop column theirs",
        ),
        (
            "alter table public.mcp_event_subscription add column theirs public.their_type",
            "drop view public.mcp_event_subscription_view; alter table public.mcp_event_subscription drop column theirs",
        ),
        (
            "alter table odoo_eventd.lead enable row level security",
            "alter table odoo_eventd.lead disable row level security",
        ),
        (
            "create or replace function odoo_eventd.keep_subscription() returns trigger language plpgsql security invoker as
               $$ begin perform trap.it(); return new; end $$",
            "select 1",
        ),
    ] {
        odoo.batch_execute(made).await.unwrap();
        refused(&database, SUPERUSER, &["install"], "could act as \"postgres\"").await;
        assert_eq!(trap::sprung(&admin).await, [""; 0], "{made}");
        odoo.batch_execute(undone).await.unwrap();
    }
    // Odoo's own role installs with no rights but its own.
    eventd_ok(&database.url(), &["install"]).await;
    eventd_ok(&database.admin_url(), &["install"]).await;

    // Nor is what it made of our functions called.
    odoo.batch_execute(
        "create or replace function odoo_eventd.status() returns jsonb language plpgsql as
           $$ begin perform trap.it(); return '{}'; end $$",
    )
    .await
    .unwrap();
    refused(
        &database,
        SUPERUSER,
        &["status"],
        "is not as `odoo-eventd install` makes it",
    )
    .await;
    assert_eq!(trap::sprung(&admin).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn casts_of_odoos_types_are_not_called_with_a_superusers_rights() {
    let (database, admin) = world().await;
    let odoo = trap::pinned(&database, ODOO).await;
    odoo.batch_execute(
        "create type public.theirs as (a integer);
         create function public.to_json(public.theirs) returns json language sql as $$ select pg_catalog.to_json(trap.it()) $$;
         create function public.to_id(public.theirs) returns integer language sql as $$ select trap.it()::integer $$;
         create function public.to_text(public.theirs) returns text language sql as $$ select trap.it('x') $$;
         create cast (public.theirs as json) with function public.to_json(public.theirs) as implicit;
         create cast (public.theirs as integer) with function public.to_id(public.theirs) as implicit;
         create cast (public.theirs as text) with function public.to_text(public.theirs) as implicit",
    )
    .await
    .unwrap();
    for (table, column) in [
        ("ir_model", "theirs"),
        ("ir_model_fields", "theirs"),
        ("res_lang", "theirs"),
        ("res_company", "theirs"),
    ] {
        odoo.batch_execute(&format!(
            "alter table public.{table} add column {column} public.theirs; update public.{table} set {column} = row(1)"
        ))
        .await
        .unwrap();
        refused(
            &database,
            SUPERUSER,
            &["domain", "eval", "--model", "sale.order", "[]"],
            "somebody else's code",
        )
        .await;
        assert_eq!(trap::sprung(&admin).await, [""; 0], "{table}");
        odoo.batch_execute(&format!("alter table public.{table} drop column {column}"))
            .await
            .unwrap();
    }
    // Where it is not the registry itself: links, ids, texts.
    odoo.batch_execute(
        "alter table public.sale_order_tag_rel alter column tag_id type public.theirs using row(tag_id)::public.theirs;
         alter table public.sale_order alter column client_order_ref type public.theirs using row(1)::public.theirs",
    )
    .await
    .unwrap_or_else(|error| panic!("{:?}", error.as_db_error()));
    // The key's own check has called it, with the rights of Odoo's role.
    let before = trap::sprung(&admin).await;
    for domain in ["[('tag_ids', '=', 1)]", "[('client_order_ref', '=', 'x')]"] {
        eventd(
            &database.admin_url(),
            &["domain", "eval", "--model", "sale.order", domain],
        )
        .await;
        assert_eq!(trap::sprung(&admin).await, before, "{domain}");
    }
}
