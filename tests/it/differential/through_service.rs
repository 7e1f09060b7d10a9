//! Events as receivers get them: the service itself, end to end.
//!
//! A delivery tells its transaction by the time at which that began. What must have arrived is compared when a change of a table that
//! nobody else writes has arrived, since the outbox is read in order.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use odoo_eventd::event::AUDIT_COLUMNS;
use tokio::time::timeout;
use tokio_postgres::Client;

use super::compare::{Transaction, net_pairs};
use super::oracle::Fate;
use super::runner::{Difference, harness};
use crate::support::receiver::{Receiver, Reply};
use crate::support::service::{SOON, Service};
use crate::support::{Database, eventually};

/// The table that tells how far the service is.
const BARRIER: &str = "update res_country set phone_code = phone_code + 1 where id = (select min(id) from res_country)";

/// What arrived.
#[derive(Clone, Debug)]
struct Delivery {
    subscription: i64,
    event_type: String,
    at: Timestamp,
    ids: BTreeSet<String>,
    changed: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Inbox {
    seen: HashSet<String>,
    deliveries: Vec<Delivery>,
    barriers: u64,
}

/// A many2many field as a subscription watches it.
#[derive(Clone, Debug)]
struct Link {
    field: String,
    table: String,
    own: String,
}

#[derive(Clone, Debug)]
struct Subscription {
    id: i64,
    model: String,
    table: String,
    event_type: String,
    /// It named no field: it watches what there is.
    is_any: bool,
    watched: BTreeSet<String>,
    links: Vec<Link>,
}

/// What must come of one transaction for one subscription, by event type.
#[derive(Clone, Debug)]
struct Expected {
    subscription: Subscription,
    from: Timestamp,
    to: Timestamp,
    /// By event type: the records that must be in it and those that may be, with what changed.
    of_type: BTreeMap<&'static str, OfType>,
    /// Nothing has to arrive; of writes nothing is asked, and what else arrives must be true.
    is_unsure: bool,
    /// Whatever arrives, nobody can say that it is not true.
    is_anything: bool,
    /// It emptied a table: what was in it may be told of in any way.
    is_truncated: bool,
}

#[derive(Clone, Debug, Default)]
struct OfType {
    must: BTreeSet<String>,
    may: BTreeSet<String>,
    must_change: BTreeSet<String>,
    may_change: BTreeSet<String>,
}

/// See the module documentation.
pub struct ThroughService {
    service: Option<Service>,
    inbox: Arc<Mutex<Inbox>>,
    receiver: Receiver,
    owner: Client,
    subscriptions: Vec<Subscription>,
    expected: Vec<Expected>,
    barriers: u64,
    begun: BTreeMap<usize, Timestamp>,
    before: Timestamp,
    looks: u32,
    told: u64,
}

impl ThroughService {
    /// Starts the service and waits until it has looked at all subscriptions.
    pub async fn begin(database: &Database) -> Result<Self, Difference> {
        let inbox = Arc::new(Mutex::new(Inbox::default()));
        let filled = Arc::clone(&inbox);
        let receiver = Receiver::answering(move |request| {
            let body = request.json();
            let mut inbox = filled.lock().unwrap();
            if request.path == "/barrier" {
                inbox.barriers += 1;
            } else if inbox
                .seen
                .insert(request.header("webhook-id").unwrap_or_default().to_owned())
            {
                let texts = |name: &str| -> BTreeSet<String> {
                    let values = body[name].as_array().cloned().unwrap_or_default();
                    let text = |v: &serde_json::Value| v.as_str().map_or_else(|| v.to_string(), str::to_owned);
                    values.iter().map(text).collect()
                };
                inbox.deliveries.push(Delivery {
                    subscription: body["subscription_id"].as_i64().unwrap_or_default(),
                    event_type: body["event_type"].as_str().unwrap_or_default().to_owned(),
                    at: body["timestamp"]
                        .as_str()
                        .unwrap_or_default()
                        .parse()
                        .unwrap_or_default(),
                    ids: texts("record_ids"),
                    changed: texts("changed_fields"),
                });
            }
            Reply::status(200)
        })
        .await;
        let owner = database.client().await;
        let subscribe = format!(
            "insert into mcp_event_subscription (name, model, fields, webhook_url, max_attempts)
               values ('barrier', 'res.country', '{{phone_code}}', '{}', 5)",
            receiver.url("/barrier")
        );
        give_endpoints(&owner, &receiver).await?;
        owner
            .batch_execute(&subscribe)
            .await
            .map_err(|e| harness("subscribe", &e))?;
        let service = Service::leading(database).await;
        let mut this = Self {
            service: Some(service),
            inbox,
            receiver,
            owner,
            subscriptions: Vec::new(),
            expected: Vec::new(),
            barriers: 0,
            begun: BTreeMap::new(),
            before: Timestamp::UNIX_EPOCH,
            looks: 0,
            told: 0,
        };
        this.look().await?;
        Ok(this)
    }

