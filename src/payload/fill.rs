//! Puts the values of records together, from what was captured of them and what was read of others.
//!
//! Pure: [`crate::worker::dispatch::payload_loader`] reads what a [`Plan`] asks for into [`Loaded`].

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::Value;

use super::body::Values;
use super::plan::{Inherited, Level, Output, Plan, Step, Via};
use super::value::Column;
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
    /// Capture has not kept all that is sent of it: a value was too long. What is in the table now may be another.
    pub is_cut: bool,
    /// Of a write: its columns before, and which of them changed.
    pub before: Option<(Row, BTreeSet<usize>)>,
    /// What it inherits, where that changed in the event too.
    pub parents: FromParents,
}

/// What a record inherits from parents that changed in the same event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FromParents {
    /// Before.
    pub before: Vec<OfParent>,
    /// After; of an unlinked record before.
    pub after: Vec<OfParent>,
    /// What changed: a level, and a place among its columns.
    pub changed: BTreeSet<(usize, usize)>,
}

/// A parent as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfParent {
    /// Its level.
    pub level: usize,
    /// Its id.
    pub id: i64,
    /// Its columns, as far as they are known.
    pub row: Row,
    /// Which those are.
    pub known: BTreeSet<usize>,
}

/// The changes of one transaction to records that others inherit from.
#[derive(Debug, Default)]
pub struct Parents<'a>(HashMap<(&'a str, i64), &'a Change>);

impl<'a> Parents<'a> {
    /// Those among the changes that are of these models.
    pub fn of(models: &HashSet<String>, changes: impl Iterator<Item = &'a Change>) -> Self {
        if models.is_empty() {
            return Self::default();
        }
        let of_models = changes.filter(|change| models.contains(&*change.layout.model));
        Self(
            of_models
                .map(|change| ((&*change.layout.model, change.record_id), change))
                .collect(),
        )
    }
}

impl FromParents {
    fn of(change: &Change, plan: &Plan, inherited: &[Inherited], parents: &Parents<'_>) -> Self {
        let mut found = Self::default();
        for inherited in inherited {
            let link = change.layout.index_of(&inherited.link);
            let parent_of = |image: Option<&crate::event::Image>| {
                let id: i64 = image?.get(link?)?.as_deref()?.parse().ok()?;
                parents.0.get(&(inherited.parent.as_str(), id)).copied()
            };
            let before = parent_of(change.old.as_ref());
            let after = parent_of(change.new.as_ref().or(change.old.as_ref()));
            // A parent that was made or unlinked in the event has one image only.
            let old_of =
                |parent: &Change| OfParent::of(parent, parent.old.as_ref().or(parent.new.as_ref()), plan, inherited);
            let new_of =
                |parent: &Change| OfParent::of(parent, parent.new.as_ref().or(parent.old.as_ref()), plan, inherited);
            let (before_of, after_of) = match &change.new {
                Some(_) => (before.map(old_of), after.map(new_of)),
                None => (None, after.map(old_of)),
            };
            if let (Some(parent), Some(was), Some(is)) = (before, &before_of, &after_of)
                && was.id == is.id
            {
                let columns = &plan.levels[inherited.level].columns;
                let is_changed = |place: &usize| {
                    let index = parent.layout.index_of(&columns[*place].name);
                    index.is_some_and(|index| parent.changed.contains(&index))
                };
                let changed = was.known.iter().copied().filter(is_changed);
                found.changed.extend(changed.map(|place| (inherited.level, place)));
            }
            found.before.extend(before_of);
            found.after.extend(after_of);
        }
        found
    }
}

impl OfParent {
    fn of(parent: &Change, image: Option<&crate::event::Image>, plan: &Plan, inherited: &Inherited) -> Self {
        let columns = &plan.levels[inherited.level].columns;
        let mut row: Row = vec![None; columns.len()];
        let mut known = BTreeSet::new();
        for &place in &inherited.columns {
            let value = image.zip(parent.layout.index_of(&columns[place].name));
            // Of a text that was too long to be kept nothing is known.
            if let Some((image, index)) = value
                && let Some(value) = image.get(index)
                && !image.is_unknown(index)
            {
                row[place].clone_from(value);
                known.insert(place);
            }
        }
        Self {
            level: inherited.level,
            id: parent.record_id,
            row,
            known,
        }
    }

