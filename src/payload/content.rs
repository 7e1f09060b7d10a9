//! What a subscription sends: which fields, in which shape, and how large at most.

use std::sync::Arc;

use bytes::Bytes;

use super::body::Body;
use super::path::Selection;
use super::plan::Plan;
use super::template::{self, RenderError, Template};
use super::xml;
use crate::delivery::Failure;
use crate::domain::check::Context;
use crate::odoo::registry::{Model, Registry};
use crate::subscription::choices::BodyFormat;
use crate::{Error, Result};

/// What a subscription's row asks for, as it was written.
#[derive(Debug, Clone, Copy)]
pub struct Wishes<'a> {
    /// Fields to send.
    pub payload_fields: &'a [String],
    /// Fields to add to the default body.
    pub enrich_fields: &'a [String],
    /// A template, or the name of a ready-made one.
    pub template: Option<&'a str>,
    /// How bodies are written.
    pub format: BodyFormat,
    /// Larger bodies are sent thin.
    pub max_body_bytes: usize,
}

/// What a subscription sends.
#[derive(Debug, Clone)]
pub struct Content {
    /// The records' fields, where any are asked for.
    pub plan: Option<Arc<Plan>>,
    template: Option<Template>,
    is_xml: bool,
    max_bytes: usize,
}

/// Why a body goes without the values it should carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// They are more than can be held at once.
    TooLarge,
    /// They cannot be read.
    Unreadable,
}

/// There is no body to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsendable {
    /// The word in the log.
    pub failure: Failure,
    /// The sentence beside it; names no value.
    pub detail: String,
    /// A template used up its budget.
    pub is_exhausted: bool,
}

impl Content {
    /// Looks at what is asked for against Odoo's metadata; `context` says language and company.
    ///
    /// # Errors
    /// [`Error::is_usage`] with a sentence that says what cannot be sent, and why.
    pub fn new(wishes: Wishes<'_>, model: &Model, registry: &Registry, context: &Context) -> Result<Self> {
        let asked: Vec<&str> = wishes
            .payload_fields
            .iter()
            .chain(wishes.enrich_fields)
            .map(String::as_str)
            .collect();
        let own = |asked: &[&str]| {
            let own = Selection::parse(asked)?;
            Plan::new(&own, model, registry, context)
        };
        // Both lists are one selection: which of them is at fault shows when the first is looked at alone.
        let blame = |error: Error| match own(&asked[..wishes.payload_fields.len()]) {
            Ok(_) => error.of("enrich_fields"),
            Err(_) => error.of("payload_fields"),
        };
        let selection = Selection::parse(&asked).map_err(blame)?;
        let plan = if selection.is_empty() {
            None
        } else {
            let plan = Plan::new(&selection, model, registry, context).map_err(blame)?;
            Some(Arc::new(plan))
        };
        let template = wishes
            .template
            .filter(|text| !text.trim().is_empty())
            .map(Template::parse)
            .transpose()
            .map_err(|error| error.of("webhook_payload_template"))?;
        let is_xml = wishes.format == BodyFormat::Xml;
        if is_xml && template.is_some() {
            return Err(
                Error::usage("a payload template makes JSON, and format \"xml\" was asked for")
                    .with_hint("leave out one of the two")
                    .of("format"),
            );
        }
        Ok(Self {
            plan,
            template,
            is_xml,
            max_bytes: wishes.max_body_bytes,
        })
    }

    /// Whether each record is sent alone: a template speaks of one.
    pub fn is_per_record(&self) -> bool {
        self.template.is_some()
    }

    /// The `Content-Type` of a body. One that was made before the subscription changed is still what it was.
    pub fn content_type(&self, body: &[u8]) -> &'static str {
        if body.starts_with(b"<") {
            return xml::CONTENT_TYPE;
        }
        self.template
            .as_ref()
            .map_or("application/json", Template::content_type)
    }

    /// Renders the body. Where its records could not be had, `cut` says why they are not in it.
    ///
    /// A template may take a while: call it where blocking is allowed.
    ///
    /// # Errors
    /// [`Unsendable`]: the template failed, or gave more than is allowed.
    pub fn render(
        &self,
        body: &Body<'_>,
        name: Option<&str>,
        cut: Option<Cut>,
    ) -> std::result::Result<Bytes, Unsendable> {
        if let Some(template) = &self.template {
            if let Some(cut) = cut {
                return Err(Unsendable::of_cut(cut));
            }
            let context = template::Context {
                body,
                subscription_name: name,
            };
            return template
                .render(context, self.max_bytes)
                .map_err(|error| Unsendable::of(&error));
        }
        if cut.is_some() {
            return Ok(body.render_thin(self.is_xml));
        }
        let rendered = if self.is_xml {
            body.render_xml(self.max_bytes)
        } else {
            body.render(self.max_bytes)
        };
        // What names the event is sent whatever its size: there is nothing more to leave out.
        Ok(match rendered {
            Ok(rendered) => rendered.bytes,
            Err(_) if body.records.is_some() => body.render_thin(self.is_xml),
            Err(_) if self.is_xml => body.render_xml(usize::MAX).map(|r| r.bytes).unwrap_or_default(),
            Err(_) => body.render(usize::MAX).map(|r| r.bytes).unwrap_or_default(),
        })
    }
}

impl Unsendable {
    fn of_cut(cut: Cut) -> Self {
        let (failure, detail) = match cut {
            Cut::TooLarge => (
                Failure::BodyTooLarge,
                "the values that the template is made from are too large",
            ),
            Cut::Unreadable => (
                Failure::Template,
                "the values that the template is made from cannot be read",
            ),
        };
        Self {
            failure,
            detail: detail.to_owned(),
            is_exhausted: false,
        }
    }

    fn of(error: &RenderError) -> Self {
        Self {
            failure: Failure::from(error),
            // Names and places; nothing of a value.
            detail: error.to_string(),
            is_exhausted: error.is_exhausted(),
        }
    }
}
