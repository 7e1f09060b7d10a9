//! Payloads in a shape of the receiver's: JSON templates, and ready-made ones.
//!
//! A template is the JSON that is sent, with places for values:
//!
//! ```text
//! {"text": "Order {{ record.name }} is {{ record.state }}",
//!  "lines": [{% for line in record.order_line %}{{ line.price_unit }}{% if not loop.last %},{% endif %}{% endfor %}]}
//! ```
//!
//! `{{ .. }}` inside a JSON string writes text, escaped; anywhere else it writes JSON. Known are the keys of the default body, and:
//!
//! | name | is |
//! | --- | --- |
//! | `record` | the first record: its `id` and its values by name, a path with dots as `record["partner_id.email"]` |
//! | `old` | the first record's values before the change, by name; empty where there are none |
//! | `body` | the default body as a whole |
//! | `subscription_name` | its name, or `subscription N` |
//!
//! There are `if` and `for`, no assignments and no macros, and the filters `abs bool date default dictsort first float int items join
//! last length list lower map markdown max min reject rejectattr replace reverse round select selectattr slack sort string sum times
//! tojson trim truncate unique upper`; all within a budget of steps and bytes. A name that does not exist is an error, not an empty text.
//! The result must be JSON, or nothing is sent.

use std::io;

use bytes::Bytes;
use minijinja::value::Serde;
use minijinja::{ErrorKind, Value};
use serde::Serialize;
use serde::de::IgnoredAny;
use serde_json::Value as Json;

use super::body::{Body, Record, TooLarge, Values};
use super::{chat, sandbox};
use crate::delivery::Failure;
use crate::{Error, Result};

/// The longest template, in bytes.
const MAX_SOURCE_BYTES: usize = 64 * 1024;

/// How large a message may be before it is cut to what its receiver takes.
const UNCUT_BYTES: usize = 1024 * 1024;

/// The templates that come with the program, by the names they are asked for by.
///
/// Those for people are cut to what the receiver takes, and say so; what a record holds is text there, not markup.
///
/// * `slack`: an incoming webhook. Also understood by Mattermost and Rocket.Chat.
/// * `teams`: a workflow "when a webhook request is received", an adaptive card.
/// * `discord`: a channel's webhook. Nobody is mentioned, whatever the values say.
/// * `odoo`: what Odoo's own webhook action sends: `_model`, `_id`, `_action` and the fields, sorted.
/// * `cloudevents`: CloudEvents 1.0, structured; the default body is its data.
const SHAPES: [(&str, &str); 5] = [
    ("slack", include_str!("shapes/slack.json.j2")),
    ("teams", include_str!("shapes/teams.json.j2")),
    ("discord", include_str!("shapes/discord.json.j2")),
    ("odoo", include_str!("shapes/odoo.json.j2")),
    ("cloudevents", include_str!("shapes/cloudevents.json.j2")),
];

/// A template that can be rendered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Prepared for the sandbox.
    source: String,
    content_type: &'static str,
    /// The ready-made one's name.
    shape: Option<&'static str>,
}

/// What a template is rendered from.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The default body, with records where fields were asked for.
    pub body: &'a Body<'a>,
    /// The subscription's name, if it has one.
    pub subscription_name: Option<&'a str>,
}

/// Why a template gave no payload.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// It failed: an unknown name, a wrong type, its budget.
    #[error("the template failed in line {line}: {what}")]
    Failed {
        /// Counted from 1; 0 when it is not known.
        line: usize,
        /// A sentence; names and types, no values.
        what: String,
        /// Its budget of steps or bytes was used up.
        is_exhausted: bool,
    },
    /// What it gave is not JSON.
    #[error("the template did not give JSON: {0}")]
    NotJson(#[source] serde_json::Error),
    /// What it gave is too large.
    #[error("the template gave more than {max} bytes")]
    TooLarge {
        /// The subscription's limit.
        max: usize,
    },
}

impl RenderError {
    /// Whether the template used up its budget: the next record will most likely be as costly.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        matches!(self, Self::Failed { is_exhausted: true, .. })
    }
}

impl From<&RenderError> for Failure {
    fn from(error: &RenderError) -> Self {
        match error {
            RenderError::Failed { .. } | RenderError::NotJson(_) => Self::Template,
            RenderError::TooLarge { .. } => Self::BodyTooLarge,
        }
    }
}

impl From<TooLarge> for RenderError {
    fn from(error: TooLarge) -> Self {
        Self::TooLarge { max: error.max }
    }
}

