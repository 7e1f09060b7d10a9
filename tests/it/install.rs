//! Installing, removing, rights, and living beside Odoo's own database manager.

use std::path::{Path, PathBuf};
use std::process::Output;

use tokio::process::Command;

use crate::support::delivery::subscribe;
use crate::support::receiver::Receiver;
use crate::support::service::{SOON, Service, eventd, eventd_ok, wait_until_assisted, wait_until_leading};
use crate::support::{Database, Server, eventually};

/// Everything that a catalogue says of a database, but for numbers that mean nothing (oids).
const CATALOGUE: &str = "
    select 'relation', n.nspname, c.relname, c.relkind::text, c.relacl::text, pg_get_userbyid(c.relowner)
      from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname !~ '^pg_toast'
    union all select 'column', a.attrelid::regclass::text, a.attname, format_type(a.atttypid, a.atttypmod), a.attacl::text, null
      from pg_attribute a join pg_class c on c.oid = a.attrelid
      join pg_namespace n on n.oid = c.relnamespace where a.attnum > 0 and not a.attisdropped and n.nspname !~ '^pg_'
    union all select 'function', p.oid::regprocedure::text, md5(p.prosrc), null, p.proacl::text, null
      from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname !~ '^pg_'
    union all select 'trigger', t.tgrelid::regclass::text, t.tgname, null, null, null from pg_trigger t where not t.tgisinternal
    union all select 'constraint', c.conrelid::regclass::text, c.conname, pg_get_constraintdef(c.oid), null, null from pg_constraint c
    union all select 'schema', n.nspname, n.nspacl::text, null, null, pg_get_userbyid(n.nspowner) from pg_namespace n where n.nspname !~ '^pg_t'
    union all select 'type', t.typname, n.nspname, null, null, null from pg_type t join pg_namespace n on n.oid = t.typnamespace where n.nspname !~ '^pg_'
    union all select 'description', d.objoid::text, d.description, null, null, null from pg_description d join pg_class c on c.oid = d.objoid
    union all select 'role', r.rolname, r.rolsuper::text, r.rolcanlogin::text, r.rolinherit::text, null from pg_roles r
    union all select 'member', m.roleid::regrole::text, m.member::regrole::text, null, null, null from pg_auth_members m
    union all select 'default', coalesce(d.defaclacl::text, ''), null, null, null, null from pg_default_acl d
    order by 1, 2, 3, 4, 5, 6";

async fn catalogue(database: &Database) -> String {
    database.psql(CATALOGUE).await
}

/// A client program of the server's installation. Some server packages come without: then the one on the PATH, if it is not older
/// than the server, which pg_dump refuses.
async fn client_program(server: &Server, name: &str) -> Option<PathBuf> {
    let own = server.cluster().programs().program(name);
    if own.exists() {
        return Some(own);
    }
    let answer = Command::new(name).arg("--version").output().await.ok()?;
    let words = String::from_utf8(answer.stdout).ok()?;
    let major: u32 = words
        .split_whitespace()
        .find_map(|word| word.split('.').next()?.parse().ok())?;
    // psql talks to servers of any version.
    if name != "psql" && major < server.cluster().version().major {
        eprintln!(
            "skipped: no {name} for PostgreSQL {} here",
            server.cluster().version().major
        );
        return None;
    }
    Some(PathBuf::from(name))
}

async fn program(path: &Path, arguments: &[&str]) -> Output {
    Command::new(path).args(arguments).output().await.unwrap()
}

#[track_caller]
fn assert_silent_success(output: &Output, what: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && !said.to_lowercase().contains("error"),
        "{what}: {said}"
    );
}

