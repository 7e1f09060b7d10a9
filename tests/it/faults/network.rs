//! What becomes of connections: they are reset, go silent in one direction or both, stall and go on, are ended by an administrator.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rand::RngExt;

use super::world::World;
use super::{Fault, nothing_is_lost_in_the_end};
use crate::support::proxy::{Proxy, Way};

/// Longer than the service takes to notice a silent session.
const LONG_STALL: Duration = Duration::from_secs(25);

/// Shorter than that: nobody notices, everything is late.
const SHORT_STALL: Duration = Duration::from_secs(4);

/// All faults of this kind.
pub fn faults() -> Vec<Box<dyn Fault>> {
    let mut harms = vec![Harm::Cut(Some(LEAD)), Harm::Cut(None)];
    for way in [Way::ToServer, Way::ToClient, Way::Both] {
        harms.extend([Some(LEAD), Some(BELL), None].map(|which| Harm::Silence(which, way)));
        harms.extend([SHORT_STALL, LONG_STALL].map(|length| Harm::Stall(way, length)));
    }
    let harms = harms.into_iter().map(|harm| Box::new(harm) as Box<dyn Fault>);
    harms.chain([Box::new(Terminated) as Box<dyn Fault>]).collect()
}

/// The session that leads and listens is the first that the service opens, the doorbell's the second.
const LEAD: usize = 0;
const BELL: usize = 1;

/// What is done to connections while a proxy is in between.
#[derive(Clone, Copy)]
enum Harm {
    /// RST on one connection or all.
    Cut(Option<usize>),
    /// Nothing passes any more on one connection or all, in a direction; new ones work.
    Silence(Option<usize>, Way),
    /// Everything is held up for a while, then goes on: what an earlier term had sent arrives when another leads.
    Stall(Way, Duration),
}

impl Fault for Harm {
    fn name(&self) -> &'static str {
        match *self {
            Self::Cut(Some(_)) => "the LISTEN connection reset",
            Self::Cut(None) => "all connections reset",
            Self::Silence(Some(LEAD), Way::ToServer) => "the LISTEN connection silent towards the server",
            Self::Silence(Some(LEAD), Way::ToClient) => "the LISTEN connection silent towards the service",
            Self::Silence(Some(LEAD), Way::Both) => "the LISTEN connection silent both ways",
            Self::Silence(Some(_), Way::ToServer) => "the doorbell's connection silent towards the server",
            Self::Silence(Some(_), Way::ToClient) => "the doorbell's connection silent towards the service",
            Self::Silence(Some(_), Way::Both) => "the doorbell's connection silent both ways",
            Self::Silence(None, Way::ToServer) => "all connections silent towards the server",
            Self::Silence(None, Way::ToClient) => "all connections silent towards the service",
            Self::Silence(None, Way::Both) => "all connections silent both ways",
            Self::Stall(Way::ToServer, SHORT_STALL) => "a stall of 4 s towards the server",
            Self::Stall(Way::ToClient, SHORT_STALL) => "a stall of 4 s towards the service",
            Self::Stall(Way::Both, SHORT_STALL) => "a stall of 4 s both ways",
            Self::Stall(Way::ToServer, _) => "a stall of 25 s towards the server",
            Self::Stall(Way::ToClient, _) => "a stall of 25 s towards the service",
            Self::Stall(Way::Both, _) => "a stall of 25 s both ways",
        }
    }

    /// Puts a proxy between the service and PostgreSQL, harms what goes through it, waits until deliveries go on, and takes it away.
    fn inject<'a>(&'a self, world: &'a mut World) -> BoxFuture<'a, ()> {
        async move {
            let port = world.database.server().cluster().port();
            let proxy = Proxy::to(port).await;
            let through = proxy.url(&world.database.tcp_url(), port);
            let direct = std::mem::replace(&mut world.service_url, through);
            world.stop_services().await;
            world.start_service();
            world.recovered().await;
            match *self {
                Self::Cut(which) => proxy.cut(which),
                Self::Silence(which, way) => proxy.silence_way(which, way),
                Self::Stall(way, length) => {
                    proxy.silence_way(None, way);
                    tokio::time::sleep(length).await;
                    proxy.resume();
                }
            }
            world.recovered().await;
            world.service_url = direct;
            world.stop_services().await;
            world.start_service();
        }
        .boxed()
    }
}

/// `pg_terminate_backend` for one of the service's sessions.
struct Terminated;

impl Fault for Terminated {
    fn name(&self) -> &'static str {
        "a session of the service ended by an administrator"
    }

    fn inject<'a>(&'a self, world: &'a mut World) -> BoxFuture<'a, ()> {
        async move {
            let sessions = "pg_stat_activity where datname = current_database() and application_name = 'odoo-eventd'";
            let count = world.database.psql(&format!("select count(*) from {sessions}")).await;
            let count: i64 = count.parse().unwrap();
            let which = if count == 0 { 0 } else { world.random.random_range(0..count) };
            world
                .database
                .psql(&format!(
                    "select pg_terminate_backend(pid) from (select pid from {sessions} order by backend_start offset {which} limit 1) one"
                ))
                .await;
        }
        .boxed()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_reset_lose_nothing() {
    nothing_is_lost_in_the_end(&[&Harm::Cut(Some(LEAD)), &Harm::Cut(None)], 2, 21).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listening_connection_that_goes_silent_is_noticed_and_loses_nothing() {
    nothing_is_lost_in_the_end(
        &[
            &Harm::Silence(Some(LEAD), Way::ToServer),
            &Harm::Silence(Some(LEAD), Way::ToClient),
        ],
        1,
        22,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_doorbell_that_goes_silent_is_noticed_and_loses_nothing() {
    nothing_is_lost_in_the_end(
        &[
            &Harm::Silence(Some(BELL), Way::ToServer),
            &Harm::Silence(Some(BELL), Way::ToClient),
        ],
        1,
        23,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_goes_silent_is_noticed_and_loses_nothing() {
    nothing_is_lost_in_the_end(
        &[
            &Harm::Silence(None, Way::ToServer),
            &Harm::Silence(None, Way::ToClient),
            &Harm::Silence(None, Way::Both),
        ],
        1,
        24,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_term_sent_before_a_stall_is_refused_after_it() {
    nothing_is_lost_in_the_end(
        &[
            &Harm::Stall(Way::ToServer, LONG_STALL),
            &Harm::Stall(Way::ToClient, LONG_STALL),
        ],
        1,
        25,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stall_that_nobody_notices_loses_nothing() {
    nothing_is_lost_in_the_end(
        &[
            &Harm::Stall(Way::ToServer, SHORT_STALL),
            &Harm::Stall(Way::ToClient, SHORT_STALL),
        ],
        1,
        26,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_ended_by_an_administrator_lose_nothing() {
    nothing_is_lost_in_the_end(&[&Terminated], 2, 27).await;
}
