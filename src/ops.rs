//! The operator's verbs: what the command line does, and later the web pages and MCP.
//!
//! Each takes a connection and plain arguments and returns plain data; none prints.

pub mod dead_letters;
pub mod emit;
pub mod subscribe;
pub mod test_event;

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use tokio_postgres::Client;

use crate::http::mask::{HIDDEN, mask_url_text};
use crate::pg::secrets;
use crate::sealing::Keyring;
use crate::signature::Secret;
use crate::worker::admission;
use crate::worker::quarantine::Quarantine;
use crate::worker::secrets::seal;
use crate::{Error, Result};

/// All subscriptions, secrets masked.
///
/// # Errors
/// Database errors.
pub async fn subscriptions(client: &Client) -> Result<Vec<Value>> {
    let rows = client
        .query("select odoo_eventd.list_subscriptions()", &[])
        .await
        .map_err(|e| Error::database("list subscriptions", e))?;
    Ok(rows.into_iter().map(|row| mask(row.get(0))).collect())
}

/// URLs and headers of one's own may be secrets: they are shown as the log and `test` show them. The table has them in full.
fn mask(mut subscription: Value) -> Value {
    if let Some(Value::String(url)) = subscription.get_mut("webhook_url")
        && !url.is_empty()
    {
        *url = mask_url_text(url);
    }
    if let Some(Value::Object(headers)) = subscription.get_mut("headers") {
        headers.values_mut().for_each(|value| *value = json!(HIDDEN));
    }
    subscription
}

/// Deactivates a subscription and lets capture follow.
///
/// # Errors
/// [`Error::is_usage`] if there is none with this id; database errors.
pub async fn unsubscribe(client: &Client, id: i32) -> Result<()> {
    let found: bool = client
        .query_one("select odoo_eventd.deactivate_subscription($1)", &[&id])
        .await
        .map_err(|e| Error::database(format_args!("deactivate subscription {id}"), e))?
        .get(0);
    if !found {
        return Err(no_subscription(id));
    }
    admission::refresh(client, None, &Quarantine::default()).await.map(drop)
}

/// Gives a subscription a new secret. Returns until when the old one signs too; `None` when the new one signs alone at once.
///
/// # Errors
/// [`Error::is_usage`] if there is none with this id; database errors.
pub async fn rotate_secret(
    client: &Client,
    id: i32,
    secret: &Secret,
    overlap: Duration,
) -> Result<Option<jiff::Timestamp>> {
    secrets::rotate(client, id, secret.expose(), overlap).await
}

/// What became of all secrets.
#[derive(Debug, Serialize)]
pub struct Rewrapped {
    /// The id of the key they are encrypted with.
    pub key: String,
    /// How many were encrypted anew.
    pub rewrapped: i64,
    /// How many were encrypted with this key before, or were written by somebody meanwhile.
    pub left: i64,
}

/// Encrypts all secrets with the first key of `new`; those in plain text too. All or none.
///
/// # Errors
/// [`Error::is_usage`] when there are some that neither `old` nor `new` opens: nothing was changed. Database errors.
pub async fn rewrap_secrets(client: &Client, old: Option<&Keyring>, new: &Keyring) -> Result<Rewrapped> {
    let opening = new.clone().and(old);
    let all = secrets::load(client, false).await?;
    let total = all.len();
    let (mut read, mut sealed, mut closed) = (Vec::new(), Vec::new(), Vec::new());
    for kept in all {
        if kept
            .sealed
            .as_deref()
            .is_some_and(|sealed| new.is_sealed_by_first(sealed))
        {
            continue;
        }
        let opened = match (&kept.plain, &kept.sealed) {
            (Some(plain), _) => Ok(plain.clone()),
            (None, Some(sealed)) => opening.open(kept.place(), sealed),
            (None, None) => continue,
        };
        match opened {
            Ok(secret) => {
                sealed.push(seal(new, &kept, &secret));
                read.push(kept);
            }
            Err(why) => closed.push(why),
        }
    }
    if let Some(first) = closed.first() {
        return Err(
            Error::usage(format!("{} of {total} secrets cannot be read: {first}", closed.len()))
                .with_hint("name the file with the key that is in use in --secret-key-file; nothing was changed"),
        );
    }
    let rewrapped = secrets::replace(client, &read, &sealed).await?;
    Ok(Rewrapped {
        key: new.id(),
        rewrapped,
        left: i64::try_from(total).unwrap_or(i64::MAX) - rewrapped,
    })
}

/// Lets a subscription's deliveries wait, or go on.
///
/// # Errors
/// [`Error::is_usage`] if there is none with this id; database errors.
pub async fn pause(client: &Client, id: i32, pause: bool) -> Result<()> {
    let found: bool = client
        .query_one("select odoo_eventd.pause_subscription($1, $2)", &[&id, &pause])
        .await
        .map_err(|e| Error::database(format_args!("pause or resume subscription {id}"), e))?
        .get(0);
    if found { Ok(()) } else { Err(no_subscription(id)) }
}

