//! PgBouncer between the service and PostgreSQL: in session mode it works, in transaction mode it is refused in words.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::world::World;
use super::{Fault, nothing_is_lost_in_the_end};
use crate::support::bouncer::PgBouncer;
use crate::support::service::eventd;

/// All faults of this kind.
pub fn faults() -> Vec<Box<dyn Fault>> {
    vec![Box::new(InTransactionMode), Box::new(InSessionMode)]
}

/// Somebody put a pooler in transaction mode in between, and takes it away again.
struct InTransactionMode;

impl Fault for InTransactionMode {
    fn name(&self) -> &'static str {
        "PgBouncer in transaction mode in between"
    }

    fn inject<'a>(&'a self, world: &'a mut World) -> BoxFuture<'a, ()> {
        async move {
            let Some(bouncer) = PgBouncer::start(&world.database, "transaction").await else {
                return;
            };
            world.stop_services().await;
            for _ in 0..3 {
                let refused = eventd(&bouncer.url(&world.database), &["run"]).await;
                let said = String::from_utf8_lossy(&refused.stderr).into_owned();
                assert_eq!(refused.status.code(), Some(1), "{said}");
                assert!(said.contains("a pooler in transaction mode is in between"), "{said}");
                assert!(said.contains("connect to PostgreSQL itself"), "{said}");
            }
            world.start_service();
        }
        .boxed()
    }
}

/// A pooler in session mode dies and is started anew.
struct InSessionMode;

impl Fault for InSessionMode {
    fn name(&self) -> &'static str {
        "PgBouncer in session mode killed"
    }

    fn inject<'a>(&'a self, world: &'a mut World) -> BoxFuture<'a, ()> {
        async move {
            let Some(mut bouncer) = PgBouncer::start(&world.database, "session").await else {
                return;
            };
            let through = bouncer.url(&world.database);
            let direct = std::mem::replace(&mut world.service_url, through);
            world.stop_services().await;
            world.start_service();
            world.recovered().await;
            bouncer.die_and_come_back().await;
            world.recovered().await;
            world.service_url = direct;
            world.stop_services().await;
            world.start_service();
        }
        .boxed()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_in_transaction_mode_is_refused_and_nothing_is_lost() {
    nothing_is_lost_in_the_end(&[&InTransactionMode], 1, 71).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pooler_in_session_mode_works_and_may_die() {
    nothing_is_lost_in_the_end(&[&InSessionMode], 1, 72).await;
}