    /// With what was read of the rest.
    fn completed(&self, loaded: &Loaded) -> Self {
        let mut completed = self.clone();
        let read = loaded.levels.get(self.level).and_then(|level| level.rows.get(&self.id));
        for (place, value) in read.into_iter().flatten().enumerate() {
            if !self.known.contains(&place) {
                completed.row[place].clone_from(value);
            }
        }
        completed
    }
}

impl Subject {
    /// A record as a change tells it, for a plan of its model; `inherited` is what the event can tell of its parents, which are among `parents`.
    pub fn of(change: &Change, plan: &Plan, inherited: &[Inherited], parents: &Parents<'_>) -> Self {
        let columns = plan.levels.first().map_or(&[][..], |level| &level.columns);
        let places: Vec<Option<usize>> = columns.iter().map(|c| change.layout.index_of(&c.name)).collect();
        // What is read when it is sent may be missing.
        let holds_all = places
            .iter()
            .zip(columns)
            .all(|(place, column)| place.is_some() || column.is_read_late());
        let row = |image: &crate::event::Image| -> Row {
            let text = |place: &Option<usize>| place.and_then(|place| image.get(place).cloned().flatten());
            places.iter().map(text).collect()
        };
        let before = match (&change.old, &change.new) {
            (Some(old), Some(_)) => {
                let changed = |place: &Option<usize>| place.is_some_and(|place| change.changed.contains(&place));
                let changed = (0..places.len()).filter(|&column| changed(&places[column]));
                Some((
                    row(old),
                    changed.filter(|&column| !columns[column].is_read_late()).collect(),
                ))
            }
            _ => None,
        };
        let is_gone = change.new.is_none();
        let images = || [&change.old, &change.new].into_iter().flatten();
        let is_cut = places.iter().zip(columns).any(|(place, column)| {
            !column.is_read_late() && place.is_some_and(|place| images().any(|image| image.is_unknown(place)))
        });
        Self {
            id: change.record_id,
            user_id: change.user_id,
            // Of an unlinked record what is captured is all there will ever be.
            captured: (holds_all || is_gone)
                .then(|| change.new.as_ref().or(change.old.as_ref()).map(row))
                .flatten(),
            is_gone,
            is_cut,
            before,
            parents: FromParents::of(change, plan, inherited, parents),
        }
    }

    /// A record as it is now.
    pub fn now(id: i64) -> Self {
        Self {
            id,
            user_id: None,
            captured: None,
            is_gone: false,
            is_cut: false,
            before: None,
            parents: FromParents::default(),
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
    /// Of the event's own: the parents that it inherits from, where they are known from the event.
    parents: &'a [OfParent],
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
            if column.is_read_late() {
                row[index] = read.and_then(|read| read.get(index).cloned().flatten());
            }
        }
        Some(row)
    }

    /// The values of a record, and of a write those before it of the fields that changed.
    pub fn values(&self, subject: &Subject) -> (Values, Option<Values>) {
        let row = self.row_of(subject);
        let nothing = vec![None; self.plan.levels[0].columns.len()];
        let completed = |parents: &[OfParent]| -> Vec<OfParent> {
            parents.iter().map(|parent| parent.completed(self.loaded)).collect()
        };
        let parents = &subject.parents;
        let (parents_before, parents_after) = (completed(&parents.before), completed(&parents.after));
        let at = At {
            id: subject.id,
            row: row.as_ref().unwrap_or(&nothing),
            // What was deleted since leads nowhere either, but nobody knows where it did.
            is_gone: subject.is_gone || row.is_none(),
            parents: &parents_after,
        };
        let values = self.outputs(&self.plan.outputs, 0, at);
        let old = subject.before.as_ref().map(|(row, changed)| {
            let before = At {
                row,
                parents: &parents_before,
                ..at
            };
            let outputs = self.plan.outputs.iter();
            let of_changed = outputs.filter(|o| {
                self.root_column(&o.step).is_some_and(|c| changed.contains(&c))
                    || self
                        .inherited_column(&o.step)
                        .is_some_and(|c| parents.changed.contains(&c))
            });
            Values(of_changed.map(|output| self.output(output, 0, before)).collect())
        });
        (values, old)
    }

