//! A subscription from its form to its deliveries, by forms alone.

use super::{
    Api, Database, EVERYTHING, Receiver, SOON, Service, encoded, eventd_ok, eventually, program, token, value_of,
    wait_until_leading,
};
use crate::support::pages::free_port;
use crate::support::receiver::Reply;

/// The service itself with its page, as `run` has it.
async fn running(database: &Database) -> Api {
    eventd_ok(&database.url(), &["install"]).await;
    let port = free_port().await;
    let mut command = program();
    command.args([
        "--database-url",
        &database.url(),
        "--log-format",
        "json",
        "run",
        "--api-listen",
        &port.to_string(),
    ]);
    let api = Api {
        service: Service::spawn(command),
        port,
    };
    api.wait().await;
    wait_until_leading(database).await;
    api
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_with_the_form_is_delivered_and_can_be_looked_at_and_sent_once_more() {
    let database = Database::fixture().await;
    let api = running(&database).await;
    let receiver = Receiver::start().await;
    let writer = token(&database, "writer", EVERYTHING, &["--user", "2"]).await;
    let mut visitor = api.visitor(&writer).await;

    let models = visitor.page("/subscriptions/new?q=sales+order").await;
    assert!(models.contains("/subscriptions/new?model=sale.order\""), "{models}");
    let form = visitor.page("/subscriptions/new?model=sale.order").await;
    assert!(form.contains("name=\"fields\" value=\"client_order_ref\""));
    let url = receiver.url("/hook");
    let once = value_of(&form, "once");
    let fields = [
        ("action", "save"),
        ("once", once.as_str()),
        ("model", "sale.order"),
        ("name", "references"),
        ("event_type", "write"),
        ("fields", "client_order_ref"),
        ("domain", "[('id', '>', 0)]"),
        ("trigger_mode", "match"),
        ("webhook_url", url.as_str()),
        ("secret", "make"),
        ("payload_fields", "client_order_ref"),
        ("template", ""),
    ];
    let made = visitor.post("/subscriptions/new", &fields).await;
    assert_eq!(made.status, 200, "{}", made.text);
    let secret = made
        .text
        .split("id=\"secret-made\">")
        .nth(1)
        .expect("the secret")
        .split('<')
        .next()
        .unwrap()
        .to_owned();
    assert!(secret.starts_with("whsec_"));
    // A browser that sends the same form again makes nothing, and tells no secret.
    let again = visitor.post("/subscriptions/new", &fields).await;
    assert_eq!(again.status, 303, "{}", again.text);
    assert!(!visitor.page("/subscriptions/1").await.contains(&secret));
    let counted = api.ask(&writer, "GET", "/api/v1/subscriptions/count", None).await;
    assert_eq!(counted.json()["count"], 1);

    let odoo = database.client().await;
    receiver.replies([Reply::status(404).body("no such hook")]);
    odoo.batch_execute(
        "update sale_order set client_order_ref = 'PO \"1\" <b>' where id = (select min(id) from sale_order)",
    )
    .await
    .unwrap();
    eventually("the failure to be in the list", SOON, async || {
        visitor
            .page("/deliveries?status=failed")
            .await
            .contains("<code>http_status")
            .then_some(())
    })
    .await;
    let sent = receiver.requests().remove(0);
    let list = visitor
        .page("/deliveries?status=failed&code=4xx&subscription=1&time=1h")
        .await;
    let id = value_between(&list, "<tr data-id=\"", "\"");
    let detail = visitor.page(&format!("/deliveries/{id}")).await;
    let body = String::from_utf8(sent.body.clone()).unwrap();
    let shown = value_between(
        &detail,
        "id=\"raw\" dir=\"auto\" tabindex=\"0\" aria-label=\"Exact payload\">",
        "</pre>",
    );
    assert_eq!(unescaped(&shown), body);
    assert!(
        detail.contains("The receiver knows no such address") && detail.contains("no such hook"),
        "{detail}"
    );
    assert!(detail.contains("What changed") && !detail.contains("<b>"));
    eventually("the badge to tell of the failure", SOON, async || {
        visitor
            .page("/subscriptions")
            .await
            .contains("badge bad\">Failed")
            .then_some(())
    })
    .await;

    let again = visitor.post(&format!("/deliveries/{id}/redeliver"), &[]).await;
    assert_eq!(again.status, 303, "{}", again.text);
    let requests = receiver.wait_for(2, SOON).await;
    assert_eq!(requests[1].body, requests[0].body);
    assert_eq!(requests[1].header("webhook-id"), requests[0].header("webhook-id"));
    eventually("the badge to turn", SOON, async || {
        visitor
            .page("/subscriptions")
            .await
            .contains("badge good\">Success")
            .then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_counted_first_and_a_second_click_sends_nothing_twice() {
    let database = Database::fixture().await;
    let api = running(&database).await;
    let receiver = Receiver::start().await;
    receiver.otherwise(Reply::status(400));
    let writer = token(&database, "writer", EVERYTHING, &[]).await;
    let mut draft = super::orders();
    draft["webhook_url"] = receiver.url("/hook").into();
    draft["grouping"] = "record".into();
    api.subscribe(&writer, draft).await;
    let mut visitor = api.visitor(&writer).await;
    let odoo = database.client().await;
    odoo.batch_execute(
        "update sale_order set client_order_ref = 'x' where id in (select id from sale_order order by id limit 3)",
    )
    .await
    .unwrap();
    receiver.wait_for(3, SOON).await;
    let ask = eventually("three dead letters", SOON, async || {
        let page = visitor.page("/deliveries/redeliver?time=1h").await;
        page.contains("<strong id=\"count\">3</strong>").then_some(page)
    })
    .await;
    assert!(
        visitor
            .page("/deliveries?dead=1&time=1h")
            .await
            .contains("/deliveries/redeliver?time=1h\"")
    );
    assert!(
        !visitor
            .page("/deliveries?dead=1&q=x")
            .await
            .contains("/deliveries/redeliver?")
    );
    receiver.otherwise(Reply::status(200));
    let (since, until) = (value_of(&ask, "since"), value_of(&ask, "until"));
    let fields = [("since", since.as_str()), ("until", until.as_str())];
    let first = visitor.post("/deliveries/redeliver", &fields).await;
    assert_eq!(first.header("location"), "/deliveries?done=redelivered&n=3");
    let second = visitor.post("/deliveries/redeliver", &fields).await;
    assert_eq!(second.header("location"), "/deliveries?done=redelivered&n=0");
    assert_eq!(receiver.wait_for(6, SOON).await.len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_is_wrong_comes_back_with_what_was_typed_and_the_place() {
    let database = Database::fixture().await;
    let api = Api::of(&database).await;
    let writer = token(&database, "writer", EVERYTHING, &[]).await;
    let mut visitor = api.visitor(&writer).await;
    let wrong = [
        ("action", "save"),
        ("once", "1"),
        ("model", "sale.order"),
        ("name", "typed by hand"),
        ("event_type", "write"),
        ("domain", "[('stat', '=', 'sale')]"),
        ("fields", "priority"),
        ("webhook_url", "ftp://example.com"),
        ("timeout_ms", "soon"),
        ("secret", "none"),
    ];
    let first = visitor.post("/subscriptions/new", &wrong).await;
    assert_eq!(first.status, 422);
    assert!(
        first.text.contains("typed by hand") && first.text.contains("&#34;soon&#34; is no whole number"),
        "{}",
        first.text
    );
    let mended: Vec<_> = wrong.into_iter().filter(|(name, _)| *name != "timeout_ms").collect();
    let second = visitor.post("/subscriptions/new", &mended).await;
    assert_eq!(second.status, 422);
    let text = unescaped(&second.text);
    // The caret stands under the field that there is not.
    assert!(text.contains("  [('stat', '=', 'sale')]\n    ^^^^^^"), "{text}");
    // A field of another model can neither be chosen nor sent.
    assert!(text.contains("priority") && text.contains("ftp"), "{text}");
    let form = visitor.page("/subscriptions/new?model=sale.order").await;
    assert!(!form.contains("value=\"priority\""));
    let counted = api.ask(&writer, "GET", "/api/v1/subscriptions/count", None).await;
    assert_eq!(counted.json()["count"], 0);

    let told = visitor
        .get(&format!(
            "/live/domain?model=sale.order&domain={}",
            encoded("[('stat', '=', 1)]")
        ))
        .await
        .json();
    assert_eq!(told["good"], false);
    assert!(told["text"].as_str().unwrap().contains("^^^^^^"), "{told}");
    let told = visitor
        .get(&format!(
            "/live/domain?model=sale.order&domain={}",
            encoded("[('id', '>', 0)]")
        ))
        .await
        .json();
    let orders: i64 = database
        .client()
        .await
        .query_one("select count(*) from sale_order", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(told["text"], format!("{orders} records match now."));
}

#[tokio::test(flavor = "multi_thread")]
async fn buttons_that_write_nothing_help_to_fill_the_form() {
    let database = Database::fixture().await;
    let api = Api::of(&database).await;
    let writer = token(&database, "writer", EVERYTHING, &[]).await;
    let mut visitor = api.visitor(&writer).await;
    let press = async |visitor: &mut super::Visitor<'_>, action: &str, more: &[(&str, &str)]| {
        let mut fields = vec![
            ("action", action),
            ("model", "sale.order"),
            ("event_type", "write"),
            ("secret", "none"),
            ("webhook_url", super::NOWHERE),
        ];
        fields.extend(more);
        unescaped(&visitor.post("/subscriptions/new", &fields).await.text)
    };
    let condition = [
        ("condition_field", "state"),
        ("condition_is", "becomes"),
        ("condition_value", "sale"),
    ];
    let page = press(&mut visitor, "condition", &condition).await;
    assert!(
        page.contains(">[('state', '=', 'sale')]</textarea>") && page.contains("value=\"enter\" selected"),
        "{page}"
    );
    assert!(page.contains("name=\"fields\" value=\"state\" checked"));
    let page = press(&mut visitor, "check", &[("domain", "[('id', '=', 0)]")]).await;
    assert!(page.contains("0 records match now."), "{page}");
    let page = press(&mut visitor, "dry_run", &[("domain", "[]"), ("fields", "state")]).await;
    assert!(
        page.contains("Nothing was written") && page.contains("Triggers to make"),
        "{page}"
    );
    let page = press(
        &mut visitor,
        "sample",
        &[("template", "slack"), ("enrich_fields", "name")],
    )
    .await;
    assert!(page.contains("\"text\":"), "{page}");
    let page = press(
        &mut visitor,
        "sample",
        &[
            ("template", "own"),
            ("webhook_payload_template", "{\"n\": {{ nothing( }}}"),
        ],
    )
    .await;
    assert!(
        page.contains("webhook_payload_template") && page.contains("class=\"fault\""),
        "{page}"
    );
    let counted = api.ask(&writer, "GET", "/api/v1/subscriptions/count", None).await;
    assert_eq!(counted.json()["count"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_was_overtaken_is_not_lost_and_not_written_over_unseen() {
    let database = Database::fixture().await;
    let api = Api::of(&database).await;
    let writer = token(&database, "writer", EVERYTHING, &[]).await;
    let id = api.subscribe(&writer, super::orders()).await;
    let path = format!("/subscriptions/{id}");
    let mut visitor = api.visitor(&writer).await;
    let form = visitor.page(&path).await;
    let version = value_of(&form, "version");
    let theirs = serde_json::json!({"name": "theirs", "timeout_ms": 4321});
    assert_eq!(
        api.ask(&writer, "PATCH", &format!("/api/v1{path}"), Some(theirs))
            .await
            .status,
        200
    );
    let mine = |version: &str| {
        let fields = [
            ("action", "save"),
            ("version", version),
            ("name", "mine"),
            ("event_type", "write"),
            ("fields", "client_order_ref"),
            ("webhook_url", super::NOWHERE),
            ("secret", "keep"),
        ];
        fields.map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    let post = async |visitor: &mut super::Visitor<'_>, version: &str| {
        let fields = mine(version);
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        visitor.post(&path, &fields).await
    };
    let overtaken = post(&mut visitor, &version).await;
    assert_eq!(overtaken.status, 422);
    assert!(overtaken.text.contains("Somebody changed this subscription") && overtaken.text.contains("value=\"mine\""));
    let newer = value_of(&overtaken.text, "version");
    assert_ne!(newer, version);
    assert_eq!(post(&mut visitor, &newer).await.status, 303);
    let row = api.ask(&writer, "GET", &format!("/api/v1{path}"), None).await.json();
    assert_eq!(row["name"], "mine");
    let history = visitor.page(&format!("{path}/history")).await;
    assert!(history.contains("theirs") && history.contains("mine"));
}

fn value_between(text: &str, before: &str, after: &str) -> String {
    let from = text.find(before).unwrap_or_else(|| panic!("no {before} in {text}")) + before.len();
    text[from..].split(after).next().unwrap().to_owned()
}

/// What a browser would show of escaped text.
fn unescaped(text: &str) -> String {
    let mut shown = text.to_owned();
    for (escape, character) in [
        ("&#34;", "\""),
        ("&#39;", "'"),
        ("&#60;", "<"),
        ("&#62;", ">"),
        ("&#38;", "&"),
    ] {
        shown = shown.replace(escape, character);
    }
    shown
}
