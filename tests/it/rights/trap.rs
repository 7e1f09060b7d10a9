//! Traps: functions, operators, views and types planted where SQL without a pinned path would find them first.

use std::path::Path;

use tokio_postgres::{Client, NoTls};

use crate::support::Database;

/// What a session that walks into no trap begins with.
pub const PINNED: &str = "set search_path = pg_catalog, pg_temp";

/// A session that itself walks into no trap.
pub async fn pinned(database: &Database, role: &str) -> Client {
    let client = unpinned(database, role).await;
    client.batch_execute(PINNED).await.unwrap();
    client
}

/// A session with the settings that its database gives everybody.
pub async fn unpinned(database: &Database, role: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(&database.url_as(role), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// All our SQL: the names in it are what is planted.
fn sources() -> String {
    let mut text = String::new();
    for folder in ["sql", "src"] {
        read_into(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut text);
    }
    text
}

fn read_into(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_into(&path, text);
        } else if path.extension().is_some_and(|e| e == "sql" || e == "rs") {
            text.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// Where the traps note that they ran; made by the superuser, so that it is nobody's.
pub async fn prepare(admin: &Client) {
    admin
        .batch_execute(
            "create schema trap;
             grant usage, create on schema trap to public;
             create function trap.sequence_for(what text) returns void language plpgsql security definer
               set search_path = pg_catalog, pg_temp as $$
             begin
               execute format('create sequence if not exists trap.%I', what);
               execute format('grant all on sequence trap.%I to public', what);
             end $$",
        )
        .await
        .unwrap();
}

/// Plants everything in a schema, as a session's role.
pub async fn plant(planter: &Client, schema: &str) {
    planter
        .query(
            "select set_config('trap.schema', $1, false), set_config('trap.sources', $2, false)",
            &[&schema, &sources()],
        )
        .await
        .unwrap();
    planter
        .batch_execute(include_str!("trap.sql"))
        .await
        .unwrap_or_else(|error| panic!("{:?}", error.as_db_error()));
}

/// The traps that were walked into.
pub async fn sprung(admin: &Client) -> Vec<String> {
    admin
        .query(
            "select s.sequencename::text || ' (' || s.last_value || ')' from pg_sequences s
              where s.schemaname = 'trap' and s.last_value is not null order by 1",
            &[],
        )
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect()
}
