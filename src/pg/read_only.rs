//! A transaction that reads, on a session that others use after it.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};

use tokio_postgres::Client;

/// Ends the transaction that was begun on a session, also where the caller is dropped half way: whoever asked through a door may be gone
/// before he has his answer, and the session goes on to somebody else.
pub(super) struct Ending<'a> {
    client: &'a Client,
    is_ended: bool,
}

impl<'a> Ending<'a> {
    /// Of the transaction that is about to begin.
    pub(super) fn of(client: &'a Client) -> Self {
        Self {
            client,
            is_ended: false,
        }
    }

    /// Ends it now.
    pub(super) async fn end(mut self) -> Result<(), tokio_postgres::Error> {
        self.is_ended = true;
        self.client.batch_execute("rollback").await
    }
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if !self.is_ended {
            // The first poll hands the statement to the connection, which sends it behind what is on its way; nobody waits for its answer.
            let rollback = pin!(self.client.batch_execute("rollback"));
            let _ = rollback.poll(&mut Context::from_waker(Waker::noop()));
        }
    }
}
