//! odoo-eventd: signed webhooks for every create, write and unlink in an Odoo database, captured by PostgreSQL itself.
//!
//! ```text
//!  Odoo write ──trigger──▶ outbox ──fold, match──▶ delivery ──claim──▶ HTTP attempt ──record──▶ mcp_webhook_delivery
//!   (same transaction)      │ NOTIFY = hint         │ one row per (event,       │ signed per attempt   └▶ success | failed
//!                           └ table = truth         └ subscription)                                    └▶ retry at
//! ```
//!
//! # What holds at each arrow
//!
//! 1. Capture commits or rolls back with the business write. It only appends; nothing in it can fail the user's statement because a
//!    column, a model, a subscription or a setting changed (`sql/functions/capture_body.sql`).
//! 2. NOTIFY only shortens the wait. It is sent only while the service sleeps ([`worker::dispatch::wake`]); losing every one of them costs
//!    latency, never an event.
//! 3. The outbox is read by transaction snapshot ([`pg::outbox`]), never by "id > last seen": ids become visible out of order.
//! 4. Deliveries and the position in the outbox commit in one transaction; a delivery is made once by a unique constraint
//!    ([`pg::deliveries`]).
//! 5. No database transaction is open while a request is under way. An attempt is logged as pending before it and finished after it;
//!    one that is cut off in between is `interrupted`, and a one-shot is then over ([`worker::deliver::deliverer`]).
//! 6. One instance leads a database. Everything it writes carries its term, and an earlier term is refused
//!    ([`worker::term::supervisor`]). Others send what it leaves waiting, under numbers of their own ([`worker::term::assistant`]).
//! 7. An endpoint that hangs or fails leaves slots for the others ([`worker::deliver::slots`]), and an ordered subscription's deliveries of one record are
//!    sent one after the other (`sql/functions/deliveries.sql`, lanes).
//! 8. Right or refused: a domain or a field that cannot be evaluated exactly is refused with the reason ([`subscription`],
//!    [`domain`]).
//!
//! # Where an event is
//!
//! A row change is in `odoo_eventd.outbox_N` until its snapshot was read ([`worker::dispatch::dispatcher`]); [`event`] folds the rows of a
//! transaction into changes, and [`relations`] tells whose fields changed in other tables; [`matching`] gathers those that a
//! subscription wants into deliveries; [`worker::dispatch::payload_loader`] reads the values they carry, and [`payload`] renders them. They are rows of
//! `odoo_eventd.delivery` from then on, and each attempt is a row of `public.mcp_webhook_delivery`.
//!
//! # Words
//!
//! Odoo's words for Odoo's things: model, field, domain, leaf, operator, record; create, write, unlink. The field's words for ours:
//! outbox, event, subscription, endpoint, delivery (one event to one subscription), attempt (one request), lease, backoff. A
//! *capture* is the set of triggers and the function on one Odoo table; its *generation* tells which columns the outbox rows hold.
//! A *term* is the time one instance leads; an *assistant* is one that delivers beside it.
//!
//! # How the code is laid out
//!
//! Dependencies point inward: [`cli`], [`web`], [`mcp`], [`api`] → [`ops`] and [`worker`] → [`pg`], [`http`] → the pure centre ([`event`], [`subscription`],
//! [`endpoint`], [`relations`], [`matching`], [`delivery`], [`backoff`], [`signature`], [`sealing`], [`payload`], [`odoo`], [`domain`], [`health`]). The database's side is `sql/`: it is
//! the list of all that the service may do there, and reads top to bottom without the Rust.

pub mod api;
pub mod backoff;
pub(crate) mod caret;
pub mod cli;
pub mod config;
pub mod delivery;
pub mod demo;
pub mod domain;
pub mod endpoint;
pub mod error;
pub mod event;
pub mod failpoint;
pub mod health;
pub mod http;
pub mod matching;
pub mod mcp;
pub mod metrics;
pub mod odoo;
pub mod ops;
pub mod payload;
pub mod pg;
pub mod relations;
pub mod sealing;
pub mod signature;
pub mod subscription;
pub mod systemd;
pub mod telemetry;
pub mod web;
pub mod worker;

pub use error::{Error, Result};
