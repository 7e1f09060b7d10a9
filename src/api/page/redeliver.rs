//! Sending deliveries once more: one, or all dead letters that match, counted first.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use jiff::Timestamp;
use uuid::Uuid;

use super::deliveries::{instant, since};
use super::dress::{Trouble, page};
use super::fields::Fields;
use super::frame::{Frame, Section};
use super::visitor::{Posted, Turned, Visitor};
use crate::ops::deliveries::redeliver::DeadFilter;

/// What dead letters can be chosen by; a list that is filtered by anything else cannot be sent as a whole.
const BY: [&str; 6] = ["subscription", "model", "record", "since", "until", "time"];

#[derive(Template)]
#[template(path = "redeliver.html", config = ".askama.toml")]
struct AskPage {
    frame: Frame,
    count: usize,
    refused: usize,
    chosen: Vec<(String, String)>,
}

/// The query that asks for all dead letters of a list; none where the list is filtered by what they cannot be chosen by.
pub(super) fn question(query: &Fields) -> Option<String> {
    let has_other = query.pairs().any(|(name, value)| {
        !value.is_empty() && !BY.contains(&name) && !["dead", "cursor", "done", "n", "status"].contains(&name)
    });
    let is_of_failed = ["", "failed"].contains(&query.get("status"));
    let names_record = query
        .some("record")
        .is_some_and(|record| record.parse::<i64>().is_err());
    if has_other || names_record || !is_of_failed || (query.some("dead").is_none() && query.get("status") != "failed") {
        return None;
    }
    let mut asked = Fields::default();
    for (name, value) in query.pairs().filter(|(name, _)| BY.contains(name)) {
        asked.add(name, value);
    }
    Some(asked.to_query())
}

fn filter(fields: &Fields) -> Result<DeadFilter, Trouble> {
    let unreadable = |why: String| Trouble::unreadable(why);
    let number = |name: &str| match fields.some(name) {
        None => Ok(None),
        Some(text) => text
            .parse::<i64>()
            .map(Some)
            .map_err(|_| unreadable(format!("\"{text}\" is no number"))),
    };
    let subscription = number("subscription")?.map(i32::try_from).transpose();
    Ok(DeadFilter {
        subscription: subscription.map_err(|_| unreadable("there is no such subscription".to_owned()))?,
        model: fields.some("model").map(str::to_owned),
        record_id: number("record")?,
        since: since(fields, Timestamp::now())
            .map_err(unreadable)?
            .unwrap_or(Timestamp::UNIX_EPOCH),
        until: fields.some("until").map(instant).transpose().map_err(unreadable)?,
    })
}

/// Counts those that match, and asks.
pub async fn ask(visitor: Visitor) -> Result<Response, Turned> {
    let query = visitor.query();
    let filter = filter(&query)?;
    let counted = Box::pin(visitor.service.redeliver_dead(visitor.operator(), &filter, true))
        .await
        .map_err(Trouble::from)?;
    let mut chosen: Vec<(String, String)> = query
        .pairs()
        .filter(|(name, _)| BY.contains(name) && !["time", "since", "until"].contains(name))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    // What is asked is what was counted: the times stand still, and what fails from now on is not among it.
    chosen.push(("since".to_owned(), filter.since.to_string()));
    chosen.push((
        "until".to_owned(),
        filter.until.unwrap_or_else(Timestamp::now).to_string(),
    ));
    Ok(page(&AskPage {
        frame: visitor.frame(Section::Deliveries, "Redeliver"),
        count: counted.count,
        refused: counted.refused,
        chosen,
    })?)
}

/// Sends those that match. One that is under way is left alone, so a second click sends nothing twice.
pub async fn redeliver_all(posted: Posted) -> Result<Response, Turned> {
    let Posted { visitor, fields } = posted;
    let filter = filter(&fields)?;
    let sent = Box::pin(visitor.service.redeliver_dead(visitor.operator(), &filter, false))
        .await
        .map_err(Trouble::from)?;
    Ok(visitor.to(&format!("/deliveries?done=redelivered&n={}", sent.count)))
}

/// Sends one.
pub async fn redeliver_one(Path(id): Path<String>, posted: Posted) -> Result<Response, Turned> {
    let visitor = posted.visitor;
    let id: Uuid = id
        .parse()
        .map_err(|_| Trouble::not_found("there is no such delivery"))?;
    Box::pin(visitor.service.redeliver_one(visitor.operator(), id, false))
        .await
        .map_err(Trouble::from)?;
    Ok(visitor.to(&format!("/deliveries/{id}?done=redelivered")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dead_letters_of_a_list_are_sent_as_a_whole() {
        let asked = |pairs: &[(&str, &str)]| {
            let mut query = Fields::default();
            for (name, value) in pairs {
                query.add(name, *value);
            }
            question(&query)
        };
        assert_eq!(
            asked(&[("dead", "1"), ("model", "sale.order")]).as_deref(),
            Some("?model=sale.order")
        );
        assert_eq!(
            asked(&[("status", "failed"), ("time", "7d")]).as_deref(),
            Some("?time=7d")
        );
        for not in [
            &[("status", "success")][..],
            &[("dead", "1"), ("q", "x")],
            &[("dead", "1"), ("code", "404")],
            &[],
            &[("dead", "1"), ("record", "S00042")],
        ] {
            assert_eq!(asked(not), None, "{not:?}");
        }
    }
}
