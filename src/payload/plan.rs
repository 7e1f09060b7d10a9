//! What a [`Selection`] means on a database: which columns of which models are read, and how the values are put together.
//!
//! A [`Plan`] is a list of [`Level`]s. The first is the records of the event; each other is reached from an earlier one through one
//! relation, and is read once for a whole batch of events, however many paths lead through it: the number of statements depends on
//! the paths alone.
//!
//! A related field repeats the field at the end of its path, at the *first* record of each relation on the way, as Odoo computes it
//! (`_compute_related`, 16 to 19); a path that a user writes through an x2many field gives a list.
//!
//! What cannot be sent exactly is refused: fields that are not stored (unless they repeat a stored one, as inherited ones do),
//! secrets at any place of a path, files that are kept as attachments, properties, and x2many fields of which nobody knows whether they
//! list all records.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::build::build;
use super::path::Selection;
use super::transform::Transform;
use super::value::Column;
use crate::Result;
use crate::domain::check::Context;
use crate::domain::check::TypedDomain;
use crate::domain::image::ImageColumn;
use crate::odoo::registry::{Model, Registry};
use crate::relations::{Rule, Watch};

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
        /// Archived records are listed too: the field's own context says so.
        with_archived: bool,
        /// Only those are listed that satisfy the field's own domain; its columns are among the level's.
        filter: Option<Filter>,
    },
}

/// The domain in an x2many field's own declaration.
#[derive(Debug, Clone)]
pub struct Filter {
    /// The domain.
    pub domain: Arc<TypedDomain>,
    /// The columns it looks at.
    pub images: Vec<ImageColumn>,
    /// Where each of them is among the level's columns; none is the id.
    pub columns: Vec<Option<usize>>,
}

/// What is sent of a parent of `_inherits` and watched: where the parent changed in the event, its values are known from there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inherited {
    /// The parent's level.
    pub level: usize,
    /// The column that leads to the parent.
    pub link: String,
    /// The parent's model.
    pub parent: String,
    /// The places of its watched columns in the level.
    pub columns: Vec<usize>,
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
    /// What the step gives at the first record of this level, or this where there is none: the way of a related field.
    First(usize, Box<Step>, Value),
}

impl Plan {
    /// Works out what to read for records of `model`; `context` says language and company.
    ///
    /// # Errors
    /// [`crate::Error::is_usage`] with the path and the reason why it cannot be sent.
    pub fn new(selection: &Selection, model: &Model, registry: &Registry, context: &Context) -> Result<Self> {
        let (levels, outputs) = build(selection, model, registry, context)?;
        Ok(Self {
            levels,
            outputs,
            lang: context.lang.clone(),
            company: context.company,
        })
    }

    /// What is sent of the parents of `_inherits`, as far as `watched` has it captured.
    pub fn inherited(&self, model: &Model, watched: &[Watch]) -> Vec<Inherited> {
        let of_level = |(number, level): (usize, &Level)| {
            let Via::Link { from: 0, column } = level.via else {
                return None;
            };
            let link = &self.levels[0].columns[column].name;
            if !model
                .inherits
                .iter()
                .any(|i| i.link == *link && i.parent == level.model)
            {
                return None;
            }
            let is_watched = |name: &str| {
                let of_parent = |watch: &Watch| matches!(watch.path.as_slice(), [step] if step.link == *link);
                let mut watched = watched.iter().filter(|watch| of_parent(watch));
                watched.any(|watch| matches!(&watch.rule, Rule::Column(column) if column == name))
            };
            let columns = level.columns.iter().enumerate();
            let columns: Vec<usize> = columns
                .filter(|(_, column)| !column.is_read_late() && is_watched(&column.name))
                .map(|(place, _)| place)
                .collect();
            (!columns.is_empty()).then(|| Inherited {
                level: number,
                link: link.clone(),
                parent: level.model.clone(),
                columns,
            })
        };
        self.levels.iter().enumerate().filter_map(of_level).collect()
    }

    /// The other models of which more is sent than ids.
    pub fn sent_models(&self) -> BTreeSet<&str> {
        let mut sent = BTreeSet::new();
        for output in &self.outputs {
            self.add_sent_models(&output.step, &mut sent);
        }
        sent
    }

    fn add_sent_models<'a>(&'a self, step: &Step, sent: &mut BTreeSet<&'a str>) {
        match step {
            Step::Id | Step::Column(_) | Step::Ids(_) => {}
            Step::Records(level, outputs) => {
                for output in outputs {
                    self.add_sent_at(*level, &output.step, sent);
                }
            }
            Step::Through(level, step) | Step::First(level, step, _) => self.add_sent_at(*level, step, sent),
        }
    }

    fn add_sent_at<'a>(&'a self, level: usize, step: &Step, sent: &mut BTreeSet<&'a str>) {
        if *step != Step::Id {
            sent.insert(&self.levels[level].model);
            self.add_sent_models(step, sent);
        }
    }

    /// The columns of the event's own model that must be captured in full. Those that are read when they are sent are not among them.
    pub fn captured_columns(&self) -> BTreeSet<String> {
        let own = self.levels.first().map_or(&[][..], |level| &level.columns);
        own.iter()
            .filter(|c| !c.is_read_late())
            .map(|c| c.name.clone())
            .collect()
    }
}
