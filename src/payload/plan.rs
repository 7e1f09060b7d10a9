//! What a [`Selection`] means on a database: which columns of which models are read, and how the values are put together.
//!
//! A [`Plan`] is a list of [`Level`]s. The first is the records of the event; each other is reached from an earlier one through one
//! relation, and is read once for a whole batch of events, however many paths lead through it: the number of statements depends on
//! the paths alone.
//!
//! What cannot be sent exactly is refused: fields that are not stored (unless they repeat a stored one, as inherited ones do),
//! secrets at any place of a path, files that are kept as attachments, properties, and x2many fields of which nobody knows whether they
//! list all records.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::path::{Item, Selection};
use super::transform::{Kind, Shape, Transform};
use super::value::Column;
use crate::domain::check::{Context, shown_by};
use crate::domain::judge::Judge;
use crate::odoo::known;
use crate::odoo::registry::{Field, FieldType, Model, Registry, nearest};
use crate::{Error, Result};

/// How many steps one path may take, those of related fields counted.
const MOST_STEPS: usize = 24;

/// What is read, and what is made of it.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The event's own model first; each other after the one it is reached from.
    pub levels: Vec<Level>,
    /// The values of each record.
    pub outputs: Vec<Output>,
    /// Language of translated values.
    pub lang: String,
    /// Company of company-dependent values.
    pub company: i32,
}

/// What is read of one model's records.
#[derive(Debug, Clone)]
pub struct Level {
    /// The model.
    pub model: String,
    /// How its records are reached.
    pub via: Via,
    /// The columns to read, each once.
    pub columns: Vec<Column>,
}

/// How the records of a level are reached.
#[derive(Debug, Clone)]
pub enum Via {
    /// They are the event's own.
    Event,
    /// A many2one: the id is in a column of the level it is reached from.
    Link {
        /// That level.
        from: usize,
        /// The column's place there.
        column: usize,
    },
    /// A one2many or many2many field.
    Lines {
        /// The level that has the field.
        from: usize,
        /// The field.
        field: String,
        /// The column of this level that must name the other model, where ids alone do not tell.
        model_column: Option<String>,
        /// Only those are listed that satisfy the field's own domain; its columns are among the level's.
        filter: Option<Filter>,
    },
}

/// The domain in an x2many field's own declaration.
#[derive(Debug, Clone)]
pub struct Filter {
    /// Asks for it; its one subscription is number 0.
    pub judge: Arc<Judge>,
    /// Where each of [`Judge::columns`] is among the level's columns; none is the id.
    pub columns: Vec<Option<usize>>,
}

/// One value of a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// The name it is sent under.
    pub name: String,
    /// Where it comes from.
    pub step: Step,
    /// What becomes of it.
    pub transforms: Vec<Transform>,
}

/// Where a value comes from, seen from a record of some level.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// The record's id.
    Id,
    /// This column of the record.
    Column(usize),
    /// The ids of the records of this level.
    Ids(usize),
    /// These values of each record of this level.
    Records(usize, Vec<Output>),
    /// What the step gives at the record of this level; of several records a list.
    Through(usize, Box<Step>),
}

impl Plan {
    /// Works out what to read for records of `model`; `context` says language and company.
    ///
    /// # Errors
    /// [`Error::is_usage`] with the path and the reason why it cannot be sent.
    pub fn new(selection: &Selection, model: &Model, registry: &Registry, context: &Context) -> Result<Self> {
        let languages = &registry.facts().languages;
        if !languages.is_empty() && !languages.contains(&context.lang) && context.lang != "en_US" {
            return Err(
                Error::usage(format!("language \"{}\" is not active in this database", context.lang)).with_hint(
                    format!(
                        "active are {}",
                        languages.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
                    ),
                ),
            );
        }
        let mut builder = Builder {
            registry,
            context,
            levels: vec![Level {
                model: model.name.clone(),
                via: Via::Event,
                columns: Vec::new(),
            }],
        };
        let outputs = builder.outputs(0, selection)?;
        Ok(Self {
            levels: builder.levels,
            outputs,
            lang: context.lang.clone(),
            company: context.company,
        })
    }

    /// The columns of the event's own model that must be captured in full. A file is not among them: it is read when it is sent.
    pub fn captured_columns(&self) -> BTreeSet<String> {
        let own = self.levels.first().map_or(&[][..], |level| &level.columns);
        own.iter().filter(|c| !c.is_file()).map(|c| c.name.clone()).collect()
    }
}

struct Builder<'a> {
    registry: &'a Registry,
    context: &'a Context,
    levels: Vec<Level>,
}

impl<'a> Builder<'a> {
    fn outputs(&mut self, level: usize, selection: &Selection) -> Result<Vec<Output>> {
        selection.items.iter().map(|item| self.output(level, item)).collect()
    }

