//! The ground the other tests stand on: databases of their own, and waiting that ends.

use std::time::Duration;

use odoo_eventd::demo::{ODOO_SHAPED, Options};
use tokio_postgres::error::SqlState;

use crate::support::service::SOON;
use crate::support::{Database, Server, eventually};

#[tokio::test]
async fn every_test_gets_a_copy_of_its_own_that_is_dropped_after() {
    let (one, other) = (Database::fixture().await, Database::fixture().await);
    assert_ne!(one.name(), other.name());
    one.psql("DELETE FROM sale_order_line").await;
    assert_eq!(one.psql("SELECT count(*) FROM sale_order_line").await, "0");
    assert_ne!(other.psql("SELECT count(*) FROM sale_order_line").await, "0");

    let name = one.name().to_owned();
    // Sessions that a test forgot do not keep a database alive.
    let _forgotten = one.client().await;
    drop(one);
    let left = other.admin_client().await;
    let left = left
        .query_one("SELECT count(*) FROM pg_database WHERE datname = $1", &[&name])
        .await
        .unwrap();
    assert_eq!(left.get::<_, i64>(0), 0);
}

#[tokio::test]
async fn the_owner_is_an_ordinary_role_on_the_socket_and_over_tcp() {
    let database = Database::empty().await;
    let rights =
        "SELECT rolsuper OR rolcreaterole OR rolreplication OR rolbypassrls FROM pg_roles WHERE rolname = current_user";
    assert_eq!(database.psql(rights).await, "f");
    let (client, connection) = tokio_postgres::connect(&database.tcp_url(), tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    assert!(!client.query_one(rights, &[]).await.unwrap().get::<_, bool>(0));
    let (admin, connection) = tokio_postgres::connect(&database.admin_url(), tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    assert!(admin.query_one(rights, &[]).await.unwrap().get::<_, bool>(0));
    let refused = database
        .client()
        .await
        .batch_execute("CREATE ROLE intruder")
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE));
}

#[tokio::test]
async fn the_fixture_applies_with_psql_alone_and_in_one_batch() {
    let by_psql = Database::empty().await;
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/demo/odoo_shaped.sql");
    by_psql.psql_file(file.as_ref()).await;
    let by_batch = Database::empty().await;
    by_batch.client().await.batch_execute(ODOO_SHAPED).await.unwrap();
    let tables =
        "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    assert_eq!(by_psql.psql(tables).await, by_batch.psql(tables).await);
}

#[tokio::test]
async fn a_failing_statement_of_psql_is_told_with_its_words() {
    let database = Database::empty().await;
    let said = database.try_psql("SELECT 1; SELECT no_such_column").await.unwrap_err();
    assert!(said.contains(r#"column "no_such_column" does not exist"#), "{said}");
}

#[tokio::test]
async fn the_real_database_is_restored_where_its_dump_is_at_hand() {
    let Some(database) = Database::dump().await else { return };
    assert_ne!(database.psql("SELECT count(*) FROM sale_order").await, "0");
    let version = "SELECT latest_version FROM ir_module_module WHERE name = 'base'";
    assert!(database.psql(version).await.starts_with("18.0."));
}

#[tokio::test]
async fn a_private_server_can_be_killed_without_the_others_noticing() {
    let server = Server::private(Options::new());
    let database = server.fixture().await;
    server.cluster().crash().unwrap();
    assert!(
        tokio_postgres::connect(&database.url(), tokio_postgres::NoTls)
            .await
            .is_err()
    );
    assert_eq!(Database::empty().await.psql("SELECT 1").await, "1");
    server.cluster().start_again().unwrap();
    assert_ne!(database.psql("SELECT count(*) FROM res_partner").await, "0");
    assert_eq!(database.server().cluster().port(), server.cluster().port());
}

#[tokio::test]
async fn waiting_ends_with_the_value_once_there_is_one() {
    let mut looks = 0;
    let value = eventually("the third look", SOON, async || {
        looks += 1;
        (looks == 3).then_some("seen")
    });
    assert_eq!(value.await, "seen");
}

#[tokio::test]
#[should_panic(expected = "still waiting for rain after")]
async fn waiting_in_vain_says_for_what() {
    eventually::<()>("rain", Duration::from_millis(30), async || None).await;
}

/// A file that nobody declares is compiled by nobody, and its claims are tried by nobody.
#[test]
fn every_file_of_the_suite_is_declared_where_it_lies() {
    fn look_into(folder: &std::path::Path, declared: &str) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let inner = if path.is_dir() {
                [path.join("mod.rs"), path.with_extension("rs")]
                    .into_iter()
                    .find(|file| file.exists())
            } else {
                path.extension().is_some_and(|e| e == "rs").then(|| path.clone())
            };
            let Some(inner) = inner.filter(|_| !["main", "mod"].contains(&name.as_str())) else {
                continue;
            };
            assert!(declared.contains(&format!("mod {name};")), "{}", path.display());
            if path.is_dir() {
                look_into(&path, &std::fs::read_to_string(inner).unwrap());
            }
        }
    }
    let suite = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let main = std::fs::read_to_string(suite.join("main.rs")).unwrap();
    look_into(&suite, &main);
}
