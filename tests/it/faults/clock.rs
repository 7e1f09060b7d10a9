//! The service's host has another time all of a sudden. PostgreSQL's clock decides what is due, so nothing is early, late or lost.

use std::path::{Path, PathBuf};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use odoo_eventd::demo::scratch::Scratch;

use super::world::World;
use super::{Fault, nothing_is_lost_in_the_end};

/// All faults of this kind.
pub fn faults() -> Vec<Box<dyn Fault>> {
    vec![Box::new(Moved)]
}

/// An hour forward, two back, and to where it was. The monotonic clock goes on, as it does when a host's time is set.
struct Moved;

impl Fault for Moved {
    fn name(&self) -> &'static str {
        "the host's clock moved by an hour"
    }

    fn inject<'a>(&'a self, world: &'a mut World) -> BoxFuture<'a, ()> {
        async move {
            let Some(library) = library() else {
                eprintln!("skipped: libfaketime is not installed");
                return;
            };
            let scratch = Scratch::new(None).unwrap();
            let file = scratch.write("offset", "+0\n").unwrap();
            let environment = [
                ("LD_PRELOAD", library.as_path()),
                ("FAKETIME_TIMESTAMP_FILE", file.as_path()),
                ("FAKETIME_CACHE_DURATION", Path::new("1")),
                ("FAKETIME_DONT_FAKE_MONOTONIC", Path::new("1")),
                ("DONT_FAKE_MONOTONIC", Path::new("1")),
                ("FAKETIME_DISABLE_SHM", Path::new("1")),
            ];
            world.environment = environment.map(|(name, value)| (name.to_owned(), value.into())).into();
            world.stop_services().await;
            world.start_service();
            for offset in ["+0", "+3600", "-3600", "+0"] {
                scratch.write("offset", &format!("{offset}\n")).unwrap();
                // The library looks once a second.
                tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
                world.recovered().await;
            }
            world.environment.clear();
            world.stop_services().await;
            world.start_service();
        }
        .boxed()
    }
}

/// Debian's package `libfaketime`.
fn library() -> Option<PathBuf> {
    let roots = std::fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    roots
        .chain([PathBuf::from("/usr/lib")])
        .map(|root| root.join("faketime/libfaketimeMT.so.1"))
        .find(|path| path.exists())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_moved_loses_and_repeats_nothing() {
    nothing_is_lost_in_the_end(&[&Moved], 1, 61).await;
}
