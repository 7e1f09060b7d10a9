//! The service is killed: at each step, at random times, while twenty of them compete for the lead.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use odoo_eventd::failpoint::Step;
use rand::RngExt;

use super::world::World;
use super::{Fault, nothing_is_lost};

/// All faults of this kind.
pub fn faults() -> Vec<Box<dyn Fault>> {
    let steps = Step::ALL
        .into_iter()
        .map(|step| Box::new(KilledAt(step)) as Box<dyn Fault>);
    let others: [Box<dyn Fault>; 3] = [
        Box::new(KilledAnytime),
        Box::new(KilledInAFlurry),
        Box::new(TwentyAtOnce),
    ];
    steps.chain(others).collect()
}

/// SIGKILL when the service comes to a step, for the first time or some time later.
struct KilledAt(Step);

impl Fault for KilledAt {
    fn name(&self) -> &'static str {
        match self.0 {
            Step::AfterCapture => "SIGKILL after reading the outbox",
            Step::AfterClaim => "SIGKILL after claiming",
            Step::AfterFeeding => "SIGKILL after feeding readers",
            Step::BeforeSend => "SIGKILL before sending",
            Step::AfterSend => "SIGKILL after sending, before recording",
            Step::WhileRecording => "SIGKILL while recording",
            Step::WhileDroppingADay => "SIGKILL while dropping a day of the log",
            Step::WhileRotating => "SIGKILL while rotating the outbox",
            Step::WhileEmptying => "SIGKILL while emptying the outbox",
            Step::WhileDroppingABlock => "SIGKILL while emptying a block of the feed",
            Step::WhileLooking => "SIGKILL while looking at a subscription",
        }
    }

    fn inject<'a>(&'a self, world: &'a mut World) -> BoxFuture<'a, ()> {
        async move {
            let nth = match self.0 {
                // Once in fifteen seconds, beginning with the term.
                Step::WhileDroppingADay
                | Step::WhileRotating
                | Step::WhileEmptying
                | Step::WhileDroppingABlock
                | Step::WhileLooking => 1,
                _ => world.random.random_range(1..=20),
            };
            world.kill_services().await;
            match self.0 {
                Step::WhileDroppingADay => age_the_log(world).await,
                Step::WhileRotating | Step::WhileEmptying => age_the_outbox(world).await,
                Step::WhileDroppingABlock => age_the_feed(world).await,
                _ => {}
            }
            world.start_doomed_service(self.0, nth);
            world.services_die().await;
            world.start_service();
        }
        .boxed()
    }
}

/// Deliveries that wait for another attempt get an old last one, in a day of the log that is to be dropped. What the log loses is kept.
async fn age_the_log(world: &World) {
    world
        .database
        .psql(
            "do $$ declare day date := (now() at time zone 'utc')::date - 40; begin
               execute format('create table if not exists odoo_eventd.mcp_webhook_delivery_%s partition of public.mcp_webhook_delivery
                               for values from (%L) to (%L)', to_char(day, 'YYYYMMDD'), day, day + 1);
               with aged as (
                 update mcp_webhook_delivery l set create_date = day + interval '1 hour'
                   from odoo_eventd.delivery d
                  where d.delivery_id = l.delivery_id and d.state = 'waiting' and l.status = 'failed' and l.create_date >= day + 1
                 returning l.*)
               insert into faults.aged_attempt select * from aged; end $$",
        )
        .await;
}

/// The outbox's values were read long ago: the next term sends capture to the next table and empties this one.
async fn age_the_outbox(world: &World) {
    let age = "update odoo_eventd.ring set rotated_at = now() - interval '2 days'";
    world.database.psql(age).await;
}

/// What is in the feed was read, and then grows old: the next term empties its block, and what comes goes to another.
async fn age_the_feed(world: &World) {
    world.reader.caught_up().await;
    world
        .database
        .psql(
            "update odoo_eventd.feed_block b set opened_at = now() - interval '30 hours', closed_at = now() - interval '25 hours'
               from odoo_eventd.feed_ring r where b.block = r.current;
             update odoo_eventd.feed_ring set current = (select b.block from odoo_eventd.feed_block b where b.opened_at is null order by b.block limit 1)",
        )
        .await;
}

/// SIGKILL at a random moment.
struct KilledAnytime;

impl Fault for KilledAnytime {
    fn name(&self) -> &'static str {
        "SIGKILL at a random moment"
    }

    fn inject<'a>(&'a self, world: &'a mut World) -> BoxFuture<'a, ()> {
        async move {
            let after = world.random.random_range(0..500);
            tokio::time::sleep(Duration::from_millis(after)).await;
            world.kill_services().await;
            world.start_service();
        }
        .boxed()
    }
}

/// SIGKILL again and again, mostly before the service has found its feet.
struct KilledInAFlurry;

impl Fault for KilledInAFlurry {
    fn name(&self) -> &'static str {
        "SIGKILL ten times in a row"
    }

    fn inject<'a>(&'a self, world: &'a mut World) -> BoxFuture<'a, ()> {
        async move {
            for _ in 0..10 {
                let after = world.random.random_range(0..400);
                tokio::time::sleep(Duration::from_millis(after)).await;
                world.kill_services().await;
                world.start_service();
            }
        }
        .boxed()
    }
}

/// Twenty services start at once; all but one are killed one after the other, whoever leads.
struct TwentyAtOnce;

impl Fault for TwentyAtOnce {
    fn name(&self) -> &'static str {
        "20 services at once, killed one by one"
    }

    fn inject<'a>(&'a self, world: &'a mut World) -> BoxFuture<'a, ()> {
        async move {
            world.kill_services().await;
            (0..20).for_each(|_| world.start_service());
            world.recovered().await;
            while world.services().len() > 1 {
                let running = world.services().len();
                let which = world.random.random_range(0..running);
                world.kill_service(which).await;
                let after = world.random.random_range(0..200);
                tokio::time::sleep(Duration::from_millis(after)).await;
            }
        }
        .boxed()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_reading_and_sending_the_service_loses_nothing() {
    let steps = [
        &KilledAt(Step::AfterCapture),
        &KilledAt(Step::AfterClaim),
        &KilledAt(Step::BeforeSend),
    ];
    nothing_is_lost(&steps.map(|s| s as &dyn Fault), 2, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_sending_and_recording_the_service_repeats_only_what_may_be_repeated() {
    let steps = [&KilledAt(Step::AfterSend), &KilledAt(Step::WhileRecording)];
    nothing_is_lost(&steps.map(|s| s as &dyn Fault), 3, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_behind_feeding_readers_or_while_emptying_their_blocks_the_service_costs_a_reader_nothing() {
    let steps = [&KilledAt(Step::AfterFeeding), &KilledAt(Step::WhileDroppingABlock)];
    nothing_is_lost(&steps.map(|s| s as &dyn Fault), 3, 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_it_cleans_up_the_service_loses_nothing_and_cleans_up_after_all() {
    let steps = [
        &KilledAt(Step::WhileDroppingADay),
        &KilledAt(Step::WhileRotating),
        &KilledAt(Step::WhileEmptying),
    ];
    nothing_is_lost(&steps.map(|s| s as &dyn Fault), 2, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_moments_the_service_loses_nothing() {
    nothing_is_lost(&[&KilledAnytime, &KilledInAFlurry], 3, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_services_at_once_lose_nothing_while_one_after_the_other_is_killed() {
    nothing_is_lost(&[&TwentyAtOnce], 1, 5).await;
}
