//! A walk through a list meets each that stays once, whatever comes and goes meanwhile.

use std::collections::BTreeSet;

use odoo_eventd::ops::Operator;
use odoo_eventd::ops::deliveries::read::{AttemptFilter, Code};
use odoo_eventd::ops::error::Error;
use odoo_eventd::ops::page::PageRequest;
use odoo_eventd::ops::subscriptions::read::{Filter, Order, OrderBy};

use super::verbs;
use crate::support::Database;

/// Rows as they would be without our triggers, which look at each.
const THOUSAND: &str = "insert into mcp_event_subscription (model, name, active, failure_count)
     select 'sale.order', case when n % 7 > 0 then 'name ' || n % 10 end, false, 0 from generate_series(1, 1000) n";

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_through_a_thousand_meets_each_that_stays_once() {
    let database = Database::fixture().await;
    let verbs = verbs(&database, 2).await;
    let admin = Operator::of_database();
    for order in [
        Order::default(),
        Order {
            by: OrderBy::Id,
            descending: true,
        },
        Order {
            by: OrderBy::Name,
            descending: false,
        },
        Order {
            by: OrderBy::Name,
            descending: true,
        },
        Order {
            by: OrderBy::CreateDate,
            descending: true,
        },
    ] {
        database.psql("delete from mcp_event_subscription").await;
        database.psql(THOUSAND).await;
        // Every third goes while somebody walks, and others come.
        let stay = database
            .psql("select id from mcp_event_subscription where id % 3 <> 0")
            .await;
        let stay: BTreeSet<i32> = stay.lines().map(|id| id.parse().unwrap()).collect();
        let going = database
            .psql("select id from mcp_event_subscription where id % 3 = 0 order by id % 11, id")
            .await;
        let mut going: Vec<&str> = going.lines().collect();
        let mut met = Vec::new();
        let mut request = PageRequest::first(90);
        loop {
            let page = verbs
                .subscriptions(&admin, &Filter::default(), order, &request)
                .await
                .unwrap();
            met.extend(page.items.iter().map(|found| found.subscription.id));
            let gone = going.split_off(going.len().saturating_sub(40));
            if !gone.is_empty() {
                database
                    .psql(&format!(
                        "delete from mcp_event_subscription where id in ({});
                         insert into mcp_event_subscription (model, name, active)
                         select 'sale.order', 'name ' || n, false from generate_series(0, 9) n",
                        gone.join(",")
                    ))
                    .await;
            }
            match page.next_cursor {
                Some(cursor) => request = PageRequest::after(90, cursor),
                None => break,
            }
        }
        let once: BTreeSet<i32> = met.iter().copied().collect();
        assert_eq!(once.len(), met.len(), "{order:?}: somebody was met twice");
        assert!(
            once.is_superset(&stay),
            "{order:?}: {:?} were not met",
            stay.difference(&once).collect::<Vec<_>>()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_through_the_log_meets_each_attempt_once() {
    let database = Database::fixture().await;
    let verbs = verbs(&database, 2).await;
    let admin = Operator::of_database();
    // Many of one instant: their order is that of their ids.
    let log = "insert into mcp_webhook_delivery (delivery_id, subscription_id, event_id, model, record_ids, attempt, status, response_code, create_date)
       select gen_random_uuid(), n % 3, gen_random_uuid(), 'sale.order', array[n], 1, case when n % 2 = 0 then 'success' else 'failed' end,
              (array[200, 404, 503, 500])[n % 4 + 1], date_trunc('day', now() at time zone 'utc') + n / 100 * interval '1 second'
         from generate_series(1, 1000) n";
    database.psql(log).await;
    let mut met = Vec::new();
    let mut request = PageRequest::first(64);
    loop {
        let page = verbs
            .attempts(&admin, &AttemptFilter::default(), &request)
            .await
            .unwrap();
        met.extend(page.items.iter().map(|attempt| attempt.record_ids[0]));
        // What comes is newer than where the walk began.
        database
            .psql(
                &log.replace("generate_series(1, 1000)", "generate_series(5001, 5003)")
                    .replace("n / 100", "80000"),
            )
            .await;
        match page.next_cursor {
            Some(cursor) => request = PageRequest::after(64, cursor),
            None => break,
        }
    }
    let expected: Vec<i64> = (1..=1000).rev().collect();
    assert_eq!(met, expected);
    let filter = AttemptFilter {
        subscription: Some(1),
        codes: Some(vec![Code::One(404), Code::Hundred(5)]),
        record_id: None,
        ..AttemptFilter::default()
    };
    let found = verbs
        .attempts(&admin, &filter, &PageRequest::first(1000))
        .await
        .unwrap()
        .items;
    assert!(found.len() > 200);
    assert!(
        found
            .iter()
            .all(|a| a.subscription_id == 1 && matches!(a.response_code, Some(404 | 500 | 503)))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_another_list_and_a_page_without_a_size_are_refused() {
    let database = Database::fixture().await;
    let verbs = verbs(&database, 2).await;
    let admin = Operator::of_database();
    database.psql(THOUSAND).await;
    let (filter, order) = (Filter::default(), Order::default());
    let page = verbs
        .subscriptions(&admin, &filter, order, &PageRequest::first(1))
        .await
        .unwrap();
    let cursor = page.next_cursor.unwrap();
    let by_name = Order {
        by: OrderBy::Name,
        descending: false,
    };
    let refused = |answer: Error, column: &str| match answer {
        Error::Refused(why) => assert_eq!(why[0].column, Some(column)),
        other => panic!("{other:?}"),
    };
    let again = PageRequest::after(1, cursor.clone());
    refused(
        verbs.subscriptions(&admin, &filter, by_name, &again).await.unwrap_err(),
        "cursor",
    );
    refused(
        verbs
            .attempts(&admin, &AttemptFilter::default(), &again)
            .await
            .unwrap_err(),
        "cursor",
    );
    refused(verbs.history(&admin, None, &again).await.unwrap_err(), "cursor");
    for nonsense in ["", "x", "bnVsbA", "eyJpZCI6MX0"] {
        let request = PageRequest::after(1, nonsense.to_owned());
        refused(
            verbs.subscriptions(&admin, &filter, order, &request).await.unwrap_err(),
            "cursor",
        );
    }
    for limit in [0, 1001, u32::MAX] {
        let request = PageRequest::first(limit);
        refused(
            verbs.subscriptions(&admin, &filter, order, &request).await.unwrap_err(),
            "limit",
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_finds_what_it_names_and_the_count_agrees() {
    let database = Database::fixture().await;
    let verbs = verbs(&database, 2).await;
    let admin = Operator::of_database();
    database
        .psql(
            "insert into mcp_event_subscription (name, model, active, paused, created_from, user_id, fields) values
               ('Confirmed orders', 'sale.order', true, false, 'manual', 2, '{}'), ('100% _of_ them', 'sale.order', false, true, 'ai', 5, '{}'),
               ('partners', 'res.partner', true, true, 'ai', 2, '{NULL,name}');
             begin; set local odoo_eventd.service_write = 'on';
             update mcp_event_subscription set state = 'invalid', error = 'it says why' where id = 1; commit",
        )
        .await;
    for (filter, ids) in [
        (serde_json::json!({}), &[1, 2, 3][..]),
        (serde_json::json!({"ids": [3, 1, 99]}), &[1, 3]),
        (serde_json::json!({"ids": []}), &[]),
        (serde_json::json!({"models": ["sale.order"]}), &[1, 2]),
        (serde_json::json!({"models": ["sale.order"], "active": false}), &[2]),
        (serde_json::json!({"states": ["unseen"]}), &[2, 3]),
        (serde_json::json!({"states": ["invalid", "ready"]}), &[1]),
        (serde_json::json!({"created_from": "ai", "user_id": 2}), &[3]),
        (serde_json::json!({"paused": true}), &[2, 3]),
        (serde_json::json!({"text": "ORDERS"}), &[1]),
        (serde_json::json!({"text": "says why"}), &[1]),
        // What is a pattern elsewhere is text here.
        (serde_json::json!({"text": "% _of_"}), &[2]),
        (serde_json::json!({"text": "_"}), &[2]),
    ] {
        let read: Filter = serde_json::from_value(filter.clone()).unwrap();
        let found = verbs.all_subscriptions(&admin, &read).await.unwrap();
        assert_eq!(found.iter().map(|row| row.id).collect::<Vec<_>>(), ids, "{filter}");
        let count = verbs.count_subscriptions(&admin, &read).await.unwrap();
        assert_eq!(usize::try_from(count).unwrap(), ids.len(), "{filter}");
    }
    // An element that is NULL says nothing.
    assert_eq!(
        verbs.subscription(&admin, 3).await.unwrap().subscription.fields,
        ["name"]
    );
}
