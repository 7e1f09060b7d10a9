//! `status`.

use std::process::ExitCode;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::output::{self, Json, cell, data};
use super::verbs;
use crate::health::backlog::{Alarm, Backlog, OfStatus};
use crate::health::facts::Trouble;
use crate::health::limits;
use crate::odoo::known;
use crate::ops::Operator;
use crate::pg::connect::Database;
use crate::worker::upkeep::keeper::TERM_FAILS;
use crate::{Error, Result};

/// Shows the state of capture, queues and service. Exits with 1 when something needs a person.
///
/// # Errors
/// Database errors.
pub async fn status(database: Database, args: Json) -> Result<ExitCode> {
    let service = verbs(database).await?;
    let status = service.status(&Operator::of_database()).await?;
    let needs_a_person = problems(&status)?;
    if args.json {
        output::json(&status)?;
    } else {
        print(&status)?;
        for problem in &needs_a_person {
            data(format_args!("! {problem}"))?;
        }
    }
    Ok(if needs_a_person.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn print(status: &Value) -> Result<()> {
    let service = status.get("service").filter(|s| !s.is_null());
    data(format_args!("database   {}", cell(status.get("database"))))?;
    if let Some(untried) = status["odoo_version"].as_str().and_then(known::untried) {
        data(format_args!("odoo       {untried}"))?;
    }
    match service {
        Some(service) => data(format_args!(
            "service    leading since {} (pid {} of the server, term {})",
            cell(service.get("since")),
            cell(service.get("pid")),
            cell(service.get("term"))
        ))?,
        None if troubles(status, true).next().is_some() => data("service    failing: it begins again and again")?,
        None => data("service    not running")?,
    }
    let outbox = &status["outbox"];
    data(format_args!(
        "outbox     {} rows unread, oldest {} s, {} bytes",
        cell(outbox.get("unread")),
        outbox
            .get("oldest_unread_age_s")
            .and_then(Value::as_f64)
            .unwrap_or(0.0)
            .round(),
        cell(outbox.get("bytes"))
    ))?;
    let deliveries = &status["deliveries"];
    data(format_args!(
        "deliveries {} unfinished, oldest due since {} s, {} dead",
        cell(deliveries.get("unfinished")),
        deliveries
            .get("oldest_due_age_s")
            .and_then(Value::as_f64)
            .unwrap_or(0.0)
            .round(),
        cell(deliveries.get("dead"))
    ))?;
    let secrets = &status["secrets"];
    data(format_args!(
        "secrets    {} in plain text, {} encrypted",
        cell(secrets.get("plain")),
        cell(secrets.get("encrypted"))
    ))?;
    data("")?;
    let rows = |list: &Value, columns: &[&str]| -> Vec<Vec<String>> {
        list.as_array()
            .map(|items| {
                items
                    .iter()
                    .map(|item| columns.iter().map(|c| cell(item.get(c))).collect())
                    .collect()
            })
            .unwrap_or_default()
    };
    const MODELS: [&str; 6] = ["model", "table", "active", "triggers", "generation", "drift"];
    output::table(&MODELS, &rows(&status["models"], &MODELS))?;
    data("")?;
    if status["gaps"].as_array().is_some_and(|gaps| !gaps.is_empty()) {
        // Of the last week: transactions that overlap one were not judged.
        const GAPS: [&str; 4] = ["model", "reason", "from", "to"];
        data("not captured:")?;
        output::table(&GAPS, &rows(&status["gaps"], &GAPS))?;
        data("")?;
    }
    const SUBSCRIPTIONS: [&str; 8] = [
        "id",
        "model",
        "event_type",
        "active",
        "state",
        "last_delivery",
        "last_delivery_status",
        "failure_count",
    ];
    output::table(&SUBSCRIPTIONS, &rows(&status["subscriptions"], &SUBSCRIPTIONS))
}

/// What is tried in vain; `of_service`: whether the service itself is.
fn troubles(status: &Value, of_service: bool) -> impl Iterator<Item = &Value> {
    let all = status["troubles"].as_array().into_iter().flatten();
    all.filter(move |trouble| !of_service || trouble["what"] == TERM_FAILS)
}

/// What needs a person, in sentences.
fn problems(status: &Value) -> Result<Vec<String>> {
    let mut found = Vec::new();
    if let Some(reason) = status["fence"].as_str() {
        found.push(format!(
            "nothing is delivered: {reason}; `odoo-eventd adopt` if it should be"
        ));
    }
    if status["capture"].as_bool() == Some(false) {
        found.push("capture is switched off: `odoo-eventd capture on` resumes it".to_owned());
    }
    for trouble in troubles(status, false) {
        let trouble: Trouble = told(trouble)?;
        found.push(trouble.sentence().replace('\n', " "));
    }
    for stranger in status["strangers"].as_array().into_iter().flatten() {
        found.push(format!(
            "a stranger holds the lock of the {}: pid {}, role {}, application {}; end it: select pg_terminate_backend({})",
            cell(stranger.get("lock")),
            cell(stranger.get("pid")),
            cell(stranger.get("role")),
            cell(stranger.get("application")),
            cell(stranger.get("pid"))
        ));
    }
    found.extend(waiting(told::<OfStatus>(status)?.into()));
    for model in status["models"].as_array().into_iter().flatten() {
        if let Some(drift) = model["drift"].as_str() {
            found.push(format!("capture of {}: {drift}", cell(model.get("model"))));
        }
    }
    for gap in status["gaps"].as_array().into_iter().flatten() {
        if gap["to"].is_null() {
            found.push(format!(
                "changes of {} may be missed since {}: {}",
                cell(gap.get("model")),
                cell(gap.get("from")),
                cell(gap.get("reason"))
            ));
        }
    }
    for subscription in status["subscriptions"].as_array().into_iter().flatten() {
        let state = subscription["state"].as_str();
        if subscription["active"].as_bool() == Some(true)
            && let Some(state @ ("invalid" | "disabled" | "waiting")) = state
        {
            found.push(format!(
                "subscription {} is {state}: {}",
                cell(subscription.get("id")),
                cell(subscription.get("error"))
            ));
        }
    }
    Ok(found)
}

/// A part of the answer, as a type.
fn told<T: DeserializeOwned>(of: &Value) -> Result<T> {
    T::deserialize(of).map_err(|e| Error::other("the database told its status in an unknown way").with_source(e))
}

/// What waits for too long, or is about to be too much.
fn waiting(backlog: Backlog) -> impl Iterator<Item = String> {
    backlog.alarms(limits::ALARM_AFTER).map(|alarm| match alarm {
        Alarm::Outbox(part) => format!(
            "the outbox is {:.0} % full; when it is full capture stops: `odoo-eventd doctor` looks for the reason",
            part * 100.0
        ),
        Alarm::Unread(age) => {
            format!("a change was captured {age:.0} s ago and still waits: `odoo-eventd doctor` looks for the reason")
        }
        Alarm::Due(age) => format!(
            "a delivery could have been sent {age:.0} s ago and still waits: `odoo-eventd doctor` looks for the reason"
        ),
    })
}
