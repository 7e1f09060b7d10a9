//! What a subscription would be, without making it: `odoo-eventd subscribe --dry-run`.
//!
//! The same look that the service takes ([`admission`]), at a row that the database assembles from the options and its own defaults
//! and checks, but does not keep. Nothing is written, not even a sequence.

use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::domain::check::check_text;
use crate::http::guard::Guard;
use crate::odoo::registry::Registry;
use crate::ops::subscribe::refused_values;
use crate::pg::{registry, search};
use crate::subscription::choices::{TriggerMode, WantedEvents};
use crate::subscription::draft::Draft;
use crate::subscription::{Accepted, Subscription};
use crate::worker::admission;
use crate::worker::quarantine::Quarantine;
use crate::{Error, Result};

/// What a subscription would be.
#[derive(Debug, Serialize)]
pub struct Preview {
    /// Odoo model.
    pub model: String,
    /// Its table.
    pub table: String,
    /// Which events would be sent.
    pub event_type: WantedEvents,
    /// When a matching record counts.
    pub trigger_mode: TriggerMode,
    /// Whether anything is sent, or events are only there for readers.
    pub is_sent: bool,
    /// The domain.
    pub domain: String,
    /// Records that match now; `None` where the connection may not read them.
    pub matching_records: Option<i64>,
    /// Why they could not be counted.
    pub not_counted: Option<String>,
    /// Whether the domain looks at other records, which are judged as they are when an event is processed.
    pub reads_other_records: bool,
    /// Watched columns, for write events.
    pub watched: Vec<String>,
    /// Columns that are captured, so many bytes of them as tell that they changed.
    pub captured: Vec<String>,
    /// Those of them of which a change alone makes an event.
    pub compared: Vec<String>,
    /// Those of them that are captured in full, however long: the domain or the body needs the value.
    pub kept_whole: Vec<String>,
    /// Columns of these that no other subscription has captured yet.
    pub columns_to_add: Vec<String>,
    /// Triggers that are not on the table yet.
    pub triggers_to_make: Vec<String>,
}

/// A subscription that can be served, before there is one.
#[derive(Debug)]
pub(crate) struct Resolved {
    accepted: Accepted,
    registry: Registry,
    capture: Value,
}

/// Looks at a subscription that is not there, as the service looks at one that is.
///
/// # Errors
/// [`Error::is_usage`] with a sentence that says why it would be refused; database errors.
pub(crate) async fn resolve(client: &Client, guard: &Guard, draft: &Draft) -> Result<Resolved> {
    let row = client
        .query_one("select odoo_eventd.preview_subscription($1)", &[&draft.to_json()])
        .await
        .map_err(|e| refused_values(e, "look at the subscription"))?;
    // The options may hold secrets: serde's error names the column only.
    let row: Subscription = serde_json::from_value(row.get(0))
        .map_err(|e| Error::usage("the subscription cannot be read").with_source(e))?;
    let registry = registry::load(client).await?;
    // A subscription that is not stored has no secret that was encrypted.
    let rules = admission::ServiceRules {
        guard: guard.clone(),
        keyring: None,
    };
    let accepted = Box::pin(admission::look_at(
        client,
        &row,
        &registry,
        Some(&rules),
        &Quarantine::default(),
    ))
    .await??;
    let capture = preview_capture(client, &accepted).await?;
    let model = &accepted.row.model;
    if capture.get("is_allowed") == Some(&Value::Bool(false)) {
        return Err(
            Error::usage(format!("model \"{model}\" is not among those the installer allowed"))
                .with_hint("they are in odoo_eventd.allowed_model"),
        );
    }
    let impossible = names(&capture, "columns_that_cannot_be");
    if !impossible.is_empty() {
        return Err(Error::usage(format!(
            "model \"{model}\" has no stored field that may be captured called: {}",
            impossible.join(", ")
        )));
    }
    Ok(Resolved {
        accepted,
        registry,
        capture,
    })
}

