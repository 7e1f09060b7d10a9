//! The list of subscriptions.

use std::collections::{BTreeSet, HashMap};

use askama::Template;
use axum::response::Response;

use super::dress::{Trouble, page};
use super::fields::Fields;
use super::frame::{Frame, Section};
use super::shown::{Badge, Tone, When, event_name, number, sentence};
use super::visitor::{Posted, Turned, Visitor};
use crate::ops::operator::Scope;
use crate::ops::overview::CountsApart;
use crate::ops::page::PageRequest;
use crate::ops::subscriptions::bulk::{Outcome, Target};
use crate::ops::subscriptions::read::{Filter, ListedState, Order};
use crate::subscription::choices::CreatedFrom;
use crate::subscription::{Draft, Patch, View};

/// So many on a page.
const ROWS: u32 = 80;

/// What the list may be filtered by at a click.
struct QuickFilter {
    /// The name and the value in the address.
    name: &'static str,
    value: &'static str,
    label: &'static str,
    count: fn(&CountsApart) -> i64,
    narrow: fn(&mut Filter),
}

const QUICK_FILTERS: [QuickFilter; 7] = [
    QuickFilter {
        name: "from",
        value: "ai",
        label: "Created from AI",
        count: |counts| counts.ai,
        narrow: |filter| filter.created_from = Some(CreatedFrom::Ai),
    },
    QuickFilter {
        name: "from",
        value: "manual",
        label: "Created Manually",
        count: |counts| counts.manual,
        narrow: |filter| filter.created_from = Some(CreatedFrom::Manual),
    },
    QuickFilter {
        name: "show",
        value: "active",
        label: "Active",
        count: |counts| counts.active,
        narrow: |filter| filter.active = Some(true),
    },
    QuickFilter {
        name: "show",
        value: "inactive",
        label: "Inactive",
        count: |counts| counts.inactive,
        narrow: |filter| filter.active = Some(false),
    },
    QuickFilter {
        name: "show",
        value: "invalid",
        label: "Invalid",
        count: |counts| counts.invalid,
        narrow: |filter| (filter.active, filter.states) = (Some(true), Some(vec![ListedState::Invalid])),
    },
    QuickFilter {
        name: "show",
        value: "disabled",
        label: "Disabled",
        count: |counts| counts.disabled,
        narrow: |filter| (filter.active, filter.states) = (Some(true), Some(vec![ListedState::Disabled])),
    },
    QuickFilter {
        name: "show",
        value: "paused",
        label: "Paused",
        count: |counts| counts.paused,
        narrow: |filter| (filter.active, filter.paused) = (Some(true), Some(true)),
    },
];

/// A quick filter as it is shown.
struct Facet {
    label: &'static str,
    key: &'static str,
    count: String,
    link: String,
    is_on: bool,
}

/// A heading that the list can be ordered by.
struct Heading {
    label: &'static str,
    link: String,
    /// `ascending`, `descending` or nothing.
    sorted: &'static str,
    class: &'static str,
}

struct Row {
    id: i32,
    title: String,
    model: String,
    model_label: String,
    event: String,
    user: String,
    connection: String,
    origin: Badge,
    last: Option<When>,
    last_status: Option<Badge>,
    failures: i32,
    state: Badge,
    sentence: String,
    is_sent: bool,
}

#[derive(Template)]
#[template(path = "subscriptions.html", config = ".askama.toml")]
struct ListPage {
    frame: Frame,
    facets: Vec<Facet>,
    headings: Vec<Heading>,
    rows: Vec<Row>,
    q: String,
    domain: String,
    kept: Vec<(String, String)>,
    refused: Option<String>,
    next: Option<String>,
    first: Option<String>,
    has_filter: bool,
    all: i64,
    here: String,
}

/// The page that everything begins with.
pub async fn at_the_root(visitor: Visitor) -> Response {
    let first = match visitor.may(Scope::SubscriptionsRead) {
        true => "/subscriptions",
        false => "/deliveries",
    };
    visitor.to(first)
}

