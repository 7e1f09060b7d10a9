//! Events as the service would make them, by its own parts and without it: quick, and exact to the transaction.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use odoo_eventd::event::{Change, EventType, RowChange, fold_table};
use odoo_eventd::pg::connect::Database;
use odoo_eventd::pg::outbox::{self, Layouts, Position};
use odoo_eventd::worker::upkeep::admission;
use odoo_eventd::worker::upkeep::quarantine::Quarantine;

use super::compare::{Told, Transaction, compare_images, compare_records, compare_user, net_pairs};
use super::runner::Difference;
use crate::support;

/// More than any transaction of a round leaves.
const MOST_ROWS: usize = 1_000_000;

/// What is captured under a name.
#[derive(Clone, Debug, Default)]
struct Captured {
    table: String,
    compared: BTreeSet<String>,
    is_relation: bool,
}

/// See the module documentation.
pub struct Direct {
    client: deadpool_postgres::Object,
    position: Position,
    layouts: Layouts,
    /// As each look left it.
    captured: Vec<BTreeMap<String, Captured>>,
    /// The last outbox id of each record that was told of.
    last: BTreeMap<(String, i64), i64>,
}

impl Direct {
    /// Takes the lead and looks for the first time.
    pub async fn begin(database: &support::Database) -> Result<Self, Difference> {
        let pool = Database::parse(&database.url()).and_then(|database| database.pool(1));
        let client = pool.map_err(|e| failed(&e))?.get().await;
        let client = client.map_err(|e| Difference::new("harness", e.to_string()))?;
        let lead = outbox::take_lead(&client).await.map_err(|e| failed(&e))?;
        let mut direct = Self {
            client,
            position: lead.position,
            layouts: Layouts::default(),
            captured: Vec::new(),
            last: BTreeMap::new(),
        };
        direct.look(false).await?;
        Ok(direct)
    }

    /// How often was looked.
    pub fn looks(&self) -> usize {
        self.captured.len()
    }

    /// Looks at subscriptions and catalogue, as the service does; tables may be busy where somebody writes meanwhile.
    pub async fn look(&mut self, meanwhile: bool) -> Result<(), Difference> {
        let looked = admission::refresh(&self.client, None, &Quarantine::default())
            .await
            .map_err(|e| failed(&e))?;
        if !looked.busy.is_empty() && !meanwhile {
            return Err(Difference::new(
                "sync",
                format!("busy, and nobody writes: {:?}", looked.busy),
            ));
        }
        let mut captured: BTreeMap<String, Captured> = BTreeMap::new();
        for subscription in &looked.rows.accepted {
            let model = &subscription.row.model;
            let own = captured.entry(model.clone()).or_default();
            let table = looked.registry.model(model).and_then(|m| m.table.name());
            own.table = table.unwrap_or_default().to_owned();
            own.compared.extend(subscription.compared.iter().cloned());
            for (name, need) in &subscription.elsewhere {
                let other = captured.entry(name.clone()).or_default();
                let model = looked.registry.model(name);
                other.is_relation = model.is_none();
                other.table = model.and_then(|m| m.table.name()).unwrap_or(name).to_owned();
                other.compared.extend(need.compared.iter().cloned());
            }
        }
        captured.retain(|name, _| !looked.busy.contains_key(name));
        self.captured.push(captured);
        if self.looks() == 1 {
            self.compare_states().await?;
        }
        Ok(())
    }

    /// What was captured all along since the look that was the last when a transaction began.
    fn captured_since(&self, since: usize) -> BTreeMap<String, Captured> {
        let mut looks = self.captured[since.saturating_sub(1)..].iter();
        let mut all_along = looks.next().cloned().unwrap_or_default();
        for captured in looks {
            all_along.retain(|name, known| {
                let now = captured.get(name).filter(|now| now.table == known.table);
                if let Some(now) = now {
                    known.compared.retain(|column| now.compared.contains(column));
                }
                now.is_some()
            });
        }
        all_along
    }

    /// Lets capture go on in the outbox's next table, as long as there is one.
    pub async fn rotate(&self) -> Result<(), Difference> {
        outbox::rotate(&self.client, -1).await.map_err(|e| failed(&e))?;
        Ok(())
    }

    /// Every subscription was found to be what its script says.
    async fn compare_states(&self) -> Result<(), Difference> {
        let rows = self
            .client
            .query(
                "select id, model, state, error, name = 'refused' from public.mcp_event_subscription where active and
                        (state is distinct from 'ready') is distinct from (name is not distinct from 'refused')",
                &[],
            )
            .await
            .map_err(|e| super::runner::harness("read subscriptions", &e))?;
        match rows.first() {
            None => Ok(()),
            Some(row) => Err(Difference::new(
                "subscription",
                format!(
                    "of model \"{}\" is {:?}: {:?}",
                    row.get::<_, String>(1),
                    row.get::<_, Option<String>>(2),
                    row.get::<_, Option<String>>(3)
                ),
            )),
        }
    }

