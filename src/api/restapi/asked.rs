//! What document 003's queries ask.

use serde::Deserialize;
use serde_json::Value;
use utoipa::IntoParams;

use super::webhook::{PROPERTIES, own_domain};
use crate::api::ask::comma_separated;
use crate::api::problem::{Fault, Problem};
use crate::domain::python::literal;
use crate::ops::subscriptions::read::Filter;
use crate::subscription::View;

/// Which webhooks, and how they are listed.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// With these ids: `3,12`.
    #[serde(deserialize_with = "comma_separated")]
    #[param(value_type = Option<Vec<i32>>, style = Form, explode = false)]
    pub(super) ids: Option<Vec<i32>>,
    /// That satisfy this domain: `[('model','=','product.product'),('kind','=','on_write')]`.
    pub(super) domain: Option<String>,
    /// The properties that are answered, a Python list: `['name', 'model']`; the id always.
    pub(super) fields: Option<String>,
    /// How many are passed over.
    #[param(minimum = 0)]
    pub(super) offset: Option<i64>,
    /// How many are answered at most.
    #[param(minimum = 0)]
    pub(super) limit: Option<i64>,
    /// By which properties: `name desc, id`.
    pub(super) order: Option<String>,
    /// `True`: only how many there are.
    #[param(value_type = Option<String>)]
    pub(super) count: Option<String>,
}

/// Which properties of one webhook.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct FieldsQuery {
    /// The properties that are answered, a Python list: `['name', 'model']`; the id always.
    pub(super) fields: Option<String>,
}

/// Which webhooks to count.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct CountQuery {
    /// That satisfy this domain; an empty list: all.
    pub(super) domain: Option<String>,
}

fn wrong(name: &str, detail: impl Into<String>) -> Problem {
    Problem::unreadable(Fault::at(format!("?{name}"), detail))
}

/// A Python literal of a query.
pub(super) fn python(name: &str, text: &str) -> Result<Value, Problem> {
    literal(text).map_err(|error| wrong(name, format!("{name} is no Python literal: {}", error.render(text))))
}

/// The properties that are wanted; none = all.
pub(super) fn properties(text: Option<&str>) -> Result<Option<Vec<String>>, Problem> {
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
        return Ok(None);
    };
    let Value::Array(items) = python("fields", text)? else {
        return Err(wrong("fields", "fields is a list: ['name', 'model']"));
    };
    let known = |item: &Value| {
        let name = item
            .as_str()
            .filter(|name| PROPERTIES.iter().any(|(known, _)| known == name));
        name.map(str::to_owned)
            .ok_or_else(|| wrong("fields", format!("a webhook has no {item}")))
    };
    let names = items.iter().map(known).collect::<Result<Vec<String>, _>>()?;
    // As with Odoo, an empty list is no choice.
    Ok(Some(names).filter(|names| !names.is_empty()))
}

/// Which subscriptions these are.
pub(super) fn filter(ids: Option<Vec<i32>>, domain: Option<&str>) -> Result<Filter, Problem> {
    let domain = domain
        .filter(|text| !text.trim().is_empty())
        .map(own_domain)
        .transpose()?;
    Ok(Filter {
        ids,
        domain,
        ..Filter::default()
    })
}

/// How many are passed over, or answered at most.
pub(super) fn number(name: &str, given: Option<i64>) -> Result<Option<usize>, Problem> {
    let read = given.map(|given| usize::try_from(given).map_err(|_| wrong(name, format!("{name} is 0 or more"))));
    read.transpose()
}

/// `True` or `False`, also as 1 and 0.
pub(super) fn is_set(name: &str, text: Option<&str>) -> Result<bool, Problem> {
    match text.map(str::trim) {
        None | Some("" | "False" | "false" | "0") => Ok(false),
        Some("True" | "true" | "1") => Ok(true),
        Some(other) => Err(wrong(name, format!("{name} is True or False, and not \"{other}\""))),
    }
}

/// Puts them into an order: `name desc, id`.
pub(super) fn sort(rows: &mut [View], order: Option<&str>) -> Result<(), Problem> {
    let mut by = Vec::new();
    for part in order
        .into_iter()
        .flat_map(|order| order.split(','))
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let mut words = part.split_whitespace();
        let name = words.next().unwrap_or_default();
        let column = PROPERTIES
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, column)| *column);
        let column = column.ok_or_else(|| wrong("order", format!("a webhook has no \"{name}\"")))?;
        let is_descending = match words.next().map(str::to_ascii_lowercase).as_deref() {
            None | Some("asc") => false,
            Some("desc") => true,
            Some(other) => return Err(wrong("order", format!("an order is asc or desc, and not \"{other}\""))),
        };
        by.push((column, is_descending));
    }
    rows.sort_by_cached_key(|row| row.id);
    for (column, is_descending) in by.into_iter().rev() {
        let key = |row: &View| {
            let value = serde_json::to_value(row)
                .map(|row| row[column].clone())
                .unwrap_or_default();
            (value.as_i64(), value.as_str().map(str::to_owned), value.to_string())
        };
        match is_descending {
            false => rows.sort_by_cached_key(key),
            true => rows.sort_by_cached_key(|row| std::cmp::Reverse(key(row))),
        }
    }
    Ok(())
}
