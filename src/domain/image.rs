//! The columns of a captured row (an *image*) that domains look at: the record's own, and those inherited through `_inherits`.

use std::collections::BTreeMap;

use super::check::TypedDomain;
use super::plan::Inherited;
use crate::error::{Error, Result};
use crate::odoo::registry::Registry;

/// A column of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageColumn {
    /// Its name in the image: the column's, or `link.column` for an inherited one.
    pub name: String,
    /// The `_inherits` link it is reached through; none for the record's own.
    pub link: Option<String>,
    /// The model that the link leads to.
    pub parent: Option<String>,
    /// The column.
    pub column: String,
    /// Its type, as PostgreSQL writes it.
    pub type_name: String,
}

/// The columns all the domains need, each once; `id` always, so that there is one.
///
/// # Errors
/// The domains are of different models, or the registry they were checked against is not this one.
pub fn image_columns(domains: &[&TypedDomain], registry: &Registry) -> Result<Vec<ImageColumn>> {
    let Some(first) = domains.first() else {
        return Ok(Vec::new());
    };
    if domains.iter().any(|domain| domain.model() != first.model()) {
        return Err(Error::other("domains of different models cannot be judged together"));
    }
    let type_of = |model: &str, column: &str| {
        let field = registry.model(model).and_then(|model| model.field(column));
        field
            .and_then(|field| field.column.as_ref())
            .map(|column| column.type_name.clone())
            .ok_or_else(|| {
                Error::unfit(format!("{model} has no column {column} any more")).with_hint("read the registry again")
            })
    };
    let mut columns = BTreeMap::new();
    let own = domains
        .iter()
        .flat_map(|domain| domain.own_columns())
        .map(String::as_str);
    for name in own.chain(["id"]) {
        let type_name = type_of(first.model(), name)?;
        let column = ImageColumn {
            name: name.to_owned(),
            link: None,
            parent: None,
            column: name.to_owned(),
            type_name,
        };
        columns.insert(column.name.clone(), column);
    }
    for inherited in domains.iter().flat_map(|domain| domain.inherited()) {
        let name = inherited_column(inherited);
        let type_name = type_of(&inherited.model, &inherited.column)?;
        let (link, column) = (Some(inherited.link.clone()), inherited.column.clone());
        columns.insert(
            name.clone(),
            ImageColumn {
                name,
                link,
                parent: Some(inherited.model.clone()),
                column,
                type_name,
            },
        );
    }
    Ok(columns.into_values().collect())
}

/// The name under which a captured row carries an inherited column.
///
/// A point keeps it apart from every own column; the link comes first because two parents may share a column's name.
pub fn inherited_column(inherited: &Inherited) -> String {
    inherited_name(&inherited.link, &inherited.column)
}

/// [`inherited_column`] by its parts.
pub(crate) fn inherited_name(link: &str, column: &str) -> String {
    format!("{link}.{column}")
}