/// Installed by a superuser, so with all roles, and one subscription.
async fn installed_by_superuser(database: &Database, url: &str) {
    eventd_ok(&database.admin_url(), &["install"]).await;
    eventd_ok(
        &database.admin_url(),
        &[
            "subscribe",
            "--model",
            "sale.order",
            "--url",
            url,
            "--secret",
            "hush-hush",
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn purging_leaves_the_catalogue_as_it_was_found() {
    // A server of its own: roles are compared too, and other tests make some.
    let database = Server::private(odoo_eventd::demo::Options::new()).fixture().await;
    let before = catalogue(&database).await;
    installed_by_superuser(&database, "http://127.0.0.1:9/").await;
    assert_ne!(catalogue(&database).await, before);
    eventd_ok(&database.admin_url(), &["uninstall", "--purge"]).await;
    assert_eq!(catalogue(&database).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn uninstalling_keeps_the_tables_and_installing_again_goes_on_with_them() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    subscribe(&database, "sale.order", &receiver.url("/"), &[]).await;
    eventd_ok(&database.url(), &["uninstall"]).await;
    assert_eq!(
        database
            .psql("select count(*) from pg_trigger where tgname like 'odoo_eventd%'")
            .await
            .trim(),
        "0"
    );
    assert_eq!(
        database
            .psql("select count(*) from mcp_event_subscription")
            .await
            .trim(),
        "1"
    );
    database
        .psql("update sale_order set client_order_ref = 'while it was away'")
        .await;
    let refused = eventd(&database.url(), &["status"]).await;
    assert_eq!(refused.status.code(), Some(1));

    let again = eventd(&database.url(), &["install"]).await;
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(again.status.success() && said.contains("again"), "{said}");
    let _service = Service::leading(&database).await;
    eventually("the triggers to be back", SOON, async || {
        let count = database
            .psql(
                "select count(*) from pg_trigger where tgname like 'odoo_eventd%' and tgrelid = 'sale_order'::regclass",
            )
            .await;
        let settled = database
            .psql(
                "select (select count(*) from odoo_eventd.captured_column where captured_from is null)
                      + (select count(*) from odoo_eventd.capture_gap where until is null)",
            )
            .await;
        (count.trim() == "4" && settled.trim() == "0").then_some(())
    })
    .await;
    database
        .psql("update sale_order set client_order_ref = 'back' where id = 1")
        .await;
    assert_eq!(
        receiver.wait_for(1, SOON).await[0].json()["record_ids"],
        serde_json::json!([1])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_plan_prints_is_what_install_does() {
    let server = Server::private(odoo_eventd::demo::Options::new());
    let (by_plan, by_install) = (server.fixture().await, server.fixture().await);
    let plan = eventd_ok(&by_plan.admin_url(), &["plan"]).await;
    let file = std::env::temp_dir().join(format!("{}.sql", by_plan.name()));
    std::fs::write(&file, &plan).unwrap();
    let Some(psql) = client_program(&server, "psql").await else {
        return;
    };
    let output = program(
        &psql,
        &[
            "-X",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            &by_plan.admin_url(),
            "-f",
            file.to_str().unwrap(),
        ],
    )
    .await;
    std::fs::remove_file(&file).unwrap();
    assert_silent_success(&output, "psql with the plan");
    eventd_ok(&by_install.admin_url(), &["install"]).await;
    let (planned, installed) = (catalogue(&by_plan).await, catalogue(&by_install).await);
    // Descriptions go by oid, and one function tells the database's: two databases do not share them.
    let comparable = |text: &str| {
        text.lines()
            .filter(|l| !l.starts_with("description") && !l.starts_with("function|odoo_eventd.home()"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(comparable(&planned), comparable(&installed));
    let again = eventd(&by_plan.admin_url(), &["install"]).await;
    assert!(String::from_utf8_lossy(&again.stderr).contains("up to date"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sql_folder_installs_with_psql_alone() {
    let database = Database::fixture().await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/install.sql");
    database.psql_file(&script).await;
    database.psql_file(&script).await;
    let output = eventd(&database.url(), &["status"]).await;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_installs_at_once_all_succeed() {
    let database = Database::fixture().await;
    let url = database.admin_url();
    let installs: Vec<_> = (0..20)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { eventd(&url, &["install"]).await })
        })
        .collect();
    for install in installs {
        assert_silent_success(&install.await.unwrap(), "one of twenty installs");
    }
    let migrations = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/migrations")).unwrap();
    assert_eq!(
        database
            .psql("select count(*) from odoo_eventd.schema_migration")
            .await
            .trim(),
        migrations.count().to_string()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_listener_serves_everything_and_may_do_nothing_else() {
    let server = Server::private(odoo_eventd::demo::Options::new());
    let database = server.fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.admin_url(), &["install"]).await;
    let admin = database.admin_client().await;
    admin
        .batch_execute("alter role odoo_eventd_listener login")
        .await
        .unwrap();
    let url = database.url_as("odoo_eventd_listener");
    eventd_ok(
        &url,
        &[
            "subscribe",
            "--model",
            "sale.order",
            "--url",
            &receiver.url("/"),
            "--secret",
            "hush-hush",
        ],
    )
    .await;
    let service = Service::start(&url, &[]);
    wait_until_leading(&database).await;
    database
        .psql("update sale_order set client_order_ref = 'served' where id = 1")
        .await;
    receiver.wait_for(1, SOON).await;
    eventually("the result in the log", SOON, async || {
        eventd_ok(&url, &["deliveries", "--json"])
            .await
            .contains("\"success\"")
            .then_some(())
    })
    .await;
    service.terminate().await;

    let listener = database.client_as("odoo_eventd_listener").await;
    for forbidden in [
        "update sale_order set client_order_ref = 'x'",
        "insert into res_partner (name) values ('x')",
        "delete from sale_order",
        "select password from res_users",
        "select * from sale_order",
        "create trigger t after insert on sale_order for each row execute function odoo_eventd.capture_sale_order()",
        "alter table sale_order disable trigger all",
        "drop trigger odoo_eventd_insert on sale_order",
        "create or replace function odoo_eventd.capture_sale_order() returns trigger language plpgsql as 'begin return null; end'",
        "drop function odoo_eventd.capture_sale_order()",
        "create function odoo_eventd.mine() returns int language sql as 'select 1'",
        "insert into odoo_eventd.outbox_0 (id, xid, generation, op, record_id, at) values (1, '1', 1, 'I', 1, now())",
        "truncate odoo_eventd.outbox_0",
        "drop table odoo_eventd.outbox_0",
        "select * from odoo_eventd.subscription_secret",
        "update mcp_webhook_delivery set status = 'success'",
        "select odoo_eventd.adopt(true)",
        "select odoo_eventd.replace_capture_function(null)",
        "set role odoo",
    ] {
        let refused = listener.batch_execute(forbidden).await.expect_err(forbidden);
        let code = refused.code().unwrap().code();
        assert_eq!(code, "42501", "{forbidden}: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outsider_may_call_none_of_the_functions_and_read_none_of_the_tables() {
    let server = Server::private(odoo_eventd::demo::Options::new());
    let database = server.fixture().await;
    installed_by_superuser(&database, "http://127.0.0.1:9/").await;
    server.cluster().create_role("outsider", "").unwrap();
    let outsider = database.client_as("outsider").await;
    for forbidden in [
        "select odoo_eventd.load_subscriptions()",
        "select * from odoo_eventd.read_outbox(pg_current_snapshot(), null, '0', 0, 10, 1000000000)",
        "select odoo_eventd.switch_capture(false)",
        "select odoo_eventd.sync_capture('sale.order')",
        "select odoo_eventd.registry_fields()",
        "select odoo_eventd.take_lead()",
        "select odoo_eventd.register_installation('outsider')",
        "select * from odoo_eventd.outbox",
        "select * from mcp_event_subscription",
        "select * from mcp_record_callback",
        "select * from mcp_webhook_delivery",
    ] {
        let refused = outsider.batch_execute(forbidden).await.expect_err(forbidden);
        assert_eq!(refused.code().unwrap().code(), "42501", "{forbidden}: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installer_has_no_rights_of_its_own_and_becomes_the_owner_to_install() {
    let server = Server::private(odoo_eventd::demo::Options::new());
    let database = server.fixture().await;
    eventd_ok(&database.admin_url(), &["install"]).await;
    let admin = database.admin_client().await;
    admin
        .batch_execute("alter role odoo_eventd_installer login")
        .await
        .unwrap();
    let installer = database.client_as("odoo_eventd_installer").await;
    for forbidden in [
        "select * from sale_order",
        "select * from odoo_eventd.outbox",
        "drop schema odoo_eventd cascade",
    ] {
        let refused = installer.batch_execute(forbidden).await.expect_err(forbidden);
        assert_eq!(refused.code().unwrap().code(), "42501", "{forbidden}");
    }
    let url = database.url_as("odoo_eventd_installer");
    eventd_ok(&url, &["uninstall"]).await;
    eventd_ok(&url, &["install"]).await;
    let owners = database
        .psql("select distinct pg_get_userbyid(relowner) from pg_class c join pg_namespace n on n.oid = relnamespace where nspname = 'odoo_eventd'")
        .await;
    assert_eq!(owners.trim(), "odoo");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_not_act_for_odoo_is_told_so() {
    let server = Server::private(odoo_eventd::demo::Options::new());
    let database = server.fixture().await;
    server.cluster().create_role("outsider", "").unwrap();
    let output = eventd(&database.url_as("outsider"), &["install"]).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("may not act for \"odoo\""), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn odoos_dumps_restore_on_a_cluster_without_our_roles_and_the_copy_stays_silent() {
    let server = Server::private(odoo_eventd::demo::Options::new());
    let database = match server.dump().await {
        Some(database) => database,
        None => server.fixture().await,
    };
    installed_by_superuser(&database, "http://127.0.0.1:9/").await;
    database
        .psql("update sale_order set client_order_ref = 'in the outbox'")
        .await;
    let elsewhere = Server::private(odoo_eventd::demo::Options::new());
    let folder = std::env::temp_dir();
    let Some(pg_dump) = client_program(&server, "pg_dump").await else {
        return;
    };
    for (format, restorer) in [("custom", "pg_restore"), ("plain", "psql")] {
        let file = folder.join(format!("{}-{format}", database.name()));
        let path = file.to_str().unwrap();
        // As odoo/service/db.py does, with Odoo's own role.
        let dumped = program(
            &pg_dump,
            &["--no-owner", "--format", format, "--file", path, "-d", &database.url()],
        )
        .await;
        assert_silent_success(&dumped, "pg_dump");
        let copy = elsewhere.empty().await;
        let Some(restore) = client_program(&elsewhere, restorer).await else {
            return;
        };
        let restored = match restorer {
            "pg_restore" => program(&restore, &["--no-owner", "-d", &copy.url(), path]).await,
            _ => {
                program(
                    &restore,
                    &["-q", "-v", "ON_ERROR_STOP=1", "-d", &copy.url(), "-f", path],
                )
                .await
            }
        };
        std::fs::remove_file(&file).unwrap();
        assert_silent_success(&restored, restorer);
        let count = "select count(*) from odoo_eventd.outbox";
        let before = copy.psql(count).await;
        copy.psql("update sale_order set client_order_ref = 'in a copy'; insert into sale_order select * from sale_order where false").await;
        assert_eq!(copy.psql(count).await, before);
        let status = eventd(&copy.url(), &["status"]).await;
        assert_eq!(status.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&status.stdout).contains("nothing is delivered"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn odoos_manager_duplicates_renames_and_drops_the_database_while_the_service_runs() {
    let server = Server::private(odoo_eventd::demo::Options::new());
    let database = server.fixture().await;
    installed_by_superuser(&database, "http://127.0.0.1:9/").await;
    let admin = database.admin_client().await;
    admin
        .batch_execute("alter role odoo_eventd_listener login; alter role odoo createdb")
        .await
        .unwrap();
    drop(admin);
    let url = database.url_as("odoo_eventd_listener");
    let _active = Service::start(&url, &[]);
    wait_until_leading(&database).await;
    let _standby = Service::start(&url, &[]);
    wait_until_assisted(&database).await;

    let name = database.name();
    let manager = server.empty().await;
    let client = manager.client().await;
    // As odoo/service/db.py does it: end all sessions, then at once the command.
    for command in [
        format!("create database \"{name}_copy\" encoding 'unicode' template \"{name}\""),
        format!("alter database \"{name}\" rename to \"{name}_renamed\""),
        format!("drop database \"{name}_renamed\""),
        format!("drop database \"{name}_copy\""),
    ] {
        for of in [name.to_owned(), format!("{name}_renamed"), format!("{name}_copy")] {
            client
                .execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1 and pid <> pg_backend_pid()",
                    &[&of],
                )
                .await
                .unwrap();
        }
        // Odoo tries once: whoever comes back at once makes it fail.
        client
            .batch_execute(&command)
            .await
            .unwrap_or_else(|error| panic!("{command}: {error:?}"));
    }
}
