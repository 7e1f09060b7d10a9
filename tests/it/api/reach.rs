//! A token for some models sees no subscription that reads another one, nor anything that is left of one.

use serde_json::{Value, json};

use super::{Api, EVERYTHING, NOWHERE, orders, token};
use crate::support::pages::free_port;
use crate::support::service::{SOON, Service, eventd_ok, wait_until_leading};
use crate::support::{Database, eventually};

/// Where a third model's values are, in the fixture and as this test writes them.
const VALUE: &str = "BE0477472701";

/// Every way in which a subscription on orders comes to read a third model: what it is called, and its columns.
fn ways_to_a_third() -> Vec<(&'static str, Value)> {
    vec![
        (
            "domain by a path",
            json!({"domain": format!("[('partner_id.vat', '=', '{VALUE}')]")}),
        ),
        (
            "domain by any",
            json!({"domain": format!("[('partner_id', 'any', [('vat', '=', '{VALUE}')])]")}),
        ),
        (
            "domain by a name",
            json!({"domain": "[('tag_ids', 'not ilike', 'thirdmodel')]"}),
        ),
        (
            "domain by lines",
            json!({"domain": "[('order_line.product_uom_qty', '>=', 0)]"}),
        ),
        (
            "domain by a hierarchy",
            json!({"domain": "[('partner_id', 'child_of', 1)]"}),
        ),
        ("enriched", json!({"enrich_fields": ["partner_id.vat"]})),
        ("sent", json!({"payload_fields": ["name", "partner_id.vat"]})),
        ("sent as records", json!({"payload_fields": ["partner_id{id,vat}"]})),
        (
            "sent by lines",
            json!({"payload_fields": ["order_line{product_uom_qty}", "partner_id.vat"]}),
        ),
        (
            "sent by a template",
            json!({"payload_fields": ["partner_id.vat"], "webhook_payload_template": "{\"thirdmodel\": {{ record | tojson }}}"}),
        ),
        (
            "sent to callbacks",
            json!({"endpoint_source": "record", "enrich_fields": ["partner_id.vat"]}),
        ),
    ]
}

/// A service with an API that delivers and keeps a feed; an administrator's token, and one that is bound to orders.
async fn delivering() -> (Database, Api, String, String) {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let port = free_port().await;
    let service = Service::start(&database.url(), &["--api-listen", &port.to_string()]);
    let api = Api::inside(service, port);
    api.wait().await;
    let admin = token(&database, "admin", "admin", &[]).await;
    let bound = token(
        &database,
        "bound",
        &format!("{EVERYTHING},admin"),
        &["--models", "sale.order"],
    )
    .await;
    wait_until_leading(&database).await;
    (database, api, admin, bound)
}

