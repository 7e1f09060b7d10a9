//! Subscriptions as operators read and write them: `sql/functions/subscription_reads.sql`, `subscription_writes.sql` and `preview.sql`.
//!
//! `operator` is what `sql/functions/operators.sql` says of one: the database decides what he sees, in the statement that reads or
//! writes it.

use jiff::civil::DateTime;
use serde::Deserialize;
use serde_json::Value;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::answered_requests::Claimed;
use super::domain::params::Params;
use super::domain::sql::{self, compile};
use super::sqlstate::{BAD_INTERVAL, BAD_VALUE};
use crate::domain::check::TypedDomain;
use crate::subscription::{View, draft};
use crate::{Error, Result};

/// A subscription, its version, and its place in the order that was asked for.
#[derive(Debug)]
pub struct Found {
    /// Its version.
    pub version: String,
    /// The row, masked.
    pub view: View,
    /// Its place, before its id.
    pub sort_key: Value,
}

/// In which order, from where on, and how many.
#[derive(Debug)]
pub struct Stretch<'a> {
    /// The column.
    pub order_by: &'a str,
    /// The largest first.
    pub descending: bool,
    /// After this place.
    pub after: Option<(&'a Value, i32)>,
    /// At most so many.
    pub most: i32,
}

/// Subscriptions that an operator sees and looks for.
///
/// # Errors
/// Database errors; a row that no subscription can be, by its id and column.
pub async fn find(client: &Client, operator: &Value, filter: &Value, stretch: Stretch<'_>) -> Result<Vec<Found>> {
    let (key, id) = stretch.after.unzip();
    let rows = client
        .query(
            "select version, shown::pg_catalog.text, sort_key from odoo_eventd.find_subscriptions($1, $2, $3, $4, $5, $6, $7)",
            &[
                operator,
                filter,
                &stretch.order_by,
                &stretch.descending,
                &key,
                &id,
                &stretch.most,
            ],
        )
        .await
        .map_err(|e| Error::database("list subscriptions", e))?;
    rows.into_iter()
        .map(|row| {
            Ok(Found {
                version: row.get(0),
                view: view(row.get(1))?,
                sort_key: row.get(2),
            })
        })
        .collect()
}

fn view(text: &str) -> Result<View> {
    let read: Result<View, _> = serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(text));
    read.map(View::masked).map_err(|error| {
        // The text holds secrets; which row it was is all that is read of it.
        let id = serde_json::from_str::<Value>(text)
            .ok()
            .map(|row| row["id"].to_string());
        let id = id.unwrap_or_else(|| "?".to_owned());
        Error::unfit(format!(
            "subscription {id} cannot be read: {}: {}",
            error.path(),
            error.inner()
        ))
    })
}

/// How many [`find`] would find.
///
/// # Errors
/// Database errors.
pub async fn count(client: &Client, operator: &Value, filter: &Value) -> Result<i64> {
    let row = client
        .query_one("select odoo_eventd.count_subscriptions($1, $2)", &[operator, filter])
        .await
        .map_err(|e| Error::database("count subscriptions", e))?;
    Ok(row.get(0))
}

/// The ids of the subscriptions that an operator sees and that satisfy a domain over their own columns.
///
/// # Errors
/// Database errors.
pub async fn search(client: &Client, operator: &Value, domain: &TypedDomain) -> Result<Vec<i32>> {
    let mut params = Params::starting_after(1);
    let condition = compile(domain, "record", &mut params, sql::Row::Table);
    let statement = format!("select record.id from odoo_eventd.searched_subscriptions($1) record where {condition}");
    let own: (&(dyn ToSql + Sync), Type) = (operator, Type::JSONB);
    let values: Vec<(&(dyn ToSql + Sync), Type)> = std::iter::once(own)
        .chain(params.as_sql().into_iter().zip(params.types()))
        .collect();
    let rows = client
        .query_typed(&statement, &values)
        .await
        .map_err(|e| Error::database("look for subscriptions by a domain", e))?;
    Ok(rows.into_iter().map(|row| row.get(0)).collect())
}

/// A row before it is written.
#[derive(Debug)]
pub struct Previewed {
    /// The version that it would replace.
    pub version: Option<String>,
    /// The row in the form of [`super::subscriptions::load_all`]; it may hold secrets.
    pub row: Value,
    /// Rules of the table that it breaks.
    pub broken: Vec<BrokenRule>,
}

