//! What is wrong is said all at once, by column, and the same by a dry run and a real one; nothing is left of it.

use odoo_eventd::ops::Operator;
use odoo_eventd::ops::error::Error;
use odoo_eventd::ops::subscriptions::read::Filter;
use odoo_eventd::subscription::{Draft, Patch, Refusal};
use serde_json::json;

use super::{NOWHERE, draft, one, verbs};
use crate::support::Database;

fn refusals(error: Error) -> Vec<Refusal> {
    match error {
        Error::Refused(refusals) => refusals,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_a_real_run_and_a_change_refuse_the_same() {
    let database = Database::fixture().await;
    let verbs = verbs(&database, 2).await;
    let admin = Operator::of_database();
    let id = one(&verbs, &admin).await;
    let before = verbs.subscription(&admin, id).await.unwrap();
    for (set, columns) in [
        (json!({"model": "sale.ordr"}), &["model"][..]),
        (json!({"fields": ["no_such_field"]}), &["fields"]),
        (json!({"domain": "[('nme', '=', 1)]"}), &["domain"]),
        (json!({"webhook_url": "ftp://example.org"}), &["webhook_url"]),
        (json!({"webhook_url": "http://10.0.0.1/"}), &["webhook_url"]),
        (json!({"headers": {"Host": "x"}}), &["headers"]),
        (json!({"auth": "nonsense"}), &["auth"]),
        (json!({"webhook_secret": "whsec_nonsense!"}), &["webhook_secret"]),
        (json!({"payload_fields": ["partner_id.mail"]}), &["payload_fields"]),
        (json!({"enrich_fields": ["partner_id.mail"]}), &["enrich_fields"]),
        (json!({"webhook_payload_template": "{{"}), &["webhook_payload_template"]),
        (json!({"lang": "xx_XX"}), &["lang"]),
        (json!({"timeout_ms": 0}), &["timeout_ms"]),
        (json!({"retry_max_ms": 1}), &["retry_max_ms"]),
        (json!({"rate_limit": 1e9}), &["rate_limit"]),
        (json!({"max_event_age": "yesterday"}), &["max_event_age"]),
        (
            json!({"max_attempts": 0, "domain": "[(", "fields": ["x"], "headers": {"Host": "x"}}),
            &["max_attempts", "headers", "fields", "domain"],
        ),
    ] {
        let mut whole = json!({"model": "sale.order", "event_type": "write", "webhook_url": NOWHERE});
        whole.as_object_mut().unwrap().extend(set.as_object().unwrap().clone());
        let dry = refusals(
            verbs
                .preview_subscription(&admin, draft(whole.clone()))
                .await
                .unwrap_err(),
        );
        let real = refusals(verbs.create_subscription(&admin, draft(whole)).await.unwrap_err());
        assert_eq!(dry, real, "{set}");
        let named: Vec<&str> = dry.iter().map(|refusal| refusal.column.unwrap_or("none")).collect();
        assert_eq!(named, columns, "{set}: {dry:?}");
        let patch = Patch::parse(set.clone()).unwrap();
        let change = refusals(verbs.update_subscription(&admin, id, &patch, None).await.unwrap_err());
        assert_eq!(change[0].column, Some(columns[0]), "{set}: {change:?}");
    }
    assert_eq!(verbs.subscription(&admin, id).await.unwrap(), before);
    assert_eq!(verbs.count_subscriptions(&admin, &Filter::default()).await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_domain_says_where() {
    let database = Database::fixture().await;
    let verbs = verbs(&database, 2).await;
    let text = "[('name', '=', 'é'), ('nme', '=', 1)]";
    let draft = draft(json!({"model": "sale.order", "domain": text}));
    let why = refusals(
        verbs
            .create_subscription(&Operator::of_database(), draft)
            .await
            .unwrap_err(),
    );
    let (start, end) = why[0].span.unwrap();
    assert_eq!(&text[start..end], "'nme'");
    assert_eq!(why[0].hint.as_deref(), Some("did you mean name?"));
}

#[test]
fn keys_that_no_column_has_are_refused() {
    for object in [
        json!({"model": "sale.order", "timeout": 5}),
        json!({"state": "ready"}),
        json!({"id": 7}),
        json!([1]),
    ] {
        assert!(Draft::parse(object.clone()).unwrap_err().is_usage(), "{object}");
        assert!(Patch::parse(object.clone()).unwrap_err().is_usage(), "{object}");
    }
    assert!(serde_json::from_value::<Filter>(json!({"modles": ["sale.order"]})).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_no_longer_be_served_can_be_stopped_and_not_started() {
    let database = Database::fixture().await;
    let verbs = verbs(&database, 2).await;
    let admin = Operator::of_database();
    database
        .psql("insert into mcp_event_subscription (model, domain) values ('sale.order', '[(''nme'', ''='', 1)]')")
        .await;
    assert!(!verbs.set_active(&admin, 1, false).await.unwrap().subscription.active);
    assert!(verbs.set_paused(&admin, 1, true).await.unwrap().subscription.paused);
    assert_eq!(
        refusals(verbs.set_active(&admin, 1, true).await.unwrap_err())[0].column,
        Some("domain")
    );
    let mended = Patch::parse(json!({"active": true, "domain": "[]", "paused": null})).unwrap();
    let row = verbs
        .update_subscription(&admin, 1, &mended, None)
        .await
        .unwrap()
        .subscription;
    assert_eq!(
        (row.active, row.paused, row.state.map(|s| s.as_str())),
        (true, false, Some("ready"))
    );
}
