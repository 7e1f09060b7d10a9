//! Faults, and what they must not cost: writers go on, the service, PostgreSQL or the network is harmed, and then the books of writers,
//! service and receivers are compared.

mod checker;
mod checker_tests;
mod clock;
mod disk;
mod kills;
mod ledger;
mod network;
mod pooler;
mod postgres;
mod reader;
mod restore;
mod soak;
mod table;
mod world;
mod writers;

use std::time::Duration;

use futures_util::future::BoxFuture;
use odoo_eventd::demo::Options;
use world::Load;

pub use world::World;

use crate::support::Server;

/// Something that goes wrong, and the undoing of it.
pub trait Fault: Send + Sync {
    /// Its row in the table.
    fn name(&self) -> &'static str;

    /// Does the harm and undoes it. When it is over, a service runs or is on its way, and the world can recover by itself.
    fn inject<'a>(&'a self, world: &'a mut World) -> BoxFuture<'a, ()>;
}

/// All that a soak may do to a world.
fn all() -> Vec<Box<dyn Fault>> {
    let mut all = kills::faults();
    all.extend(postgres::faults());
    all.extend(network::faults());
    all.extend(restore::faults());
    all.extend(disk::faults());
    all.extend(clock::faults());
    all.extend(pooler::faults());
    all
}

/// Injects each of these so often into a world of its own, and compares the books.
async fn nothing_is_lost(faults: &[&dyn Fault], times: usize, seed: u64) {
    nothing_is_lost_under(Load::default(), faults, times, seed).await;
}

/// The same for faults that keep deliveries away for long: what has come together meanwhile is sent in seconds, not minutes.
async fn nothing_is_lost_in_the_end(faults: &[&dyn Fault], times: usize, seed: u64) {
    let load = Load {
        writers: 4,
        pause: Duration::from_millis(400),
    };
    nothing_is_lost_under(load, faults, times, seed).await;
}

async fn nothing_is_lost_under(load: Load, faults: &[&dyn Fault], times: usize, seed: u64) {
    let server = Server::private(Options::new());
    let mut world = World::new(&server, load, seed).await;
    let mut runs = Vec::new();
    for _ in 0..times {
        for fault in faults {
            runs.push(table::inject(*fault, &mut world).await);
        }
    }
    let report = world.settle_and_check().await;
    eprint!("{}", table::render(&report, &runs));
    report.assert_clean();
}