impl Template {
    /// Reads a template, or takes the ready-made one of this name.
    ///
    /// # Errors
    /// [`Error::is_usage`] with the line when it cannot be understood, or uses what templates do not have.
    pub fn parse(text: &str) -> Result<Self> {
        let name = text.trim();
        let shape = SHAPES.iter().find(|(known, _)| *known == name);
        if shape.is_none() && !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase()) {
            let known = SHAPES.map(|(known, _)| known).join(", ");
            return Err(Error::usage(format!("there is no ready-made payload {name:?}"))
                .with_hint(format!("there are {known}")));
        }
        if text.len() > MAX_SOURCE_BYTES {
            return Err(Error::usage(format!(
                "the payload template is longer than {MAX_SOURCE_BYTES} bytes"
            )));
        }
        let wrong = |line, what: &str| Error::usage(format!("the payload template is wrong in line {line}: {what}"));
        let source = sandbox::prepare(shape.map_or(text, |(_, source)| source))
            .map_err(|refused| wrong(refused.line, &refused.what))?;
        if let Err(error) = sandbox::environment().template_from_str(&source) {
            return Err(wrong(
                error.line().unwrap_or(0),
                error.detail().unwrap_or("it cannot be read"),
            ));
        }
        let content_type = if name == "cloudevents" {
            "application/cloudevents+json"
        } else {
            "application/json"
        };
        Ok(Self {
            source,
            content_type,
            shape: shape.map(|(name, _)| *name),
        })
    }

    /// The names of the ready-made templates.
    pub fn shapes() -> impl Iterator<Item = &'static str> {
        SHAPES.iter().map(|&(name, _)| name)
    }

    /// The `Content-Type` of what it gives.
    #[must_use]
    pub fn content_type(&self) -> &'static str {
        self.content_type
    }

    /// Renders the payload in at most `max_bytes`.
    ///
    /// Takes well under a millisecond for what people write. A hostile template over values of megabytes may take seconds before its
    /// budget ends it: render where blocking is allowed.
    ///
    /// # Errors
    /// Why there is no payload; nothing of the values is repeated.
    pub fn render(&self, context: Context<'_>, max_bytes: usize) -> Result<Bytes, RenderError> {
        let env = sandbox::environment();
        let template = env.template_from_str(&self.source).map_err(|error| failed(&error))?;
        let limit = self.shape.and_then(chat::limit_of);
        let mut out = Capped {
            bytes: Vec::new(),
            // What is cut to fit afterwards may be larger before.
            left: if limit.is_some() {
                max_bytes.max(UNCUT_BYTES)
            } else {
                max_bytes
            },
        };
        let body = calculable(context.body);
        let context = Context { body: &body, ..context };
        if let Err(error) = template.render_captured_to(Value::from(Serde(Names::new(context))), &mut out) {
            return Err(if error.kind() == ErrorKind::WriteFailure {
                RenderError::TooLarge { max: max_bytes }
            } else {
                failed(&error)
            });
        }
        if let Some(cut_to_limit) = limit {
            let mut message: Json = serde_json::from_slice(&out.bytes).map_err(RenderError::NotJson)?;
            if cut_to_limit(&mut message) {
                out.bytes = message.to_string().into_bytes();
            }
        }
        serde_json::from_slice::<IgnoredAny>(&out.bytes).map_err(RenderError::NotJson)?;
        let bytes = out.bytes.trim_ascii();
        if bytes.len() > max_bytes {
            return Err(RenderError::TooLarge { max: max_bytes });
        }
        Ok(Bytes::from(bytes.to_vec()))
    }
}

/// A template calculates with whole numbers of 128 bits and with doubles, which are what Odoo itself reads. A number beyond these is
/// given as text.
fn calculable<'a>(body: &Body<'a>) -> Body<'a> {
    fn value(told: &Json) -> Json {
        match told {
            Json::Number(number) if number.as_i128().is_none() => {
                let double = number.as_f64().and_then(serde_json::Number::from_f64);
                double.map_or_else(|| Json::String(number.to_string()), Json::Number)
            }
            Json::Array(items) => items.iter().map(value).collect(),
            Json::Object(fields) => fields.iter().map(|(name, of)| (name.clone(), value(of))).collect(),
            other => other.clone(),
        }
    }
    let values = |values: &Values| Values(values.0.iter().map(|(name, of)| (name.clone(), value(of))).collect());
    let records = body.records.as_ref().map(|records| {
        let record = |record: &Record| Record {
            values: values(&record.values),
            old: record.old.as_ref().map(values),
            ..*record
        };
        records.iter().map(record).collect()
    });
    Body { records, ..*body }
}

fn failed(error: &minijinja::Error) -> RenderError {
    let what = match (error.kind(), error.detail()) {
        (ErrorKind::UndefinedError, None) => "a name or a field does not exist here".to_owned(),
        (ErrorKind::OutOfFuel, None) => "it takes too many steps".to_owned(),
        (kind, None) => kind.to_string(),
        (kind, Some(detail)) => format!("{kind}: {detail}"),
    };
    RenderError::Failed {
        line: error.line().unwrap_or(0),
        what,
        is_exhausted: error.kind() == ErrorKind::OutOfFuel,
    }
}

/// What a template can name.
#[derive(Serialize)]
struct Names<'a> {
    #[serde(flatten)]
    envelope: &'a Body<'a>,
    body: &'a Body<'a>,
    record: Values,
    old: Values,
    subscription_name: String,
}

impl<'a> Names<'a> {
    fn new(
        Context {
            body,
            subscription_name,
        }: Context<'a>,
    ) -> Self {
        let first = body.records.as_deref().and_then(<[_]>::first);
        let id = first.map(|record| record.id).or(body.record_ids.first().copied());
        let mut record = Values(vec![("id".to_owned(), id.into())]);
        record
            .0
            .extend(first.into_iter().flat_map(|record| record.values.0.iter().cloned()));
        Self {
            envelope: body,
            body,
            record,
            old: first.and_then(|record| record.old.clone()).unwrap_or_default(),
            subscription_name: subscription_name
                .map_or_else(|| format!("subscription {}", body.subscription_id), str::to_owned),
        }
    }
}

/// Takes so many bytes and no more.
struct Capped {
    bytes: Vec<u8>,
    left: usize,
}

impl io::Write for Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[path = "template_tests.rs"]
mod tests;
