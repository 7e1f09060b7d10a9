//! One process serves many databases of a cluster: each on its own, none of them costly while it is idle.

use std::path::PathBuf;

use crate::support::receiver::Receiver;
use crate::support::service::{SOON, Service, eventd, eventd_ok, program, wait_until_leading};
use crate::support::{Database, eventually};

const SECRET: &str = "a-secret-of-thirty-two-bytes-or-more";

/// A database that needs somebody's help is tried again after a pause that has grown meanwhile.
const AFTER_A_PAUSE: std::time::Duration = SOON.saturating_mul(2);

/// A configuration file with these URLs, removed with this value.
struct Configuration(PathBuf);

impl Configuration {
    fn of(urls: &[String]) -> Self {
        let tables: String = urls
            .iter()
            .map(|url| format!("[[database]]\nurl = '{url}'\n"))
            .collect();
        Self::text(&tables)
    }

    fn text(text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("odoo-eventd-{}.toml", uuid::Uuid::new_v4()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Configuration {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// An installed database whose confirmed orders are sent to a path of their own: its name.
async fn subscribed(receiver: &Receiver) -> Database {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    subscribe(&database, receiver).await;
    database
}

async fn subscribe(database: &Database, receiver: &Receiver) {
    let url = receiver.url(&format!("/{}", database.name()));
    let arguments = ["subscribe", "--model", "sale.order", "--url", &url, "--secret", SECRET];
    eventd_ok(&database.url(), &arguments).await;
}

async fn change_an_order(database: &Database) {
    database
        .psql("update sale_order set client_order_ref = 'many' || txid_current() where id = (select min(id) from sale_order)")
        .await;
}

/// Waits for `count` requests of a database, which are about it and nothing else.
async fn arrived(receiver: &Receiver, database: &Database, count: usize) {
    let path = format!("/{}", database.name());
    let requests = eventually("the deliveries of one of the databases", SOON, async || {
        let requests: Vec<_> = receiver.requests().into_iter().filter(|r| r.path == path).collect();
        (requests.len() >= count).then_some(requests)
    })
    .await;
    assert_eq!(requests.len(), count);
    for request in requests {
        assert_eq!(request.json()["database"], database.name());
    }
}

async fn connections(database: &Database) -> i64 {
    database
        .psql(&format!(
            "select count(*) from pg_stat_activity where datname = '{}' and application_name = 'odoo-eventd'",
            database.name()
        ))
        .await
        .trim()
        .parse()
        .unwrap()
}

async fn has_two_connections(database: &Database) {
    eventually("two connections", SOON, async || {
        (connections(database).await == 2).then_some(())
    })
    .await;
}

#[tokio::test]
async fn events_of_each_database_are_delivered_by_one_process() {
    let receiver = Receiver::start().await;
    let databases = [
        subscribed(&receiver).await,
        subscribed(&receiver).await,
        subscribed(&receiver).await,
    ];
    let configuration = Configuration::of(&databases.each_ref().map(Database::url));
    let service = Service::configured(configuration.path());
    for database in &databases {
        wait_until_leading(database).await;
    }
    for database in &databases {
        change_an_order(database).await;
        change_an_order(database).await;
    }
    for database in &databases {
        arrived(&receiver, database, 2).await;
    }
    let (status, log) = service.terminate().await;
    assert!(status.success(), "{log}");
    for database in &databases {
        let name = format!("\"name\":\"{}\"", database.name());
        assert!(
            log.lines()
                .any(|line| line.contains("delivered sale.order") && line.contains(&name)),
            "a line of the log does not say which database it is about: {log}"
        );
        assert_eq!(connections(database).await, 0, "a connection outlived the service");
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_served_stops_no_other_and_is_served_once_it_can_be() {
    let receiver = Receiver::start().await;
    let good = subscribed(&receiver).await;
    let bare = Database::fixture().await;
    let wrong_password = Database::fixture().await;
    let password = wrong_password.server().cluster().password().to_owned();
    let urls = [
        bare.url(),
        bare.url().replace(bare.name(), "there_is_no_such_database"),
        wrong_password.tcp_url().replace(&password, "wrong"),
        "postgres://nobody@127.0.0.1:1/nowhere".to_owned(),
        good.url(),
    ];
    let configuration = Configuration::of(&urls);
    let service = Service::configured(configuration.path());
    wait_until_leading(&good).await;
    change_an_order(&good).await;
    arrived(&receiver, &good, 1).await;

    eventd_ok(&bare.url(), &["install"]).await;
    subscribe(&bare, &receiver).await;
    eventually(
        "the database that was installed later is served",
        AFTER_A_PAUSE,
        async || {
            let leads = bare
                .psql("select odoo_eventd.status() -> 'service' <> 'null'::jsonb")
                .await;
            (leads.trim() == "t").then_some(())
        },
    )
    .await;
    wait_until_leading(&bare).await;
    change_an_order(&bare).await;
    arrived(&receiver, &bare, 1).await;

    let (status, log) = service.terminate().await;
    assert!(status.success(), "{log}");
    assert!(!log.contains(&password), "a password is in the log");
    for name in ["there_is_no_such_database", wrong_password.name(), "nowhere"] {
        assert!(
            log.contains(&format!("\"name\":\"{name}\"")),
            "nothing is said of {name}: {log}"
        );
    }
}

#[tokio::test]
async fn a_database_dropped_while_it_is_served_leaves_the_others_alone() {
    let receiver = Receiver::start().await;
    let (stays, goes) = (subscribed(&receiver).await, subscribed(&receiver).await);
    let configuration = Configuration::of(&[goes.url(), stays.url()]);
    let service = Service::configured(configuration.path());
    wait_until_leading(&goes).await;
    wait_until_leading(&stays).await;
    // As Odoo's manager does: it ends the sessions, then drops.
    goes.server().cluster().drop_database(goes.name()).unwrap();
    for count in 1..=3 {
        change_an_order(&stays).await;
        arrived(&receiver, &stays, count).await;
    }
    let (status, log) = service.terminate().await;
    assert!(status.success(), "{log}");
}

#[tokio::test]
async fn an_idle_database_has_two_connections_and_an_event_leaves_it_at_that() {
    let receiver = Receiver::start().await;
    let database = subscribed(&receiver).await;
    let service = Service::leading(&database).await;
    has_two_connections(&database).await;
    // Beginning takes more. Then a look in all of them, longer than it takes until every regular look but the rarest had its turn.
    let most = format!(
        "create function pg_temp.most() returns bigint language plpgsql as $$
         declare most bigint := 0; now_there bigint;
         begin
           for n in 1..600 loop
             perform pg_sleep(0.01);
             perform pg_stat_clear_snapshot();
             select count(*) into now_there from pg_stat_activity where datname = '{}' and application_name = 'odoo-eventd';
             most := greatest(most, now_there);
           end loop;
           return most;
         end $$;
         select pg_temp.most()",
        database.name()
    );
    eventually("six seconds without a third connection", SOON, async || {
        (database.psql(&most).await.trim() == "2").then_some(())
    })
    .await;
    change_an_order(&database).await;
    arrived(&receiver, &database, 1).await;
    has_two_connections(&database).await;
    let (status, log) = service.terminate().await;
    assert!(status.success(), "{log}");
}

#[tokio::test]
async fn more_connections_come_with_work_and_go_with_it() {
    let receiver = Receiver::start().await;
    let database = subscribed(&receiver).await;
    let service = Service::leading(&database).await;
    has_two_connections(&database).await;
    let work = database.psql(
        "do $$ begin for n in 1..3000 loop
           update sale_order set client_order_ref = 'work' || n where id = (select min(id) from sale_order); commit;
         end loop; end $$",
    );
    // Looked for from the start: a service that keeps up with the work is done with it soon after it.
    let come = eventually("more connections", SOON, async || {
        (connections(&database).await > 2).then_some(())
    });
    tokio::join!(work, come);
    receiver.wait_for(3000, SOON).await;
    arrived(&receiver, &database, 3000).await;
    has_two_connections(&database).await;
    let (status, log) = service.terminate().await;
    assert!(status.success(), "{log}");
}

#[tokio::test]
async fn a_wrong_table_is_refused_before_anything_runs_and_the_settings_show_no_password() {
    let wrong = Configuration::text("[[database]]\nurl = 'postgres://a:s3cret@h/x'\nurls = 'y'\n");
    let refused = program()
        .args(["run", "--config", wrong.path()])
        .output()
        .await
        .unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("urls") && !said.contains("s3cret"), "{said}");

    let two = "[[database]]\nurl = 'postgres://a:s3cret@h/x'\n[[database]]\nurl = 'postgres://a@h/y'\nname = 'why'\n";
    let two = Configuration::text(two);
    let shown = program()
        .args(["run", "--print-config", "--config", two.path()])
        .output()
        .await
        .unwrap();
    let said = String::from_utf8(shown.stdout).unwrap();
    let settings: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(settings["databases"][1]["name"], "why", "{said}");
    assert!(!said.contains("s3cret"), "{said}");

    let both = eventd("postgres://a@h/z", &["run", "--config", two.path()]).await;
    assert_eq!(both.status.code(), Some(2));
    let said = String::from_utf8(both.stderr).unwrap();
    assert!(said.contains("[[database]]"), "{said}");
}
