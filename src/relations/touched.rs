//! Which records the rows of one transaction touched through other tables.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::watch::{Rule, Source, Watch};
use crate::event::{self, Change, RowChange};

/// What the subscriptions of a roster watch in other tables, by where it shows.
#[derive(Debug, Default)]
pub struct Derivations {
    all: Vec<Derivation>,
    by_source: HashMap<String, Vec<usize>>,
    relations: BTreeSet<String>,
}

/// A field, with its model, that somebody watches and that shows elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Derivation {
    /// The field's model.
    pub model: Arc<str>,
    /// Where it shows.
    pub watch: Watch,
}

impl Derivations {
    /// Each once, however many subscriptions watch it.
    pub fn new(watched: impl IntoIterator<Item = Derivation>) -> Self {
        let mut derivations = Self::default();
        let mut seen = HashSet::new();
        for derivation in watched {
            if !seen.insert(derivation.clone()) {
                continue;
            }
            let source = &derivation.watch.source;
            if let Source::Relation(name) = source {
                derivations.relations.insert(name.clone());
            }
            let places = derivations.by_source.entry(source.name().to_owned()).or_default();
            places.push(derivations.all.len());
            derivations.all.push(derivation);
        }
        derivations
    }

    /// All of them; their places are what [`Touched`] counts by.
    pub fn all(&self) -> &[Derivation] {
        &self.all
    }

    /// Whether this is the relation table of a watched field: its rows are links, not records.
    pub fn is_relation(&self, source: &str) -> bool {
        self.relations.contains(source)
    }

    /// Whether changes of this table change fields elsewhere.
    pub fn is_source(&self, source: &str) -> bool {
        self.by_source.contains_key(source)
    }

    fn of_source(&self, source: &str) -> impl Iterator<Item = (usize, &Derivation)> {
        let places = self.by_source.get(source).map_or(&[][..], Vec::as_slice);
        places.iter().map(|place| (*place, &self.all[*place]))
    }
}

/// The records that one transaction touched through other tables, by derivation.
#[derive(Debug, Default)]
pub struct Touched {
    records: BTreeMap<usize, BTreeSet<i64>>,
    /// Links that were added (more than removed) or removed, of each relation and direction.
    links: HashMap<usize, HashMap<(i64, i64), i32>>,
}

impl Touched {
    /// Takes rows of a relation table in.
    pub fn add_links(&mut self, rows: &[RowChange], derivations: &Derivations) {
        for row in rows {
            let (image, added) = match row.op.to_ascii_uppercase() {
                b'I' => (&row.new, 1),
                b'D' => (&row.old, -1),
                _ => continue,
            };
            let Some(image) = image else { continue };
            for (place, derivation) in derivations.of_source(&row.layout.model) {
                if let Rule::Link { own, other } = &derivation.watch.rule {
                    let id = |column| id_in(image, row.layout.index_of(column));
                    self.add_link(place, id(own), id(other), added);
                }
            }
        }
    }