/// What a subscription would be.
///
/// # Errors
/// As [`resolve`].
pub async fn preview(client: &Client, guard: &Guard, draft: &Draft) -> Result<Preview> {
    let Resolved {
        accepted,
        registry,
        capture,
    } = resolve(client, guard, draft).await?;
    let model = &accepted.row.model;
    let (matching_records, not_counted) = count(client, &accepted, &registry).await?;
    let sorted = |set: &std::collections::BTreeSet<String>| set.iter().cloned().collect();
    Ok(Preview {
        model: model.clone(),
        table: capture
            .get("table")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        event_type: accepted.row.event_type,
        trigger_mode: accepted.row.trigger_mode,
        is_sent: accepted.url().is_some(),
        domain: accepted.row.domain.clone(),
        matching_records,
        not_counted,
        reads_other_records: accepted.domain.as_ref().is_some_and(|domain| domain.reads_related()),
        watched: sorted(&accepted.watched),
        captured: sorted(&accepted.columns),
        compared: sorted(&accepted.compared),
        kept_whole: sorted(&accepted.whole),
        columns_to_add: names(&capture, "columns_to_add"),
        triggers_to_make: names(&capture, "triggers_to_make"),
    })
}

impl Preview {
    /// What it means, a line a fact, for people.
    pub fn describe(&self) -> String {
        let list = |names: &[String]| match names.is_empty() {
            true => "none".to_owned(),
            false => names.join(", "),
        };
        let event = match self.event_type {
            WantedEvents::All => "create, write, unlink",
            one => one.as_str(),
        };
        let when = match self.trigger_mode {
            TriggerMode::Enter => "when a record enters the domain",
            TriggerMode::Leave => "when a record leaves the domain",
            TriggerMode::Match => "when a record matches after the change",
        };
        let matching = match (self.matching_records, &self.not_counted) {
            (Some(count), _) => count.to_string(),
            (None, why) => format!("not counted: {}", why.as_deref().unwrap_or("unknown")),
        };
        let sent = match self.is_sent {
            true => "yes",
            false => "no URL: events are for readers in the database only",
        };
        let others = match self.reads_other_records {
            true => "looked at, as they are when an event is processed",
            false => "not looked at",
        };
        format!(
            "model              {} (table {})\nevents             {event}, {when}\nsent               {sent}\ndomain             {}\n\
             matching now       {matching}\nother records      {others}\nwatched columns    {}\ncaptured columns   {}\n\
             \x20 compared         {}\n  kept whole       {}\n  not captured yet {}\ntriggers to make   {}",
            self.model,
            self.table,
            self.domain,
            list(&self.watched),
            list(&self.captured),
            list(&self.compared),
            list(&self.kept_whole),
            list(&self.columns_to_add),
            list(&self.triggers_to_make),
        )
    }
}

async fn preview_capture(client: &Client, accepted: &Accepted) -> Result<Value> {
    let columns: Vec<&str> = accepted.columns.iter().map(String::as_str).collect();
    let row = client
        .query_one(
            "select odoo_eventd.preview_capture($1, $2::pg_catalog.text[]::pg_catalog.name[])",
            &[&accepted.row.model, &columns],
        )
        .await
        .map_err(|e| Error::database("look at what is captured", e))?;
    Ok(row.get(0))
}

/// How many records match, with the connection's own rights; or why it may not know.
async fn count(client: &Client, accepted: &Accepted, registry: &Registry) -> Result<(Option<i64>, Option<String>)> {
    let row = &accepted.row;
    let domain = check_text(&row.domain, &row.model, registry, &admission::context_of(row)).map_err(Error::from)?;
    match search::count_matching(client, &domain).await {
        Ok(count) => Ok((Some(count), None)),
        Err(error) if error.sql_state() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => Ok((
            None,
            Some("the connection may not read the records; connect as a role that may".to_owned()),
        )),
        Err(error) => Err(error),
    }
}

fn names(capture: &Value, key: &str) -> Vec<String> {
    let names = capture[key].as_array();
    names
        .into_iter()
        .flatten()
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect()
}
