//! `status`.

use std::process::ExitCode;

use serde_json::Value;

use super::output::{self, Json, cell, data};
use super::verbs;
use crate::Result;
use crate::odoo::known;
use crate::ops::Operator;
use crate::pg::connect::Database;
use crate::pg::troubles::sentence;
use crate::worker::keeper::TERM_FAILS;

/// Shows the state of capture, queues and service. Exits with 1 when something needs a person.
///
/// # Errors
/// Database errors.
pub async fn status(database: Database, args: Json) -> Result<ExitCode> {
    let service = verbs(database).await?;
    let status = service.status(&Operator::of_database()).await?;
    let needs_a_person = problems(&status);
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
fn problems(status: &Value) -> Vec<String> {
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
        found.push(sentence(trouble).replace('\n', " "));
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
    found.extend(waiting(status));
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
    found
}

/// An event that has waited for longer is an alarm; `alarm_after_s` of the service is the same by default.
const ALARM_AFTER_S: f64 = 300.0;

/// Part of the outbox's cap above which somebody is told: hours before capture stops, on most days.
const OUTBOX_ALARM: f64 = 0.25;

/// What waits for too long, or is about to be too much.
fn waiting(status: &Value) -> Vec<String> {
    let number = |path: &str| status.pointer(path).and_then(Value::as_f64).unwrap_or(0.0);
    let mut found = Vec::new();
    let part = number("/outbox/bytes") / number("/outbox/max_bytes").max(1.0);
    if part > OUTBOX_ALARM {
        found.push(format!(
            "the outbox is {:.0} % full; when it is full capture stops: `odoo-eventd doctor` looks for the reason",
            part * 100.0
        ));
    }
    for (path, what) in [
        ("/outbox/oldest_unread_age_s", "a change was captured"),
        ("/deliveries/oldest_due_age_s", "a delivery could have been sent"),
    ] {
        let age = number(path);
        if age > ALARM_AFTER_S {
            found.push(format!(
                "{what} {age:.0} s ago and still waits: `odoo-eventd doctor` looks for the reason"
            ));
        }
    }
    found
}
