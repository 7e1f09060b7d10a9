//! Subscriptions in the database: reading them all, recording what was found of each, and keeping capture in step with them.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime};

use tokio_postgres::Client;

use crate::relations::Need;
use crate::subscription::{ResolvedSubscription, Subscription};
use crate::{Error, Result};

/// A number that differs after any change of a subscription by anybody but the service.
///
/// # Errors
/// Database errors.
pub async fn version_of(client: &Client) -> Result<i64> {
    let row = client
        .query_one("select odoo_eventd.subscriptions_version()", &[])
        .await
        .map_err(|e| Error::database("look for changed subscriptions", e))?;
    Ok(row.get(0))
}

/// Models, all or of these, whose capture is not what their subscriptions need, or has drifted from their tables.
///
/// # Errors
/// Database errors; SQLSTATE 55P03 while an upgrade of Odoo holds its tables of models.
pub async fn unsynced_models(client: &Client, of: Option<&[String]>) -> Result<Vec<String>> {
    let rows = client
        .query("select odoo_eventd.unsynced_models($1)", &[&of])
        .await
        .map_err(|e| Error::database("compare what is captured with what is needed", e))?;
    Ok(rows.into_iter().map(|row| row.get(0)).collect())
}

/// Models of which less is captured than these subscriptions need.
///
/// # Errors
/// Database errors.
pub async fn unmet_models(client: &Client, subscriptions: &[i32]) -> Result<Vec<String>> {
    let rows = client
        .query("select odoo_eventd.unmet_models($1)", &[&subscriptions])
        .await
        .map_err(|e| Error::database("look whether all that is needed is captured", e))?;
    Ok(rows.into_iter().map(|row| row.get(0)).collect())
}

/// The same as [`unsynced_models`] as far as tables are no longer what they were, and notes which tables lack triggers since when.
///
/// # Errors
/// Database errors; SQLSTATE 55P03 when somebody has been changing the capture for longer than `lock_wait`.
pub async fn note_drift(client: &Client, lock_wait: Duration) -> Result<Vec<String>> {
    let rows = client
        .query(
            "select odoo_eventd.note_drift() from (select pg_catalog.set_config('lock_timeout', $1, true) offset 0) first",
            &[&format!("{}ms", lock_wait.as_millis())],
        )
        .await
        .map_err(|e| Error::database("look for drift", e))?;
    Ok(rows.into_iter().map(|row| row.get(0)).collect())
}

/// A row that holds what no subscription can be: a number too large for any program, for one.
#[derive(Debug)]
pub struct Unreadable {
    /// The row's id.
    pub id: i32,
    /// Its model, whatever that is.
    pub model: String,
    /// Identifies this version of the row.
    pub write_stamp: String,
    /// False = does nothing.
    pub active: bool,
    /// `invalid`, or not looked at yet.
    pub state: Option<String>,
    /// Why it cannot be read, in a sentence.
    pub reason: String,
}

/// One subscription, active or not, with its secrets; none where there is none that can be read.
///
/// # Errors
/// Database errors.
pub async fn load_one(client: &Client, id: i32) -> Result<Option<Subscription>> {
    Ok(load_some(client, Some(&[id])).await?.0.pop())
}

/// All subscriptions, active or not, with their secrets; those that cannot be read apart, for they stop no other.
///
/// # Errors
/// Database errors.
pub async fn load_all(client: &Client) -> Result<(Vec<Subscription>, Vec<Unreadable>)> {
    load_some(client, None).await
}

/// The same of these.
///
/// # Errors
/// Database errors.
pub async fn load_these(client: &Client, ids: &[i32]) -> Result<(Vec<Subscription>, Vec<Unreadable>)> {
    load_some(client, Some(ids)).await
}

/// The subscriptions that are not of these versions, active or not, each with its model; none for one that is gone.
///
/// # Errors
/// Database errors.
pub async fn edited(client: &Client, stamps: &HashMap<i32, String>) -> Result<Vec<(i32, Option<String>)>> {
    let (ids, stamps): (Vec<i32>, Vec<&str>) = stamps.iter().map(|(id, stamp)| (*id, stamp.as_str())).unzip();
    let rows = client
        .query(
            "select id, model from odoo_eventd.edited_subscriptions($1, $2)",
            &[&ids, &stamps],
        )
        .await
        .map_err(|e| Error::database("look which subscriptions were edited", e))?;
    Ok(rows.into_iter().map(|row| (row.get(0), row.get(1))).collect())
}

