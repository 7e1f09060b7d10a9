//! What can be done to a subscription beside writing it, and its history.

use std::time::Duration;

use askama::Template;
use axum::extract::Path;
use axum::response::Response;

use super::dress::{Trouble, page};
use super::entry;
use super::form::{self, Outcome};
use super::frame::{Frame, Section};
use super::shown::When;
use super::visitor::{Posted, Turned, Visitor};
use crate::ops::page::PageRequest;
use crate::ops::subscriptions::history::Change;
use crate::ops::subscriptions::preview::Preview;

/// How long the old secret signs beside a new one that was made here: a day is enough to change it at the receiver.
pub(super) const OVERLAP: Duration = Duration::from_secs(24 * 3600);

/// Does what a button says.
pub async fn act(Path(id): Path<String>, posted: Posted) -> Result<Response, Turned> {
    let Posted { visitor, fields } = posted;
    let (service, operator) = (&visitor.service, visitor.operator());
    let number: i32 = id
        .parse()
        .map_err(|_| Trouble::not_found("there is no such subscription"))?;
    let back = |done: &str| visitor.to(&format!("/subscriptions/{id}?done={done}"));
    let done = match fields.get("action") {
        "activate" => Box::pin(service.set_active(operator, number, true))
            .await
            .map(|_| "activated"),
        "deactivate" => Box::pin(service.set_active(operator, number, false))
            .await
            .map(|_| "deactivated"),
        "pause" => Box::pin(service.set_paused(operator, number, true))
            .await
            .map(|_| "paused"),
        "resume" => Box::pin(service.set_paused(operator, number, false))
            .await
            .map(|_| "resumed"),
        "enable" => service.enable_subscription(operator, number).await.map(|_| "enabled"),
        "delete" => {
            Box::pin(service.delete_subscription(operator, number, None))
                .await
                .map_err(Trouble::from)?;
            return Ok(visitor.to("/subscriptions?done=deleted"));
        }
        "test" => {
            let tested = Box::pin(service.test_subscription(operator, number))
                .await
                .map_err(Trouble::from)?;
            return with_outcome(&visitor, &id, Outcome::of_test(tested)).await;
        }
        "rotate" => {
            let rotated = service
                .rotate_secret(operator, number, None, OVERLAP)
                .await
                .map_err(Trouble::from)?;
            return with_outcome(&visitor, &id, Outcome::of_secret(rotated.secret)).await;
        }
        _ => return Err(Trouble::unreadable("the form does not say what to do").into()),
    };
    Ok(back(done.map_err(Trouble::from)?))
}

async fn with_outcome(visitor: &Visitor, id: &str, outcome: Outcome) -> Result<Response, Turned> {
    let row = form::found(visitor, id).await?;
    let typed = entry::of_view(&row.subscription);
    form::shown(visitor, Some(row), typed, outcome).await
}

/// What a subscription would be, fact by fact.
pub(super) fn facts(preview: &Preview) -> Vec<(&'static str, String)> {
    let list = |names: &[String]| {
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        }
    };
    let matching = match (preview.matching_records, &preview.not_counted) {
        (Some(count), _) => count.to_string(),
        (None, why) => format!("not counted: {}", why.as_deref().unwrap_or("unknown")),
    };
    vec![
        ("Table", preview.table.clone()),
        ("Records that match now", matching),
        ("Watched columns", list(&preview.watched)),
        ("Captured columns", list(&preview.captured)),
        ("Not captured yet", list(&preview.columns_to_add)),
        ("Triggers to make", list(&preview.triggers_to_make)),
        (
            "Sent",
            match preview.is_sent {
                true => "yes".to_owned(),
                false => "no: without a URL events are read from the feed".to_owned(),
            },
        ),
    ]
}

/// A change, as it is shown.
struct Shown {
    when: When,
    what: &'static str,
    who: String,
    columns: Vec<(String, String, String)>,
}

impl From<Change> for Shown {
    fn from(change: Change) -> Self {
        let value =
            |side: &Option<serde_json::Value>, column: &str| match side.as_ref().and_then(|side| side.get(column)) {
                None | Some(serde_json::Value::Null) => String::new(),
                Some(serde_json::Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
            };
        let columns = change.changed.iter().map(|column| {
            (
                column.clone(),
                value(&change.before, column),
                value(&change.after, column),
            )
        });
        let who = [
            change.odoo_uid.map(|uid| format!("Odoo user {uid}")),
            change.application.clone().filter(|text| !text.is_empty()),
            change.login.clone().map(|login| format!("role {login}")),
            change.client_address.clone(),
        ];
        Self {
            when: When::read(&change.at),
            what: match change.op.as_str() {
                "insert" => "made",
                "update" => "changed",
                "delete" => "deleted",
                _ => "all deleted",
            },
            columns: columns.collect(),
            who: who.into_iter().flatten().collect::<Vec<_>>().join(" · "),
        }
    }
}

#[derive(Template)]
#[template(path = "history.html", config = ".askama.toml")]
struct HistoryPage {
    frame: Frame,
    id: i32,
    name: String,
    changes: Vec<Shown>,
    next: Option<String>,
}

/// Who changed it, when and how.
pub async fn history(visitor: Visitor, Path(id): Path<String>) -> Result<Response, Turned> {
    let row = form::found(&visitor, &id).await?.subscription;
    let query = visitor.query();
    let request = PageRequest {
        limit: 50,
        cursor: query.some("cursor").map(str::to_owned),
    };
    let found = visitor
        .service
        .history(visitor.operator(), Some(row.id), &request)
        .await
        .map_err(Trouble::from)?;
    let name = row.name.filter(|name| !name.trim().is_empty());
    Ok(page(&HistoryPage {
        frame: visitor.frame(Section::Subscriptions, "History"),
        id: row.id,
        name: name.unwrap_or_else(|| format!("Subscription {}", row.id)),
        next: found
            .next_cursor
            .as_ref()
            .map(|cursor| query.query_with("cursor", cursor)),
        changes: found.items.into_iter().map(Shown::from).collect(),
    })?)
}
