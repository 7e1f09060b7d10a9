//! The edge to PostgreSQL: connections, and one module for each thing that is read or written there.
//!
//! Statements are calls of the functions in `sql/functions`, so that what the service may do stands in one place, in SQL, where a
//! DBA reads it.

pub mod answered_requests;
pub mod assistants;
pub mod callbacks;
pub mod connect;
pub mod connections;
pub mod deliveries;
pub mod delivery_log;
pub mod domain;
pub mod emit;
pub mod feed;
pub mod health;
pub mod labels;
pub mod locks;
pub mod looking;
pub mod notify;
pub mod operations;
pub mod outbox;
pub mod page_sessions;
pub mod pooler;
mod read_only;
pub mod records;
pub mod registry;
pub mod relations;
pub mod retention;
pub mod scarce;
pub mod schema;
pub mod secrets;
pub mod session_pool;
pub mod sessions;
pub mod sqlstate;
pub mod subscription_rows;
pub mod subscriptions;
pub mod test_event;
pub mod tls;
pub mod tokens;
pub mod traffic;
pub mod troubles;
pub mod unsendable;

// The driver's and the pool's types under names of ours: nobody else names them.
pub use deadpool_postgres::{GenericClient, Object as Pooled, Transaction};
pub use tokio_postgres::Client;
