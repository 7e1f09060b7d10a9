//! What capture writes to the outbox, and that no writer ever fails for it.

mod allowed;
mod beside;
mod contents;
mod hard_types;
mod nested;
mod never_fails;
mod old_snapshots;
mod rows_as_text;
mod statements;
mod stopped;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use odoo_eventd::event::{self, EventType, Image, Images, Layout, Mark, RowChange, read_images};
use odoo_eventd::pg::schema::{self, Roles};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use crate::support::Database;

/// A database with odoo-eventd installed, and a session that looks into its outbox.
pub(crate) struct Captured {
    pub(crate) database: Database,
    /// A session of the owner, for the installation's own functions.
    pub(crate) owner: Client,
    last_seen: i64,
}

impl Captured {
    /// Nothing is watched yet.
    pub(crate) async fn installed() -> Self {
        Self::installed_in(Database::fixture().await).await
    }

    /// The same, in a database of the caller's choice.
    pub(crate) async fn installed_in(database: Database) -> Self {
        let mut owner = database.client().await;
        let roles = Roles {
            listener: "odoo_eventd_listener".to_owned(),
            installer: "odoo_eventd_installer".to_owned(),
        };
        schema::install(&mut owner, &roles)
            .await
            .unwrap_or_else(|error| panic!("{}", error.chain()));
        Self {
            database,
            owner,
            last_seen: 0,
        }
    }

    /// The given columns of one model are watched.
    pub(crate) async fn watching(model: &str, columns: &[&str]) -> Self {
        let captured = Self::installed().await;
        captured.watch(model, columns).await;
        captured
    }

    /// Adds a subscription that needs these columns, without a service. Returns its id.
    pub(crate) async fn watch(&self, model: &str, columns: &[&str]) -> i32 {
        let id = self.want(model, columns, columns).await;
        self.sync(model)
            .await
            .unwrap_or_else(|error| panic!("cannot capture {model}: {error}"));
        id
    }