async fn load_some(client: &Client, ids: Option<&[i32]>) -> Result<(Vec<Subscription>, Vec<Unreadable>)> {
    let rows = client
        .query(
            "select l operator(pg_catalog.->>) 'id', l operator(pg_catalog.->>) 'model', l operator(pg_catalog.->>) 'write_stamp',
                    (l operator(pg_catalog.->>) 'active') operator(pg_catalog.=) 'true', l operator(pg_catalog.->>) 'state', l::pg_catalog.text
               from odoo_eventd.load_subscriptions($1) l",
            &[&ids],
        )
        .await
        .map_err(|e| Error::database("read subscriptions", e))?;
    let (mut readable, mut unreadable) = (Vec::new(), Vec::new());
    for row in rows {
        // The text holds secrets: serde's error tells what is wrong, and in which column.
        match serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(row.get(5))) {
            Ok(subscription) => readable.push(subscription),
            Err(error) => unreadable.push(Unreadable {
                id: row.get::<_, &str>(0).parse().unwrap_or_default(),
                model: row.get(1),
                write_stamp: row.get(2),
                active: row.get(3),
                state: row.get(4),
                reason: format!("{} cannot be read: {}", error.path(), error.inner()),
            }),
        }
    }
    Ok((readable, unreadable))
}

/// What a look found one version of a row to be.
#[derive(Debug)]
pub struct Verdict(serde_json::Value);

impl Verdict {
    /// It can be served, and this is what it needs captured and reads.
    pub fn accepted(accepted: &ResolvedSubscription) -> Self {
        let need =
            |need: &Need| serde_json::json!({"columns": need.columns, "compared": need.compared, "whole": need.whole});
        let own =
            serde_json::json!({"columns": accepted.columns, "compared": accepted.compared, "whole": accepted.whole});
        let elsewhere = accepted.elsewhere.iter().map(|(name, of)| (name.clone(), need(of)));
        let row = &accepted.row;
        let needs: serde_json::Map<_, _> = elsewhere.chain([(row.model.clone(), own)]).collect();
        Self(serde_json::json!({"id": row.id, "write_stamp": row.write_stamp, "needs": needs, "reach": accepted.reach}))
    }

    /// It cannot be served, for this reason.
    pub fn refused(row: &Subscription, reason: &str) -> Self {
        Self(serde_json::json!({"id": row.id, "write_stamp": row.write_stamp, "reason": reason}))
    }

    /// It cannot even be read.
    pub fn unreadable(row: &Unreadable) -> Self {
        Self(serde_json::json!({"id": row.id, "write_stamp": row.write_stamp, "reason": row.reason}))
    }
}

/// Verdicts that are recorded in one commit: what a subscription to any field needs is some kilobytes.
const VERDICTS_AT_ONCE: usize = 500;

/// Records what subscriptions were found to be. Returns the ids of those that have not changed meanwhile.
///
/// # Errors
/// Database errors.
pub async fn judge(client: &Client, verdicts: Vec<Verdict>) -> Result<HashSet<i32>> {
    let mut judged = HashSet::with_capacity(verdicts.len());
    let mut verdicts = verdicts.into_iter().map(|verdict| verdict.0);
    loop {
        let some: Vec<_> = verdicts.by_ref().take(VERDICTS_AT_ONCE).collect();
        if some.is_empty() {
            return Ok(judged);
        }
        let rows = client
            .query(
                "select odoo_eventd.judge_subscriptions($1)",
                &[&serde_json::Value::Array(some)],
            )
            .await
            .map_err(|e| Error::database("record what subscriptions were found to be", e))?;
        judged.extend(rows.into_iter().map(|row| row.get::<_, i32>(0)));
    }
}

/// Marks subscriptions whose needs are captured as ready.
///
/// # Errors
/// Database errors.
pub async fn mark_ready(client: &Client, ids: &[i32]) -> Result<()> {
    client
        .execute("select odoo_eventd.mark_ready($1)", &[&ids])
        .await
        .map_err(|e| Error::database("mark subscriptions as ready", e))?;
    Ok(())
}