/// Sends to an endpoint again that the service had given up. Returns since when it was; `None` = it was not.
///
/// # Errors
/// [`Error::is_usage`] if there is no subscription with this id; database errors.
pub async fn enable(client: &Client, id: i32) -> Result<Option<jiff::civil::DateTime>> {
    use tokio_postgres::error::SqlState;
    let row = client
        .query_one("select odoo_eventd.enable_subscription($1)", &[&id])
        .await
        .map_err(|e| match e.code() {
            Some(code) if *code == SqlState::NO_DATA_FOUND || *code == SqlState::from_code("P0002") => {
                no_subscription(id)
            }
            _ => Error::database(format_args!("enable subscription {id}"), e),
        })?;
    Ok(row.get(0))
}

fn no_subscription(id: i32) -> Error {
    Error::usage(format!("there is no subscription {id}")).with_hint("`odoo-eventd subscriptions` lists them")
}

/// Switches capture on or off, of one model or of all. Returns the models concerned.
///
/// # Errors
/// [`Error::is_usage`] for a model that is not captured; database errors.
pub async fn switch_capture(client: &Client, on: bool, model: Option<&str>) -> Result<Vec<String>> {
    let rows = client
        .query("select odoo_eventd.switch_capture($1, $2)", &[&on, &model])
        .await
        .map_err(|e| match e.code() {
            Some(code) if *code == tokio_postgres::error::SqlState::UNDEFINED_OBJECT => {
                Error::usage(format!("model \"{}\" is not captured", model.unwrap_or_default()))
                    .with_hint("`odoo-eventd status` lists those that are")
            }
            _ => Error::database("switch capture", e),
        })?;
    if on {
        // In a transaction of its own: from now on everything is captured to its end again.
        crate::pg::subscriptions::settle_capture(client).await?;
    }
    Ok(rows.into_iter().map(|row| row.get(0)).collect())
}

/// Refuses in a database that must not deliver. Nobody may call production's endpoints from a copy, by hand neither.
///
/// # Errors
/// [`Error::unfit`] with the reason; database errors.
async fn require_adopted(client: &Client) -> Result<()> {
    match crate::pg::outbox::fence(client).await? {
        None => Ok(()),
        Some(reason) => Err(
            Error::unfit(format!("nothing is delivered from this database: {reason}"))
                .with_hint("if it should deliver: `odoo-eventd adopt`"),
        ),
    }
}

/// Everything that `status` shows.
///
/// # Errors
/// Database errors.
pub async fn status(client: &Client) -> Result<Value> {
    let row = client
        .query_one("select odoo_eventd.status()", &[])
        .await
        .map_err(|e| Error::database("read the status", e))?;
    let mut status: Value = row.get(0);
    let subscriptions = subscriptions(client).await?;
    let dead: i64 = dead_letters::count(client).await?.iter().map(|(_, dead)| dead).sum();
    status["deliveries"]["dead"] = json!(dead);
    if let Value::Object(fields) = &mut status {
        fields.insert("subscriptions".to_owned(), Value::Array(subscriptions));
        fields.insert("secrets".to_owned(), secrets::status(client).await?);
        fields.insert("odoo_version".to_owned(), json!(odoo_version(client).await?));
    }
    Ok(status)
}

/// The version of Odoo's module `base`: what the database says now, not what it said at the installation.
async fn odoo_version(client: &Client) -> Result<Option<String>> {
    let row = client
        .query_one("select f.base_version from odoo_eventd.registry_facts() f", &[])
        .await
        .map_err(|e| Error::database("read Odoo's version", e))?;
    Ok(row.get(0))
}

/// Which attempts to list.
#[derive(Debug, Default)]
pub struct DeliveryFilter {
    /// Of this subscription.
    pub subscription: Option<i32>,
    /// `pending`, `success` or `failed`.
    pub status: Option<String>,
    /// Of this model.
    pub model: Option<String>,
    /// With this record.
    pub record: Option<i64>,
    /// Begun since then.
    pub since: Option<jiff::Timestamp>,
    /// At most so many.
    pub limit: i32,
}

/// Attempts, newest first.
///
/// # Errors
/// Database errors.
pub async fn deliveries(client: &Client, filter: &DeliveryFilter) -> Result<Vec<Value>> {
    let rows = client
        .query(
            "select odoo_eventd.list_deliveries($1, $2, $3, $4, $5, $6)",
            &[
                &filter.subscription,
                &filter.status,
                &filter.model,
                &filter.record,
                &filter.since,
                &filter.limit,
            ],
        )
        .await
        .map_err(|e| Error::database("list deliveries", e))?;
    Ok(rows.into_iter().map(|row| row.get(0)).collect())
}

/// Lets this copy of a database capture and deliver from now on.
///
/// # Errors
/// Database errors; what is pending cannot be kept after a restore to another time.
pub async fn adopt(client: &Client, keep_pending: bool) -> Result<String> {
    let row = client
        .query_one("select odoo_eventd.adopt($1)", &[&keep_pending])
        .await
        .map_err(|e| Error::database("adopt this database", e))?;
    // In a transaction of its own: from now on everything is captured to its end.
    crate::pg::subscriptions::settle_capture(client).await?;
    Ok(row.get(0))
}
