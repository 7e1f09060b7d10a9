//! Fields that are kept in other tables: many2many, one2many, and those inherited through `_inherits`, from the statement to the
//! webhook.

mod inherits;
mod many2many;
mod needs;
mod one2many;
mod real_odoo;
mod refused;
mod writers;

use crate::support::receiver::Receiver;
use crate::support::service::{SOON, Service, eventd_ok};
use crate::support::{Database, eventually};

/// A service with subscriptions, and what arrives of each change.
struct Watching {
    database: Database,
    receiver: Receiver,
    heard: usize,
    service: Option<Service>,
}

/// A subscription to `model`, of the named options; its events arrive at `/name`.
struct Watch<'a>(&'a str, &'a str, &'a [&'a str]);

impl Watching {
    async fn start(watches: &[Watch<'_>]) -> Self {
        Self::start_in(Database::fixture().await, watches).await
    }

    async fn start_in(database: Database, watches: &[Watch<'_>]) -> Self {
        let receiver = Receiver::start().await;
        eventd_ok(&database.url(), &["install"]).await;
        for Watch(name, model, options) in watches {
            let url = receiver.url(&format!("/{name}"));
            let mut arguments = vec!["subscribe", "--model", model, "--url", &url];
            arguments.extend(*options);
            eventd_ok(&database.url(), &arguments).await;
        }
        let service = Service::leading(&database).await;
        let watching = Self {
            database,
            receiver,
            heard: 0,
            service: Some(service),
        };
        watching.all_ready().await;
        watching
    }

    async fn all_ready(&self) {
        eventually("all subscriptions to be ready", SOON * 2, async || {
            let unready = self
                .database
                .psql("select string_agg(model || ': ' || coalesce(error, ''), ' ') from mcp_event_subscription where active and state is distinct from 'ready'")
                .await;
            unready.trim().is_empty().then_some(())
        })
        .await;
    }

    /// Waits until what was made anew is captured.
    async fn repaired(&self, table: &str) {
        eventually("capture to be repaired", SOON * 2, async || {
            let repaired = self
                .database
                .psql(&format!(
                    "select count(*) from pg_trigger where tgrelid = '{table}'::regclass and tgname like 'odoo\\_eventd%'
                        and not exists (select from odoo_eventd.captured_column where captured_from is null)
                        and not exists (select from odoo_eventd.unsynced_models())"
                ))
                .await;
            (repaired.trim() == "4").then_some(())
        })
        .await;
    }

    async fn stop(&mut self) {
        let (status, _) = self.service.take().unwrap().terminate().await;
        assert!(status.success());
    }

    async fn go_on(&mut self) {
        self.service = Some(Service::leading(&self.database).await);
    }

    /// Runs statements, waits until everything they led to was delivered, and tells it: `orders write [1, 2] tag_ids`.
    async fn hears(&mut self, sql: &str) -> Vec<String> {
        self.database.psql(sql).await;
        self.hears_now().await
    }

    async fn hears_now(&mut self) -> Vec<String> {
        let client = self.database.client().await;
        eventually("everything to be read and delivered", SOON * 2, async || {
            let idle = client
                .query_one(
                    "select (s -> 'outbox' ->> 'unread')::int = 0 and (s -> 'deliveries' ->> 'unfinished')::int = 0
                       from odoo_eventd.status() s",
                    &[],
                )
                .await
                .unwrap();
            idle.get::<_, bool>(0).then_some(())
        })
        .await;
        let requests = self.receiver.requests();
        let mut told: Vec<String> = requests[self.heard..]
            .iter()
            .map(|request| {
                let body = request.json();
                let fields: Vec<&str> = body["changed_fields"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|f| f.as_str().unwrap())
                    .collect();
                let by = body["user_id"].as_i64().map_or(String::new(), |id| format!(" by {id}"));
                format!(
                    "{} {} {}{by} {}",
                    &request.path[1..],
                    body["event_type"].as_str().unwrap(),
                    body["record_ids"],
                    fields.join(",")
                )
                .trim_end()
                .to_owned()
            })
            .collect();
        self.heard = requests.len();
        told.sort();
        told
    }
}

const ORDER_TAGS: Watch<'_> = Watch("orders", "sale.order", &["--fields", "tag_ids"]);
const PARTNER_TAGS: Watch<'_> = Watch(
    "partners",
    "res.partner",
    &["--event", "write", "--fields", "category_id"],
);
const TAG_PARTNERS: Watch<'_> = Watch(
    "tags",
    "res.partner.category",
    &["--event", "write", "--fields", "partner_ids"],
);
