//! Document 003's API: its examples as they stand there, and what it says besides.

use odoo_eventd::domain::python::literal;
use serde_json::{Value, json};

use super::{Answer, Api, EVERYTHING, encoded, token};
use crate::support::Database;

const BASE: &str = "/restapi/1.0/webhooks";

/// The document's three webhooks, with the ids that they have in it, in a database that has their models.
async fn document() -> (Database, Api, String) {
    let database = Database::fixture().await;
    let api = Api::of(&database).await;
    let token = token(&database, "document", EVERYTHING, &[]).await;
    for (id, name, kind) in [
        (3, "Product Creation", "on_create"),
        (7, "Product Update", "on_write"),
        (12, "Product Deletion", "on_unlink"),
    ] {
        database
            .psql(&format!(
                "alter table mcp_event_subscription alter column id restart with {id}"
            ))
            .await;
        let vals = format!(
            "{{'name':'{name}','model':'product.product','kind':'{kind}','address':'https://requestbin.net/152eq5l1','format':'json','language':'en_US'}}"
        );
        let made = api
            .ask(&token, "POST", &format!("{BASE}?vals={}", encoded(&vals)), None)
            .await;
        assert_eq!(
            (made.status.as_u16(), made.json()["webhook"]["id"].as_i64()),
            (200, Some(id)),
            "{}",
            made.text
        );
    }
    // As they stand in the document, where they were made at other times.
    database
        .psql("begin; set local odoo_eventd.service_write = 'on';
               update mcp_event_subscription set create_date = '2017-11-02 12:15:47.123', write_date = '2017-11-02 14:12:40.5'; commit")
        .await;
    database
        .psql("alter table mcp_event_subscription alter column id restart with 20")
        .await;
    (database, api, token)
}

/// What the document prints, with its Python literals.
fn printed(text: &str) -> Value {
    literal(text).unwrap_or_else(|error| panic!("{}", error.render(text)))
}

fn webhook(id: i64, name: &str, kind: &str) -> Value {
    printed(&format!(
        "{{'id': {id}, 'name': '{name}', 'model': 'product.product', 'kind': '{kind}', 'address': 'https://requestbin.net/152eq5l1',
           'format': 'json', 'language': 'en_US', 'fields': [], 'create_date': '2017-11-02 12:15:47', 'write_date': '2017-11-02 14:12:40'}}"
    ))
}

fn three() -> [Value; 3] {
    [
        webhook(3, "Product Creation", "on_create"),
        webhook(7, "Product Update", "on_write"),
        webhook(12, "Product Deletion", "on_unlink"),
    ]
}

fn some(webhook: &Value, fields: &[&str]) -> Value {
    let kept = webhook
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, _)| *name == "id" || fields.contains(&name.as_str()));
    kept.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn is(answer: &Answer, expected: &Value) {
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(&answer.json(), expected);
    // Their order is the document's too.
    let keys = |value: &Value| {
        value["webhook"]
            .as_object()
            .map(|webhook| webhook.keys().cloned().collect::<Vec<_>>())
    };
    assert_eq!(keys(&answer.json()), keys(expected));
}

