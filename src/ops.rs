//! The operators' verbs: what every door calls, the command line among them.
//!
//! [`Service`] has them; each takes an [`Operator`], who decides what is seen and what may be done, and typed arguments, and answers typed
//! data or an [`Error`] of a kind that each door has a code for. None prints. What is the owner's alone (capture, keys, adopting a copy)
//! takes a connection of his.

pub mod catalog;
pub mod dashboard;
pub mod deliveries;
pub mod domains;
pub mod emit;
pub mod error;
pub mod feed;
pub mod health;
pub mod labels;
pub mod operator;
pub mod overview;
pub mod page;
pub mod page_sessions;
pub mod records;
pub mod service;
pub mod subscriptions;
pub mod test_event;
pub mod tokens;
mod wall;

use serde::Serialize;
use serde_json::{Value, json};

pub use self::error::Error;
pub use self::operator::{Operator, Scope};
pub use self::service::Service;
use self::subscriptions::read::Filter;
use crate::Error as Failure;
use crate::Result;
use crate::pg::Client;
use crate::pg::{delivery_log, operations, secrets};
use crate::sealing::Keyring;
use crate::worker::upkeep::secrets::seal;

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
/// [`crate::Error::is_usage`] when there are some that neither `old` nor `new` opens: nothing was changed. Database errors.
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
            Failure::usage(format!("{} of {total} secrets cannot be read: {first}", closed.len()))
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

fn no_subscription(id: i32) -> Failure {
    Failure::usage(format!("there is no subscription {id}")).with_hint("`odoo-eventd subscriptions` lists them")
}

/// Switches capture on or off, of one model or of all. Returns the models concerned.
///
/// # Errors
/// [`crate::Error::is_usage`] for a model that is not captured; database errors.
pub async fn switch_capture(client: &Client, on: bool, model: Option<&str>) -> Result<Vec<String>> {
    let models = operations::switch_capture(client, on, model).await?;
    if on {
        // In a transaction of its own: from now on everything is captured to its end again.
        crate::pg::subscriptions::settle_capture(client).await?;
    }
    Ok(models)
}

/// Refuses in a database that must not deliver. Nobody may call production's endpoints from a copy, by hand neither.
///
/// # Errors
/// [`crate::Error::unfit`] with the reason; database errors.
async fn require_adopted(client: &Client) -> Result<()> {
    match crate::pg::outbox::fence(client).await? {
        None => Ok(()),
        Some(reason) => Err(
            Failure::unfit(format!("nothing is delivered from this database: {reason}"))
                .with_hint("if it should deliver: `odoo-eventd adopt`"),
        ),
    }
}

impl Service {
    /// Everything that `status` shows.
    ///
    /// # Errors
    /// [`Error::Forbidden`] but for those who see everything.
    pub async fn status(&self, operator: &Operator) -> error::Result<Value> {
        operator.require(Scope::Admin)?;
        let subscriptions = self.all_subscriptions(operator, &Filter::default()).await?;
        Ok(status(&*self.session().await?, json!(subscriptions)).await?)
    }
}

async fn status(client: &Client, subscriptions: Value) -> Result<Value> {
    let mut status = operations::status(client).await?;
    let dead: i64 = delivery_log::count_dead(client)
        .await?
        .iter()
        .map(|(_, dead)| dead)
        .sum();
    status["deliveries"]["dead"] = json!(dead);
    if let Value::Object(fields) = &mut status {
        fields.insert("subscriptions".to_owned(), subscriptions);
        fields.insert("secrets".to_owned(), secrets::status(client).await?);
        fields.insert(
            "odoo_version".to_owned(),
            json!(operations::odoo_version(client).await?),
        );
    }
    Ok(status)
}

/// Lets this copy of a database capture and deliver from now on.
///
/// # Errors
/// Database errors; what is pending cannot be kept after a restore to another time.
pub async fn adopt(client: &Client, keep_pending: bool) -> Result<String> {
    let said = operations::adopt(client, keep_pending).await?;
    // In a transaction of its own: from now on everything is captured to its end.
    crate::pg::subscriptions::settle_capture(client).await?;
    Ok(said)
}
