//! The log of attempts, as a person looks for one.

use askama::Template;
use axum::response::Response;
use jiff::{SignedDuration, Timestamp};

use super::dress::{Trouble, page};
use super::fields::Fields;
use super::frame::{Frame, Section};
use super::shown::{Badge, When, records};
use super::visitor::{Turned, Visitor};
use crate::delivery::Failure;
use crate::ops::deliveries::read::{Attempt, AttemptFilter, Code, Status};
use crate::ops::error::Error;
use crate::ops::operator::Scope;
use crate::ops::page::{Page, PageRequest};

const ROWS: u32 = 60;

/// The times that one can choose, and how many hours each is; none = all that is kept.
const TIMES: [(&str, &str, Option<i64>); 5] = [
    ("1h", "last hour", Some(1)),
    ("24h", "last 24 hours", Some(24)),
    ("7d", "last 7 days", Some(7 * 24)),
    ("30d", "last 30 days", Some(30 * 24)),
    ("all", "all that is kept", None),
];

/// The quick filters: name and value in the address, and what people read.
const QUICK: [(&str, &str, &str); 4] = [
    ("status", "failed", "Failed"),
    ("status", "success", "Success"),
    ("status", "pending", "Pending"),
    ("dead", "1", "Dead letters"),
];

struct Facet {
    label: &'static str,
    link: String,
    is_on: bool,
}

struct Row {
    when: When,
    id: String,
    subscription: i32,
    model: String,
    records: String,
    attempt: i32,
    status: Badge,
    code: String,
    error: String,
    detail: String,
    ms: String,
    next: Option<When>,
}

#[derive(Template)]
#[template(path = "deliveries.html", config = ".askama.toml")]
struct ListPage {
    frame: Frame,
    facets: Vec<Facet>,
    typed: Fields,
    times: [(&'static str, &'static str, Option<i64>); 5],
    errors: Vec<&'static str>,
    rows: Vec<Row>,
    refused: Option<String>,
    said: Option<String>,
    next: Option<String>,
    first: Option<String>,
    /// What `Redeliver all that match` asks for; none where it cannot be asked.
    redeliver: Option<String>,
    has_filter: bool,
    /// The same search in all of the log, where nobody has said in which time.
    wider: Option<String>,
}

impl ListPage {
    fn text(&self, name: &str) -> &str {
        self.typed.get(name)
    }

    fn is(&self, name: &str, value: &str) -> bool {
        self.typed.get(name) == value
    }
}

/// What a query looks for.
#[derive(Debug)]
struct Wanted {
    filter: AttemptFilter,
    /// What is to be said of how it was read.
    said: Option<String>,
}

/// The list.
pub async fn list(visitor: Visitor) -> Result<Response, Turned> {
    let mut query = visitor.query();
    let is_narrowed = is_about_few(&query) && query.some("since").is_none() && query.some("time").is_none();
    if is_narrowed {
        query.set("time", "24h");
    }
    let request = PageRequest {
        limit: ROWS,
        cursor: query.some("cursor").map(str::to_owned),
    };
    let (mut said, mut refused) = (None, None);
    let nothing = || Page {
        items: Vec::new(),
        next_cursor: None,
    };
    let found = match wanted(&visitor, &query).await? {
        Ok(wanted) => {
            said = wanted.said;
            match visitor
                .service
                .attempts(visitor.operator(), &wanted.filter, &request)
                .await
            {
                Ok(found) => found,
                Err(error @ Error::Refused(_)) => {
                    refused = Some(error.to_string());
                    nothing()
                }
                Err(error) => return Err(Trouble::from(error).into()),
            }
        }
        Err(why) => {
            refused = Some(why);
            nothing()
        }
    };
    let facets = QUICK.iter().map(|(name, value, label)| {
        let is_on = query.get(name) == *value;
        Facet {
            label,
            link: query.query_with(name, if is_on { "" } else { value }),
            is_on,
        }
    });
    const NAMES: [&str; 11] = [
        "q",
        "record",
        "model",
        "subscription",
        "status",
        "dead",
        "code",
        "error",
        "event_id",
        "since",
        "until",
    ];
    Ok(page(&ListPage {
        frame: visitor.frame(Section::Deliveries, "Deliveries"),
        facets: facets.collect(),
        times: TIMES,
        errors: Failure::ALL.iter().map(|failure| failure.as_str()).collect(),
        rows: found.items.into_iter().map(Row::from).collect(),
        refused,
        said,
        next: found
            .next_cursor
            .as_ref()
            .map(|cursor| query.query_with("cursor", cursor)),
        first: query.some("cursor").map(|_| query.query_with("cursor", "")),
        redeliver: super::redeliver::question(&query),
        has_filter: NAMES.iter().any(|name| query.some(name).is_some()),
        wider: is_narrowed.then(|| query.query_with("time", "all")),
        typed: query,
    })?)
}

/// Whether the newest attempts need not be among those that are looked for: the log would be read until enough are found. Nobody waits for
/// all of it who has not said so.
fn is_about_few(query: &Fields) -> bool {
    const ABOUT_FEW: [&str; 8] = [
        "q",
        "record",
        "model",
        "subscription",
        "status",
        "code",
        "error",
        "event_id",
    ];
    // Dead letters are looked up by their ids.
    query.some("dead").is_none() && ABOUT_FEW.iter().any(|name| query.some(name).is_some())
}

/// When a search begins: the time that was chosen, or typed.
///
/// # Errors
/// A sentence, where it is no time.
pub(super) fn since(query: &Fields, now: Timestamp) -> Result<Option<Timestamp>, String> {
    if let Some(text) = query.some("since") {
        return instant(text).map(Some);
    }
    let hours = TIMES
        .iter()
        .find(|(name, _, _)| *name == query.get("time"))
        .and_then(|(_, _, hours)| *hours);
    Ok(hours.map(|hours| now - SignedDuration::from_hours(hours)))
}

