//! Nobody gets a right that he did not have: nothing that others plant where our SQL could find it ever runs.

mod injected;
mod kept;
mod refusing;
mod taken_over;
mod trap;

use odoo_eventd::demo::Options;
use odoo_eventd::demo::cluster::SUPERUSER;
use tokio_postgres::Client;

use crate::support::db::ODOO;
use crate::support::receiver::Receiver;
use crate::support::service::{SOON, Service, eventd};
use crate::support::{Database, Server, eventually};

const LISTENER: &str = "odoo_eventd_listener";

/// Domains that use every kind of comparison.
const DOMAIN: &str = "['|', '&', ('partner_id.country_id.code', '=', 'BE'), ('name', 'not ilike', 'zz%z'), '&', '&', '&', '&', '&', \
    ('order_line.product_id', 'in', [1, 2]), ('state', 'not in', ['x']), ('date_order', '>=', '2020-01-01'), ('tag_ids', '=', False), \
    ('partner_id', 'child_of', [1]), ('partner_id.parent_id', '!=', 3)]";

/// A database in which a plain role, Odoo's and the listener have planted what they may, and its settings are as bad as they get.
struct Trapped {
    database: Database,
    admin: Client,
}

impl Trapped {
    async fn new() -> Self {
        let server = Server::private(Options::new());
        for role in ["plain", LISTENER] {
            server.cluster().create_role(role, "").unwrap();
        }
        let database = server.fixture().await;
        let admin = trap::pinned(&database, SUPERUSER).await;
        trap::prepare(&admin).await;
        // As it is by default before PostgreSQL 15; `"$user"` comes before `public` everywhere.
        let name = database.name();
        admin
            .batch_execute(&format!(
                "grant create on schema public to public; grant create on database \"{name}\" to public"
            ))
            .await
            .unwrap();
        let odoo = trap::pinned(&database, ODOO).await;
        for role in [SUPERUSER, "odoo_eventd_installer"] {
            odoo.batch_execute(&format!(
                "create schema \"{role}\"; grant usage on schema \"{role}\" to public"
            ))
            .await
            .unwrap();
        }
        trap::plant(&odoo, SUPERUSER).await;
        trap::plant(&trap::pinned(&database, "plain").await, "public").await;
        admin
            .batch_execute(&format!("alter role {LISTENER} login"))
            .await
            .unwrap();
        let listener = trap::pinned(&database, LISTENER).await;
        listener
            .batch_execute(&format!(
                "create schema {LISTENER}; grant usage on schema {LISTENER} to public"
            ))
            .await
            .unwrap();
        trap::plant(&listener, LISTENER).await;
        // What the database's owner may set for everybody.
        odoo.batch_execute(&format!(
            "alter database \"{name}\" set search_path = \"$user\", public, pg_catalog;
             alter database \"{name}\" set quote_all_identifiers = on;
             alter database \"{name}\" set standard_conforming_strings = off;
             alter database \"{name}\" set backslash_quote = on;
             alter database \"{name}\" set datestyle = 'SQL, DMY';
             alter database \"{name}\" set intervalstyle = 'sql_standard';
             alter database \"{name}\" set extra_float_digits = 0;
             alter database \"{name}\" set bytea_output = 'escape';
             alter database \"{name}\" set xmlbinary = 'hex';
             alter database \"{name}\" set timezone = 'America/St_Johns'"
        ))
        .await
        .unwrap();
        assert_eq!(trap::sprung(&admin).await, [""; 0], "while they were planted");
        Self { database, admin }
    }

    #[track_caller]
    fn assert_untouched(&self, sprung: &[String], after: &str) {
        let log = self.database.server().cluster().log_path();
        let log = std::fs::read_to_string(log).unwrap();
        let told: std::collections::BTreeSet<&str> = log.lines().filter_map(|l| l.split("trap: ").nth(1)).collect();
        assert!(sprung.is_empty(), "after {after}: {sprung:#?}\n{told:#?}");
    }

    async fn run(&self, role: &str, arguments: &[&str]) -> String {
        self.run_through(&self.database.url_as(role), role, arguments).await
    }

