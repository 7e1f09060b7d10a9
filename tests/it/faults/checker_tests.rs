//! The checker finds what it is there to find: honest books pass, and each falsified entry is named.

use std::time::{Duration, Instant};

use uuid::Uuid;

use super::checker::{Arrival, Attempt, Books, Breach, Committed, Item, Promise, Report, check};
use super::world::{Load, World};
use crate::support::Server;

const ONCE: i32 = 1;
const RETRIED: i32 = 2;
const ORDERED: i32 = 3;

/// Two changes of one record, which a one-shot, a retrying and an ordered subscription got; the service was killed now and then.
struct Kept {
    books: Books,
    began: Instant,
}

impl Kept {
    fn honest() -> Self {
        let promise = |retried, ordered| Promise { retried, ordered };
        let mut kept = Self {
            books: Books::default(),
            began: Instant::now(),
        };
        kept.books.promises = [
            (ONCE, promise(false, false)),
            (RETRIED, promise(true, false)),
            (ORDERED, promise(true, true)),
        ]
        .into();
        for (seq, second) in [(1, 10), (2, 20)] {
            kept.books.committed.push(Committed {
                seq,
                transaction: 100 + u64::try_from(seq).unwrap(),
                item: item(seq),
                at: Some(kept.at(second)),
            });
        }
        // The one-shot: one taken, one cut off after it was taken.
        kept.attempt(ONCE, 1, 1, None);
        kept.arrival(ONCE, 1, 11, Some(200));
        kept.attempt(ONCE, 2, 1, Some("interrupted"));
        kept.arrival(ONCE, 2, 21, Some(200));
        // The retrying one: refused and taken; taken without our knowing, and again.
        kept.attempt(RETRIED, 1, 1, Some("http_status"));
        kept.arrival(RETRIED, 1, 12, Some(503));
        kept.attempt(RETRIED, 1, 2, None);
        kept.arrival(RETRIED, 1, 13, Some(200));
        kept.attempt(RETRIED, 2, 1, Some("interrupted"));
        kept.arrival(RETRIED, 2, 22, Some(200));
        kept.attempt(RETRIED, 2, 2, None);
        kept.arrival(RETRIED, 2, 25, Some(200));
        // The ordered one: the first repeated, then the second.
        kept.attempt(ORDERED, 1, 1, Some("interrupted"));
        kept.arrival(ORDERED, 1, 14, Some(200));
        kept.attempt(ORDERED, 1, 2, None);
        kept.arrival(ORDERED, 1, 23, Some(200));
        kept.attempt(ORDERED, 2, 1, None);
        kept.arrival(ORDERED, 2, 24, Some(200));
        kept
    }

    fn at(&self, second: u64) -> Instant {
        self.began + Duration::from_secs(second)
    }

    /// An attempt to send change `seq`; a success without an error.
    fn attempt(&mut self, subscription: i32, seq: i64, number: i32, error: Option<&str>) {
        self.books.attempts.push(Attempt {
            delivery: delivery(subscription, seq),
            event: Uuid::from_u64_pair(0, seq.unsigned_abs()),
            subscription,
            number,
            status: if error.is_none() { "success" } else { "failed" }.to_owned(),
            error: error.map(str::to_owned),
            items: vec![item(seq)],
        });
    }

    fn arrival(&mut self, subscription: i32, seq: i64, second: u64, answered: Option<u16>) {
        self.books.arrivals.push(Arrival {
            at: self.at(second),
            delivery: delivery(subscription, seq),
            event: Uuid::from_u64_pair(0, seq.unsigned_abs()),
            subscription,
            items: vec![item(seq)],
            answered,
        });
        self.books.arrivals.sort_by_key(|arrival| arrival.at);
    }

    fn attempt_of(&mut self, subscription: i32, seq: i64, number: i32) -> &mut Attempt {
        let found = self
            .books
            .attempts
            .iter_mut()
            .find(|a| a.delivery == delivery(subscription, seq) && a.number == number);
        found.unwrap()
    }

    fn forget_attempts(&mut self, subscription: i32, seq: i64) {
        self.books
            .attempts
            .retain(|a| a.delivery != delivery(subscription, seq));
    }

    fn forget_arrivals(&mut self, subscription: i32, seq: i64) {
        self.books
            .arrivals
            .retain(|a| a.delivery != delivery(subscription, seq));
    }

    fn report(&self) -> Report {
        check(&self.books)
    }