    fn output(&mut self, level: usize, item: &Item) -> Result<Output> {
        let mut path = item.path.clone();
        path.reverse();
        let (step, mut shape) = self
            .step(level, path, item.records.as_ref(), 0)
            .map_err(|error| in_path(error, item))?;
        for transform in &item.transforms {
            shape = transform
                .shape(shape)
                .map_err(|what| in_path(Error::usage(what), item))?;
        }
        Ok(Output {
            name: item.name.clone(),
            step,
            transforms: item.transforms.clone(),
        })
    }

    fn model(&self, level: usize) -> Result<&'a Model> {
        let name = &self.levels[level].model;
        self.registry
            .model(name)
            .ok_or_else(|| Error::usage(format!("unknown model \"{name}\"")))
    }

    /// `path` is the rest of the way, the next field last.
    fn step(
        &mut self,
        level: usize,
        mut path: Vec<String>,
        records: Option<&Selection>,
        taken: usize,
    ) -> Result<(Step, Shape)> {
        let model = self.model(level)?;
        let single = |kind| Shape { kind, list: false };
        if taken > MOST_STEPS {
            return Err(Error::usage(format!("it leads more than {MOST_STEPS} relations deep")));
        }
        let Some(name) = path.pop() else {
            return Ok(match records {
                Some(_) => return Err(Error::usage("nothing has fields there")),
                None => (Step::Id, single(Kind::Number)),
            });
        };
        if name == "id" && path.is_empty() && records.is_none() {
            return Ok((Step::Id, single(Kind::Number)));
        }
        let field = known_field(model, &name)?;
        if let (false, Some(related)) = (field.stored, &field.related) {
            path.extend(related.iter().rev().cloned());
            return self.step(level, path, records, taken + 1);
        }
        if !field.kind.is_relational() {
            if !path.is_empty() || records.is_some() {
                return Err(Error::usage(format!(
                    "field \"{name}\" of \"{}\" is no relation: it has no fields of its own",
                    model.name
                )));
            }
            let column = self.column(level, model, field)?;
            return Ok((Step::Column(column), single(kind_of(field.kind))));
        }
        let ends_here = path.is_empty() && records.is_none();
        // One per company has no foreign key: Odoo reads an id whose record is gone as none.
        if field.kind == FieldType::Many2one && ends_here && !field.company_dependent {
            return Ok((Step::Column(self.column(level, model, field)?), single(Kind::Number)));
        }
        let next = self.follow(level, model, field)?;
        if let (true, Some(selection)) = (path.is_empty(), records) {
            let shape = Shape {
                kind: Kind::Other,
                list: true,
            };
            return Ok((Step::Records(next, self.outputs(next, selection)?), shape));
        }
        let is_many = field.kind != FieldType::Many2one;
        if ends_here && !is_many {
            return Ok((Step::Through(next, Box::new(Step::Id)), single(Kind::Number)));
        }
        if ends_here {
            return Ok((
                Step::Ids(next),
                Shape {
                    kind: Kind::Number,
                    list: true,
                },
            ));
        }
        let (step, shape) = self.step(next, path, records, taken + 1)?;
        let shape = Shape {
            list: shape.list || is_many,
            ..shape
        };
        Ok((Step::Through(next, Box::new(step)), shape))
    }

    /// The place of a field's column in a level.
    fn column(&mut self, level: usize, model: &Model, field: &Field) -> Result<usize> {
        let column = Column::of(field).ok_or_else(|| self.why_not(model, field))?;
        Ok(self.place(level, column))
    }

    fn place(&mut self, level: usize, column: Column) -> usize {
        let columns = &mut self.levels[level].columns;
        columns
            .iter()
            .position(|known| known.name == column.name)
            .unwrap_or_else(|| {
                columns.push(column);
                columns.len() - 1
            })
    }

    fn why_not(&self, model: &Model, field: &Field) -> Error {
        let (name, of) = (&field.name, &model.name);
        match field.kind {
            FieldType::Binary => Error::usage(format!(
                "field \"{name}\" of \"{of}\" is a file that Odoo keeps outside of its table, which is not sent"
            ))
            .with_hint("let the receiver fetch it from Odoo by the record's id"),
            FieldType::Properties | FieldType::PropertiesDefinition => Error::usage(format!(
                "field \"{name}\" of \"{of}\" holds properties, which are not sent"
            )),
            _ if field.stored => Error::usage(format!("field \"{name}\" of \"{of}\" has no column of its own")),
            _ => {
                let error = Error::usage(format!("field \"{name}\" of \"{of}\" is not stored in the database"));
                match self.registry.stored_dependencies(of, name) {
                    fields if fields.is_empty() => error.with_hint("send stored fields"),
                    fields => error.with_hint(format!("send what it is made from: {}", fields.join(", "))),
                }
            }
        }
    }

    /// The level that a relation leads to, made where it is not there yet.
    fn follow(&mut self, from: usize, model: &Model, field: &Field) -> Result<usize> {
        let comodel = field
            .relation
            .as_deref()
            .and_then(|name| self.registry.model(name))
            .filter(|comodel| comodel.table.name().is_some())
            .ok_or_else(|| {
                Error::usage(format!(
                    "field \"{}\" of \"{}\" leads to records that have no table",
                    field.name, model.name
                ))
            })?;
        let link = match field.kind {
            FieldType::Many2one => Some(self.column(from, model, field)?),
            _ => None,
        };
        let known = self.levels.iter().position(|level| match &level.via {
            Via::Event => false,
            Via::Link { from: other, column } => *other == from && Some(*column) == link,
            Via::Lines {
                from: other,
                field: name,
                ..
            } => *other == from && *name == field.name,
        });
        if let Some(known) = known {
            return Ok(known);
        }
        let level = self.levels.len();
        let via = match link {
            Some(column) => Via::Link { from, column },
            None => self.lines(from, model, field, comodel)?,
        };
        self.levels.push(Level {
            model: comodel.name.clone(),
            via,
            columns: Vec::new(),
        });
        self.add_filter(level, model, field)?;
        Ok(level)
    }

    fn lines(&self, from: usize, model: &Model, field: &Field, comodel: &Model) -> Result<Via> {
        let mut model_column = None;
        let can_be_read = match field.kind {
            FieldType::Many2many => field.link_table.is_some(),
            _ => {
                let inverse = field.inverse.as_deref().and_then(|name| comodel.field(name));
                let inverse = inverse.filter(|inverse| inverse.column.is_some() && !inverse.company_dependent);
                if inverse.is_some_and(|inverse| inverse.kind == FieldType::Many2oneReference) {
                    model_column = inverse
                        .and_then(|inverse| known::reference_model_field(&comodel.name, &inverse.name))
                        .map(str::to_owned);
                }
                inverse.is_some_and(|inverse| inverse.kind != FieldType::Many2oneReference) || model_column.is_some()
            }
        };
        if !(field.stored && can_be_read) {
            return Err(self.why_not(model, field));
        }
        Ok(Via::Lines {
            from,
            field: field.name.clone(),
            model_column,
            filter: None,
        })
    }

    /// Sees to it that an x2many field lists what Odoo lists.
    fn add_filter(&mut self, level: usize, model: &Model, field: &Field) -> Result<()> {
        if field.kind == FieldType::Many2one {
            return Ok(());
        }
        let shown = shown_by(model, field, self.registry, self.context).map_err(|error| {
            let refused = Error::usage(error.to_string());
            match error.hint_text() {
                Some(_) => refused.with_hint("`odoo-eventd registry pull` asks Odoo itself"),
                None => refused,
            }
        })?;
        let Some(domain) = shown else { return Ok(()) };
        if domain.reads_related() || !domain.inherited().is_empty() {
            return Err(Error::usage(format!(
                "field \"{}\" of \"{}\" lists records by what other records hold, which cannot be read for a payload",
                field.name, model.name
            )));
        }
        let comodel = self.model(level)?;
        let judge = Judge::new(&[(0, &domain)], self.registry)?;
        let mut columns = Vec::new();
        for column in judge.columns() {
            columns.push(match column.column.as_str() {
                "id" => None,
                name => {
                    let field = known_field(comodel, name)?;
                    let read = Column::of(field).ok_or_else(|| self.why_not(comodel, field))?;
                    Some(self.place(level, read))
                }
            });
        }
        if let Via::Lines { filter, .. } = &mut self.levels[level].via {
            *filter = Some(Filter {
                judge: Arc::new(judge),
                columns,
            });
        }
        Ok(())
    }
}