/// The list.
pub async fn list(visitor: Visitor) -> Result<Response, Turned> {
    let query = visitor.query();
    let filter = filter_of(&query);
    let order = query
        .some("order")
        .and_then(|order| order.parse::<Order>().ok())
        .unwrap_or_default();
    let request = PageRequest {
        limit: ROWS,
        cursor: query.some("cursor").map(str::to_owned),
    };
    let (service, operator) = (&visitor.service, visitor.operator());
    let counts = service
        .count_subscriptions_apart(operator)
        .await
        .map_err(Trouble::from)?;
    let found = service.subscriptions(operator, &filter, order, &request).await;
    let (found, refused) = match found {
        Ok(found) => (Some(found), None),
        // Of what was typed: the list is there all the same, empty.
        Err(error @ crate::ops::Error::Refused(_)) => (None, Some(told(&error))),
        Err(error) => return Err(Trouble::from(error).into()),
    };
    let next_cursor = found.as_ref().and_then(|page| page.next_cursor.clone());
    let views: Vec<View> = found
        .into_iter()
        .flat_map(|page| page.items)
        .map(|item| item.subscription)
        .collect();
    let users: BTreeSet<i32> = views.iter().filter_map(|row| row.user_id).collect();
    let users: Vec<i32> = users.into_iter().collect();
    let users = service.user_labels(operator, &users).await.map_err(Trouble::from)?;
    let labels = service.model_labels(operator, "en_US").await.map_err(Trouble::from)?;
    let kept = query
        .pairs()
        .filter(|(name, _)| ["from", "show", "order", "domain"].contains(name));
    Ok(page(&ListPage {
        frame: visitor.frame(Section::Subscriptions, "Event Subscriptions"),
        facets: facets(&query, &counts),
        headings: headings(&query, order),
        rows: views.into_iter().map(|row| Row::of(row, &users, &labels)).collect(),
        q: query.get("q").to_owned(),
        domain: query.get("domain").to_owned(),
        kept: kept.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        refused,
        next: next_cursor.map(|cursor| query.query_with("cursor", &cursor)),
        first: query.some("cursor").map(|_| query.query_with("cursor", "")),
        has_filter: ["q", "domain", "from", "show"]
            .iter()
            .any(|name| query.some(name).is_some()),
        all: counts.all,
        here: format!("/subscriptions{}", query.query_with("done", "")),
    })?)
}

fn told(error: &crate::ops::Error) -> String {
    let crate::ops::Error::Refused(refusals) = error else {
        return error.to_string();
    };
    let refusals = refusals.iter().map(|refusal| refusal.clone().into_error().for_people());
    refusals.collect::<Vec<_>>().join("\n")
}

fn filter_of(query: &Fields) -> Filter {
    let mut filter = Filter {
        text: query.some("q").map(str::to_owned),
        domain: query.some("domain").map(str::to_owned),
        ..Filter::default()
    };
    for quick in &QUICK_FILTERS {
        if query.get(quick.name) == quick.value {
            (quick.narrow)(&mut filter);
        }
    }
    filter
}

fn facets(query: &Fields, counts: &CountsApart) -> Vec<Facet> {
    let facets = QUICK_FILTERS.iter().map(|quick| {
        let is_on = query.get(quick.name) == quick.value;
        Facet {
            label: quick.label,
            key: quick.value,
            count: number((quick.count)(counts)),
            link: query.query_with(quick.name, if is_on { "" } else { quick.value }),
            is_on,
        }
    });
    facets.collect()
}

fn headings(query: &Fields, order: Order) -> Vec<Heading> {
    const HEADINGS: [(&str, &str, &str); 9] = [
        ("Subscription", "name", ""),
        ("Model", "model", ""),
        ("Event", "", ""),
        ("User", "", "wide"),
        ("Connection", "", "wide"),
        ("Origin", "", "wide"),
        ("Last delivery", "last_delivery", ""),
        ("Failures", "failure_count", "number"),
        ("State", "state", ""),
    ];
    let heading = |(label, column, class): (&'static str, &str, &'static str)| {
        let is_sorted = !column.is_empty() && order.by.column() == column;
        // What happened last and most is looked for first.
        let begins_down = ["last_delivery", "failure_count"].contains(&column);
        let goes_down = if is_sorted { !order.descending } else { begins_down };
        let link = match column {
            "" => String::new(),
            column => query.query_with("order", &format!("{}{column}", if goes_down { "-" } else { "" })),
        };
        Heading {
            label,
            link,
            sorted: match (is_sorted, order.descending) {
                (false, _) => "",
                (true, false) => "ascending",
                (true, true) => "descending",
            },
            class,
        }
    };
    HEADINGS.into_iter().map(heading).collect()
}