    /// Which promises are found broken, each once.
    fn breaches(&self) -> Vec<Breach> {
        let mut breaches: Vec<Breach> = self.report().violations.iter().map(|v| v.breach).collect();
        breaches.sort_unstable();
        breaches.dedup();
        breaches
    }
}

fn item(seq: i64) -> Item {
    Item {
        event_type: "write".to_owned(),
        record: 7,
        token: format!("token {seq}"),
    }
}

fn delivery(subscription: i32, seq: i64) -> Uuid {
    Uuid::from_u64_pair(subscription.unsigned_abs().into(), seq.unsigned_abs())
}

#[test]
fn honest_books_pass_and_give_the_figures() {
    let kept = Kept::honest();
    let report = kept.report();
    report.assert_clean();
    assert_eq!(report.events.len(), 2);
    assert_eq!(report.resent, [kept.at(23), kept.at(25)]);
    assert_eq!(report.interrupted, [Some(kept.at(20))]);
    assert_eq!(report.interrupted_yet_arrived, 1);
}

#[test]
fn a_one_shot_that_was_cut_off_and_never_came_is_known_to_the_log() {
    let mut kept = Kept::honest();
    kept.forget_arrivals(ONCE, 2);
    let report = kept.report();
    report.assert_clean();
    assert_eq!((report.interrupted.len(), report.interrupted_yet_arrived), (1, 0));
}

#[test]
fn a_change_that_nobody_heard_of_is_lost() {
    for subscription in [ONCE, RETRIED, ORDERED] {
        let mut kept = Kept::honest();
        kept.forget_attempts(subscription, 2);
        kept.forget_arrivals(subscription, 2);
        assert_eq!(kept.breaches(), [Breach::Lost]);
        assert_eq!(kept.report().violations[0].at, Some(kept.at(20)));
    }
}

#[test]
fn a_change_that_was_to_be_sent_until_taken_is_lost_when_it_was_given_up() {
    let mut kept = Kept::honest();
    kept.forget_attempts(RETRIED, 1);
    kept.forget_arrivals(RETRIED, 1);
    kept.attempt(RETRIED, 1, 1, Some("http_status"));
    kept.arrival(RETRIED, 1, 12, Some(503));
    assert_eq!(kept.breaches(), [Breach::Lost]);
}

#[test]
fn an_attempt_without_an_end_is_found() {
    let mut kept = Kept::honest();
    kept.attempt_of(RETRIED, 2, 1).status = "pending".to_owned();
    assert_eq!(kept.breaches(), [Breach::Pending]);
}

#[test]
fn two_successes_are_found() {
    let mut kept = Kept::honest();
    let first = kept.attempt_of(RETRIED, 2, 1);
    first.status = "success".to_owned();
    first.error = None;
    assert_eq!(kept.breaches(), [Breach::TwoSuccesses, Breach::SentAgain]);
}

#[test]
fn a_one_shot_that_came_twice_is_found() {
    let mut kept = Kept::honest();
    kept.attempt(ONCE, 2, 2, Some("interrupted"));
    kept.arrival(ONCE, 2, 26, Some(200));
    assert_eq!(kept.breaches(), [Breach::SentAgain]);
}

#[test]
fn an_attempt_behind_a_success_is_found() {
    let mut kept = Kept::honest();
    kept.attempt(RETRIED, 1, 3, Some("connection_refused"));
    assert_eq!(kept.breaches(), [Breach::SentAgain]);
}

#[test]
fn a_repetition_that_nothing_explains_is_found() {
    let mut kept = Kept::honest();
    // A receiver that was told so by a refusal has not taken it.
    kept.attempt_of(RETRIED, 2, 1).error = Some("http_status".to_owned());
    assert_eq!(kept.breaches(), [Breach::Unexplained]);
    assert_eq!(kept.report().violations[0].at, Some(kept.at(25)));
}

#[test]
fn a_request_that_is_not_in_the_log_is_found() {
    let mut kept = Kept::honest();
    kept.arrival(RETRIED, 1, 14, Some(503));
    assert_eq!(kept.breaches(), [Breach::Unlogged]);
}

#[test]
fn a_success_that_no_receiver_knows_of_is_found() {
    let mut kept = Kept::honest();
    kept.forget_arrivals(ONCE, 1);
    assert_eq!(kept.breaches(), [Breach::Invented]);
}