/// A rule of the table that a row breaks.
#[derive(Debug, Deserialize)]
pub struct BrokenRule {
    column: Option<String>,
    message: Option<String>,
    constraint: Option<String>,
    rule: Option<String>,
}

impl BrokenRule {
    /// In words.
    pub fn into_error(self) -> Error {
        let message = match (self.message, self.constraint) {
            (Some(message), _) => message,
            (None, constraint) => broken_constraint(&constraint.unwrap_or_default()),
        };
        let refused = Error::usage(message);
        let refused = match self.rule {
            Some(rule) => refused.with_hint(format!("the table's rule is {rule}")),
            None => refused,
        };
        match self.column.as_deref().and_then(draft::column) {
            Some(column) => refused.of(column),
            None => refused,
        }
    }
}

/// The names of constraints read as facts.
fn broken_constraint(name: &str) -> String {
    format!("it must hold that {}", name.replace('_', " "))
}

/// What would be written: a new row of these options, or the row that is there with them. None where the operator sees no such row.
///
/// # Errors
/// [`Error::is_usage`] for a value that PostgreSQL cannot read; database errors.
pub async fn preview(client: &Client, operator: &Value, options: &Value, of: Option<i32>) -> Result<Option<Previewed>> {
    let row = client
        .query_opt(
            "select version, subscription, broken from odoo_eventd.preview_subscription($1, $2, $3)",
            &[operator, options, &of],
        )
        .await
        .map_err(|e| refused_values(e, "look at the subscription"))?;
    row.map(|row| {
        let broken = serde_json::from_value(row.get(2));
        Ok(Previewed {
            version: row.get(0),
            row: row.get(1),
            broken: broken.map_err(|e| Error::other("the rules of the table cannot be read").with_source(e))?,
        })
    })
    .transpose()
}

/// What would be captured; see `preview_capture` in `sql/functions/preview.sql`.
///
/// # Errors
/// Database errors.
pub async fn preview_capture(client: &Client, model: &str, columns: &[&str]) -> Result<Value> {
    let row = client
        .query_one(
            "select odoo_eventd.preview_capture($1, $2::pg_catalog.text[]::pg_catalog.name[])",
            &[&model, &columns],
        )
        .await
        .map_err(|e| Error::database("look at what is captured", e))?;
    Ok(row.get(0))
}

/// The models that the installer allowed; `None` = all.
///
/// # Errors
/// Database errors.
pub async fn allowed_models(client: &Client) -> Result<Option<Vec<String>>> {
    let row = client
        .query_one("select odoo_eventd.allowed_models()", &[])
        .await
        .map_err(|e| Error::database("read which models are allowed", e))?;
    Ok(row.get(0))
}

/// Adds a row, and notes in the same transaction which request has made it. Returns its id.
///
/// # Errors
/// [`Error::is_usage`] for values that the table does not take; database errors.
pub async fn insert(client: &Client, operator: &Value, options: &Value, request: Option<Claimed<'_>>) -> Result<i32> {
    let added = match request {
        None => {
            client
                .query_one("select odoo_eventd.add_subscription($1, $2)", &[operator, options])
                .await
        }
        Some(Claimed { request, at }) => {
            client
                .query_one(
                    "select odoo_eventd.made_by_request($3, $4, $5, odoo_eventd.add_subscription($1, $2))",
                    &[operator, options, &request.token, &request.key, &at],
                )
                .await
        }
    };
    let row = added.map_err(|e| refused_values(e, "add the subscription"))?;
    Ok(row.get(0))
}

/// What became of a row that was to be changed or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It was done; the version that it is now, or was.
    Done(String),
    /// The operator sees no such row.
    NotFound,
    /// It is another version by now: this one.
    Conflict(String),
}

fn fates(rows: Vec<Row>) -> Result<Vec<(i32, Fate)>> {
    rows.into_iter()
        .map(|row| {
            let version: Option<String> = row.get(2);
            let fate = match (row.get::<_, &str>(1), version) {
                ("done", Some(version)) => Fate::Done(version),
                ("conflict", Some(version)) => Fate::Conflict(version),
                ("not_found", _) => Fate::NotFound,
                (other, _) => return Err(Error::other(format!("the database answered \"{other}\""))),
            };
            Ok((row.get(0), fate))
        })
        .collect()
}

