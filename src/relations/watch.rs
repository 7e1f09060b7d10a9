//! Where changes of a field show that has no column in its own model's table, and what has to be captured there.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Deserialize;

use crate::event::AUDIT_COLUMNS;
use crate::odoo::known;
use crate::odoo::registry::{Field, FieldType, Model, Registry, Table};
use crate::{Error, Result};

/// How many parents a field may be inherited through.
const MOST_PARENTS: usize = 4;

/// What has to be captured of one table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Need {
    /// Columns.
    pub columns: BTreeSet<String>,
    /// Those among them of which a change is worth capturing.
    pub compared: BTreeSet<String>,
    /// Those among them whose value itself is needed, however long.
    pub whole: BTreeSet<String>,
}

impl Need {
    /// A column of which the value is needed, before and after: its changes are captured too. The id is in every row.
    pub fn of_value(column: &str) -> Self {
        if column == "id" {
            return Self::default();
        }
        let column: BTreeSet<String> = [column.to_owned()].into();
        let is_audit = column.iter().any(|c| AUDIT_COLUMNS.contains(&c.as_str()));
        Self {
            compared: if is_audit { BTreeSet::new() } else { column.clone() },
            whole: column.clone(),
            columns: column,
        }
    }

    /// Adds what another needs.
    pub fn add(&mut self, other: Self) {
        self.columns.extend(other.columns);
        self.compared.extend(other.compared);
        self.whole.extend(other.whole);
    }
}

/// A watched field that has no column in its model's table.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Watch {
    /// The field.
    pub field: Arc<str>,
    /// Where its changes show.
    pub source: Source,
    /// How a row there names records.
    pub rule: Rule,
    /// From those records to the ones that have the field, if they inherit it: the last step leads to the field's own model.
    pub path: Vec<Step>,
}

/// A captured table.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// A model's.
    Model(String),
    /// A many2many field's relation table, by its own name.
    Relation(String),
}

/// How a row of the source names records.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Rule {
    /// It is the record, and this column holds the field.
    Column(String),
    /// It links a record to another.
    Link {
        /// The column that holds the record's id.
        own: String,
        /// The column that holds the other's.
        other: String,
    },
    /// It is a child and names its parent.
    Child {
        /// The column that holds the record's id.
        inverse: String,
        /// For an inverse that is a bare number: the column that names the parent's model, and that model.
        of_model: Option<(String, String)>,
    },
}

/// From parents to the records that inherit from them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Step {
    /// The inheriting model.
    pub model: String,
    /// Its many2one to the parent.
    pub link: String,
}

impl Source {
    /// The name under which it is captured.
    pub fn name(&self) -> &str {
        match self {
            Self::Model(name) | Self::Relation(name) => name,
        }
    }
}

impl Watch {
    /// Finds out where changes of a field show.
    ///
    /// # Errors
    /// [`Error::is_usage`] for a field whose changes show in no table that can be captured.
    pub fn of(model: &Model, field: &Field, registry: &Registry) -> Result<Self> {
        let name = Arc::from(field.name.as_str());
        let (mut model, mut field) = (model, field);
        let mut path = Vec::new();
        while let Some(inherit) = model.inherited_from(field) {
            let parent = registry.model(&inherit.parent);
            let Some((parent, inherited)) = parent.and_then(|parent| Some((parent, parent.field(&field.name)?))) else {
                break;
            };
            path.insert(
                0,
                Step {
                    model: model.name.clone(),
                    link: inherit.link.clone(),
                },
            );
            (model, field) = (parent, inherited);
            if path.len() > MOST_PARENTS {
                break;
            }
        }
        if field.secret {
            return Err(Error::usage(format!(
                "field \"{}\" of \"{}\" holds a secret and is never captured",
                field.name, model.name
            )));
        }
        // Up to 17. A row of that table names a field by its number and a record by a text, and is there only where the value is not the
        // company's default.
        if field.property.is_some() || known::is_company_dependent(registry.facts().version, &model.name, &field.name) {
            return Err(Error::usage(format!(
                "field \"{}\" of \"{}\" is kept in ir_property for each company; it cannot be watched",
                field.name, model.name
            )));
        }
        if !field.stored {
            return Err(Error::usage(format!(
                "field \"{}\" of \"{}\" is not stored in the database",
                field.name, model.name
            )));
        }
        let (source, rule) = match field.kind {
            FieldType::Many2many => link_of(model, field, registry)?,
            FieldType::One2many => child_of(model, field, registry)?,
            _ if field.column.is_some() && matches!(model.table, Table::Plain(_)) => {
                (Source::Model(model.name.clone()), Rule::Column(field.name.clone()))
            }
            FieldType::Binary => {
                return Err(Error::usage(format!(
                    "field \"{}\" of \"{}\" is kept as an attachment, not in a column",
                    field.name, model.name
                )));
            }
            _ => {
                return Err(Error::usage(format!(
                    "field \"{}\" of \"{}\" is kept in no table that can be watched",
                    field.name, model.name
                )));
            }
        };
        Ok(Self {
            field: name,
            source,
            rule,
            path,
        })
    }