    /// Waits until the service has looked at subscriptions and catalogue anew.
    pub async fn look(&mut self) -> Result<(), Difference> {
        give_endpoints(&self.owner, &self.receiver).await?;
        let row = self
            .owner
            .query_one(
                "insert into mcp_event_subscription (name, model) values ('look', 'res.lang') returning id",
                &[],
            )
            .await
            .map_err(|e| harness("subscribe", &e))?;
        let id: i32 = row.get(0);
        let owner = &self.owner;
        let looked = eventually("the service to look at subscriptions", SOON * 2, async || {
            let row = owner
                .query_one(
                    "select state is not null from mcp_event_subscription where id = $1",
                    &[&id],
                )
                .await
                .unwrap();
            row.get::<_, bool>(0).then_some(())
        });
        if timeout(SOON, looked).await.is_err() {
            return Err(self.hangs("looked at subscriptions").await);
        }
        self.looks += 1;
        self.read_subscriptions().await
    }

    async fn read_subscriptions(&mut self) -> Result<(), Difference> {
        let rows = self
            .owner
            .query(
                "select s.id, s.model, s.event_type, s.fields, s.state, s.error, s.name,
                        array(select f.name::text from ir_model_fields f
                                join pg_attribute a on a.attrelid = to_regclass(format('public.%I', replace(s.model, '.', '_')))
                                                   and a.attname = f.name and not a.attisdropped
                               where f.model = s.model and f.store and f.name <> 'id'),
                        array(select array_to_string(array[f.name, f.relation_table, f.column1], E'\\x1f') from ir_model_fields f
                               where f.model = s.model and f.store and f.ttype = 'many2many')
                   from mcp_event_subscription s where s.active and s.name is distinct from 'barrier' and s.name is distinct from 'look'",
                &[],
            )
            .await
            .map_err(|e| harness("read subscriptions", &e))?;
        self.subscriptions.clear();
        for row in rows {
            let (id, model): (i32, String) = (row.get(0), row.get(1));
            let state: Option<String> = row.get(4);
            let is_refused = row.get::<_, Option<String>>(6).as_deref() == Some("refused");
            if self.looks == 1 && (state.as_deref() == Some("ready")) == is_refused {
                let error: Option<String> = row.get(5);
                return Err(Difference::new(
                    "subscription",
                    format!("of model \"{model}\" is {state:?}: {error:?}"),
                ));
            }
            if state.as_deref() != Some("ready") {
                continue;
            }
            let named: Vec<String> = row.get(3);
            let columns: Vec<String> = row.get(7);
            let links: Vec<String> = row.get(8);
            let is_any = named.is_empty();
            let is_watched = |name: &str| is_any || named.iter().any(|n| n == name);
            let watched = columns
                .into_iter()
                .filter(|c| is_watched(c) && !AUDIT_COLUMNS.contains(&c.as_str()));
            let links = links.iter().filter_map(|link| {
                let mut parts = link.split('\u{1f}').map(str::to_owned);
                Some(Link {
                    field: parts.next()?,
                    table: parts.next()?,
                    own: parts.next()?,
                })
            });
            self.subscriptions.push(Subscription {
                id: id.into(),
                table: model.replace('.', "_"),
                model,
                event_type: row.get(2),
                is_any,
                watched: watched.collect(),
                links: links.filter(|link| is_watched(&link.field)).collect(),
            });
        }
        Ok(())
    }

    /// Keeps when the transaction that a session has open began.
    pub async fn note_begin(&mut self, client: &Client, session: usize) {
        let now = client.simple_query("select extract(epoch from now())").await;
        if let Ok(messages) = now {
            for message in messages {
                if let tokio_postgres::SimpleQueryMessage::Row(row) = message {
                    let seconds = row.get(0).unwrap_or_default();
                    if let Some(at) = timestamp(seconds) {
                        self.begun.insert(session, at);
                    }
                }
            }
        }
    }

    /// Keeps what the time is: a statement on its own is a transaction that begins behind it.
    pub async fn note_before(&mut self) {
        self.before = self.clock().await;
    }

