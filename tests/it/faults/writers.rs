//! Writers that never stop, and enter what they do in a table of their own, in the same transaction: what is in it was committed, what
//! is not was not, whatever their connection told them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls, Transaction};
use tokio_util::sync::CancellationToken;

use super::ledger::Pace;
use super::world::Load;

/// The writers' own book. `seq` is drawn while the record's row is locked: for one record it has the order of commits.
pub const BOOK: &str = "
    create schema faults;
    create table faults.committed (
      seq bigint generated always as identity, transaction xid8 not null default pg_current_xact_id(),
      event_type text not null, record bigint not null, token text not null)";

/// The orders of the fixture. Few, so that writers meet.
const ORDERS: i32 = 8;

/// How long a writer waits before it connects again.
const RECONNECT_AFTER: Duration = Duration::from_millis(50);

/// Writers at work.
pub struct Writers {
    stop: CancellationToken,
    tasks: JoinSet<()>,
    told: Arc<Mutex<HashMap<String, Instant>>>,
}

impl Writers {
    /// So many writers as the load says, at a pace that deliveries can keep. `name` begins their tokens.
    pub fn start(url: &str, name: &str, load: Load, pace: &Pace, seed: u64) -> Self {
        let mut writers = Self {
            stop: CancellationToken::new(),
            tasks: JoinSet::new(),
            told: Arc::default(),
        };
        for number in 0..load.writers {
            let writer = Writer {
                url: url.to_owned(),
                name: format!("{name}{number}"),
                written: 0,
                own: Vec::new(),
                random: StdRng::seed_from_u64(seed.wrapping_add(number)),
                told: Arc::clone(&writers.told),
                pace: pace.clone(),
            };
            let stop = writers.stop.clone();
            writers.tasks.spawn(async move {
                // Cut off wherever it is: whether that was committed, the book knows.
                stop.run_until_cancelled(writer.write(load.pause)).await;
            });
        }
        writers
    }

    /// When a token's writer was told that it is committed.
    pub fn told(&self, token: &str) -> Option<Instant> {
        self.told.lock().unwrap().get(token).copied()
    }

    /// Ends all of them; returns when each token's writer was told that it is committed.
    pub async fn stop(mut self) -> HashMap<String, Instant> {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
        std::mem::take(&mut self.told.lock().unwrap())
    }
}

struct Writer {
    url: String,
    name: String,
    written: u64,
    /// Orders that it made and nobody else writes to.
    own: Vec<i32>,
    random: StdRng,
    told: Arc<Mutex<HashMap<String, Instant>>>,
    pace: Pace,
}

impl Writer {
    async fn write(mut self, pause: Duration) {
        loop {
            if let Ok((mut client, connection)) = tokio_postgres::connect(&self.url, NoTls).await {
                let connection = tokio::spawn(connection);
                while self.one_transaction(&mut client).await.is_ok() {
                    tokio::time::sleep(pause.mul_f64(self.random.random_range(0.0..2.0))).await;
                    self.pace.keep().await;
                }
                connection.abort();
            }
            tokio::time::sleep(RECONNECT_AFTER).await;
        }
    }

    async fn one_transaction(&mut self, client: &mut Client) -> Result<(), tokio_postgres::Error> {
        self.written += 1;
        let token = format!("{}-{}", self.name, self.written);
        let is_rolled_back = self.random.random_range(0..10) == 0;
        let (mut created, mut unlinked) = (None, None);
        let transaction = client.transaction().await?;
        match self.random.random_range(0..20) {
            0 | 1 => created = Some(create(&transaction, &token).await?),
            2 if !self.own.is_empty() => {
                let which = self.random.random_range(0..self.own.len());
                unlinked = Some(which);
                unlink(&transaction, self.own[which]).await?;
            }
            3..=5 => {
                // In the order of ids, as another writer may want some of them too.
                let first = self.random.random_range(1..=ORDERS - 3);
                write(&transaction, &[first, first + 1, first + 3], &token).await?;
            }
            6 => {
                // Several statements, one change: the last one's.
                let order = self.random.random_range(1..=ORDERS);
                let early = "update sale_order set client_order_ref = $1 || ' too early' where id = $2";
                transaction.execute(early, &[&token, &order]).await?;
                write(&transaction, &[order], &token).await?;
            }
            _ => {
                let order = match self.own.last() {
                    Some(own) if self.random.random() => *own,
                    _ => self.random.random_range(1..=ORDERS),
                };
                write(&transaction, &[order], &token).await?;
            }
        }
        if is_rolled_back {
            return transaction.rollback().await;
        }
        if let Some(which) = unlinked {
            // Whether or not it is told of the commit: it must not write to an order that may be gone.
            self.own.swap_remove(which);
        }
        transaction.commit().await?;
        if unlinked.is_none() {
            self.pace.committed();
        }
        self.own.extend(created);
        self.told.lock().unwrap().insert(token, Instant::now());
        Ok(())
    }
}

async fn write(transaction: &Transaction<'_>, orders: &[i32], token: &str) -> Result<(), tokio_postgres::Error> {
    let mut written = Vec::new();
    for order in orders {
        let update = "update sale_order set client_order_ref = $1 where id = $2 returning id";
        let found = transaction.query_opt(update, &[&token, order]).await?;
        written.extend(found.map(|row| row.get::<_, i32>(0)));
    }
    enter(transaction, "write", &written, token).await
}

async fn create(transaction: &Transaction<'_>, token: &str) -> Result<i32, tokio_postgres::Error> {
    let made = transaction
        .query_one(
            "insert into sale_order (name, state, company_id, partner_id, partner_invoice_id, partner_shipping_id, date_order, client_order_ref)
             values ($1, 'draft', 1, 8, 8, 8, now(), $1) returning id",
            &[&token],
        )
        .await?;
    let order = made.get(0);
    enter(transaction, "create", &[order], token).await?;
    Ok(order)
}

async fn unlink(transaction: &Transaction<'_>, order: i32) -> Result<(), tokio_postgres::Error> {
    let delete = "delete from sale_order where id = $1 returning id";
    let found = transaction.query(delete, &[&order]).await?;
    let gone: Vec<i32> = found.iter().map(|row| row.get(0)).collect();
    enter(transaction, "unlink", &gone, "").await
}

async fn enter(
    transaction: &Transaction<'_>,
    event_type: &str,
    orders: &[i32],
    token: &str,
) -> Result<(), tokio_postgres::Error> {
    let sql = "insert into faults.committed (event_type, record, token) select $1, unnest($2::int[]), $3";
    transaction
        .execute(sql, &[&event_type, &orders, &token])
        .await
        .map(drop)
}
