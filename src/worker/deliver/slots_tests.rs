use super::*;

fn slots(total: usize, per_endpoint: usize, per_subscription: usize) -> Slots {
    Slots::new(Limits {
        total,
        per_endpoint,
        per_subscription,
    })
}

fn take(slots: &Slots, subscription: i32, endpoint: &str, wanted: usize) -> Vec<Slot> {
    let endpoint = Arc::from(endpoint);
    slots.take(
        Claimant {
            subscription,
            endpoint: &endpoint,
            rate: None,
        },
        wanted,
        Patience::OnlyWell,
        Instant::now(),
    )
}

/// Lets an endpoint answer so often that it may have as many as its limit.
fn answers(slots: &Slots, endpoint: &str) {
    for _ in 0..100 {
        take(slots, -1, endpoint, 1)[0].note(true);
    }
}

#[test]
fn one_subscription_cannot_take_the_slots_of_others() {
    let slots = slots(10, 10, 4);
    answers(&slots, "a");
    let first = take(&slots, 1, "a", 100);
    assert_eq!(first.len(), 4);
    assert_eq!(take(&slots, 2, "b", 2).len(), 2);
    drop(first);
    assert_eq!(take(&slots, 1, "a", 100).len(), 4, "what is dropped is free again");
}

#[test]
fn databases_of_one_process_share_its_slots_and_give_them_back() {
    let limits = Limits {
        total: 10,
        per_endpoint: 10,
        per_subscription: 10,
    };
    let ceiling = Ceiling::new(10);
    let databases = [(); 3].map(|()| Slots::below(ceiling.clone(), limits));
    databases.iter().for_each(|slots| answers(slots, "a"));
    let first = take(&databases[0], 1, "a", 100);
    let second = take(&databases[1], 1, "a", 100);
    let third = take(&databases[2], 1, "a", 100);
    assert_eq!(
        [first.len(), second.len(), third.len()],
        [5, 3, 1],
        "each leaves some for the others"
    );
    drop((first, second));
    assert_eq!(ceiling.free(), 9);
    let limited = Claimant {
        subscription: 2,
        endpoint: &Arc::from("a"),
        rate: Some(10.0),
    };
    let granted = databases[1].take(limited, 100, Patience::OnlyWell, Instant::now());
    assert_eq!(
        (granted.len(), ceiling.free()),
        (1, 8),
        "what a rate limit leaves unused is not taken"
    );
}

#[test]
fn subscriptions_of_one_endpoint_share_its_limit() {
    let slots = slots(100, 6, 4);
    answers(&slots, "dead:443");
    let _first = take(&slots, 1, "dead:443", 100);
    let second = take(&slots, 2, "dead:443", 100);
    assert_eq!(second.len(), 2);
    assert!(take(&slots, 3, "dead:443", 100).is_empty());
    assert_eq!(take(&slots, 4, "well:443", 100).len(), 4);
}

#[test]
fn however_many_endpoints_hang_a_slot_is_left_for_another() {
    let slots = slots(256, 64, 32);
    let mut held = Vec::new();
    for round in 0..100 {
        for endpoint in 0..100 {
            if round == 0 {
                // They were well once.
                answers(&slots, &format!("hangs-{endpoint}"));
            }
            held.extend(take(&slots, endpoint, &format!("hangs-{endpoint}"), 1 + round));
        }
    }
    assert!(held.len() < 256, "{}", held.len());
    assert_eq!(take(&slots, 1_000, "well", 1).len(), 1);
}

#[test]
fn an_endpoint_that_only_fails_is_tried_with_few_requests_until_it_answers() {
    let slots = slots(256, 64, 32);
    for _ in 0..FAILING_AFTER {
        take(&slots, 1, "dead", 1)[0].note(false);
    }
    assert!(take(&slots, 1, "dead", 10).is_empty(), "not in between");
    let endpoint: Arc<str> = "dead".into();
    let claimant = Claimant {
        subscription: 1,
        endpoint: &endpoint,
        rate: None,
    };
    let few = slots.take(claimant, 100, Patience::Everybody, Instant::now());
    assert_eq!(few.len(), FAILING_AT_MOST);
    few[0].note(true);
    drop(few);
    assert_eq!(take(&slots, 1, "dead", 100).len(), WINDOW_FIRST + 1);
}

#[test]
fn an_endpoint_gets_more_with_each_answer_and_less_with_each_failure() {
    let slots = slots(256, 64, 32);
    assert_eq!(
        take(&slots, 1, "new", 100).len(),
        WINDOW_FIRST,
        "one that hangs from the start never has more"
    );
    answers(&slots, "new");
    let held = take(&slots, 1, "new", 100);
    assert_eq!(held.len(), 32);
    held[..3].iter().for_each(|slot| slot.note(false));
    drop(held);
    assert_eq!(take(&slots, 1, "new", 100).len(), 8);
}

#[test]
fn a_rate_limit_lets_as_many_through_in_a_second_and_no_burst() {
    let slots = slots(1_000, 1_000, 1_000);
    answers(&slots, "a");
    let endpoint: Arc<str> = "a".into();
    for (rate, in_ten_seconds) in [(5.0, 50), (100.0, 1_000), (0.5, 5)] {
        let claimant = Claimant {
            subscription: i32::try_from(in_ten_seconds).unwrap(),
            endpoint: &endpoint,
            rate: Some(rate),
        };
        let started = Instant::now();
        let mut sent = 0;
        for tick in 0..1_000 {
            let now = started + Duration::from_millis(tick * 10);
            let got = slots.take(claimant, 100, Patience::OnlyWell, now).len();
            assert!(got <= 1 + (rate * BURST_S) as usize, "{rate}: {got} at once");
            sent += got;
        }
        assert!(
            sent.abs_diff(in_ten_seconds) <= 1 + (rate * BURST_S) as usize,
            "{rate} a second: {sent}"
        );
    }
}

#[test]
fn the_next_token_is_known_and_what_was_not_sent_costs_none() {
    let slots = slots(10, 10, 10);
    let endpoint: Arc<str> = "a".into();
    let claimant = Claimant {
        subscription: 1,
        endpoint: &endpoint,
        rate: Some(2.0),
    };
    let now = Instant::now();
    let mut got = slots.take(claimant, 10, Patience::OnlyWell, now);
    assert_eq!(got.len(), 1);
    let next = slots.next_token(claimant, now).unwrap();
    assert_eq!(next - now, Duration::from_millis(500));
    got.pop().unwrap().refund();
    assert_eq!(slots.next_token(claimant, now), None);
    assert_eq!(slots.take(claimant, 10, Patience::OnlyWell, now).len(), 1);
}
