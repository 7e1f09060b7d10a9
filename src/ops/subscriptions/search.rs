//! A domain on the subscriptions themselves: Odoo's language, by the parser and the rules that judge records, over a closed list of columns.
//!
//! None of them holds a secret. A URL may be one: it can be asked whether it is this one, and not what it is like.

use std::sync::LazyLock;

use crate::domain::ast::{Domain, Operator as Comparison};
use crate::domain::check::{Context, check};
use crate::domain::{DomainError, parse};
use crate::odoo::registry::{Column, Facts, Field, FieldType, Model, Registry, Table};
use crate::ops::error::{Error, Result};
use crate::ops::operator::Operator;
use crate::ops::subscriptions::read::Filter;
use crate::pg::session_pool::Session;
use crate::pg::subscription_rows;
use crate::subscription::{Refusal, refused_domain};

/// What the model is called in messages.
const MODEL: &str = "mcp.event.subscription";

/// The version of Odoo whose rules hold, whatever version the database is of.
const RULES: u16 = 18;

/// The columns, as `searched_subscriptions` in `sql/functions/subscription_reads.sql` has them.
pub const COLUMNS: [(&str, FieldType, &str); 33] = [
    ("id", FieldType::Integer, "integer"),
    ("name", FieldType::Char, "text"),
    ("model", FieldType::Char, "text"),
    ("event_type", FieldType::Selection, "text"),
    ("domain", FieldType::Char, "text"),
    ("fields", FieldType::Char, "text"),
    ("trigger_mode", FieldType::Selection, "text"),
    ("user_id", FieldType::Integer, "integer"),
    ("connection", FieldType::Char, "text"),
    ("created_from", FieldType::Selection, "text"),
    ("active", FieldType::Boolean, "boolean"),
    ("webhook_url", FieldType::Char, "text"),
    ("format", FieldType::Selection, "text"),
    ("lang", FieldType::Char, "text"),
    ("paused", FieldType::Boolean, "boolean"),
    ("ordered", FieldType::Boolean, "boolean"),
    ("grouping", FieldType::Selection, "text"),
    ("endpoint_source", FieldType::Selection, "text"),
    ("http_method", FieldType::Selection, "text"),
    ("timeout_ms", FieldType::Integer, "integer"),
    ("max_attempts", FieldType::Integer, "integer"),
    ("state", FieldType::Selection, "text"),
    ("error", FieldType::Char, "text"),
    ("failure_count", FieldType::Integer, "integer"),
    ("failures_in_a_row", FieldType::Integer, "integer"),
    ("last_delivery", FieldType::Datetime, "timestamp without time zone"),
    ("last_delivery_status", FieldType::Selection, "text"),
    ("active_from", FieldType::Datetime, "timestamp without time zone"),
    ("disabled_at", FieldType::Datetime, "timestamp without time zone"),
    ("create_date", FieldType::Datetime, "timestamp without time zone"),
    ("write_date", FieldType::Datetime, "timestamp without time zone"),
    ("create_uid", FieldType::Integer, "integer"),
    ("write_uid", FieldType::Integer, "integer"),
];

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let mut model = Model::new(MODEL, Table::Plain("mcp_event_subscription".to_owned()));
    for (name, kind, type_name) in COLUMNS {
        let mut field = Field::new(name, kind);
        field.column = Some(Column {
            name: name.to_owned(),
            type_name: type_name.to_owned(),
        });
        model.insert(field);
    }
    let mut registry = Registry::new(Facts {
        version: RULES,
        ..Facts::default()
    });
    registry.insert(model);
    registry
});

/// The filter without its domain, in whose place are the ids of those that satisfy it.
///
/// # Errors
/// [`Error::Refused`] with the place in the domain's text.
pub(super) async fn resolved(session: &Session, operator: &Operator, filter: &Filter) -> Result<Filter> {
    let Some(text) = &filter.domain else {
        return Ok(filter.clone());
    };
    let mut context = Context::at(jiff::Timestamp::now());
    context.uid = operator.user_id();
    let judged = parse::parse(text).and_then(|parsed| {
        refuse_guessing(&parsed)?;
        check(&parsed, MODEL, &REGISTRY, &context)
    });
    let typed = judged.map_err(|error| refused(&error, text))?;
    let mut ids = subscription_rows::search(session, &operator.to_json(), &typed).await?;
    if let Some(wanted) = &filter.ids {
        ids.retain(|id| wanted.contains(id));
    }
    Ok(Filter {
        ids: Some(ids),
        domain: None,
        ..filter.clone()
    })
}

fn refused(error: &DomainError, text: &str) -> Error {
    Error::Refused(Refusal::all_of(&refused_domain(error, text)))
}

/// Who may compare a URL with patterns finds it out letter by letter.
fn refuse_guessing(domain: &Domain) -> Result<(), DomainError> {
    match domain {
        Domain::Const(_) => Ok(()),
        Domain::Not(inner) => refuse_guessing(inner),
        Domain::And(items) | Domain::Or(items) => items.iter().try_for_each(refuse_guessing),
        Domain::Leaf(leaf) => {
            let is_whole = matches!(
                leaf.operator,
                Comparison::Eq
                    | Comparison::Ne
                    | Comparison::Differs
                    | Comparison::In
                    | Comparison::NotIn
                    | Comparison::Unset
            );
            if leaf.path == "webhook_url" && !is_whole {
                let refused = DomainError::new("a webhook_url can be compared as a whole only: it may be a secret");
                return Err(refused.at(leaf.spans.operator).hint("use '=', '!=', 'in' or 'not in'"));
            }
            Ok(())
        }
    }
}