    /// What it needs of its source.
    pub fn need(&self) -> Need {
        let columns: BTreeSet<String> = match &self.rule {
            Rule::Column(column) => [column.clone()].into(),
            Rule::Link { own, other } => [own.clone(), other.clone()].into(),
            Rule::Child { inverse, of_model } => {
                let named = of_model.iter().map(|(column, _)| column.clone());
                named.chain([inverse.clone()]).collect()
            }
        };
        let compared = match &self.source {
            Source::Model(_) => columns.clone(),
            // Each of its rows is worth capturing.
            Source::Relation(_) => BTreeSet::new(),
        };
        Need {
            columns,
            compared,
            whole: BTreeSet::new(),
        }
    }
}

fn link_of(model: &Model, field: &Field, registry: &Registry) -> Result<(Source, Rule)> {
    let whole = format!("field \"{}\" of \"{}\"", field.name, model.name);
    let Some(link) = &field.link_table else {
        return Err(Error::usage(format!("{whole} has no relation table in the database")));
    };
    let rule = Rule::Link {
        own: link.own.clone(),
        other: link.other.clone(),
    };
    let Some(owner) = registry.models().find(|m| m.table.name() == Some(&link.table)) else {
        return Ok((Source::Relation(link.table.clone()), rule));
    };
    // Its pairs are the columns of a model of its own: project.task.stage.personal.
    let is_told = |column: &String| {
        owner
            .field(column)
            .is_some_and(|f| f.stored && f.column.is_some() && !f.secret)
    };
    if matches!(owner.table, Table::Plain(_)) && is_told(&link.own) && is_told(&link.other) {
        return Ok((Source::Model(owner.name.clone()), rule));
    }
    Err(Error::usage(format!(
        "the pairs of {whole} are kept by \"{}\", which cannot be watched",
        owner.name
    )))
}

fn child_of(model: &Model, field: &Field, registry: &Registry) -> Result<(Source, Rule)> {
    let whole = format!("field \"{}\" of \"{}\"", field.name, model.name);
    let child = field.relation.as_deref().and_then(|name| registry.model(name));
    let inverse = child.and_then(|child| Some((child, child.field(field.inverse.as_deref()?)?)));
    let Some((child, inverse)) = inverse.filter(|(child, inverse)| {
        matches!(child.table, Table::Plain(_))
            && inverse.stored
            && inverse.column.is_some()
            && !inverse.company_dependent
    }) else {
        return Err(Error::usage(format!(
            "{whole} cannot be watched: the field that leads back to it has no column in a table"
        )));
    };
    let of_model = match inverse.kind {
        FieldType::Many2one => None,
        _ => {
            let column = known::reference_model_field(&child.name, &inverse.name)
                .filter(|column| child.field(column).is_some_and(|f| f.stored && f.column.is_some()))
                .ok_or_else(|| {
                    Error::usage(format!(
                        "{whole} cannot be watched: which field of \"{}\" names the model that {} is an id of is not known",
                        child.name, inverse.name
                    ))
                })?;
            Some((column.to_owned(), model.name.clone()))
        }
    };
    let rule = Rule::Child {
        inverse: inverse.name.clone(),
        of_model,
    };
    Ok((Source::Model(child.name.clone()), rule))
}
