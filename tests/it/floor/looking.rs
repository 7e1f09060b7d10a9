//! Models, fields and domains, and why one of them cannot be used.

use odoo_eventd::ops::Operator;
use odoo_eventd::ops::domains::DomainQuestion;
use odoo_eventd::ops::error::Error;

use super::verbs;
use crate::support::Database;

#[tokio::test(flavor = "multi_thread")]
async fn models_and_fields_say_why_they_cannot_be_used() {
    let database = Database::fixture().await;
    let verbs = verbs(&database, 2).await;
    let admin = Operator::of_database();
    let models = verbs.models(&admin).await.unwrap();
    let order = models.iter().find(|m| m.model == "sale.order").unwrap();
    assert_eq!((order.table.as_deref(), &order.unusable), (Some("sale_order"), &None));
    database
        .psql("insert into odoo_eventd.allowed_model values ('sale.order')")
        .await;
    let models = verbs.models(&admin).await.unwrap();
    let why = |model: &str| models.iter().find(|m| m.model == model).unwrap().unusable.clone();
    assert_eq!(why("sale.order"), None);
    assert!(
        why("res.partner")
            .unwrap()
            .message
            .contains("not among those the installer allowed")
    );

    let fields = verbs.fields(&admin, "res.users").await.unwrap();
    let field = |name: &str| fields.iter().find(|f| f.field == name).unwrap();
    assert!(
        field("password")
            .unusable
            .as_ref()
            .unwrap()
            .message
            .contains("holds a secret")
    );
    assert_eq!((field("login").kind, &field("login").unusable), ("char", &None));
    // What a subscription says of a field and what the list says of it are one judgement.
    let fields = verbs.fields(&admin, "sale.order").await.unwrap();
    let (mut usable, mut unusable) = (0, 0);
    for field in fields {
        let draft =
            super::draft(serde_json::json!({"model": "sale.order", "event_type": "write", "fields": [field.field]}));
        let refused = verbs.preview_subscription(&admin, draft).await.err();
        match (&field.unusable, refused) {
            (None, None) => usable += 1,
            (Some(why), Some(Error::Refused(refusals))) => {
                assert_eq!(*why, refusals[0]);
                unusable += 1;
            }
            other => panic!("{}: {other:?}", field.field),
        }
    }
    assert!(usable > 10, "{usable} and {unusable}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_is_counted_or_refused_with_its_place() {
    let database = Database::fixture().await;
    let verbs = verbs(&database, 2).await;
    let admin = Operator::of_database();
    let ask = |model: &str, domain: &str| DomainQuestion {
        model: model.to_owned(),
        domain: domain.to_owned(),
        user_id: None,
        lang: None,
    };
    let answer = verbs
        .check_domain(&admin, &ask("sale.order", "[('amount_total', '>', 0)]"))
        .await
        .unwrap();
    let matching = database
        .psql("select count(*) from sale_order where amount_total > 0")
        .await;
    assert_eq!(answer.matching_records, Some(matching.parse().unwrap()));
    assert!(!answer.reads_other_records);
    let refused = |answer: Error| match answer {
        Error::Refused(mut why) => why.remove(0),
        other => panic!("{other:?}"),
    };
    let why = refused(
        verbs
            .check_domain(&admin, &ask("sale.order", "[('nme', '=', 1)]"))
            .await
            .unwrap_err(),
    );
    assert_eq!((why.column, why.span), (Some("domain"), Some((2, 7))));
    let why = refused(verbs.check_domain(&admin, &ask("sale.ordr", "[]")).await.unwrap_err());
    assert_eq!(
        (why.column, why.hint.as_deref()),
        (Some("model"), Some("did you mean \"sale.order\"?"))
    );
}