    /// Takes out of `old` what is told as in `values`, because it changed in another language or company than those that are told.
    pub fn drop_same(&self, subject: &Subject, values: &Values, old: &mut Values) {
        let has_changed = |column: usize| {
            subject
                .before
                .as_ref()
                .is_some_and(|(_, changed)| changed.contains(&column))
        };
        let column = |step: &Step| match step {
            Step::Column(column) => self.plan.levels[0].columns.get(*column),
            // It leads to another record now: what it led to before is told.
            step if self.root_column(step).is_some_and(has_changed) => None,
            step => {
                let (level, column) = self.inherited_column(step)?;
                self.plan.levels[level].columns.get(column)
            }
        };
        let shared: HashSet<&str> = self
            .plan
            .outputs
            .iter()
            .filter(|output| column(&output.step).is_some_and(Column::is_shared))
            .map(|output| output.name.as_str())
            .collect();
        old.0
            .retain(|told| !shared.contains(told.0.as_str()) || !values.0.contains(told));
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
                let records = ids.into_iter().filter_map(|id| self.at(*next, id, at.parents));
                let object = |at| {
                    let Values(values) = self.outputs(outputs, *next, at);
                    Value::Object(values.into_iter().collect())
                };
                records.map(object).collect()
            }),
            Step::First(next, step, otherwise) => {
                let Some(ids) = self.related(*next, at) else {
                    return Value::Null;
                };
                let mut records = ids.into_iter().filter_map(|id| self.at(*next, id, at.parents));
                records
                    .next()
                    .map_or_else(|| otherwise.clone(), |at| self.step(step, *next, at))
            }
            Step::Through(next, step) => {
                let Some(ids) = self.related(*next, at) else {
                    return Value::Null;
                };
                let gives_list = self.gives_list(step);
                let mut values = ids
                    .into_iter()
                    .filter_map(|id| self.at(*next, id, at.parents))
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

    fn at<'s>(&'s self, level: usize, id: i64, parents: &'s [OfParent]) -> Option<At<'s>> {
        let parent = parents.iter().find(|parent| (parent.level, parent.id) == (level, id));
        let row = match parent {
            Some(parent) => &parent.row,
            None => self.loaded.levels.get(level)?.rows.get(&id)?,
        };
        Some(At {
            id,
            row,
            is_gone: false,
            parents: &[],
        })
    }

    /// The records that a level's relation leads to from here; none where that cannot be known any more.
    fn related(&self, level: usize, at: At<'_>) -> Option<Vec<i64>> {
        match &self.plan.levels[level].via {
            Via::Link { .. } => {
                let id = linked(self.plan, level, at.row);
                Some(
                    id.filter(|id| self.at(level, *id, at.parents).is_some())
                        .into_iter()
                        .collect(),
                )
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
            Step::First(_, step, _) => self.gives_list(step),
            Step::Through(next, step) => {
                matches!(self.plan.levels[*next].via, Via::Lines { .. }) || self.gives_list(step)
            }
        }
    }

    /// The event's own column that a value begins at.
    fn root_column(&self, step: &Step) -> Option<usize> {
        match step {
            Step::Column(column) => Some(*column),
            Step::Records(next, _) | Step::Through(next, _) | Step::First(next, ..) => {
                match self.plan.levels[*next].via {
                    Via::Link { from: 0, column } => Some(column),
                    _ => None,
                }
            }
            Step::Id | Step::Ids(_) => None,
        }
    }

    /// The column of a record that the event's own leads to, at which a value begins there.
    fn inherited_column(&self, step: &Step) -> Option<(usize, usize)> {
        let (Step::Through(parent, step) | Step::First(parent, step, _)) = step else {
            return None;
        };
        match (&self.plan.levels[*parent].via, &**step) {
            (Via::Link { from: 0, .. }, Step::Column(column)) => Some((*parent, *column)),
            (Via::Link { from: 0, .. }, Step::Records(next, _) | Step::Through(next, _) | Step::First(next, ..)) => {
                match self.plan.levels[*next].via {
                    Via::Link { from, column } if from == *parent => Some((from, column)),
                    _ => None,
                }
            }
            _ => None,
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
