//! All faults, mixed at random from a seed, for as long as one likes.

use std::time::{Duration, Instant};

use odoo_eventd::demo::Options;
use rand::RngExt;

use super::world::{Load, World};
use super::{all, table};
use crate::support::Server;

/// `make faults MINUTES=30 SEED=1`; with `FAULTS='SIGKILL,disk'` only those.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs for minutes"]
async fn faults_mixed_at_random_break_no_promise() {
    let told = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let minutes = told("ODOO_EVENTD_TEST_MINUTES").unwrap_or(1);
    let seed = told("ODOO_EVENTD_TEST_SEED").unwrap_or_else(|| rand::random_range(0..1_000_000));
    eprintln!("{minutes} minutes of faults from seed {seed}");

    let server = Server::private(Options::new());
    let mut world = World::new(&server, Load::default(), seed).await;
    // Parts of names, between commas: only those.
    let only = std::env::var("ODOO_EVENTD_TEST_FAULTS").unwrap_or_default();
    let mut faults = all();
    faults.retain(|fault| only.split(',').any(|part| fault.name().contains(part)));
    assert!(!faults.is_empty(), "no fault's name contains any of \"{only}\"");
    let mut runs = Vec::new();
    let end = Instant::now() + Duration::from_secs(minutes * 60);
    while Instant::now() < end {
        // A soak of a minute should have each fault once, so far as there is time: through all of them, in another order each time.
        let mut left: Vec<_> = faults.iter().collect();
        while !left.is_empty() && Instant::now() < end {
            let fault = left.swap_remove(world.random.random_range(0..left.len()));
            eprintln!("{} {}", jiff::Timestamp::now(), fault.name());
            runs.push(table::inject(&**fault, &mut world).await);
            // Sometimes the next comes before the last one's repetitions are done.
            let calm = world.random.random_range(0..2_000);
            tokio::time::sleep(Duration::from_millis(calm)).await;
        }
    }
    let report = world.settle_and_check().await;
    eprintln!("\n{}", table::render(&report, &runs));
    report.assert_clean();
}