/// The field of that name, if it may be read.
fn known_field<'m>(model: &'m Model, name: &str) -> Result<&'m Field> {
    let Some(field) = model.field(name) else {
        let error = Error::usage(format!("model \"{}\" has no field \"{name}\"", model.name));
        return Err(match nearest(name, model.fields().map(|field| field.name.as_str())) {
            Some(near) => error.with_hint(format!("did you mean \"{near}\"?")),
            None => error.with_hint("fields are named as Odoo names them: partner_id, order_line"),
        });
    };
    if field.secret {
        return Err(Error::usage(format!(
            "field \"{name}\" of \"{}\" holds a secret and is never sent",
            model.name
        )));
    }
    Ok(field)
}

fn in_path(error: Error, item: &Item) -> Error {
    let path = item.path.join(".");
    let refused = Error::usage(format!(
        "payload: {path}: {}",
        error.chain().trim_start_matches("payload: ")
    ));
    match error.hint() {
        Some(hint) => refused.with_hint(hint.to_owned()),
        None => refused,
    }
}

fn kind_of(field: FieldType) -> Kind {
    match field {
        FieldType::Char
        | FieldType::Text
        | FieldType::Html
        | FieldType::Selection
        | FieldType::Reference
        | FieldType::Binary => Kind::Text,
        FieldType::Integer
        | FieldType::Float
        | FieldType::Monetary
        | FieldType::Many2oneReference
        | FieldType::Many2one => Kind::Number,
        FieldType::Boolean => Kind::Boolean,
        FieldType::Date | FieldType::Datetime => Kind::Moment,
        _ => Kind::Other,
    }
}
