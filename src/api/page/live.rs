//! What the script asks while somebody types: the same verbs as the form's buttons.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::dress::Trouble;
use super::fields::Fields;
use super::form;
use super::visitor::{Posted, Turned, Visitor};
use crate::ops::domains::{DomainAnswer, DomainQuestion};
use crate::ops::error::Error;

/// What is to be shown, and whether it is good.
#[derive(Debug, Serialize)]
struct Told {
    good: bool,
    text: String,
}

/// What a form asks about its domain.
pub(super) fn question(fields: &Fields) -> DomainQuestion {
    DomainQuestion {
        model: fields.get("model").to_owned(),
        domain: fields.some("domain").unwrap_or("[]").to_owned(),
        user_id: fields.parsed("user_id"),
        lang: fields.some("lang").map(str::to_owned),
    }
}

/// How many records match, in a sentence.
pub(super) fn counted(answer: &DomainAnswer) -> String {
    let reads = if answer.reads_other_records {
        " It looks at other records, as they are when an event is processed."
    } else {
        ""
    };
    match (answer.matching_records, &answer.not_counted) {
        (Some(1), _) => format!("1 record matches now.{reads}"),
        (Some(count), _) => format!("{} records match now.{reads}", super::shown::number(count)),
        (None, why) => format!(
            "It can be judged; {}.{reads}",
            why.as_deref().unwrap_or("its records were not counted")
        ),
    }
}

/// What is wrong with a domain, with a caret under the place; or how many records match.
pub async fn domain(visitor: Visitor) -> Result<Response, Turned> {
    let question = question(&visitor.query());
    let told = match visitor.service.check_domain(visitor.operator(), &question).await {
        Ok(answer) => Told {
            good: true,
            text: counted(&answer),
        },
        Err(error) => refused(error)?,
    };
    Ok(Json(told).into_response())
}

/// The body that the form would make of a real record.
pub async fn sample(posted: Posted) -> Result<Response, Turned> {
    let Posted { visitor, fields } = posted;
    let told = match Box::pin(form::sampled(&visitor, fields.parsed("id"), &fields)).await {
        Ok(sample) => Told {
            good: sample.failure.is_none(),
            text: sample.text(),
        },
        Err(error) => refused(error)?,
    };
    Ok(Json(told).into_response())
}

fn refused(error: Error) -> Result<Told, Turned> {
    match error {
        Error::Refused(refusals) => {
            let texts = refusals.into_iter().map(|refusal| refusal.into_error().for_people());
            Ok(Told {
                good: false,
                text: texts.collect::<Vec<_>>().join("\n"),
            })
        }
        error => Err(Trouble::from(error).into()),
    }
}