    async fn clock(&self) -> Timestamp {
        let row = self
            .owner
            .query_one("select extract(epoch from clock_timestamp())::text", &[])
            .await;
        row.ok().and_then(|row| timestamp(row.get(0))).unwrap_or_default()
    }

    /// Keeps what must arrive of a transaction.
    pub async fn committed(&mut self, transaction: &Transaction<'_>, session: usize) -> Result<(), Difference> {
        let (from, to) = match self.begun.remove(&session) {
            Some(at) => (at, at),
            None => (self.before, self.clock().await),
        };
        for subscription in &self.subscriptions {
            let of_type = expected_of(subscription, transaction);
            let is_anything = of_type.is_none();
            let of_type = of_type.unwrap_or_default();
            let is_unsure = |table: &str| transaction.unsure.contains_key(table);
            let is_unsure =
                is_unsure(&subscription.table) || subscription.links.iter().any(|link| is_unsure(&link.table));
            if of_type.is_empty() && !is_unsure {
                continue;
            }
            self.expected.push(Expected {
                subscription: subscription.clone(),
                from,
                to,
                of_type,
                is_unsure: is_unsure && !is_kept(subscription, transaction),
                is_anything,
                is_truncated: transaction.truncated,
            });
        }
        Ok(())
    }

    /// Waits until all has arrived, compares it, and ends the service. Tells how many events it was.
    pub async fn finish(&mut self) -> Result<u64, Difference> {
        self.owner
            .batch_execute(BARRIER)
            .await
            .map_err(|e| harness("write the last change", &e))?;
        self.barriers += 1;
        let (owner, inbox, barriers) = (&self.owner, &self.inbox, self.barriers);
        let arrived = eventually("all events", SOON * 2, async || {
            let has_come = inbox.lock().unwrap().barriers >= barriers;
            if !has_come {
                return None;
            }
            let row = owner
                .query_one(
                    "select not exists (select from odoo_eventd.delivery where due_at is not null)",
                    &[],
                )
                .await
                .unwrap();
            row.get::<_, bool>(0).then_some(())
        });
        if timeout(SOON, arrived).await.is_err() {
            return Err(self.hangs("delivered all events").await);
        }
        let compared = self.compare();
        if let Some(service) = self.service.take() {
            let (status, log) = service.terminate().await;
            compared?;
            if !status.success() {
                return Err(Difference::new(
                    "service",
                    format!("ended with {status}: {}", log.lines().last().unwrap_or_default()),
                ));
            }
        }
        Ok(self.told)
    }

    /// It has not done its work in any time that a loaded machine explains; what it said of it last.
    async fn hangs(&mut self, done: &str) -> Difference {
        let log = match self.service.take() {
            Some(service) => service.terminate().await.1,
            None => String::new(),
        };
        let complaint = log.lines().rfind(|line| !line.contains("\"INFO\"")).unwrap_or_default();
        Difference::new("service", format!("has not {done} in {SOON:?}: {complaint}"))
    }