#[test]
fn what_was_rolled_back_must_not_arrive() {
    let mut kept = Kept::honest();
    kept.attempt(RETRIED, 3, 1, None);
    kept.arrival(RETRIED, 3, 27, Some(200));
    assert_eq!(kept.breaches(), [Breach::NotCommitted]);
}

#[test]
fn two_ids_for_one_event_are_found() {
    let mut kept = Kept::honest();
    kept.attempt_of(RETRIED, 1, 2).event = Uuid::from_u64_pair(5, 5);
    assert_eq!(kept.breaches(), [Breach::TwoEvents]);
}

#[test]
fn one_change_in_two_deliveries_is_found() {
    let mut kept = Kept::honest();
    kept.attempt(RETRIED, 9, 1, None);
    kept.arrival(RETRIED, 9, 27, Some(200));
    let attempt = kept.books.attempts.last_mut().unwrap();
    (attempt.items, attempt.event) = (vec![item(1)], Uuid::from_u64_pair(0, 1));
    let arrival = kept.books.arrivals.last_mut().unwrap();
    (arrival.items, arrival.event) = (vec![item(1)], Uuid::from_u64_pair(0, 1));
    assert_eq!(kept.breaches(), [Breach::TwoDeliveries]);
}

#[test]
fn an_earlier_change_behind_a_later_one_is_found_where_order_was_promised() {
    for (subscription, expected) in [(RETRIED, vec![]), (ORDERED, vec![Breach::OutOfOrder])] {
        let mut kept = Kept::honest();
        kept.attempt_of(subscription, 1, 1).error = Some("interrupted".to_owned());
        kept.attempt_of(subscription, 1, 2).number = 3;
        kept.attempt(subscription, 1, 2, Some("interrupted"));
        kept.arrival(subscription, 1, 30, Some(200));
        assert_eq!(kept.breaches(), expected);
    }
}

#[test]
fn a_gap_is_as_long_as_something_was_due_and_nothing_came() {
    let kept = Kept::honest();
    // Committed at 10 and 20; the second came first at 21 (one-shot), 22 (retried), 24 (ordered).
    let report = kept.report();
    assert_eq!(report.longest_gap(kept.at(0), kept.at(60)), Duration::from_secs(1));

    let mut kept = Kept::honest();
    kept.books
        .arrivals
        .retain(|a| a.at != kept.began + Duration::from_secs(21));
    for arrival in &mut kept.books.arrivals {
        if arrival.at >= kept.began + Duration::from_secs(22) {
            arrival.at += Duration::from_secs(10);
        }
    }
    let report = kept.report();
    // From the commit at 20, as nothing was due between 14 and then, to 32.
    assert_eq!(report.longest_gap(kept.at(0), kept.at(60)), Duration::from_secs(12));
    assert_eq!(report.longest_gap(kept.at(0), kept.at(32)), Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_books_of_a_real_run_pass_until_somebody_falsifies_them() {
    let mut world = World::new(&Server::shared(), Load::default(), 6).await;
    world.settle_and_check().await.assert_clean();

    for (falsified, expected) in [
        (
            "update mcp_webhook_delivery set status = 'pending' where subscription_id = 2 and status = 'success' and attempt = 1",
            vec![Breach::Lost, Breach::Pending],
        ),
        (
            "delete from mcp_webhook_delivery where subscription_id = 1",
            vec![Breach::Lost, Breach::Unlogged],
        ),
        (
            "insert into faults.committed (event_type, record, token) values ('write', 1, 'nobody told')",
            vec![Breach::Lost],
        ),
        ("delete from faults.committed where seq < 5", vec![Breach::NotCommitted]),
    ] {
        let honest = world.books().await;
        world
            .database
            .psql(&format!(
                "create table backup_log as select * from mcp_webhook_delivery;
                 create table backup_book as select * from faults.committed; {falsified}"
            ))
            .await;
        let report = check(&world.books().await);
        for breach in expected {
            assert!(report.count(breach) > 0, "{falsified}: {:?}", report.violations);
        }
        world
            .database
            .psql(
                "delete from mcp_webhook_delivery; insert into mcp_webhook_delivery select * from backup_log; drop table backup_log;
                 delete from faults.committed; insert into faults.committed overriding system value select * from backup_book;
                 drop table backup_book",
            )
            .await;
        assert_eq!(world.books().await.attempts.len(), honest.attempts.len());
    }
    check(&world.books().await).assert_clean();
}
