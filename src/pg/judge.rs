//! Judges the domains of all subscriptions of a model over a batch of captured images, in one statement.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use deadpool_postgres::GenericClient;
use tokio_postgres::types::ToSql;

use crate::domain::check::TypedDomain;
use crate::domain::sql::{self, Params, Row};
use crate::{Error, Result};

/// One statement for all domains of a model, with its bound values.
#[derive(Debug)]
pub struct Judge {
    statement: String,
    params: Params,
    columns: Vec<String>,
}

/// Images to judge, one array for each column.
#[derive(Debug)]
pub struct Batch {
    columns: Vec<String>,
    record_ids: Vec<i64>,
    values: Vec<Vec<Option<String>>>,
}

impl Judge {
    /// Compiles the domains of subscriptions of one model. `types` are the PostgreSQL types of its columns.
    pub fn new(domains: &[(i32, &TypedDomain)], types: &BTreeMap<String, String>) -> Self {
        let mut params = Params::new();
        let mut cases = String::new();
        let mut columns = BTreeSet::new();
        for (subscription, domain) in domains {
            let condition = sql::compile(domain, "r", &mut params, Row::Image);
            let separator = if cases.is_empty() { "" } else { ", " };
            // Writing to a string does not fail.
            let _ = write!(cases, "{separator}case when {condition} then {subscription} end");
            columns.extend(domain.own_columns().iter().filter(|column| *column != "id").cloned());
        }
        let columns: Vec<String> = columns.into_iter().collect();
        let first = params.len() + 1;
        let mut arrays = format!("${first}::int8[]");
        let mut names = "id".to_owned();
        let mut selected = "u.ord, u.id::int4 as \"id\"".to_owned();
        for (index, column) in columns.iter().enumerate() {
            let _ = write!(arrays, ", ${}::text[]", first + 1 + index);
            let _ = write!(names, ", c{index}");
            let of_type = types.get(column).map_or("text", String::as_str);
            let _ = write!(selected, ", u.c{index}::{of_type} as {}", sql::quote(column));
        }
        let statement = format!(
            "select r.ord - 1, array_remove(array[{cases}]::int4[], null)
             from (select {selected} from unnest({arrays}) with ordinality u ({names}, ord) offset 0) r"
        );
        Self {
            statement,
            params,
            columns,
        }
    }

    /// An empty batch.
    pub fn batch(&self) -> Batch {
        Batch {
            columns: self.columns.clone(),
            record_ids: Vec::new(),
            values: vec![Vec::new(); self.columns.len()],
        }
    }

    /// Which image satisfies which subscription's domain.
    ///
    /// # Errors
    /// Database errors.
    pub async fn run(&self, client: &impl GenericClient, batch: Batch) -> Result<Vec<(usize, i32)>> {
        if batch.record_ids.is_empty() {
            return Ok(Vec::new());
        }
        let statement = client
            .prepare_cached(&self.statement)
            .await
            .map_err(|e| Error::database("prepare judging domains", e))?;
        let mut values = self.params.as_sql();
        values.push(&batch.record_ids);
        values.extend(batch.values.iter().map(|column| column as &(dyn ToSql + Sync)));
        let rows = client
            .query(&statement, &values)
            .await
            .map_err(|e| Error::database("judge domains", e))?;
        let mut hits = Vec::new();
        for row in rows {
            let image = usize::try_from(row.get::<_, i64>(0))
                .map_err(|e| Error::other("the images were numbered oddly").with_source(e))?;
            hits.extend(
                row.get::<_, Vec<i32>>(1)
                    .into_iter()
                    .map(|subscription| (image, subscription)),
            );
        }
        Ok(hits)
    }
}

impl Batch {
    /// Adds an image and returns its number. `value` gives the text of a column; a column that it does not have reads as NULL.
    pub fn push<'a>(&mut self, record_id: i64, value: impl Fn(&str) -> Option<&'a str>) -> usize {
        self.record_ids.push(record_id);
        for (column, values) in self.columns.iter().zip(&mut self.values) {
            values.push(value(column).map(str::to_owned));
        }
        self.record_ids.len() - 1
    }
}