    /// Compares what was captured of a transaction with what it did; tells how many changes it was.
    pub async fn committed(&mut self, transaction: &Transaction<'_>) -> Result<u64, Difference> {
        let mut tables: BTreeMap<String, Vec<RowChange>> = BTreeMap::new();
        let mut xids = BTreeSet::new();
        let mut at = Timestamp::UNIX_EPOCH;
        loop {
            let page = outbox::read(&self.client, &self.position, MOST_ROWS, i64::MAX, &mut self.layouts).await;
            let page = page.map_err(|e| failed(&e))?;
            self.position = Position {
                done: page.snapshot,
                target: None,
            };
            if page.rows.is_empty() {
                break;
            }
            for row in page.rows {
                xids.insert(row.xid);
                at = row.at;
                let of_table = tables.entry(row.change.layout.model.to_string()).or_default();
                if row.change.op != b'T' {
                    of_table.push(row.change);
                }
            }
        }
        if xids.len() > 1 {
            return Err(Difference::new(
                "outbox",
                format!("one transaction is in it as {xids:?}"),
            ));
        }
        let mut events = 0;
        let all_along = self.captured_since(transaction.since);
        let is_of_one_look = transaction.since == self.looks();
        for (name, captured) in &all_along {
            let rows = tables.remove(name).unwrap_or_default();
            if captured.is_relation {
                events += compare_pairs(transaction, &captured.table, &rows)?;
                continue;
            }
            let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
            for row in &rows {
                *counts.entry(row.record_id).or_default() += 1;
            }
            let changes: Vec<Change> = fold_table(rows).into_iter().filter(|c| !c.is_void()).collect();
            events += changes.len() as u64;
            let Some(truth) = transaction.fates(&captured.table, &captured.compared) else {
                continue;
            };
            let mut told = told(&changes);
            if !is_of_one_look {
                // What was captured for a part of it only, nobody is told.
                told.retain(|_, told| {
                    told.changed.retain(|column| captured.compared.contains(column));
                    told.event_type != EventType::Write || !told.changed.is_empty()
                });
            }
            compare_records(transaction, &captured.table, &truth, &told)?;
            for change in &changes {
                // Who writes a record waits for whoever has written it.
                let last = self.last.entry((name.clone(), change.record_id)).or_default();
                if std::mem::replace(last, change.outbox_id) >= change.outbox_id {
                    let text = format!(
                        "{} of \"{name}\" {} is before the one before",
                        change.outbox_id, change.record_id
                    );
                    return Err(Difference::new("order", text));
                }
                compare_images(transaction, &captured.table, change)?;
                if counts.get(&change.record_id) == Some(&1) {
                    compare_user(transaction, &captured.table, change, at)?;
                }
            }
        }
        tables.retain(|name, rows| !rows.is_empty() && !all_along.contains_key(name));
        if let Some(name) = tables.keys().next() {
            // It was captured before DDL made its subscription invalid: nobody is judged by it.
            let is_known = transaction.unsure.keys().any(|table| name.replace('.', "_") == *table);
            if !is_known && is_of_one_look && self.looks() == 1 {
                return Err(Difference::new(
                    "outbox",
                    format!("rows of \"{name}\", which nobody watches"),
                ));
            }
        }
        Ok(events)
    }
}

fn told(changes: &[Change]) -> BTreeMap<String, Told> {
    changes
        .iter()
        .map(|change| {
            let changed = change.changed.iter().map(|index| change.layout.columns[*index].clone());
            let told = Told {
                event_type: change.event_type,
                changed: changed.collect(),
            };
            (change.record_id.to_string(), told)
        })
        .collect()
}

/// Links that were added and removed in a many2many table.
fn compare_pairs(transaction: &Transaction<'_>, table: &str, rows: &[RowChange]) -> Result<u64, Difference> {
    if transaction.truncated || transaction.unsure.contains_key(table) {
        return Ok(0);
    }
    let (Some(before), Some(after)) = (transaction.before.get(table), transaction.after.get(table)) else {
        return Ok(0);
    };
    let columns: Vec<String> = before.columns.iter().map(|(name, _)| name.clone()).collect();
    let mut net: BTreeMap<Vec<Option<String>>, i64> = BTreeMap::new();
    for row in rows {
        for (image, by) in [(&row.old, -1), (&row.new, 1)] {
            let Some(image) = image else { continue };
            let value = |column: &String| row.layout.index_of(column).and_then(|place| image[place].clone());
            *net.entry(columns.iter().map(value).collect()).or_insert(0) += by;
        }
    }
    net.retain(|_, count| *count != 0);
    // Of a pair that is there once it is told that it came; of columns that are no one's side nothing is known.
    let kept: Vec<String> = match rows.first() {
        Some(row) => columns
            .iter()
            .filter(|c| row.layout.index_of(c).is_some())
            .cloned()
            .collect(),
        None => columns.clone(),
    };
    let truth = net_pairs(before, after, &kept);
    let net: BTreeMap<Vec<Option<String>>, i64> = if kept.len() == columns.len() {
        net
    } else {
        return Ok(rows.len() as u64);
    };
    if truth != net {
        let text = format!("of \"{table}\" {net:?} was told, and it was {truth:?}");
        return Err(Difference::new("links", text));
    }
    Ok(truth.len() as u64)
}

fn failed(error: &odoo_eventd::Error) -> Difference {
    Difference::new("service", error.chain())
}
