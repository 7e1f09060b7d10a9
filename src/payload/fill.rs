//! Puts the values of records together, from what was captured of them and what was read of others.
//!
//! Pure: [`crate::worker::bodies`] reads what a [`Plan`] asks for into [`Loaded`].

use std::collections::{BTreeSet, HashMap};

use serde_json::Value;

use super::body::Values;
use super::plan::{Level, Output, Plan, Step, Via};
use crate::event::Change;

/// Columns of a record as text, in the order of its level.
pub type Row = Vec<Option<String>>;

/// A record of the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// Its id.
    pub id: i64,
    /// Who changed it.
    pub user_id: Option<i32>,
    /// Its columns: after the change, of an unlinked record before it. None where capture does not hold them all, and for records
    /// that are sent without a change: then they are read.
    pub captured: Option<Row>,
    /// It was unlinked: nothing leads from it any more.
    pub is_gone: bool,
    /// Of a write: its columns before, and which of them changed.
    pub before: Option<(Row, BTreeSet<usize>)>,
}

impl Subject {
    /// A record as a change tells it, for a plan of its model.
    pub fn of(change: &Change, plan: &Plan) -> Self {
        let columns = plan.levels.first().map_or(&[][..], |level| &level.columns);
        let places: Vec<Option<usize>> = columns.iter().map(|c| change.layout.index_of(&c.name)).collect();
        // A file is read when it is sent, so that its column may be missing.
        let holds_all = places
            .iter()
            .zip(columns)
            .all(|(place, column)| place.is_some() || column.is_file());
        let row = |image: &crate::event::Image| -> Row {
            let text = |place: &Option<usize>| place.and_then(|place| image.get(place).cloned().flatten());
            places.iter().map(text).collect()
        };
        let before = match (&change.old, &change.new) {
            (Some(old), Some(_)) => {
                let changed = |place: &Option<usize>| place.is_some_and(|place| change.changed.contains(&place));
                let changed = (0..places.len()).filter(|&column| changed(&places[column]));
                Some((row(old), changed.filter(|&column| !columns[column].is_file()).collect()))
            }
            _ => None,
        };
        let is_gone = change.new.is_none();
        Self {
            id: change.record_id,
            user_id: change.user_id,
            // Of an unlinked record what is captured is all there will ever be.
            captured: (holds_all || is_gone)
                .then(|| change.new.as_ref().or(change.old.as_ref()).map(row))
                .flatten(),
            is_gone,
            before,
        }
    }

    /// A record as it is now.
    pub fn now(id: i64) -> Self {
        Self {
            id,
            user_id: None,
            captured: None,
            is_gone: false,
            before: None,
        }
    }
}

/// What was read for a plan, level by level.
#[derive(Debug, Default)]
pub struct Loaded {
    /// In the order of [`Plan::levels`].
    pub levels: Vec<LoadedLevel>,
}

/// What was read of one model's records.
#[derive(Debug, Default)]
pub struct LoadedLevel {
    /// By id; a record that is not here is gone.
    pub rows: HashMap<i64, Row>,
    /// For an x2many field: the records it lists, by the id of the record that has the field.
    pub lines: HashMap<i64, Vec<i64>>,
}

/// Builds values from what was read.
#[derive(Debug, Clone, Copy)]
pub struct Filler<'a> {
    /// What is asked.
    pub plan: &'a Plan,
    /// What was read.
    pub loaded: &'a Loaded,
}

/// A record on the way along a path.
#[derive(Clone, Copy)]
struct At<'a> {
    id: i64,
    row: &'a Row,
    /// Unlinked.
    is_gone: bool,
}