/// Every GET of the document, filled with each of these subscriptions and deliveries.
fn every_get(document: &Value, subscriptions: &[i64], deliveries: &[&str]) -> Vec<String> {
    let mut asked = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        if item.get("get").is_none() {
            continue;
        }
        let path = path.replace("{model}", "sale.order");
        if path.contains("{id}") {
            asked.extend(subscriptions.iter().map(|id| path.replace("{id}", &id.to_string())));
        } else if path.contains("{delivery_id}") {
            asked.extend(deliveries.iter().map(|id| path.replace("{delivery_id}", id)));
        } else if path == "/api/v1/events" {
            asked.extend(
                subscriptions
                    .iter()
                    .map(|id| format!("{path}?subscription={id}&after=0")),
            );
            asked.extend(subscriptions.iter().map(|id| format!("{path}?subscription={id}")));
        } else {
            asked.push(path.clone());
            asked.extend([format!("{path}?q={VALUE}"), format!("{path}?q=thirdmodel")]);
        }
    }
    asked
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_subscription_that_reads_a_third_model_is_seen_by_who_may_not_read_it() {
    let (database, api, admin, bound) = delivering().await;
    database.psql(&format!("update res_partner set vat = '{VALUE}'")).await;
    let mut hidden = Vec::new();
    for (name, columns) in ways_to_a_third() {
        let mut draft = orders();
        draft["name"] = json!(format!("thirdmodel {name}"));
        draft["in_session"] = json!(true);
        for (column, value) in columns.as_object().unwrap() {
            draft[column] = value.clone();
        }
        if draft["endpoint_source"] == "record" {
            draft.as_object_mut().unwrap().remove("webhook_url");
        }
        hidden.push(api.subscribe(&admin, draft).await);
    }
    let own = api.subscribe(&bound, orders()).await;
    database
        .psql("insert into mcp_record_callback (model, record_id, callback_url) values ('sale.order', 1, 'http://127.0.0.1:9/thirdmodel')")
        .await;
    eventually("all to be served", SOON, async || {
        let ready = database
            .psql("select count(*) from mcp_event_subscription where state = 'ready'")
            .await;
        (ready == (hidden.len() + 1).to_string()).then_some(())
    })
    .await;
    database
        .psql("update sale_order set client_order_ref = 'changed' where id = 1")
        .await;
    let sent = format!("select count(*) > 5 from mcp_webhook_delivery where payload like '%{VALUE}%'");
    eventually("bodies with the third model's values", SOON, async || {
        let own_is_logged = format!("select exists (select from mcp_webhook_delivery where subscription_id = {own})");
        (database.psql(&sent).await == "t" && database.psql(&own_is_logged).await == "t").then_some(())
    })
    .await;
    let logged = database
        .psql(&format!(
            "select string_agg(distinct delivery_id::text, ' ') from mcp_webhook_delivery where subscription_id <> {own}"
        ))
        .await;
    let deliveries: Vec<&str> = logged.split(' ').collect();
    let mut told_to_admin = 0;
    for path in every_get(&api.document().await, &hidden, &deliveries) {
        if path.ends_with("openapi.json") {
            continue;
        }
        let seen = api.ask(&bound, "GET", &path, None).await;
        for word in ["thirdmodel", VALUE, ".vat", "res.partner", "crm.tag", "sale.order.line"] {
            assert!(!seen.text.contains(word), "{path}: {word} in {}", seen.text);
        }
        let all = api.ask(&admin, "GET", &path, None).await;
        told_to_admin += usize::from(["thirdmodel", VALUE].iter().any(|word| all.text.contains(word)));
    }
    // Or else nothing was looked for.
    assert!(told_to_admin > 3 * hidden.len(), "{told_to_admin}");
    for (path, of_all) in [
        ("/api/v1/subscriptions/count", hidden.len() + 1),
        ("/restapi/1.0/webhooks/count", hidden.len() + 1),
    ] {
        assert_eq!(api.ask(&bound, "GET", path, None).await.json()["count"], 1, "{path}");
        assert_eq!(
            api.ask(&admin, "GET", path, None).await.json()["count"],
            of_all,
            "{path}"
        );
    }
    for id in &hidden {
        for (method, path, body) in [
            (
                "PATCH",
                format!("/api/v1/subscriptions/{id}"),
                Some(json!({"name": "mine"})),
            ),
            ("POST", format!("/api/v1/subscriptions/{id}/test"), None),
            ("POST", format!("/api/v1/subscriptions/{id}/pause"), None),
            ("DELETE", format!("/api/v1/subscriptions/{id}"), None),
        ] {
            let answer = api.ask(&bound, method, &path, body).await;
            assert_eq!(answer.status, 404, "{method} {path}: {}", answer.text);
        }
    }
    for delivery in &deliveries {
        let answer = api
            .ask(
                &bound,
                "POST",
                &format!("/api/v1/deliveries/{delivery}/redeliver"),
                None,
            )
            .await;
        assert_eq!(answer.status, 404, "{}", answer.text);
    }
    let counted = json!({"filter": {"since": "2000-01-01T00:00:00Z"}, "dry_run": true});
    let counted = api
        .ask(&bound, "POST", "/api/v1/deliveries/redeliver", Some(counted))
        .await;
    assert_eq!(counted.json()["count"], 1, "{}", counted.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_subscription_has_read_once_is_hidden_with_it_for_good() {
    let (database, api, admin, bound) = delivering().await;
    let widened = api.subscribe(&bound, orders()).await;
    let rewritten = api.subscribe(&bound, orders()).await;
    let at = |id: i64| format!("/api/v1/subscriptions/{id}");
    // What the service notes of a row is no change of it.
    eventually("both to be served", SOON, async || {
        let ready = database
            .psql("select count(*) from mcp_event_subscription where state = 'ready'")
            .await;
        (ready == "2").then_some(())
    })
    .await;
    let tag = api
        .ask(&bound, "GET", &at(widened), None)
        .await
        .header("etag")
        .to_owned();
    let renamed = api
        .ask_with(
            &bound,
            "PATCH",
            &at(widened),
            &[("if-match", &tag)],
            Some(json!({"name": "x"})),
        )
        .await;
    assert_eq!(renamed.status, 200, "{}", renamed.text);
    let enrich = |fields: Value| Some(json!({"enrich_fields": fields}));
    for fields in [json!(["partner_id.vat"]), json!([])] {
        let changed = api.ask(&admin, "PATCH", &at(widened), enrich(fields)).await;
        assert_eq!(changed.status, 200, "{}", changed.text);
        // Its log and its history tell of what it has read.
        assert_eq!(api.ask(&bound, "GET", &at(widened), None).await.status, 404);
    }
    // Past every door, and not looked at yet: it may be anything.
    database
        .psql(&format!(
            "update mcp_event_subscription set enrich_fields = '{{partner_id.vat}}', active = false where id = {rewritten}"
        ))
        .await;
    assert_eq!(api.ask(&bound, "GET", &at(rewritten), None).await.status, 404);
    // One that came past every door is there as soon as it is known what it reads.
    let inserted = |fields: &str| {
        format!(
            "insert into mcp_event_subscription (model, event_type, webhook_url, enrich_fields) values ('sale.order', 'write', '{NOWHERE}', '{fields}')
             returning id"
        )
    };
    let (narrow, wide) = (
        database.psql(&inserted("{name}")).await,
        database.psql(&inserted("{partner_id.vat}")).await,
    );
    let (narrow, wide) = (narrow.lines().next().unwrap(), wide.lines().next().unwrap());
    eventually("what came past every door to be looked at", SOON, async || {
        let asked =
            format!("select count(*) from mcp_event_subscription where id in ({narrow}, {wide}) and state = 'ready'");
        (database.psql(&asked).await == "2").then_some(())
    })
    .await;
    let listed = api.ask(&bound, "GET", "/api/v1/subscriptions", None).await.json();
    let ids: Vec<String> = listed["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["id"].to_string())
        .collect();
    assert_eq!(ids, [narrow]);
}
