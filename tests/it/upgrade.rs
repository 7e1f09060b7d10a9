//! Installations of other versions of the schema: older ones are upgraded, newer ones refused, by the program and by psql alike.

use std::path::{Path, PathBuf};

use crate::support::Database;
use crate::support::service::{eventd, eventd_ok};

const TABLES: &str =
    "select c.oid::regclass, a.attname, format_type(a.atttypid, a.atttypmod), col_description(c.oid, a.attnum)
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
   where c.relkind in ('r', 'v', 'p') and (c.relnamespace = 'odoo_eventd'::regnamespace or c.relname like 'mcp\\_%')
   order by 1, 2";

const VERSIONS: &str = "select version, name from odoo_eventd.schema_migration order by version";

fn sql() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sql")
}

/// The names of all migrations, in order.
fn migrations() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(sql().join("migrations"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

/// What the program says of a database that it does not work with.
async fn refusal(database: &Database, arguments: &[&str]) -> String {
    let output = eventd(&database.url(), arguments).await;
    assert!(!output.status.success(), "{arguments:?} did not refuse");
    String::from_utf8(output.stderr).unwrap()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, copied) = {
            let entry = entry.unwrap();
            (entry.path(), to.join(entry.file_name()))
        };
        if path.is_dir() {
            copy(&path, &copied);
        } else {
            std::fs::copy(&path, &copied).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_older_schema_is_upgraded_to_the_same_one() {
    let fresh = Database::fixture().await;
    eventd_ok(&fresh.url(), &["install"]).await;
    let (tables, versions) = (fresh.psql(TABLES).await, fresh.psql(VERSIONS).await);

    let all = migrations();
    for installed in 1..all.len() {
        let database = Database::fixture().await;
        for (name, version) in all[..installed].iter().zip(1..) {
            database.psql_file(&sql().join(format!("migrations/{name}.sql"))).await;
            let noted =
                format!("insert into odoo_eventd.schema_migration (version, name) values ({version}, '{name}')");
            database.psql(&noted).await;
        }
        let upgrade = eventd(&database.url(), &["install"]).await;
        let said = String::from_utf8(upgrade.stderr).unwrap();
        let expected = format!("from schema version {installed} to {}", all.len());
        assert!(upgrade.status.success() && said.contains(&expected), "{said}");
        assert_eq!(database.psql(VERSIONS).await, versions);
        assert_eq!(database.psql(TABLES).await, tables, "from version {installed}");
        eventd_ok(&database.url(), &["status"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_and_a_newer_schema_are_refused_with_what_to_do() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let newest = migrations().len();

    database
        .psql("insert into odoo_eventd.schema_migration select max(version) + 1, 'later' from odoo_eventd.schema_migration")
        .await;
    for arguments in [["status"], ["install"]] {
        let said = refusal(&database, &arguments).await;
        let expected = format!(
            "the installation has schema version {}, and this program knows {newest} at most",
            newest + 1
        );
        assert!(
            said.contains(&expected) && said.contains("use the newer odoo-eventd"),
            "{said}"
        );
    }

    database
        .psql(&format!(
            "delete from odoo_eventd.schema_migration where version >= {newest}"
        ))
        .await;
    let said = refusal(&database, &["status"]).await;
    let expected = format!(
        "the installation has schema version {}, and this program needs {newest}",
        newest - 1
    );
    assert!(
        said.contains(&expected) && said.contains("run `odoo-eventd install` to upgrade it"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_applies_what_is_missing_once_and_refuses_what_is_newer() {
    let database = Database::fixture().await;
    let own = sql().join("install.sql");
    database.psql_file(&own).await;

    // The same folder with one migration more: a later release.
    let number = migrations().len() + 1;
    let name = format!("{number:06}_later");
    let folder = std::env::temp_dir().join(format!("odoo-eventd-{}-{}-sql", std::process::id(), database.name()));
    copy(&sql(), &folder);
    let later = "create table odoo_eventd.later (n integer);\ninsert into odoo_eventd.later values (1);\n";
    std::fs::write(folder.join(format!("migrations/{name}.sql")), later).unwrap();
    let script = std::fs::read_to_string(&own).unwrap();
    let end_of_list = "select :version > :number";
    assert!(script.contains(end_of_list));
    let with_it = script.replace(
        end_of_list,
        &format!("\\set migration {name}\n\\ir migration.sql\n{end_of_list}"),
    );
    std::fs::write(folder.join("install.sql"), with_it).unwrap();

    for _ in 0..2 {
        database.psql_file(&folder.join("install.sql")).await;
        assert_eq!(
            database.psql("select count(*) from odoo_eventd.later").await.trim(),
            "1"
        );
        assert!(database.psql(VERSIONS).await.contains(&format!("{number}|{name}")));
    }
    let said = database.admin_psql_file(&own).await.unwrap_err();
    assert!(said.contains("the installation is newer than these files"), "{said}");
    std::fs::remove_dir_all(&folder).unwrap();
}