    fn compare(&mut self) -> Result<(), Difference> {
        let mut deliveries = self.inbox.lock().unwrap().deliveries.clone();
        self.told = deliveries.len() as u64;
        for expected in &self.expected {
            let subscription = &expected.subscription;
            let is_of_it =
                |d: &Delivery| d.subscription == subscription.id && d.at >= expected.from && d.at <= expected.to;
            let of_it: Vec<Delivery> = deliveries.iter().filter(|d| is_of_it(d)).cloned().collect();
            deliveries.retain(|d| !is_of_it(d));
            if expected.is_anything {
                continue;
            }
            for event_type in ["create", "write", "unlink"] {
                let is_wanted = subscription.event_type == "all" || subscription.event_type == event_type;
                let of_type = match expected.of_type.get(event_type) {
                    Some(of_type) if is_wanted => of_type.clone(),
                    _ => OfType::default(),
                };
                let of_it: Vec<&Delivery> = of_it.iter().filter(|d| d.event_type == event_type).collect();
                let ids: BTreeSet<String> = of_it.iter().flat_map(|d| d.ids.iter().cloned()).collect();
                let changed: BTreeSet<String> = of_it.iter().flat_map(|d| d.changed.iter().cloned()).collect();
                let must = if expected.is_unsure {
                    BTreeSet::new()
                } else {
                    of_type.must.clone()
                };
                let is_told = must.is_subset(&ids)
                    && (event_type != "write" || expected.is_unsure || of_type.must_change.is_subset(&changed));
                let is_free = event_type == "write" && expected.is_unsure;
                let is_true = is_free
                    || expected.is_truncated
                    || ids
                        .iter()
                        .all(|id| of_type.must.contains(id) || of_type.may.contains(id))
                        && (event_type != "write"
                            || changed
                                .iter()
                                .all(|c| of_type.must_change.contains(c) || of_type.may_change.contains(c)));
                if !is_told || !is_true {
                    let text = format!(
                        "{event_type} of \"{}\" {ids:?} with {changed:?} arrived, and it was {of_type:?} for subscription {} of {:?} and {:?}",
                        subscription.model, subscription.id, subscription.watched, subscription.links
                    );
                    return Err(Difference::new("delivery", text));
                }
            }
        }
        if let Some(delivery) = deliveries.first() {
            return Err(Difference::new("delivery", format!("of no transaction: {delivery:?}")));
        }
        Ok(())
    }
}

/// Those that came since get theirs too.
async fn give_endpoints(owner: &Client, receiver: &Receiver) -> Result<(), Difference> {
    let sql = format!(
        "update mcp_event_subscription set webhook_url = '{}', max_attempts = 5, retry_first_ms = 1000
          where webhook_url is null and name is distinct from 'look'",
        receiver.url("/")
    );
    let done = owner.batch_execute(&sql).await;
    done.map_err(|e| harness("give subscriptions an endpoint", &e))
}

fn timestamp(seconds: &str) -> Option<Timestamp> {
    let (whole, fraction) = seconds.split_once('.').unwrap_or((seconds, "0"));
    let micros: String = format!("{fraction:0<6}").chars().take(6).collect();
    Timestamp::from_microsecond(whole.parse::<i64>().ok()? * 1_000_000 + micros.parse::<i64>().ok()?).ok()
}

/// DDL has changed a table, and what the subscription needs of it is what it was.
fn is_kept(subscription: &Subscription, transaction: &Transaction<'_>) -> bool {
    let is_whole = |table: &str| transaction.unsure.get(table).is_none_or(|u| !u.all);
    let columns = transaction.unsure_columns(&subscription.table);
    !subscription.is_any
        && is_whole(&subscription.table)
        && subscription
            .links
            .iter()
            .all(|link| !transaction.unsure.contains_key(&link.table))
        && columns.iter().all(|c| !subscription.watched.contains(c))
}

/// What a transaction is to a subscription; `None` where nobody can say.
fn expected_of(subscription: &Subscription, transaction: &Transaction<'_>) -> Option<BTreeMap<&'static str, OfType>> {
    let table = &subscription.table;
    let mut of_type: BTreeMap<&'static str, OfType> = BTreeMap::new();
    let fates = transaction.fates(table, &subscription.watched)?;
    for (id, fate) in fates {
        let is_free = transaction.is_free(table, &id);
        let (name, is_sure) = match &fate {
            Fate::Create => ("create", true),
            Fate::Unlink => ("unlink", true),
            Fate::Write { surely, .. } => ("write", !surely.is_empty()),
        };
        let of_this = of_type.entry(name).or_default();
        if let Fate::Write { surely, perhaps } = fate {
            of_this.may_change.extend(perhaps);
            if is_free {
                of_this.may_change.extend(surely);
            } else {
                of_this.must_change.extend(surely);
            }
        }
        if is_sure && !is_free {
            of_this.must.insert(id);
        } else {
            of_this.may.insert(id);
        }
    }
    for link in &subscription.links {
        let (Some(before), Some(after)) = (transaction.before.get(&link.table), transaction.after.get(&link.table))
        else {
            continue;
        };
        let columns: Vec<String> = after.columns.iter().map(|(name, _)| name.clone()).collect();
        let own = columns.iter().position(|name| *name == link.own);
        for pair in net_pairs(before, after, &columns).into_keys() {
            let Some(Some(id)) = own.map(|own| pair[own].clone()) else {
                continue;
            };
            let is_there =
                |rows: &super::oracle::Contents| rows.get(table).is_some_and(|rows| rows.by_id.contains_key(&id));
            let (was, is) = (is_there(transaction.before), is_there(transaction.after));
            // A made or unlinked record is told as that. Of one that was never there, since its table is another now and the key still
            // refers to the old one, nobody can know that it is not.
            if was != is {
                continue;
            }
            let of_this = of_type.entry("write").or_default();
            if transaction.truncated || !is {
                of_this.may.insert(id);
                of_this.may_change.insert(link.field.clone());
            } else {
                of_this.must.insert(id);
                of_this.must_change.insert(link.field.clone());
            }
        }
    }
    Some(of_type)
}