    async fn run_through(&self, url: &str, role: &str, arguments: &[&str]) -> String {
        let output = eventd(url, arguments).await;
        self.assert_untouched(&trap::sprung(&self.admin).await, &format!("{arguments:?} as {role}"));
        // The database is set up to make doctor complain.
        assert!(
            output.status.success() || arguments[0] == "doctor",
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Trapped {
    async fn wait_until_served(&self) {
        let status = "select (odoo_eventd.status() -> 'service') <> 'null'::jsonb
                         and not exists (select from public.mcp_event_subscription s where s.active and s.state is null)";
        eventually("a leading service", SOON * 4, async || {
            let row = self.admin.query_one(status, &[]).await.unwrap();
            row.get::<_, bool>(0).then_some(())
        })
        .await;
        let invalid = self
            .admin
            .query(
                "select s.error from public.mcp_event_subscription s where s.state = 'invalid'",
                &[],
            )
            .await
            .unwrap();
        assert!(
            invalid.is_empty(),
            "{:?}",
            invalid.first().map(|row| row.get::<_, String>(0))
        );
    }

    async fn write_as_odoo(&self, text: &str) {
        let odoo = trap::pinned(&self.database, ODOO).await;
        odoo.batch_execute(&format!("update public.sale_order set client_order_ref = 'for {text}'"))
            .await
            .unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_planted_runs_where_a_pooler_refuses_to_pin_the_path_either() {
    let trapped = Trapped::new().await;
    let database = &trapped.database;
    let receiver = Receiver::start().await;
    let own = database.server().cluster().port();
    let through = refusing::start(own).await;
    let url = database.tcp_url().replace(&format!(":{own}/"), &format!(":{through}/"));
    let run = async |arguments: &[&str]| trapped.run_through(&url, ODOO, arguments).await;
    run(&["domain", "eval", "--model", "sale.order", DOMAIN]).await;
    run(&["plan"]).await;
    run(&["install"]).await;
    let target = receiver.url("/");
    let subscription = run(&[
        "subscribe",
        "--model",
        "sale.order",
        "--event",
        "write",
        "--url",
        &target,
        "--secret",
        "hush-hush",
        "--domain",
        DOMAIN,
        "--fields",
        "client_order_ref,tag_ids",
        "--payload-fields",
        "name,partner_id.email,order_line{product_id{name}}",
    ])
    .await;
    let service = Service::start(&url, &[]);
    trapped.wait_until_served().await;
    trapped.write_as_odoo("a pooler").await;
    receiver.wait_for(1, SOON).await;
    run(&[
        "emit",
        "--subscription",
        subscription.trim(),
        "--domain",
        "[('id', '<', 3)]",
    ])
    .await;
    receiver.wait_for(2, SOON).await;
    run(&["status"]).await;
    run(&["doctor"]).await;
    run(&["capture", "off", "--model", "sale.order"]).await;
    run(&["capture", "on"]).await;
    let (ended, _) = service.terminate().await;
    assert!(ended.success());
    run(&["deliveries"]).await;
    run(&["redeliver", "--failed", "--since", "1h"]).await;
    run(&["subscriptions"]).await;
    run(&["secret", "rotate", subscription.trim()]).await;
    run(&["domain", "explain", "--model", "sale.order", DOMAIN]).await;
    run(&["erase", "--model", "sale.order", "--ids", "1"]).await;
    run(&["adopt", "--pending", "keep"]).await;
    run(&["uninstall", "--purge"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_planted_runs_when_a_superuser_feeds_the_scripts_to_psql() {
    let trapped = Trapped::new().await;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
    for script in [
        "install.sql",
        "install.sql",
        "uninstall.sql",
        "install.sql",
        "uninstall.sql",
        "purge.sql",
    ] {
        let said = trapped.database.admin_psql_file(&folder.join(script)).await;
        trapped.assert_untouched(&trap::sprung(&trapped.admin).await, script);
        assert!(said.is_ok(), "{script}: {said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_others_planted_runs_whatever_command_is_run_by_whom() {
    let trapped = Trapped::new().await;
    let database = &trapped.database;
    let receiver = Receiver::start().await;
    for role in [SUPERUSER, ODOO] {
        // Before it is installed these read Odoo's tables with the caller's own rights.
        trapped
            .run(role, &["domain", "eval", "--model", "sale.order", DOMAIN])
            .await;
        trapped.run(role, &["plan"]).await;
    }
    trapped.run(SUPERUSER, &["install"]).await;
    trapped.run(SUPERUSER, &["install"]).await;
    trapped
        .admin
        .batch_execute(&format!("grant pg_read_all_data to {LISTENER}"))
        .await
        .unwrap();
    let key = std::env::temp_dir().join(format!("odoo-eventd-rights-{}-{}", database.name(), std::process::id()));
    std::fs::write(&key, "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=").unwrap();
    let url = receiver.url("/");
    let mut deliveries = 0;
    for role in [SUPERUSER, LISTENER, ODOO] {
        let subscription = trapped
            .run(
                role,
                &[
                    "subscribe",
                    "--model",
                    "sale.order",
                    "--event",
                    "write",
                    "--url",
                    &url,
                    "--secret",
                    "hush-hush",
                    "--domain",
                    DOMAIN,
                    "--fields",
                    "client_order_ref,tag_ids",
                    "--payload-fields",
                    "name,partner_id.email,order_line{product_id{name}}",
                ],
            )
            .await;
        let subscription = subscription.trim();
        trapped
            .run(
                role,
                &[
                    "subscribe",
                    "--model",
                    "res.partner",
                    "--dry-run",
                    "--url",
                    &url,
                    "--domain",
                    "[('name', 'ilike', 'é')]",
                ],
            )
            .await;
        let service = Service::start(&database.url_as(role), &[]);
        trapped.wait_until_served().await;
        trapped.write_as_odoo(role).await;
        deliveries += 1;
        receiver.wait_for(deliveries, SOON).await;
        trapped
            .run(
                role,
                &["emit", "--subscription", subscription, "--domain", "[('id', '<', 3)]"],
            )
            .await;
        deliveries += 1;
        receiver.wait_for(deliveries, SOON).await;
        trapped.run(role, &["status"]).await;
        trapped.run(role, &["doctor"]).await;
        trapped.run(role, &["capture", "off", "--model", "sale.order"]).await;
        trapped.run(role, &["capture", "on"]).await;
        let (ended, _) = service.terminate().await;
        assert!(ended.success());
        trapped.assert_untouched(&trap::sprung(&trapped.admin).await, &format!("the service as {role}"));
        trapped.run(role, &["deliveries"]).await;
        trapped.run(role, &["deliveries", "--dead"]).await;
        trapped.run(role, &["redeliver", "--failed", "--since", "1h"]).await;
        trapped.run(role, &["subscriptions"]).await;
        trapped.run(role, &["history"]).await;
        trapped.run(role, &["test", subscription]).await;
        deliveries += 1;
        trapped.run(role, &["secret", "rotate", subscription]).await;
        trapped
            .run(role, &["domain", "eval", "--model", "sale.order", DOMAIN])
            .await;
        trapped
            .run(role, &["domain", "explain", "--model", "sale.order", DOMAIN])
            .await;
        trapped.run(role, &["unsubscribe", subscription]).await;
        if role != LISTENER {
            trapped
                .run(role, &["erase", "--model", "sale.order", "--ids", "1"])
                .await;
            trapped.run(role, &["adopt", "--pending", "keep"]).await;
        }
    }
    trapped
        .run(LISTENER, &["secret", "rewrap", "--new-key-file", key.to_str().unwrap()])
        .await;
    std::fs::remove_file(&key).unwrap();
    trapped.run(SUPERUSER, &["uninstall"]).await;
    trapped.run(ODOO, &["install"]).await;
    trapped.run(SUPERUSER, &["uninstall", "--purge"]).await;
}

/// Temporary objects come first in the session that made them, unless a path says otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_temporary_of_a_session_runs_in_what_it_calls_or_in_what_its_writes_set_off() {
    let trapped = Trapped::new().await;
    let receiver = Receiver::start().await;
    trapped.run(SUPERUSER, &["install"]).await;
    let url = receiver.url("/");
    let subscribe = [
        "subscribe",
        "--model",
        "sale.order",
        "--url",
        &url,
        "--domain",
        "[('state', '!=', 'x')]",
    ];
    trapped.run(SUPERUSER, &subscribe).await;
    let service = Service::start(&trapped.database.url_as(SUPERUSER), &[]);
    trapped.wait_until_served().await;
    let (ended, _) = service.terminate().await;
    assert!(ended.success());
    let functions: Vec<String> = trapped
        .admin
        .query(
            "select p.oid::regproc::text || '(' || array_to_string(array_fill('null'::text, array[p.pronargs]), ', ') || ')'
               from pg_proc p where p.pronamespace = 'odoo_eventd'::regnamespace and p.prokind = 'f' and p.prosecdef",
            &[],
        )
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert!(functions.len() > 100, "{functions:?}");
    for role in ["plain", ODOO, LISTENER] {
        let session = trap::pinned(&trapped.database, role).await;
        trap::plant(&session, "pg_temp").await;
        session
            .batch_execute("set search_path = pg_temp, \"$user\", public, pg_catalog")
            .await
            .unwrap();
        if role == ODOO {
            session
                .batch_execute(
                    "update public.sale_order set client_order_ref = null;
                     insert into public.sale_order_tag_rel (order_id, tag_id) values (1, 1);
                     delete from public.sale_order_line",
                )
                .await
                .unwrap();
            let captured = "select count(*) from odoo_eventd.outbox";
            assert!(trapped.admin.query_one(captured, &[]).await.unwrap().get::<_, i64>(0) > 0);
        }
        for function in &functions {
            // Most are not for these arguments, and many not for this role.
            let _ = session.batch_execute(&format!("select {function}")).await;
        }
        trapped.assert_untouched(&trap::sprung(&trapped.admin).await, &format!("all calls as {role}"));
    }
}
