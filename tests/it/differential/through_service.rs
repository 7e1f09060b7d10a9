//! Events as receivers get them: the service itself, end to end.

use tokio_postgres::Client;

use super::compare::Transaction;
use super::runner::Difference;
use crate::support::Database;

/// See the module documentation.
pub struct ThroughService;

impl ThroughService {
    /// Starts the service.
    pub async fn begin(_database: &Database) -> Result<Self, Difference> {
        todo!()
    }
    pub async fn look(&mut self, _owner: &Client) -> Result<(), Difference> { todo!() }
    pub async fn note_begin(&mut self, _client: &Client, _session: usize) {}
    pub async fn note_before(&mut self, _owner: &Client) {}
    pub async fn committed(&mut self, _t: &Transaction<'_>, _session: usize, _owner: &Client) -> Result<(), Difference> { Ok(()) }
    pub async fn finish(&mut self) -> Result<u64, Difference> { Ok(0) }
}