/// Marks subscriptions that wait until what they need can be captured, each with its reason.
///
/// # Errors
/// Database errors.
pub async fn mark_waiting(client: &Client, waiting: &[(i32, String)]) -> Result<()> {
    let (ids, reasons): (Vec<i32>, Vec<&str>) = waiting.iter().map(|(id, reason)| (*id, reason.as_str())).unzip();
    client
        .execute("select odoo_eventd.mark_waiting($1, $2)", &[&ids, &reasons])
        .await
        .map_err(|e| Error::database("mark subscriptions as waiting", e))?;
    Ok(())
}

/// Brings a model's capture in step with its active subscriptions. True if something changed.
///
/// # Errors
/// Database errors; SQLSTATE 55P03 when the table was busy for longer than `lock_wait`: try again later.
pub async fn sync_capture(client: &Client, model: &str, lock_wait: Duration) -> Result<bool> {
    let lock_wait_ms = i32::try_from(lock_wait.as_millis()).unwrap_or(i32::MAX);
    let row = client
        .query_one("select odoo_eventd.sync_capture($1, $2)", &[&model, &lock_wait_ms])
        .await
        .map_err(|e| Error::database(format_args!("set up capture of \"{model}\""), e))?;
    Ok(row.get::<_, String>(0) != "unchanged")
}

/// Notes from which transaction on newly captured columns count. Only after [`sync_capture`] was committed.
///
/// # Errors
/// Database errors.
pub async fn settle_capture(client: &Client) -> Result<()> {
    client
        .query("select odoo_eventd.settle_capture()", &[])
        .await
        .map_err(|e| Error::database("note what is captured", e))?;
    Ok(())
}

/// Drops the triggers of one table that nobody watches any more and that is not busy; none are left to be dropped now when it drops none.
///
/// # Errors
/// Database errors.
pub async fn drop_idle_triggers(client: &Client, lock_wait: Duration) -> Result<Vec<String>> {
    let lock_wait_ms = i32::try_from(lock_wait.as_millis()).unwrap_or(i32::MAX);
    let rows = client
        .query("select odoo_eventd.drop_idle_triggers($1)", &[&lock_wait_ms])
        .await
        .map_err(|e| Error::database("drop triggers that nobody needs", e))?;
    Ok(rows.into_iter().map(|row| row.get(0)).collect())
}

/// How the deliveries of a subscription went since the last note.
#[derive(Debug, Clone)]
pub struct Results {
    /// When the last one ended.
    pub last_delivery: SystemTime,
    /// `success` or `failed`.
    pub last_status: &'static str,
    /// How many failed.
    pub failures: i32,
    /// Whether one succeeded.
    pub succeeded: bool,
    /// How often the endpoint failed after the last one that succeeded.
    pub failed_since_success: i32,
    /// Whether the receiver said that it wants nothing more.
    pub gone: bool,
}

/// When an endpoint that fails everything is given up.
#[derive(Debug, Clone, Copy)]
pub struct GiveUp {
    /// After so long; zero = never.
    pub after: Duration,
    /// But not before so many failures in a row.
    pub after_failures: i32,
}

/// Keeps `last_delivery`, `last_delivery_status`, the counts of failures, and disables those whose endpoint is to be given up. Returns
/// these, each with the reason.
///
/// # Errors
/// Database errors.
pub async fn note_results(client: &Client, results: &[(i32, Results)], give_up: GiveUp) -> Result<Vec<(i32, String)>> {
    let ids: Vec<i32> = results.iter().map(|r| r.0).collect();
    let dates: Vec<SystemTime> = results.iter().map(|r| r.1.last_delivery).collect();
    let statuses: Vec<&str> = results.iter().map(|r| r.1.last_status).collect();
    let failures: Vec<i32> = results.iter().map(|r| r.1.failures).collect();
    let succeeded: Vec<bool> = results.iter().map(|r| r.1.succeeded).collect();
    let since_success: Vec<i32> = results.iter().map(|r| r.1.failed_since_success).collect();
    let gone: Vec<bool> = results.iter().map(|r| r.1.gone).collect();
    let after_ms = i64::try_from(give_up.after.as_millis()).unwrap_or(i64::MAX);
    let rows = client
        .query(
            "select disabled_id, reason from odoo_eventd.note_results($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            &[
                &ids,
                &dates,
                &statuses,
                &failures,
                &succeeded,
                &since_success,
                &gone,
                &after_ms,
                &give_up.after_failures,
            ],
        )
        .await
        .map_err(|e| Error::database("note the results of deliveries", e))?;
    Ok(rows.into_iter().map(|row| (row.get(0), row.get(1))).collect())
}