/// A time as people and browsers write it; UTC where nothing else is said.
pub(super) fn instant(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let utc = text.trim().replace(' ', "T");
    let civil = utc
        .parse::<jiff::civil::DateTime>()
        .or_else(|_| utc.parse::<jiff::civil::Date>().map(|date| date.at(0, 0, 0, 0)));
    let at = civil
        .ok()
        .and_then(|civil| civil.to_zoned(jiff::tz::TimeZone::UTC).ok());
    at.map(|at| at.timestamp())
        .ok_or_else(|| format!("\"{text}\" is no time; write 2026-11-20 12:00"))
}

fn list_of<T: std::str::FromStr>(text: &str, what: &str) -> Result<Option<Vec<T>>, String> {
    let items: Vec<&str> = text.split(',').map(str::trim).filter(|item| !item.is_empty()).collect();
    if items.is_empty() {
        return Ok(None);
    }
    let read = items
        .into_iter()
        .map(|item| item.parse().map_err(|_| format!("\"{item}\" is no {what}")));
    read.collect::<Result<Vec<T>, String>>().map(Some)
}

/// What is looked for; or, inside, why it cannot be.
async fn wanted(visitor: &Visitor, query: &Fields) -> Result<Result<Wanted, String>, Turned> {
    let read = || -> Result<AttemptFilter, String> {
        let number = |name: &str, what: &str| match query.some(name) {
            None => Ok(None),
            Some(text) => text
                .parse::<i32>()
                .map(Some)
                .map_err(|_| format!("\"{text}\" is no {what}")),
        };
        let uuid = |name: &str| match query.some(name) {
            None => Ok(None),
            Some(text) => text
                .parse()
                .map(Some)
                .map_err(|_| format!("\"{text}\" is no id of an event")),
        };
        Ok(AttemptFilter {
            subscription: number("subscription", "id of a subscription")?,
            statuses: list_of::<Status>(query.get("status"), "status")?,
            codes: list_of::<Code>(query.get("code"), "HTTP status: write 404, or 5xx")?,
            errors: query.some("error").map(|error| vec![error.to_owned()]),
            model: query.some("model").map(str::to_owned),
            event_id: uuid("event_id")?,
            since: since(query, Timestamp::now())?,
            until: query.some("until").map(instant).transpose()?,
            text: query.some("q").map(str::to_owned),
            dead: query.some("dead").is_some(),
            without_bodies: true,
            ..AttemptFilter::default()
        })
    };
    let mut filter = match read() {
        Ok(filter) => filter,
        Err(why) => return Ok(Err(why)),
    };
    let mut said = None;
    if let Some(record) = query.some("record") {
        if let Ok(id) = record.parse() {
            filter.record_id = Some(id);
        } else {
            match named(visitor, &mut filter, record).await? {
                Ok(sentence) => said = Some(sentence),
                Err(why) => return Ok(Err(why)),
            }
        }
    }
    Ok(Ok(Wanted { filter, said }))
}

/// Looks for a record by what people call it: "S00042".
async fn named(visitor: &Visitor, filter: &mut AttemptFilter, name: &str) -> Result<Result<String, String>, Turned> {
    if !visitor.may(Scope::SubscriptionsRead) {
        return Ok(Err("a record is looked for by its id with this token".to_owned()));
    }
    let found = visitor
        .service
        .record_named(visitor.operator(), filter.model.as_deref(), name)
        .await;
    match found {
        Ok(Some((model, id))) => {
            filter.record_id = Some(id);
            let sentence = format!("{name} is record {id} of {model}.");
            filter.model = Some(model);
            Ok(Ok(sentence))
        }
        Ok(None) => Ok(Err(match &filter.model {
            Some(model) => format!("no record of {model} is called \"{name}\" now; look for it by its id"),
            None => {
                format!("no record of a model that is subscribed to is called \"{name}\" now; look for it by its id")
            }
        })),
        Err(error @ Error::Refused(_)) => Ok(Err(error.to_string())),
        Err(error) => Err(Trouble::from(error).into()),
    }
}

impl From<Attempt> for Row {
    fn from(attempt: Attempt) -> Self {
        Self {
            when: When::read(&attempt.create_date),
            id: attempt.delivery_id.to_string(),
            subscription: attempt.subscription_id,
            model: attempt.model,
            records: records(&attempt.record_ids),
            attempt: attempt.attempt,
            status: Badge::of_attempt(attempt.status),
            code: attempt.response_code.map(|code| code.to_string()).unwrap_or_default(),
            error: attempt.error.unwrap_or_default(),
            detail: attempt.error_detail.unwrap_or_default(),
            ms: attempt.duration_ms.map(|ms| format!("{ms} ms")).unwrap_or_default(),
            next: When::maybe(attempt.next_attempt_at.as_deref()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_chosen_or_typed() {
        let now: Timestamp = "2026-12-01T12:00:00Z".parse().unwrap();
        let asked = |name: &str, value: &str| {
            let mut query = Fields::default();
            query.set(name, value);
            since(&query, now)
        };
        assert_eq!(
            asked("time", "24h").unwrap().unwrap().to_string(),
            "2026-11-30T12:00:00Z"
        );
        assert_eq!(asked("time", "all").unwrap(), None);
        assert_eq!(
            asked("since", "2026-11-20 12:00").unwrap().unwrap().to_string(),
            "2026-11-20T12:00:00Z"
        );
        assert_eq!(
            asked("since", "2026-11-20").unwrap().unwrap().to_string(),
            "2026-11-20T00:00:00Z"
        );
        assert!(asked("since", "soon").is_err());
    }
}
