//! Works a [`Selection`] out against Odoo's metadata: each field of each path is looked up, and what cannot be sent is refused.

use std::sync::Arc;

use serde_json::Value;

use super::path::{Item, Selection};
use super::plan::{Filter, Level, Output, Step, Via};
use super::transform::{Kind, Shape};
use super::value::Column;
use crate::domain::check::{BEYOND, BEYOND_HINT, Context, shown_by};
use crate::domain::image::image_columns;
use crate::odoo::known;
use crate::odoo::nearest::nearest;
use crate::odoo::registry::{Field, FieldType, Model, Registry};
use crate::{Error, Result};

/// How many steps one path may take, those of related fields counted.
const MOST_STEPS: usize = 24;

/// The levels that a selection on records of `model` reads, and the values made of them.
pub(super) fn build(
    selection: &Selection,
    model: &Model,
    registry: &Registry,
    context: &Context,
) -> Result<(Vec<Level>, Vec<Output>)> {
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
    Ok((builder.levels, outputs))
}

/// A field of a path.
#[derive(Debug, Clone)]
struct Hop {
    name: String,
    way: Way,
}

/// How a field came into a path.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// It was asked for.
    Written,
    /// A related field leads through it: to the first of its records. `to_end`: what that field repeats is all that is asked for.
    Repeated { to_end: bool },
}

impl Hop {
    fn written(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            way: Way::Written,
        }
    }

    /// The path of a related field in place of the field, the next one last. `is_end`: nothing comes after the field. `leads_on`: the
    /// path's end is but a relation to go through, to its first record.
    fn repeated(&self, path: &[String], is_end: bool, leads_on: bool) -> Vec<Self> {
        // Of a related field on the way of another what follows is asked for at its end.
        let to_end = match self.way {
            Way::Repeated { to_end } => to_end,
            Way::Written => is_end,
        };
        let last = path.len().saturating_sub(1);
        let way = |place| {
            if place == last && !leads_on {
                self.way
            } else {
                Way::Repeated { to_end }
            }
        };
        let hops = path.iter().enumerate().rev();
        hops.map(|(place, name)| Self {
            name: name.clone(),
            way: way(place),
        })
        .collect()
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
        let path: Vec<Hop> = item.path.iter().rev().map(|name| Hop::written(name)).collect();
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
        mut path: Vec<Hop>,
        records: Option<&Selection>,
        taken: usize,
    ) -> Result<(Step, Shape)> {
        let model = self.model(level)?;
        let single = |kind| Shape { kind, list: false };
        if taken > MOST_STEPS {
            return Err(Error::usage(format!("it leads more than {MOST_STEPS} relations deep")));
        }
        let Some(hop) = path.pop() else {
            return Ok(match records {
                Some(_) => return Err(Error::usage("nothing has fields there")),
                None => (Step::Id, single(Kind::Number)),
            });
        };
        let name = hop.name.as_str();
        if name == "id" && path.is_empty() && records.is_none() {
            return Ok((Step::Id, single(Kind::Number)));
        }
        let field = known_field(model, name)?;
        if let Some(shown) = shown_path(model, field) {
            let is_end = path.is_empty() && records.is_none();
            // A record's id is no way to its fields.
            let through = shown.strip_suffix(&["id".to_owned()]).filter(|_| !is_end);
            path.extend(hop.repeated(through.unwrap_or(&shown), is_end, through.is_some()));
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
        let is_id = ends_here || records.is_none() && matches!(path.as_slice(), [last] if last.name == "id");
        if !is_id {
            self.enter(field)?;
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
        if let Way::Repeated { to_end } = hop.way {
            let otherwise = match shape.list {
                true => Value::Array(Vec::new()),
                false if to_end => self.empty(next, &step),
                false => Value::Null,
            };
            return Ok((Step::First(next, Box::new(step), otherwise), shape));
        }
        let shape = Shape {
            list: shape.list || is_many,
            ..shape
        };
        Ok((Step::Through(next, Box::new(step)), shape))
    }

    /// Refuses to go on into a model whose records may not be read, before anything is looked up there.
    fn enter(&self, field: &Field) -> Result<()> {
        match &field.relation {
            Some(comodel) if !self.context.may_read(comodel) => Err(Error::usage(BEYOND).with_hint(BEYOND_HINT)),
            _ => Ok(()),
        }
    }

    /// What Odoo shows where the way to a value ends early: false and 0 of booleans and numbers.
    fn empty(&self, level: usize, step: &Step) -> Value {
        match step {
            Step::Column(column) => self.levels[level].columns[*column].empty(),
            Step::First(_, _, otherwise) => otherwise.clone(),
            _ => Value::Null,
        }
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

    /// What a field that is not stored is made from; what lies behind the wall is no advice.
    fn stored_dependencies(&self, model: &str, field: &str) -> Vec<String> {
        let mut paths = self.registry.stored_dependencies(model, field);
        paths.retain(|path| self.context.models.is_none() || !path.contains('.'));
        paths
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
                match self.stored_dependencies(of, name) {
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
            with_archived: self.registry.lists_archived(&model.name, &field.name),
            filter: None,
        })
    }

    /// Sees to it that an x2many field lists what Odoo lists.
    fn add_filter(&mut self, level: usize, model: &Model, field: &Field) -> Result<()> {
        if field.kind == FieldType::Many2one {
            return Ok(());
        }
        // Which records a field lists is the model's own, whatever it depends on.
        let of_field = Context {
            models: None,
            ..self.context.clone()
        };
        let shown = shown_by(model, field, self.registry, &of_field).map_err(|error| {
            if self.context.models.is_some() {
                return Error::usage(format!(
                    "which records field \"{}\" of \"{}\" lists cannot be read from the database",
                    field.name, model.name
                ));
            }
            let refused = Error::usage(error.to_string());
            match error.hint_text() {
                Some(_) => refused.with_hint("`odoo-eventd registry pull` asks Odoo itself"),
                None => refused,
            }
        })?;
        let Some(domain) = shown else { return Ok(()) };
        if !domain.inherited().is_empty() {
            return Err(Error::usage(format!(
                "field \"{}\" of \"{}\" lists records by what they inherit, which cannot be read for a payload",
                field.name, model.name
            )));
        }
        let comodel = self.model(level)?;
        let images = image_columns(&[&domain], self.registry)?;
        let mut columns = Vec::new();
        for column in &images {
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
                domain: Arc::new(domain),
                images,
                columns,
            });
        }
        Ok(())
    }
}

/// The path that a field without a place of its own repeats.
fn shown_path(model: &Model, field: &Field) -> Option<Vec<String>> {
    if field.stored {
        return None;
    }
    let known = || {
        let path = known::shows_first(&model.name, &field.name)?;
        Some(path.split('.').map(str::to_owned).collect())
    };
    field.related.clone().or_else(known)
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
