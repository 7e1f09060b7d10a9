//! What a subscription would be, before it is written: what is checked for a real run and shown for a dry one is the same.
//!
//! The same look that the service takes ([`admission`]), at a row that the database assembles from what was said, from its own defaults or
//! the row that is there, and holds against its rules, but does not keep. Nothing is written, not even a sequence.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use crate::Error;
use crate::domain::check::{TypedDomain, check_text};
use crate::odoo::registry::Registry;
use crate::ops::error::{Conflict, Error as OpsError, Result, Version};

use super::bulk::Target;
use super::masks::refused_as_masked;
use crate::ops::operator::Operator;
use crate::pg::Client;
use crate::pg::domain::search;
use crate::pg::sqlstate::DENIED;
use crate::pg::subscription_rows;
use crate::subscription::choices::{TriggerMode, WantedEvents};
use crate::subscription::{ResolvedSubscription, Subscription};
use crate::worker::upkeep::admission::{self, ServiceRules};

/// What a subscription would be.
#[derive(Debug, Serialize, utoipa::ToSchema)]
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

/// A row that can be served, before it is written.
#[derive(Debug)]
pub(super) struct Looked {
    /// The version that it would replace.
    pub(super) version: Option<Version>,
    pub(super) accepted: ResolvedSubscription,
    registry: Arc<Registry>,
    capture: Value,
}

/// Looks at a row that is not written yet, as the service looks at one that is: a new one of these options, or one that is there with
/// them in their columns' places. `None` where the operator sees no such row.
///
/// # Errors
/// [`super::super::Error::Conflict`] where it is not the version that is expected, whatever else is wrong;
/// [`super::super::Error::Refused`] with everything that is wrong with it.
pub(super) async fn look_at(
    client: &Client,
    rules: &ServiceRules,
    operator: &Operator,
    (options, of): (&Value, Option<&Target>),
    registry: &Arc<Registry>,
) -> Result<Option<Looked>> {
    let id = of.map(|target| target.id);
    let Some(previewed) = subscription_rows::preview(client, &operator.to_json(), options, id).await? else {
        return Ok(None);
    };
    let version = previewed.version.map(Version);
    if let (Some(target), Some(now)) = (of, &version)
        && target.expected.as_ref().is_some_and(|expected| expected != now)
    {
        return Err(OpsError::Conflict(Conflict::Changed {
            id: target.id,
            now: now.clone(),
        }));
    }
    let url = options.get("webhook_url").and_then(Value::as_str);
    let mut faults: Vec<Error> = refused_as_masked(url)
        .map(crate::subscription::Refusal::into_error)
        .into_iter()
        .chain(
            previewed
                .broken
                .into_iter()
                .map(subscription_rows::BrokenRule::into_error),
        )
        .collect();
    // The row may hold secrets: serde's error names the column only.
    let row: Result<Subscription, _> = serde_path_to_error::deserialize(previewed.row);
    let row = match row {
        Ok(row) => Some(row),
        Err(_) if !faults.is_empty() => None,
        Err(error) => {
            let refused = Error::usage(format!("{} cannot be read: {}", error.path(), error.inner()));
            faults.push(refused);
            None
        }
    };
    // Secrets of a row that is there are not read: what is written in their place is checked, and what stays was accepted once.
    let rules = ServiceRules {
        guard: rules.guard.clone(),
        keyring: None,
    };
    let mut accepted = None;
    if let Some(row) = row {
        let models = operator.readable_models(registry);
        match Box::pin(admission::look_at(client, &row, registry, &rules, models)).await? {
            Ok(found) => accepted = Some(found),
            Err(error) => faults.push(error),
        }
    }
    let looked = match accepted {
        Some(accepted) if faults.is_empty() => Looked {
            version,
            capture: preview_capture(client, &accepted).await?,
            accepted,
            registry: Arc::clone(registry),
        },
        _ => return Err(all_of(faults).into()),
    };
    looked.refuse_what_is_not_captured()?;
    Ok(Some(looked))
}

/// Several things that are wrong, as one error. What the table's rules say of a column need not be said again in other words.
fn all_of(faults: Vec<Error>) -> Error {
    let mut columns = BTreeSet::new();
    let mut faults = faults
        .into_iter()
        .flat_map(Error::apart)
        .filter(|fault| fault.column().is_none_or(|column| columns.insert(column)));
    match faults.next() {
        Some(first) => first.with_more(faults),
        None => Error::other("a subscription was refused and nothing is wrong with it"),
    }
}

async fn preview_capture(client: &Client, accepted: &ResolvedSubscription) -> crate::Result<Value> {
    let columns: Vec<&str> = accepted.columns.iter().map(String::as_str).collect();
    subscription_rows::preview_capture(client, &accepted.row.model, &columns).await
}

impl Looked {
    fn refuse_what_is_not_captured(&self) -> Result<()> {
        let model = &self.accepted.row.model;
        if self.capture.get("is_allowed") == Some(&Value::Bool(false)) {
            let refused = Error::usage(format!("model \"{model}\" is not among those the installer allowed"));
            return Err(refused
                .of("model")
                .with_hint("they are in odoo_eventd.allowed_model")
                .into());
        }
        let impossible = names(&self.capture, "columns_that_cannot_be");
        if !impossible.is_empty() {
            let refused = Error::usage(format!(
                "model \"{model}\" has no stored field that may be captured called: {}",
                impossible.join(", ")
            ));
            return Err(refused.of("fields").into());
        }
        Ok(())
    }

    /// The row, resolved.
    pub(super) fn into_accepted(self) -> ResolvedSubscription {
        self.accepted
    }

    /// What it would be, and how many records match now.
    pub(super) async fn describe(self, client: &Client) -> Result<Preview> {
        let (matching_records, not_counted) = count(client, &self.accepted, &self.registry).await?;
        let Self { accepted, capture, .. } = self;
        let sorted = |set: &BTreeSet<String>| set.iter().cloned().collect();
        Ok(Preview {
            model: accepted.row.model.clone(),
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
}

/// How many records match, with the connection's own rights; or why it may not know.
async fn count(
    client: &Client,
    accepted: &ResolvedSubscription,
    registry: &Registry,
) -> Result<(Option<i64>, Option<String>)> {
    let row = &accepted.row;
    let domain = check_text(&row.domain, &row.model, registry, &admission::context_of(row)).map_err(Error::from)?;
    Ok(count_matching(client, &domain).await?)
}

/// How many records satisfy a domain now, with the connection's own rights; or why it may not know.
pub(in crate::ops) async fn count_matching(
    client: &Client,
    domain: &TypedDomain,
) -> crate::Result<(Option<i64>, Option<String>)> {
    match search::count_matching(client, domain).await {
        Ok(count) => Ok((Some(count), None)),
        Err(error) if error.means(DENIED) => Ok((
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