    /// Takes changes of a model in, also those of which nothing came but that they were made.
    pub fn add_changes(&mut self, changes: &[Change], derivations: &Derivations) {
        for change in changes {
            for (place, derivation) in derivations.of_source(&change.layout.model) {
                match &derivation.watch.rule {
                    Rule::Column(column) => {
                        let index = change.layout.index_of(column);
                        if index.is_some_and(|index| change.changed.contains(&index)) {
                            self.add(place, change.record_id);
                        }
                    }
                    Rule::Child { inverse, of_model } => {
                        let parent = |image| parent_in(image, change, inverse, of_model.as_ref());
                        let (before, after) = (parent(&change.old), parent(&change.new));
                        if before != after {
                            for id in [before, after].into_iter().flatten() {
                                self.add(place, id);
                            }
                        }
                    }
                    Rule::Link { own, other } => {
                        let pair = |image: &Option<event::Image>| {
                            let image = image.as_ref()?;
                            let id = |column| id_in(image, change.layout.index_of(column));
                            Some((id(own), id(other)))
                        };
                        let (before, after) = (pair(&change.old), pair(&change.new));
                        if before != after {
                            for (pair, added) in [(before, -1), (after, 1)] {
                                // A row without one of the two links nothing.
                                if let Some((Some(own), Some(other))) = pair {
                                    self.add_link(place, Some(own), Some(other), added);
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn add(&mut self, place: usize, record: i64) {
        self.records.entry(place).or_default().insert(record);
    }

    /// The other side is not known where its column was dropped or renamed: then nothing can cancel the link.
    fn add_link(&mut self, place: usize, own: Option<i64>, other: Option<i64>, added: i32) {
        match (own, other) {
            (Some(own), Some(other)) => {
                let count = self.links.entry(place).or_default().entry((own, other)).or_default();
                *count += added;
            }
            (Some(own), None) => self.add(place, own),
            (None, _) => {}
        }
    }

    /// Nothing at all.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.links.is_empty()
    }

    /// Ends the transaction: the records of each derivation. A link that was added and removed again touched nobody.
    pub fn finish(mut self) -> BTreeMap<usize, BTreeSet<i64>> {
        for (place, links) in std::mem::take(&mut self.links) {
            for ((own, _), count) in links {
                if count != 0 {
                    self.add(place, own);
                }
            }
        }
        self.records
    }
}

fn id_in(image: &event::Image, index: Option<usize>) -> Option<i64> {
    image.get(index?)?.as_deref()?.parse().ok()
}

/// A parent's id; zero is what Odoo writes for none where the inverse is a bare number.
fn parent_in(
    image: &Option<event::Image>,
    change: &Change,
    inverse: &str,
    of_model: Option<&(String, String)>,
) -> Option<i64> {
    let image = image.as_ref()?;
    if let Some((column, model)) = of_model {
        let named = image.get(change.layout.index_of(column)?)?.as_deref();
        if named != Some(model) {
            return None;
        }
    }
    id_in(image, change.layout.index_of(inverse)).filter(|id| *id != 0)
}

/// The records of one transaction whose fields changed in other tables, by their own model: what [`Touched`] found, with the paths
/// followed to their ends.
#[derive(Debug, Default)]
pub struct AtHome(BTreeMap<Arc<str>, Vec<OfField>>);

/// The records whose field of that name changed elsewhere.
type OfField = (Arc<str>, BTreeSet<i64>);

/// Records and which of their fields changed elsewhere.
pub type ChangedElsewhere = BTreeMap<i64, Vec<Arc<str>>>;

impl AtHome {
    /// Sorts the records of each derivation by model and field.
    pub fn new(derivations: &Derivations, records: BTreeMap<usize, BTreeSet<i64>>) -> Self {
        let mut by_model: BTreeMap<Arc<str>, Vec<OfField>> = BTreeMap::new();
        for (place, records) in records {
            if let Some(derivation) = derivations.all.get(place)
                && !records.is_empty()
            {
                let of_model = by_model.entry(Arc::clone(&derivation.model)).or_default();
                of_model.push((Arc::clone(&derivation.watch.field), records));
            }
        }
        Self(by_model)
    }

    /// The models that have some.
    pub fn models(&self) -> Vec<Arc<str>> {
        self.0.keys().map(Arc::clone).collect()
    }

    /// Takes a model's records out, lowest first: those up to the id `upto`, but not more than `most`.
    pub fn take(&mut self, model: &str, upto: i64, most: usize) -> ChangedElsewhere {
        let mut taken = ChangedElsewhere::new();
        let Some(fields) = self.0.get_mut(model) else {
            return taken;
        };
        while taken.len() < most {
            let lowest = fields.iter().filter_map(|(_, records)| records.first().copied()).min();
            let Some(lowest) = lowest.filter(|lowest| *lowest <= upto) else {
                break;
            };
            let names = fields.iter_mut().filter_map(|(name, records)| {
                let is_among = records.first() == Some(&lowest);
                is_among.then(|| {
                    records.pop_first();
                    Arc::clone(name)
                })
            });
            taken.insert(lowest, names.collect());
        }
        fields.retain(|(_, records)| !records.is_empty());
        taken
    }
}

/// Gives a model's changes the fields that changed elsewhere, and returns the records of which nothing else is known.
///
/// A record that was created has all its values anyway, and one that was unlinked has none: to them nothing is added.
pub fn attach(changes: &mut [Change], model: &str, mut elsewhere: ChangedElsewhere) -> ChangedElsewhere {
    for change in changes.iter_mut().filter(|change| &*change.layout.model == model) {
        if let Some(mut fields) = elsewhere.remove(&change.record_id)
            && change.event_type == event::EventType::Write
        {
            // Two ways may lead to one field.
            fields.sort();
            fields.dedup();
            change.derived = fields;
        }
    }
    elsewhere
}
