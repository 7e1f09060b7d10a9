//! Who is bound to some models has nothing read for him of any other, whatever leads there.

use odoo_eventd::ops::Operator;
use odoo_eventd::ops::domains::DomainQuestion;
use odoo_eventd::ops::error::Error;
use odoo_eventd::ops::subscriptions::bulk::{Outcome, Target};
use odoo_eventd::subscription::{Patch, Refusal};
use serde_json::{Value, json};

use super::{NOWHERE, draft, operator, orders, verbs};
use crate::support::Database;

/// One who may use orders alone.
fn of_orders() -> Operator {
    operator("anna").bound_to(["sale.order".to_owned()])
}

/// Ways to records of other models, each with the column that leads there.
fn ways() -> Vec<(&'static str, Value)> {
    let domains = [
        "[('partner_id.name', '=', 'Azure')]",
        "['|', ('id', '=', 1), '!', ('partner_id.country_id.code', '=', 'BE')]",
        "[('order_line.product_uom_qty', '>', 3)]",
        "[('order_line', '!=', False)]",
        "[('tag_ids.name', '=', 'VIP')]",
        "[('tag_ids', 'ilike', 'VIP')]",
        "[('partner_id', 'child_of', 1)]",
    ];
    let domains = domains.into_iter().map(|text| ("domain", json!(text)));
    let paths = [
        "partner_id.name",
        "partner_id{id,name}",
        "partner_id.country_id",
        "order_line{product_uom_qty}",
        "order_line.product_id",
        "tag_ids.name",
    ];
    let paths = paths.into_iter().flat_map(|path| {
        [
            ("payload_fields", json!(["client_order_ref", path])),
            ("enrich_fields", json!([path])),
        ]
    });
    domains.chain(paths).collect()
}

fn is_beyond(refusals: &[Refusal], column: &str) {
    let one = refusals
        .iter()
        .find(|refusal| refusal.message.contains("not among those that you may use"));
    let one = one.unwrap_or_else(|| panic!("{refusals:?}"));
    assert_eq!(one.column, Some(column), "{refusals:?}");
    let said = format!("{refusals:?}");
    for model in ["res.partner", "res.country", "sale.order.line", "crm.tag"] {
        assert!(!said.contains(model), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_way_leads_from_ones_own_models_to_another() {
    let database = Database::fixture().await;
    let verbs = verbs(&database, 2).await;
    let (free, bound) = (operator("anna"), of_orders());
    let one = verbs
        .create_subscription(&bound, orders(NOWHERE))
        .await
        .unwrap()
        .row
        .subscription
        .id;
    for (column, value) in ways() {
        let mut asked = json!({"model": "sale.order", "event_type": "write", "webhook_url": NOWHERE});
        asked[column] = value.clone();
        // Who is bound to nothing gets there.
        verbs.preview_subscription(&free, draft(asked.clone())).await.unwrap();
        let patch = Patch::parse(json!({column: value.clone()})).unwrap();
        let outcomes = [
            verbs.preview_subscription(&bound, draft(asked.clone())).await.map(drop),
            verbs.create_subscription(&bound, draft(asked)).await.map(drop),
            verbs.update_subscription(&bound, one, &patch, None).await.map(drop),
        ];
        for outcome in outcomes {
            match outcome {
                Err(Error::Refused(refusals)) => is_beyond(&refusals, column),
                other => panic!("{column} {value}: {other:?}"),
            }
        }
        let results = verbs
            .update_subscriptions(&bound, &[Target::any(one)], &patch)
            .await
            .unwrap();
        assert!(matches!(&results[0].outcome, Outcome::Refused { .. }), "{results:?}");
        if column == "domain" {
            let question = DomainQuestion {
                model: "sale.order".to_owned(),
                domain: value.as_str().unwrap().to_owned(),
                user_id: None,
                lang: None,
            };
            match verbs.check_domain(&bound, &question).await {
                Err(Error::Refused(refusals)) => is_beyond(&refusals, column),
                other => panic!("{value}: {other:?}"),
            }
        }
    }
    assert_eq!(database.psql("select count(*) from mcp_event_subscription").await, "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn ones_own_fields_ids_of_relations_and_what_is_inherited_can_be_used() {
    let database = Database::fixture().await;
    let verbs = verbs(&database, 2).await;
    let orders = of_orders();
    let users = operator("anna").bound_to(["res.users".to_owned()]);
    for (operator, asked) in [
        (
            &orders,
            json!({"model": "sale.order", "event_type": "write", "domain": "[('partner_id', '=', 1), ('tag_ids', 'in', [1])]",
                   "payload_fields": ["name", "partner_id", "order_line", "tag_ids"], "webhook_url": NOWHERE}),
        ),
        (
            &users,
            json!({"model": "res.users", "event_type": "write", "domain": "[('email', '!=', False)]",
                   "payload_fields": ["login", "name", "email"], "webhook_url": NOWHERE}),
        ),
    ] {
        let seen = verbs.preview_subscription(operator, draft(asked)).await;
        seen.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_change_is_a_conflict_before_it_is_looked_at_what_it_says() {
    let database = Database::fixture().await;
    let verbs = verbs(&database, 2).await;
    let anna = operator("anna");
    let made = verbs.create_subscription(&anna, orders(NOWHERE)).await.unwrap().row;
    let id = made.subscription.id;
    let patch = Patch::parse(json!({"name": "second"})).unwrap();
    verbs.update_subscription(&anna, id, &patch, None).await.unwrap();
    let patch = Patch::parse(json!({"domain": "[('nothing', '=', 1)]"})).unwrap();
    let stale = verbs.update_subscription(&anna, id, &patch, Some(&made.version)).await;
    assert!(matches!(stale, Err(Error::Conflict(_))), "{stale:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn text_that_postgresql_cannot_keep_is_refused_wherever_it_is_written() {
    use odoo_eventd::ops::deliveries::read::AttemptFilter;
    use odoo_eventd::ops::page::PageRequest;
    use odoo_eventd::ops::subscriptions::read::{Filter, Order};

    let database = Database::fixture().await;
    let verbs = verbs(&database, 2).await;
    let anna = operator("anna");
    let page = PageRequest::first(10);
    let nul = || "a\0b".to_owned();
    let filter = Filter {
        text: Some(nul()),
        ..Filter::default()
    };
    let models = Filter {
        models: Some(vec![nul()]),
        ..Filter::default()
    };
    let question = |model: &str, domain: &str| DomainQuestion {
        model: model.to_owned(),
        domain: domain.to_owned(),
        user_id: None,
        lang: None,
    };
    let answers = [
        verbs
            .subscriptions(&anna, &filter, Order::default(), &page)
            .await
            .map(drop),
        verbs
            .subscriptions(&anna, &models, Order::default(), &page)
            .await
            .map(drop),
        verbs.count_subscriptions(&anna, &filter).await.map(drop),
        verbs
            .check_domain(&anna, &question("sale.order", "[('name', '=', 'a\0b')]"))
            .await
            .map(drop),
        verbs.check_domain(&anna, &question("a\0b", "[]")).await.map(drop),
        verbs
            .create_subscription(&anna, draft(json!({"model": "sale.order", "name": "a\0b"})))
            .await
            .map(drop),
        verbs
            .attempts(
                &anna,
                &AttemptFilter {
                    model: Some(nul()),
                    ..AttemptFilter::default()
                },
                &page,
            )
            .await
            .map(drop),
    ];
    for answer in answers {
        assert!(matches!(answer, Err(Error::Refused(_))), "{answer:?}");
    }
}
