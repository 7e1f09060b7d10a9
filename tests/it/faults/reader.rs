//! A reader of the feed, who goes on from his cursor whatever becomes of the services and the database.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use odoo_eventd::endpoint::guard::Guard;
use odoo_eventd::ops::{Error, Operator, Service};
use odoo_eventd::pg::connect;
use odoo_eventd::worker::upkeep::admission::ServiceRules;
use tokio::task::JoinHandle;

use super::checker::Item;
use super::ledger::items_of;
use crate::support::Database;
use crate::support::service::SOON;

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(50);

/// See the module documentation.
pub struct Reader {
    subscription: i32,
    url: String,
    books: Arc<Mutex<Books>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Books {
    cursor: Option<String>,
    read: Vec<Item>,
}

impl Reader {
    /// Subscribes to every change of an order, and begins to read.
    pub async fn start(database: &Database) -> Self {
        let id = database
            .psql(
                "insert into mcp_event_subscription (name, model, fields, payload_fields, \"grouping\")
                 values ('read', 'sale.order', '{client_order_ref}', '{client_order_ref}', 'record') returning id",
            )
            .await;
        let subscription = id.trim().parse().unwrap();
        let books = Arc::<Mutex<Books>>::default();
        let task = tokio::spawn(read(database.url(), subscription, Arc::clone(&books)));
        Self {
            subscription,
            url: database.url(),
            books,
            task,
        }
    }

    /// What was read so far, in its order.
    pub fn read(&self) -> Vec<Item> {
        self.books.lock().unwrap().read.clone()
    }

    /// Waits until everything that is in the feed was read.
    pub async fn caught_up(&self) {
        let caught_up = async {
            while !self.is_at_the_end().await {
                tokio::time::sleep(PAUSE).await;
            }
        };
        let caught_up = tokio::time::timeout(SOON, caught_up);
        caught_up.await.expect("the reader catches up");
    }

    async fn is_at_the_end(&self) -> bool {
        let Some(verbs) = verbs(&self.url).await else {
            return false;
        };
        let end = verbs.feed_end(&Operator::of_database(), self.subscription).await;
        let cursor = self.books.lock().unwrap().cursor.clone();
        end.is_ok_and(|end| cursor == Some(end))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn verbs(url: &str) -> Option<Service> {
    let rules = ServiceRules {
        guard: Guard::new::<&str>(&[], &[]).unwrap(),
        keyring: None,
    };
    let database = connect::Database::parse(url).unwrap();
    Service::open(database, rules, 1).await.ok()
}

async fn read(url: String, subscription: i32, books: Arc<Mutex<Books>>) {
    let verbs = loop {
        match verbs(&url).await {
            Some(verbs) => break verbs,
            None => tokio::time::sleep(PAUSE).await,
        }
    };
    let operator = Operator::of_database();
    loop {
        let cursor = books.lock().unwrap().cursor.clone();
        let page = verbs
            .wait_feed(&operator, subscription, cursor.as_deref(), 50, Duration::from_secs(5))
            .await;
        let page = match page {
            Ok(page) => page,
            Err(Error::Unavailable(_) | Error::Busy(_)) => {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            Err(error) => panic!("the feed cannot be read: {error:?}"),
        };
        let mut books = books.lock().unwrap();
        // Another installation: what is kept comes anew.
        if page.truncated {
            books.read.clear();
        }
        for event in &page.events {
            books.read.extend(items_of(&serde_json::from_str(&event.body).unwrap()));
        }
        books.cursor = Some(page.cursor);
    }
}