    /// Says what a new subscription needs: the columns, and those among them whose changes count.
    pub(crate) async fn want(&self, model: &str, columns: &[&str], compared: &[&str]) -> i32 {
        let row = self
            .owner
            .query_one(
                "insert into mcp_event_subscription (model) values ($1) returning id, write_date::text",
                &[&model],
            )
            .await
            .unwrap();
        let (id, stamp): (i32, String) = (row.get(0), row.get(1));
        self.owner
            .execute(
                "select odoo_eventd.judge_subscriptions(jsonb_build_array(jsonb_build_object(
                   'id', $1::integer, 'write_stamp', $2::text, 'needs', jsonb_build_object(
                     $3::text, jsonb_build_object('columns', $4::text[], 'compared', $5::text[], 'whole', '{}'::text[])))))",
                &[&id, &stamp, &model, &columns, &compared],
            )
            .await
            .unwrap();
        id
    }

    /// What the service does after a change of subscriptions.
    pub(crate) async fn sync(&self, model: &str) -> Result<String, tokio_postgres::Error> {
        let changed = self
            .owner
            .query_one("select odoo_eventd.sync_capture($1)", &[&model])
            .await?
            .get(0);
        self.owner.query("select odoo_eventd.settle_capture()", &[]).await?;
        Ok(changed)
    }

    /// A session of an ordinary writer, which is Odoo's own role.
    pub(crate) async fn writer(&self) -> Client {
        self.database.client().await
    }

    /// Runs statements as a writer with a session of its own.
    pub(crate) async fn write(&self, sql: &str) {
        self.writer()
            .await
            .batch_execute(sql)
            .await
            .unwrap_or_else(|error| panic!("{error:?}\nin: {sql}"));
    }

    /// What came into the outbox since the last call, a line a row: `U 1 by 5: state draft -> sale`.
    pub(crate) async fn rows(&mut self) -> Vec<String> {
        let rows = self
            .owner
            .query(
                "select o.id, o.op::text, o.record_id, o.user_id, o.old, o.new, g.columns::text[], g.types
                   from odoo_eventd.outbox o left join odoo_eventd.capture_generation g on g.generation = o.generation
                  where o.id > $1 order by o.id",
                &[&self.last_seen],
            )
            .await
            .unwrap();
        let mut lines = Vec::new();
        for row in rows {
            self.last_seen = row.get(0);
            let user: Option<i32> = row.get(3);
            let layout = Arc::new(Layout {
                capture_id: 0,
                model: "".into(),
                columns: row.get(6),
                types: row.get(7),
                format: 2,
            });
            let op = row.get::<_, String>(1).as_bytes()[0];
            let Images { op, old, new, .. } = read_images(op, &layout, row.get(4), row.get(5));
            let value = |image: &Option<Image>, index: usize| {
                image.as_ref().map(|image| match image.mark(index) {
                    Some(Mark::Digest(digest)) => digest.clone(),
                    Some(Mark::Gone) => "(gone)".to_owned(),
                    Some(Mark::Unreadable) => "(unreadable)".to_owned(),
                    None => image[index].clone().unwrap_or_else(|| "null".to_owned()),
                })
            };
            let columns: Vec<String> = row.get(6);
            let values: Vec<String> = columns
                .iter()
                .enumerate()
                .filter_map(|(index, column)| match (value(&old, index), value(&new, index)) {
                    (Some(old), Some(new)) if old == new => None,
                    (Some(old), Some(new)) => Some(format!("{column} {old} -> {new}")),
                    (Some(only), None) | (None, Some(only)) => Some(format!("{column} {only}")),
                    (None, None) => None,
                })
                .collect();
            let by = user.map(|user| format!(" by {user}")).unwrap_or_default();
            lines.push(format!(
                "{} {}{by}: {}",
                char::from(op),
                row.get::<_, i64>(2),
                values.join(", ")
            ));
        }
        lines
    }

    /// What the service would make of the transactions since the last call: `create 7: state new`, `write 7: state old -> new`.
    pub(crate) async fn changes(&mut self) -> Vec<String> {
        let rows = self
            .owner
            .query(
                "select o.id, o.xid::text, o.op::text, o.record_id, o.user_id, o.old, o.new, g.columns::text[], g.types, o.generation
                   from odoo_eventd.outbox o join odoo_eventd.capture_generation g on g.generation = o.generation
                  where o.id > $1 order by o.id",
                &[&self.last_seen],
            )
            .await
            .unwrap();
        let mut layouts: HashMap<i64, Arc<Layout>> = HashMap::new();
        let mut by_transaction: BTreeMap<String, Vec<RowChange>> = BTreeMap::new();
        for row in rows {
            self.last_seen = row.get(0);
            let layout = layouts.entry(row.get(9)).or_insert_with(|| {
                Arc::new(Layout {
                    capture_id: 0,
                    model: "".into(),
                    columns: row.get(7),
                    types: row.get(8),
                    format: 2,
                })
            });
            let op = row.get::<_, String>(2).as_bytes()[0];
            let Images { op, old, new, layout } = read_images(op, layout, row.get(5), row.get(6));
            by_transaction.entry(row.get(1)).or_default().push(RowChange {
                id: row.get(0),
                op,
                record_id: row.get(3),
                user_id: row.get(4),
                old,
                new,
                layout,
            });
        }
        let mut lines = Vec::new();
        for change in by_transaction
            .into_values()
            .flat_map(event::fold_table)
            .filter(|change| !change.is_void())
        {
            let value = |image: &Option<Image>, index: usize| {
                image.as_ref().map(|image| match image.mark(index) {
                    Some(mark) => format!("({mark:?})"),
                    None => image[index].clone().unwrap_or_else(|| "null".to_owned()),
                })
            };
            let told: Vec<String> = (0..change.layout.columns.len())
                .filter(|index| change.event_type != EventType::Write || change.changed.contains(index))
                .map(|index| {
                    let values: Vec<String> = [value(&change.old, index), value(&change.new, index)]
                        .into_iter()
                        .flatten()
                        .collect();
                    format!("{} {}", change.layout.columns[index], values.join(" -> "))
                })
                .collect();
            lines.push(format!(
                "{} {}: {}",
                change.event_type.as_str(),
                change.record_id,
                told.join(", ")
            ));
        }
        lines
    }

    /// Records that the service would be given to read, were it to begin now.
    pub(crate) async fn readable(&self) -> Vec<i64> {
        let read = "select record_id from odoo_eventd.position p, odoo_eventd.read_outbox(p.done, null, '0', 0, 1000, 1000000000) where id is not null";
        self.owner
            .query(read, &[])
            .await
            .unwrap()
            .iter()
            .map(|row| row.get(0))
            .collect()
    }

    /// What `status` says of a model's capture: why it is not what it should be.
    pub(crate) async fn drift(&self, model: &str) -> Option<String> {
        let status: serde_json::Value = self
            .owner
            .query_one("select odoo_eventd.status()", &[])
            .await
            .unwrap()
            .get(0);
        let of_model = status["models"]
            .as_array()
            .unwrap()
            .iter()
            .find(|m| m["model"] == model)
            .cloned();
        of_model.unwrap_or_else(|| panic!("status says nothing of {model}"))["drift"]
            .as_str()
            .map(str::to_owned)
    }
}

fn state_of(error: &tokio_postgres::Error) -> Option<SqlState> {
    error.code().cloned()
}
