//! Faults, and what they must not cost: writers go on, the service, PostgreSQL or the network is harmed, and then the books of writers,
//! service and receivers are compared.

mod checker;
mod checker_tests;
mod kills;
mod ledger;
mod soak;
mod table;
mod world;
mod writers;

use futures_util::future::BoxFuture;

pub use world::World;

/// Something that goes wrong, and the undoing of it.
pub trait Fault: Send + Sync {
    /// Its row in the table.
    fn name(&self) -> &'static str;

    /// Does the harm and undoes it. When it is over, a service runs or is on its way, and the world can recover by itself.
    fn inject<'a>(&'a self, world: &'a mut World) -> BoxFuture<'a, ()>;
}

/// All that a soak may do to a world.
fn all() -> Vec<Box<dyn Fault>> {
    kills::faults()
}