impl Row {
    fn of(row: View, users: &HashMap<i32, String>, labels: &HashMap<String, String>) -> Self {
        let user = |id: i32| users.get(&id).cloned().unwrap_or_else(|| format!("user {id}"));
        Self {
            id: row.id,
            title: row
                .name
                .clone()
                .filter(|name| !name.trim().is_empty())
                .unwrap_or_else(|| format!("Subscription {}", row.id)),
            model_label: labels.get(&row.model).cloned().unwrap_or_default(),
            event: event_name(row.event_type.as_str()).to_owned(),
            user: row.user_id.map(user).unwrap_or_default(),
            connection: row.connection.clone().unwrap_or_default(),
            origin: match row.created_from {
                CreatedFrom::Ai => Badge::new(Tone::Special, "Created from AI"),
                CreatedFrom::Manual => Badge::new(Tone::Quiet, "Manual"),
            },
            last: When::maybe(row.last_delivery.as_deref()),
            last_status: row.last_delivery_status.as_deref().map(Badge::of_last_delivery),
            failures: row.failure_count,
            state: Badge::of_subscription(&row),
            sentence: sentence(&row),
            is_sent: row.webhook_url.as_deref().is_some_and(|url| !url.is_empty()),
            model: row.model,
        }
    }
}

/// Activates or deactivates those that were chosen.
pub async fn bulk(posted: Posted) -> Result<Response, Turned> {
    let Posted { visitor, fields } = posted;
    let targets: Vec<Target> = fields
        .all("ids")
        .filter_map(|id| id.parse().ok())
        .map(Target::any)
        .collect();
    let active = match fields.get("action") {
        "activate" => true,
        "deactivate" => false,
        _ => return Err(Trouble::unreadable("it was not said what to do with them").into()),
    };
    if targets.is_empty() {
        return Err(Trouble::unreadable("no subscription was chosen")
            .with_hint("go back, and tick some")
            .into());
    }
    let set = Draft {
        active: Some(active),
        ..Draft::default()
    };
    let patch = Patch {
        set,
        ..Patch::default()
    };
    let results = Box::pin(
        visitor
            .service
            .update_subscriptions(visitor.operator(), &targets, &patch),
    )
    .await;
    let results = results.map_err(Trouble::from)?;
    let is_done = |outcome: &Outcome| matches!(outcome, Outcome::Done { .. });
    let done = results.iter().filter(|result| is_done(&result.outcome)).count();
    let refused: Vec<String> = results
        .iter()
        .filter(|result| !is_done(&result.outcome))
        .map(|result| format!("{}: {}", result.id, reason(&result.outcome)))
        .collect();
    if !refused.is_empty() {
        let detail = format!("{done} were changed; these were not: {}", refused.join("; "));
        return Err(Trouble::new(axum::http::StatusCode::CONFLICT, "Not all of them", detail).into());
    }
    let back = fields
        .some("to")
        .filter(|to| to.starts_with("/subscriptions"))
        .unwrap_or("/subscriptions");
    let sign = if back.contains('?') { '&' } else { '?' };
    Ok(visitor.to(&format!("{back}{sign}done=bulk&n={done}")))
}

fn reason(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done { .. } => "done".to_owned(),
        Outcome::NotFound => "there is none".to_owned(),
        Outcome::Conflict { .. } => "somebody changed it meanwhile".to_owned(),
        Outcome::Refused { refusals } => {
            let said = refusals.iter().map(|refusal| refusal.message.clone());
            said.collect::<Vec<_>>().join(", ")
        }
    }
}