const SIX: &str = "['name','model', 'kind', 'address', 'format', 'language']";
const SIX_NAMES: [&str; 6] = ["name", "model", "kind", "address", "format", "language"];

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_are_read_as_in_the_examples() {
    let (_database, api, token) = document().await;
    let get = async |path: &str| api.ask(&token, "GET", &format!("{BASE}{path}"), None).await;
    let [creation, update, deletion] = three();
    let six = |webhook: &Value| some(webhook, &SIX_NAMES);
    is(&get("").await, &json!({"webhook": three()}));
    is(
        &get(&format!("?fields={}", encoded(SIX))).await,
        &json!({"webhook": [six(&creation), six(&update), six(&deletion)]}),
    );
    is(&get("/7").await, &json!({"webhook": update}));
    is(
        &get(&format!("/7?fields={}", encoded(SIX))).await,
        &json!({"webhook": six(&update)}),
    );
    is(&get("?ids=3,12").await, &json!({"webhook": [creation, deletion]}));
    is(
        &get(&format!("?ids=3,12&fields={}", encoded(SIX))).await,
        &json!({"webhook": [six(&creation), six(&deletion)]}),
    );
    let on_write = encoded("[('model','=','product.product'),('kind','=','on_write')]");
    is(
        &get(&format!("?domain={on_write}")).await,
        &json!({"webhook": [update]}),
    );
    // With a slash before the question mark, as it writes it in its list of endpoints.
    is(
        &get(&format!("/?domain={on_write}&fields={}&limit=5", encoded(SIX))).await,
        &json!({"webhook": [six(&update)]}),
    );
    is(
        &get(&format!(
            "/count?domain={}",
            encoded("[('model','=','product.product')]")
        ))
        .await,
        &json!({"count": 3}),
    );
    is(&get("/count").await, &json!({"count": 3}));
    is(&get("?count=True").await, &json!({"count": 3}));
    is(
        &get(&format!("?domain={}&count=True", encoded("[]"))).await,
        &json!({"count": 3}),
    );
    let ids = async |query: &str| {
        let told = get(query).await.json();
        told["webhook"]
            .as_array()
            .unwrap()
            .iter()
            .map(|webhook| webhook["id"].as_i64().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids("?order=name").await, [3, 12, 7]);
    assert_eq!(ids(&format!("?order={}", encoded("model, id desc"))).await, [12, 7, 3]);
    assert_eq!(ids("?offset=1&limit=1").await, [7]);
    assert_eq!(ids("?offset=9").await, [0_i64; 0]);
    assert_eq!(
        ids(&format!(
            "?domain={}",
            encoded("[('kind', 'in', ['on_create', 'on_unlink'])]")
        ))
        .await,
        [3, 12]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_are_written_as_in_the_examples() {
    let (database, api, token) = document().await;
    let ask = async |method: &str, path: &str| api.ask(&token, method, &format!("{BASE}{path}"), None).await;
    // The example is of stock.picking, which this database has not; an order has a state and a partner.
    let vals = "{'name':'Delivery Order Updation','model':'sale.order','kind':'on_write','address':'https://requestbin.net/152eq5l1',\
                'format':'json','language':'en_US','condition':[('state', '=', 'done'), ('partner_id.country_id.code', '=', 'BE')]}";
    let made = ask("POST", &format!("?vals={}", encoded(vals))).await;
    let mut told = made.json();
    for date in ["create_date", "write_date"] {
        let at = told["webhook"][date].as_str().unwrap();
        assert!(at.len() == 19 && at.starts_with("20"), "{at}");
        told["webhook"][date] = json!("2017-11-28 15:10:36");
    }
    let expected =
        "{'webhook': {'id': 20, 'name': 'Delivery Order Updation', 'model': 'sale.order', 'kind': 'on_write',
         'address': 'https://requestbin.net/152eq5l1', 'format': 'json', 'language': 'en_US', 'fields': [],
         'condition': [('state', '=', 'done'), ('partner_id.country_id.code', '=', 'BE')],
         'create_date': '2017-11-28 15:10:36', 'write_date': '2017-11-28 15:10:36'}}";
    assert_eq!((made.status.as_u16(), &told), (200, &printed(expected)));
    let address = encoded("{'address':'https://requestbin.net/another'}");
    let updated = ask("PUT", &format!("/7?vals={address}")).await;
    assert_eq!(updated.status, 200, "{}", updated.text);
    let mut expected = three()[1].clone();
    expected["address"] = json!("https://requestbin.net/another");
    expected["write_date"] = updated.json()["webhook"]["write_date"].clone();
    assert_eq!(updated.json(), json!({"webhook": expected}));
    assert_ne!(expected["write_date"], "2017-11-02 14:12:40");
    let several = ask("PUT", &format!("?ids=7,12&vals={address}")).await.json();
    let told: Vec<_> = several["webhook"]
        .as_array()
        .unwrap()
        .iter()
        .map(|w| (w["id"].as_i64().unwrap(), w["address"].clone()))
        .collect();
    assert_eq!(
        told,
        [
            (7, json!("https://requestbin.net/another")),
            (12, json!("https://requestbin.net/another"))
        ]
    );
    is(&ask("DELETE", "/7").await, &json!({}));
    is(&ask("DELETE", "?ids=3,12").await, &json!({}));
    assert_eq!(
        database
            .psql("select string_agg(id::text, ',') from mcp_event_subscription")
            .await,
        "20"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_are_what_is_sent_and_on_writes_what_is_watched() {
    let (database, api, token) = document().await;
    let kept = async |id: i64| {
        database
            .psql(&format!(
                "select fields, payload_fields, event_type from mcp_event_subscription where id = {id}"
            ))
            .await
    };
    let put = async |id: i64, vals: &str| {
        api.ask(&token, "PUT", &format!("{BASE}/{id}?vals={}", encoded(vals)), None)
            .await
    };
    let answer = put(7, "{'fields': ['default_code', 'active']}").await;
    assert_eq!(
        answer.json()["webhook"]["fields"],
        json!(["default_code", "active"]),
        "{}",
        answer.text
    );
    assert_eq!(kept(7).await, "{default_code,active}|{default_code,active}|write");
    put(3, "{'fields': ['default_code']}").await;
    assert_eq!(kept(3).await, "{}|{default_code}|create");
    put(3, "{'kind': 'on_write'}").await;
    assert_eq!(kept(3).await, "{default_code}|{default_code}|write");
    put(7, "{'kind': 'on_unlink', 'fields': []}").await;
    assert_eq!(kept(7).await, "{}|{}|unlink");
    // A body is taken too.
    let posted = json!({"model": "product.product", "kind": "on_write", "address": "https://requestbin.net/1", "fields": ["default_code"]});
    let made = api.ask(&token, "POST", BASE, Some(posted)).await;
    assert_eq!(made.status, 200, "{}", made.text);
    assert_eq!(kept(20).await, "{default_code}|{default_code}|write");
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_401_403_and_404_and_change_nothing() {
    let (database, api, token) = document().await;
    let before = database
        .psql("select json_agg(s order by id) from mcp_event_subscription s")
        .await;
    assert_eq!(api.ask("", "GET", BASE, None).await.status, 401);
    for (method, path, status) in [
        ("GET", "/8".to_owned(), 404),
        ("GET", "/x".to_owned(), 404),
        ("GET", "?ids=8".to_owned(), 404),
        ("PUT", format!("/8?vals={}", encoded("{'name': 'x'}")), 404),
        ("PUT", format!("?ids=7,8&vals={}", encoded("{'name': 'x'}")), 404),
        ("DELETE", "/8".to_owned(), 404),
        ("DELETE", "?ids=7,8".to_owned(), 404),
        ("DELETE", String::new(), 403),
        ("PUT", "/7".to_owned(), 403),
        ("PUT", format!("/7?vals={}", encoded("{'model': 'sale.order'}")), 403),
        ("PUT", format!("/7?vals={}", encoded("{'kind': 'on_change'}")), 403),
        ("PUT", format!("/7?vals={}", encoded("{'name': __import__('os')}")), 403),
        ("POST", format!("?vals={}", encoded("{'name': 'x'}")), 403),
        (
            "POST",
            format!(
                "?vals={}",
                encoded("{'model': 'no.such', 'kind': 'on_write', 'address': 'https://requestbin.net/1'}")
            ),
            403,
        ),
        (
            "POST",
            format!(
                "?vals={}",
                encoded("{'model': 'res.users', 'kind': 'on_write', 'address': 'http://10.0.0.1/'}")
            ),
            403,
        ),
        ("GET", "?domain=x".to_owned(), 403),
        (
            "GET",
            format!("?domain={}", encoded("[('webhook_secret', '=', 'x')]")),
            403,
        ),
        ("GET", format!("?fields={}", encoded("['secret']")), 403),
        ("GET", "?order=secret".to_owned(), 403),
        ("GET", "?limit=x".to_owned(), 403),
        ("GET", "?nonsense=1".to_owned(), 403),
    ] {
        let answer = api.ask(&token, method, &format!("{BASE}{path}"), None).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
        assert_eq!(answer.json()["status"], status, "{method} {path}: {}", answer.text);
    }
    assert_eq!(
        database
            .psql("select json_agg(s order by id) from mcp_event_subscription s")
            .await,
        before
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_xml_for_whoever_accepts_that() {
    let (_database, api, token) = document().await;
    let xml = async |path: &str| {
        let answer = api
            .ask_with(
                &token,
                "GET",
                &format!("{BASE}{path}"),
                &[("accept", "application/xml")],
                None,
            )
            .await;
        assert_eq!(
            answer.header("content-type"),
            "application/xml; charset=utf-8",
            "{path}"
        );
        (answer.status.as_u16(), answer.text)
    };
    let (_, one) = xml("/7?fields=%5B%27name%27%5D").await;
    assert_eq!(
        one,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<webhook><id>7</id><name>Product Update</name></webhook>"
    );
    let (_, count) = xml("/count").await;
    assert!(count.ends_with("<count>3</count>"), "{count}");
    let (_, all) = xml("?fields=%5B%27kind%27%5D").await;
    assert!(
        all.contains("<webhook><item><id>3</id><kind>on_create</kind></item><item>"),
        "{all}"
    );
    let (status, missing) = xml("/8").await;
    assert!(
        status == 404 && missing.contains("<error>") && missing.contains("<status>404</status>"),
        "{missing}"
    );
    assert_eq!(xml("?limit=x").await.0, 403);
}