/// Writes the same columns of several rows in one transaction, each where it is still the version that is named, or none is.
///
/// # Errors
/// [`Error::is_usage`] for values that the table does not take; database errors: nothing was written.
pub async fn change(
    client: &Client,
    operator: &Value,
    (ids, versions): (&[i32], &[Option<String>]),
    patch: &Value,
) -> Result<Vec<(i32, Fate)>> {
    let rows = client
        .query(
            "select id, outcome, version from odoo_eventd.change_subscriptions($1, $2, $3, $4)",
            &[operator, &ids, &versions, patch],
        )
        .await
        .map_err(|e| refused_values(e, "change the subscription"))?;
    fates(rows)
}

/// Deletes several rows in one transaction, each where it is still the version that is named, or none is.
///
/// # Errors
/// Database errors: nothing was deleted.
pub async fn delete(
    client: &Client,
    operator: &Value,
    ids: &[i32],
    versions: &[Option<String>],
) -> Result<Vec<(i32, Fate)>> {
    let rows = client
        .query(
            "select id, outcome, version from odoo_eventd.delete_subscriptions($1, $2, $3)",
            &[operator, &ids, &versions],
        )
        .await
        .map_err(|e| Error::database("delete subscriptions", e))?;
    fates(rows)
}

/// Takes back a row that turned out not to be servable when its triggers were made.
///
/// # Errors
/// Database errors.
pub async fn remove(client: &Client, id: i32) -> Result<()> {
    client
        .execute("select odoo_eventd.remove_subscription($1)", &[&id])
        .await
        .map_err(|e| Error::database(format_args!("remove subscription {id}"), e))?;
    Ok(())
}

/// Sends to an endpoint again that the service had given up. Returns since when it was; `None` = it was not.
///
/// # Errors
/// [`Error::is_no_data_found`] where the operator sees no such row; database errors.
pub async fn enable(client: &Client, operator: &Value, id: i32) -> Result<Option<DateTime>> {
    let row = client
        .query_one(
            "select odoo_eventd.enable_subscription(own) from odoo_eventd.act_on($1, $2) own",
            &[operator, &id],
        )
        .await
        .map_err(|e| Error::database(format_args!("enable subscription {id}"), e))?;
    Ok(row.get(0))
}

/// How many subscriptions an operator sees, by each filter of the web page, as JSON.
///
/// # Errors
/// Database errors.
pub async fn count_apart(client: &Client, operator: &Value) -> Result<Value> {
    let row = client
        .query_one("select odoo_eventd.count_subscriptions_apart($1)", &[operator])
        .await
        .map_err(|e| Error::database("count subscriptions by filter", e))?;
    Ok(row.get(0))
}

/// What an operator's subscriptions have come to, as JSON.
///
/// # Errors
/// Database errors.
pub async fn overview(client: &Client, operator: &Value) -> Result<Value> {
    let row = client
        .query_one("select odoo_eventd.subscription_overview($1)", &[operator])
        .await
        .map_err(|e| Error::database("count what there is", e))?;
    Ok(row.get(0))
}

/// Changes of subscriptions, newest first, as JSON; `before` is the number of one in the history.
///
/// # Errors
/// Database errors.
pub async fn history(
    client: &Client,
    operator: &Value,
    of: Option<i32>,
    before: Option<i64>,
    most: i32,
) -> Result<Vec<Value>> {
    let rows = client
        .query(
            "select odoo_eventd.list_history($1, $2, $3, $4)",
            &[operator, &of, &before, &most],
        )
        .await
        .map_err(|e| Error::database("read the subscriptions' history", e))?;
    Ok(rows.into_iter().map(|row| row.get(0)).collect())
}

/// What the table does not take is wrong use.
fn refused_values(error: tokio_postgres::Error, tried: &str) -> Error {
    let column = BAD_INTERVAL.of(&error).then_some("max_event_age");
    if column.is_none() && !BAD_VALUE.of(&error) {
        return Error::database(tried, error);
    }
    let Some(said) = error.as_db_error() else {
        return Error::usage(format!("cannot {tried}")).with_source(error);
    };
    let refused = match said.constraint() {
        Some(constraint) => Error::usage(broken_constraint(constraint)),
        None => Error::usage(said.message()),
    };
    match column.or_else(|| said.column().and_then(draft::column)) {
        Some(column) => refused.of(column),
        None => refused,
    }
}
