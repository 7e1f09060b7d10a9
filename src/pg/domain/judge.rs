//! Many domains of one model over captured rows, in one statement.
//!
//! A captured row (an *image*) has the record's own columns as they were in the event, and those inherited through
//! `_inherits`; related records are read as they are now. Images come as text, column by column, the way PostgreSQL prints the
//! values, and are cast back to the columns' own types, so that a comparison means what it means on the table. Before and
//! after of a write are simply two images.
//!
//! Equal domains are judged once, and the statement's text depends only on the subscriptions: prepare it once and run it
//! for every batch. Sessions that run it should have `jit = off`: compiling a thousand comparisons costs more than they do.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio_postgres::types::Type;

use super::params::Params;
use super::sql::{self, Row, quote};
use crate::domain::check::TypedDomain;
use crate::domain::image::{ImageColumn, image_columns};
use crate::error::Result;
use crate::odoo::registry::Registry;

/// Distinct domains in one statement: below PostgreSQL's limit of 65,535 parameters for any domain people write, and few
/// enough to plan in a blink.
const DOMAINS_PER_STATEMENT: usize = 2000;

/// A statement of so few domains is small: the next change may put it together with others.
const SMALL_STATEMENT: usize = 64;

/// So many small ones, or more than are needed, stand beside each other at most: each is a round trip for every batch.
const MOST_SMALL_STATEMENTS: usize = 8;

/// The domains of all subscriptions of one model, ready to be asked.
#[derive(Debug)]
pub struct Judge {
    columns: Vec<ImageColumn>,
    chunks: Vec<Arc<Chunk>>,
}

/// One statement's worth of domains.
///
/// Its parameters are one text array for each of [`Judge::columns`], then the domains' own values. A row of its result is the number
/// of an image, from 1, and the places of the domains that it satisfies.
#[derive(Debug)]
pub struct Chunk {
    sql: Arc<str>,
    params: Arc<Params>,
    reads_related: bool,
    /// The subscriptions of each distinct domain, by its place in the statement.
    subscriptions: Vec<Vec<i64>>,
}

/// Images of one model: for each of [`Judge::columns`], the value in every image as text.
pub type ImageColumns = Vec<Vec<Option<String>>>;

impl Judge {
    /// Puts domains of one model together; each comes with its subscription's id.
    ///
    /// # Errors
    /// The domains are of different models, or the registry they were checked against is not this one.
    pub fn new(domains: &[(i64, &TypedDomain)], registry: &Registry) -> Result<Self> {
        let columns = image_columns(&apart(domains), registry)?;
        let chunks = chunks_of(domains, &columns);
        Ok(Self { columns, chunks })
    }

    /// One domain alone, whose images have these columns.
    pub fn of_one(domain: &TypedDomain, columns: Vec<ImageColumn>) -> Self {
        let chunks = chunks_of(&[(0, domain)], &columns);
        Self { columns, chunks }
    }

    /// The same without the domains of subscriptions that are `gone`, and with those of `new` ones, `all` being what there is then. What has
    /// not changed keeps its statements: making thousands of domains one, and having PostgreSQL read that, takes seconds. `None` when it
    /// is time to put all of them together anew.
    ///
    /// # Errors
    /// As [`Judge::new`].
    pub fn changed(
        &self,
        gone: &HashSet<i64>,
        new: &[(i64, &TypedDomain)],
        all: &HashMap<i64, &TypedDomain>,
        registry: &Registry,
    ) -> Result<Option<Self>> {
        let needed = image_columns(&apart(new), registry)?;
        let is_same_model = match (new.first(), all.values().next()) {
            (Some((_, new)), Some(known)) => new.model() == known.model(),
            _ => true,
        };
        if !is_same_model || needed.iter().any(|column| !self.columns.contains(column)) {
            return Ok(None);
        }
        let mut chunks = Vec::with_capacity(self.chunks.len() + 1);
        for chunk in &self.chunks {
            let kept = if chunk.subscriptions.iter().flatten().any(|id| gone.contains(id)) {
                Arc::new(chunk.without(gone))
            } else {
                Arc::clone(chunk)
            };
            let live = kept.live();
            if kept.subscriptions.len() > SMALL_STATEMENT && live * 2 < kept.subscriptions.len() {
                return Ok(None);
            }
            if live > 0 {
                chunks.push(kept);
            }
        }
        let is_small = |chunk: &Arc<Chunk>| chunk.subscriptions.len() <= SMALL_STATEMENT;
        let mut apart = new.to_vec();
        if chunks.iter().filter(|chunk| is_small(chunk)).count() >= MOST_SMALL_STATEMENTS {
            let small = chunks.extract_if(.., |chunk| is_small(chunk));
            let ids: Vec<i64> = small.flat_map(|chunk| chunk.subscriptions.concat()).collect();
            apart.extend(ids.into_iter().filter_map(|id| Some((id, *all.get(&id)?))));
        }
        chunks.extend(chunks_of(&apart, &self.columns));
        if chunks.len() > all.len().div_ceil(DOMAINS_PER_STATEMENT) + MOST_SMALL_STATEMENTS {
            return Ok(None);
        }
        let columns = self.columns.clone();
        Ok(Some(Self { columns, chunks }))
    }