impl Filler<'_> {
    /// The columns of a subject, completed by what was read. None for a record that is gone and was not captured.
    pub fn row_of(&self, subject: &Subject) -> Option<Row> {
        let read = self.loaded.levels.first().and_then(|level| level.rows.get(&subject.id));
        let Some(captured) = &subject.captured else {
            return read.cloned();
        };
        let mut row = captured.clone();
        for (index, column) in self.plan.levels[0].columns.iter().enumerate() {
            if column.is_file() {
                row[index] = read.and_then(|read| read.get(index).cloned().flatten());
            }
        }
        Some(row)
    }

    /// The values of a record, and of a write those before it of the fields that changed.
    pub fn values(&self, subject: &Subject) -> (Values, Option<Values>) {
        let row = self.row_of(subject);
        let nothing = vec![None; self.plan.levels[0].columns.len()];
        let at = At {
            id: subject.id,
            row: row.as_ref().unwrap_or(&nothing),
            // What was deleted since leads nowhere either, but nobody knows where it did.
            is_gone: subject.is_gone || row.is_none(),
        };
        let values = self.outputs(&self.plan.outputs, 0, at);
        let old = subject.before.as_ref().map(|(row, changed)| {
            let before = At { row, ..at };
            let outputs = self.plan.outputs.iter();
            let of_changed = outputs.filter(|o| self.root_column(&o.step).is_some_and(|c| changed.contains(&c)));
            Values(of_changed.map(|output| self.output(output, 0, before)).collect())
        });
        (values, old)
    }

    fn outputs(&self, outputs: &[Output], level: usize, at: At<'_>) -> Values {
        Values(outputs.iter().map(|output| self.output(output, level, at)).collect())
    }

    fn output(&self, output: &Output, level: usize, at: At<'_>) -> (String, Value) {
        let value = self.step(&output.step, level, at);
        let changed = output
            .transforms
            .iter()
            .fold(value, |value, transform| transform.apply(value));
        (output.name.clone(), changed)
    }

    fn step(&self, step: &Step, level: usize, at: At<'_>) -> Value {
        match step {
            Step::Id => at.id.into(),
            Step::Column(index) => {
                let column = &self.plan.levels[level].columns[*index];
                let text = at.row.get(*index).and_then(Option::as_deref);
                column.value(text, &self.plan.lang, self.plan.company)
            }
            Step::Ids(next) => self.related(*next, at).map_or(Value::Null, Value::from),
            Step::Records(next, outputs) => self.related(*next, at).map_or(Value::Null, |ids| {
                let records = ids.into_iter().filter_map(|id| self.at(*next, id));
                let object = |at| {
                    let Values(values) = self.outputs(outputs, *next, at);
                    Value::Object(values.into_iter().collect())
                };
                records.map(object).collect()
            }),
            Step::Through(next, step) => {
                let Some(ids) = self.related(*next, at) else {
                    return Value::Null;
                };
                let gives_list = self.gives_list(step);
                let mut values = ids
                    .into_iter()
                    .filter_map(|id| self.at(*next, id))
                    .map(|at| self.step(step, *next, at));
                if matches!(self.plan.levels[*next].via, Via::Link { .. }) {
                    let otherwise = if gives_list {
                        Value::Array(Vec::new())
                    } else {
                        Value::Null
                    };
                    return values.next().unwrap_or(otherwise);
                }
                if !gives_list {
                    return values.collect();
                }
                let items = values.flat_map(|value| match value {
                    Value::Array(items) => items,
                    other => vec![other],
                });
                items.collect()
            }
        }
    }

    fn at(&self, level: usize, id: i64) -> Option<At<'_>> {
        let row = self.loaded.levels.get(level)?.rows.get(&id)?;
        Some(At {
            id,
            row,
            is_gone: false,
        })
    }

    /// The records that a level's relation leads to from here; none where that cannot be known any more.
    fn related(&self, level: usize, at: At<'_>) -> Option<Vec<i64>> {
        match &self.plan.levels[level].via {
            Via::Link { .. } => {
                let id = linked(self.plan, level, at.row);
                Some(id.filter(|id| self.at(level, *id).is_some()).into_iter().collect())
            }
            Via::Lines { .. } if at.is_gone => None,
            Via::Lines { .. } => Some(
                self.loaded
                    .levels
                    .get(level)?
                    .lines
                    .get(&at.id)
                    .cloned()
                    .unwrap_or_default(),
            ),
            Via::Event => None,
        }
    }

    fn gives_list(&self, step: &Step) -> bool {
        match step {
            Step::Id | Step::Column(_) => false,
            Step::Ids(_) | Step::Records(..) => true,
            Step::Through(next, step) => {
                matches!(self.plan.levels[*next].via, Via::Lines { .. }) || self.gives_list(step)
            }
        }
    }

    /// The event's own column that a value begins at.
    fn root_column(&self, step: &Step) -> Option<usize> {
        match step {
            Step::Column(column) => Some(*column),
            Step::Records(next, _) | Step::Through(next, _) => match self.plan.levels[*next].via {
                Via::Link { from: 0, column } => Some(column),
                _ => None,
            },
            Step::Id | Step::Ids(_) => None,
        }
    }
}

/// The id in the many2one that a level is reached by, of a row of the level it is reached from.
pub fn linked(plan: &Plan, level: usize, row: &Row) -> Option<i64> {
    let Via::Link { from, column } = plan.levels.get(level)?.via else {
        return None;
    };
    let of: &Level = plan.levels.get(from)?;
    of.columns
        .get(column)?
        .id(row.get(column)?.as_deref(), &plan.lang, plan.company)
}