    /// The columns an image must have, in the order they are passed.
    pub fn columns(&self) -> &[ImageColumn] {
        &self.columns
    }

    /// The statements to run; one, but for thousands of different domains.
    pub fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        self.chunks.iter().map(AsRef::as_ref)
    }

    /// The types of a chunk's parameters: the images' arrays, then the domains' own values.
    pub fn parameter_types(&self, chunk: &Chunk) -> Vec<Type> {
        let mut types = vec![Type::TEXT_ARRAY; self.columns.len()];
        types.extend(chunk.params.types());
        types
    }
}

impl Chunk {
    /// The statement.
    pub fn sql(&self) -> &str {
        &self.sql
    }

    /// The domains' own values.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// Whether it reads tables of Odoo's, and not the images alone.
    pub fn reads_related(&self) -> bool {
        self.reads_related
    }

    /// Whose domain is at a place.
    pub fn subscriptions_at(&self, place: i32) -> &[i64] {
        let place = usize::try_from(place).ok();
        place
            .and_then(|place| self.subscriptions.get(place))
            .map_or(&[], Vec::as_slice)
    }

    /// Whose domains are asked for nobody any more stay in the statement.
    fn without(&self, gone: &HashSet<i64>) -> Self {
        let left = |ids: &Vec<i64>| ids.iter().filter(|id| !gone.contains(id)).copied().collect();
        Self {
            sql: Arc::clone(&self.sql),
            params: Arc::clone(&self.params),
            reads_related: self.reads_related,
            subscriptions: self.subscriptions.iter().map(left).collect(),
        }
    }

    /// How many of its domains somebody has.
    fn live(&self) -> usize {
        self.subscriptions.iter().filter(|ids| !ids.is_empty()).count()
    }

    fn new(domains: &[(&TypedDomain, Vec<i64>)], columns: &[ImageColumn]) -> Self {
        // The images' arrays come first, so the domains' own values are numbered after them.
        let mut params = Params::starting_after(columns.len());
        let cases: Vec<String> = domains
            .iter()
            .enumerate()
            .map(|(place, (domain, _))| {
                let condition = sql::compile(domain, "image", &mut params, Row::Image);
                format!("case when {condition} then {place} end")
            })
            .collect();
        let arrays: Vec<String> = (1..=columns.len())
            .map(|number| format!("pg_catalog.unnest(${number}::pg_catalog.text[])"))
            .collect();
        let names: Vec<String> = (1..=columns.len()).map(|number| format!("c{number}")).collect();
        let casts: Vec<String> = columns
            .iter()
            .zip(&names)
            .map(|(column, name)| {
                format!(
                    "given.{name}::{} as {}",
                    sql::catalogue_type(&column.type_name),
                    quote(&column.name)
                )
            })
            .collect();
        // OFFSET 0 keeps the casts here: each value is read once, not once in every domain that looks at it.
        let sql = format!(
            "select image.ordinality, pg_catalog.array_remove(array[{}]::integer[], null) from (select given.ordinality, {} from \
             rows from ({}) with ordinality given ({}, ordinality) offset 0) image",
            cases.join(", "),
            casts.join(", "),
            arrays.join(", "),
            names.join(", "),
        );
        Self {
            sql: sql.into(),
            params: Arc::new(params),
            reads_related: domains.iter().any(|(domain, _)| domain.reads_related()),
            subscriptions: domains.iter().map(|(_, subscriptions)| subscriptions.clone()).collect(),
        }
    }
}

fn apart<'d>(domains: &[(i64, &'d TypedDomain)]) -> Vec<&'d TypedDomain> {
    domains.iter().map(|(_, domain)| *domain).collect()
}

/// Statements for these domains; equal ones are one.
fn chunks_of(domains: &[(i64, &TypedDomain)], columns: &[ImageColumn]) -> Vec<Arc<Chunk>> {
    let mut by_plan: Vec<(&TypedDomain, Vec<i64>)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for (subscription, domain) in domains {
        let place = *places.entry(format!("{:?}", domain.plan())).or_insert(by_plan.len());
        match by_plan.get_mut(place) {
            Some((_, subscriptions)) => subscriptions.push(*subscription),
            None => by_plan.push((domain, vec![*subscription])),
        }
    }
    by_plan
        .chunks(DOMAINS_PER_STATEMENT)
        .map(|chunk| Arc::new(Chunk::new(chunk, columns)))
        .collect()
}
