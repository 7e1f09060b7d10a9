//! What is sent: values of the records and of what they point to, in the shapes that receivers know.

use serde_json::{Value, json};

use crate::support::receiver::{Receiver, Recorded};
use crate::support::service::{SOON, Service, eventd_ok};
use crate::support::{Database, eventually};

/// Installed, subscribed with these options, served.
async fn served(database: &Database, receiver: &Receiver, model: &str, options: &[&str]) -> Service {
    eventd_ok(&database.url(), &["install"]).await;
    subscribe(database, receiver, model, options).await;
    Service::leading(database).await
}

async fn subscribe(database: &Database, receiver: &Receiver, model: &str, options: &[&str]) {
    let url = receiver.url("/hook");
    let mut arguments = vec![
        "subscribe",
        "--model",
        model,
        "--url",
        &url,
        "--secret",
        "a-secret-of-thirty-two-bytes-or-more",
    ];
    arguments.extend(options);
    eventd_ok(&database.url(), &arguments).await;
}

/// The first request after one change.
async fn sent(database: &Database, receiver: &Receiver, change: &str) -> Recorded {
    let before = receiver.requests().len();
    database.psql(change).await;
    receiver.wait_for(before + 1, SOON).await.swap_remove(before)
}

/// The body with what differs from run to run in its place.
fn steady(request: &Recorded, database: &Database) -> String {
    let body = String::from_utf8(request.body.clone()).unwrap();
    let mut steady = body.replace(database.name(), "DB");
    let headers = [("x-mcp-event-id", "EVENT")];
    for (header, name) in headers {
        steady = steady.replace(request.header(header).unwrap(), name);
    }
    let is_time = |at: usize| {
        let part = steady.as_bytes().get(at..at + 27);
        part.is_some_and(|p| p[4] == b'-' && p[10] == b'T' && p[19] == b'.' && p[26] == b'Z')
    };
    match (0..steady.len()).find(|&at| is_time(at)) {
        Some(at) => {
            let time = steady[at..at + 27].to_owned();
            steady.replace(&time, "TIME")
        }
        None => steady,
    }
}

const ORDER: &str = "name,date_order,validity_date,amount_total,locked,state,note,partner_id,client: partner_id.name|upper,partner_id{name,ref,email},\
order_line{sequence,product_id{id,name},product_uom_qty,product_id.product_tag_ids},order_line.product_id.name,tag_ids,tag_ids.name,message_ids.body,\
partner_id.category_id.name,salesman: user_id.name|default(\"nobody\"),total: amount_total|times(100)|int,day: date_order|date(\"%d.%m.%Y\")";

#[tokio::test(flavor = "multi_thread")]
async fn an_order_arrives_with_its_lines_products_and_messages_as_odoo_shows_them() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    let _service = served(
        &database,
        &receiver,
        "sale.order",
        &[
            "--event",
            "write",
            "--fields",
            "client_order_ref",
            "--payload-fields",
            ORDER,
        ],
    )
    .await;
    let request = sent(&database, &receiver, "update sale_order set client_order_ref = 'x', write_uid = 5, write_date = now() at time zone 'utc' where id = 3").await;
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(
        steady(&request, &database),
        concat!(
            r#"{"event_id":"EVENT","model":"sale.order","event_type":"write","record_ids":[3],"user_id":5,"timestamp":"TIME","database":"DB","#,
            r#""subscription_id":1,"changed_fields":["client_order_ref"],"records":[{"id":3,"values":{"name":"S00003","#,
            r#""date_order":"2026-03-11 08:40:00","validity_date":null,"amount_total":297.43,"locked":false,"state":"sale","note":null,"#,
            r#""partner_id":[{"name":"Blue Harbor Bakery","ref":"C0008","email":"hello@blueharbor.example"}],"client":"BLUE HARBOR BAKERY","#,
            r#""order_line":[{"sequence":10,"product_id":[{"id":1,"name":"Bench Vise"}],"product_uom_qty":2.0,"product_id.product_tag_ids":[2]},"#,
            r#"{"sequence":20,"product_id":[{"id":5,"name":"Sharpening"}],"product_uom_qty":3.0,"product_id.product_tag_ids":[]}],"#,
            r#""order_line.product_id.name":["Bench Vise","Sharpening"],"tag_ids":[1,2],"tag_ids.name":["Trade Fair","Repeat"],"#,
            r#""message_ids.body":["<p>Before six, please</p>","<p>Order confirmed</p>"],"partner_id.category_id.name":["Customer","Key Account"],"#,
            r#""salesman":"Mira Okafor","total":29743,"day":"11.03.2026"},"old":{}}]}"#
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn values_before_and_after_are_those_of_the_transaction_through_links_too() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    let _service = served(
        &database,
        &receiver,
        "sale.order",
        &[
            "--event",
            "write",
            "--fields",
            "state,partner_id",
            "--payload-fields",
            "state,partner_id,partner_id{name}",
            "--enrich-fields",
            "c: partner_id.name,note,amount: amount_total|round(1),write_uid",
        ],
    )
    .await;
    let client = database.client().await;
    // Several statements, the first and the last of them about fields that nobody watches.
    client
        .batch_execute(
            "begin; update sale_order set note = 'one' where id = 2; update sale_order set state = 'sale', partner_id = 11 where id = 2;
             update sale_order set amount_total = 10.25, write_uid = 2 where id = 2; update sale_order set note = 'two' where id = 2; commit",
        )
        .await
        .unwrap();
    let request = receiver.wait_for(1, SOON).await.swap_remove(0);
    let body = request.json();
    assert_eq!(body["changed_fields"], json!(["partner_id", "state"]));
    let record = &body["records"][0];
    let name = r#"O'Leary "100%_off" \ Sons"#;
    assert_eq!(
        record["values"],
        json!({"state": "sale", "partner_id": [{"name": name}], "c": name, "note": "two", "amount": 10.3, "write_uid": 2})
    );
    assert_eq!(
        record["old"],
        json!({"state": "sent", "partner_id": [{"name": "Blue Harbor Bakery"}], "c": "Blue Harbor Bakery",
               "note": "<p>Ring twice</p>", "amount": record["old"]["amount"]})
    );
    // Only what is watched makes an event.
    let silent = "update sale_order set note = 'three' where id = 2; select 1";
    database.psql(silent).await;
    let request = sent(
        &database,
        &receiver,
        "update sale_order set state = 'done' where id = 2",
    )
    .await;
    assert_eq!(request.json()["records"][0]["old"], json!({"state": "sale"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn create_and_unlink_tell_the_first_and_the_last_values() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    let _service = served(
        &database,
        &receiver,
        "res.partner",
        &[
            "--event",
            "all",
            "--payload-fields",
            "name,country_id{code},email,color,is_company,category_id",
        ],
    )
    .await;
    let long = "é".repeat(20_000);
    let request = sent(
        &database,
        &receiver,
        &format!("begin; insert into res_partner (id, name, type, active) values (900, 'first', 'contact', true); update res_partner set name = '{long}', country_id = 1 where id = 900; commit"),
    )
    .await;
    assert_eq!(
        request.json()["records"],
        json!([{"id": 900, "values": {"name": long, "country_id": [{"code": "BE"}], "email": null, "color": 0, "is_company": false, "category_id": []}}])
    );
    let request = sent(&database, &receiver, "delete from res_partner where id = 900").await;
    assert_eq!(
        request.json()["records"],
        json!([{"id": 900, "values": {"name": long, "country_id": [{"code": "BE"}], "email": null, "color": 0, "is_company": false, "category_id": null}}])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn translated_inherited_and_company_dependent_values_are_the_ones_odoo_reads() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    let paths = "name,login,email,partner_id.property_payment_term_id.name,partner_id.trust,partner_id.property_payment_term_id,partner_id.credit_limit,company_ids.name,share";
    let _service = served(
        &database,
        &receiver,
        "res.users",
        &[
            "--event",
            "write",
            "--fields",
            "share",
            "--payload-fields",
            paths,
            "--lang",
            "fr_FR",
        ],
    )
    .await;
    database
        .psql("update res_users set partner_id = 8 where id = 5; update res_users set partner_id = 11 where id = 6")
        .await;
    let request = sent(
        &database,
        &receiver,
        "update res_users set share = true where id in (5, 6)",
    )
    .await;
    let french = database
        .psql("select coalesce(name ->> 'fr_FR', name ->> 'en_US') from account_payment_term where id = 2")
        .await;
    let records = request.json()["records"].clone();
    assert_eq!(
        records[0]["values"],
        json!({"name": "Blue Harbor Bakery", "login": "mira@meridian.example", "email": "hello@blueharbor.example",
               "partner_id.property_payment_term_id.name": french.trim(), "partner_id.trust": "good",
               "partner_id.property_payment_term_id": 2, "partner_id.credit_limit": 5000.0, "company_ids.name": ["Meridian Tools"], "share": true})
    );
    // 99 is a payment term that is gone: Odoo reads none.
    assert_eq!(records[1]["values"]["partner_id.property_payment_term_id"], Value::Null);
    assert_eq!(records[1]["values"]["partner_id.trust"], "bad");
    // Nothing is stored for company 1, and the default is 1000.
    assert_eq!(records[1]["values"]["partner_id.credit_limit"], 1000.0);
    assert_eq!(records[1]["old"], json!({"share": false}));
}

#[tokio::test(flavor = "multi_thread")]
async fn grouping_decides_who_travels_together() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    let service = served(
        &database,
        &receiver,
        "sale.order",
        &[
            "--event",
            "write",
            "--fields",
            "state",
            "--payload-fields",
            "name,write_uid",
        ],
    )
    .await;
    let stamp = "write_date = now() at time zone 'utc'";
    let body = sent(
        &database,
        &receiver,
        &format!("begin; update sale_order set state = 'cancel', write_uid = 2, {stamp} where id = 1; update sale_order set state = 'cancel', write_uid = 5, {stamp} where id = 2; commit"),
    )
    .await
    .json();
    assert_eq!(body["user_id"], Value::Null);
    assert_eq!(
        body["records"],
        json!([{"id": 1, "user_id": 2, "values": {"name": "S00001", "write_uid": 2}, "old": {}},
               {"id": 2, "user_id": 5, "values": {"name": "S00002", "write_uid": 5}, "old": {}}])
    );
    service.terminate().await;
    database
        .psql("update mcp_event_subscription set \"grouping\" = 'record'")
        .await;
    let _service = Service::leading(&database).await;
    database
        .psql(&format!(
            "update sale_order set state = 'draft', write_uid = 5, {stamp} where id in (1, 2)"
        ))
        .await;
    let requests = receiver.wait_for(3, SOON).await;
    let mut ids: Vec<Value> = requests[1..].iter().map(|r| r.json()["record_ids"].clone()).collect();
    ids.sort_by_key(Value::to_string);
    assert_eq!(ids, [json!([1]), json!([2])]);
    assert!(
        requests[1..]
            .iter()
            .all(|r| r.json()["user_id"] == 5 && r.json()["records"][0].get("user_id").is_none())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_is_sent_again_byte_for_byte_whatever_became_of_the_record() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    let _service = served(
        &database,
        &receiver,
        "sale.order",
        &[
            "--event",
            "write",
            "--fields",
            "state",
            "--payload-fields",
            "name,partner_id.name",
            "--format",
            "xml",
        ],
    )
    .await;
    let first = sent(
        &database,
        &receiver,
        "update sale_order set state = 'cancel' where id = 1",
    )
    .await;
    assert_eq!(first.header("content-type"), Some("application/xml; charset=utf-8"));
    let text = String::from_utf8(first.body.clone()).unwrap();
    assert!(
        text.contains(
            "<values><name>S00001</name><partner_id.name>Blue Harbor Bakery</partner_id.name></values><old></old>"
        ),
        "{text}"
    );
    let logged = "select payload from mcp_webhook_delivery where status = 'success'";
    eventually("the outcome in the log", SOON, async || {
        (database.psql(logged).await == text).then_some(())
    })
    .await;
    database
        .psql("update res_partner set name = 'Renamed' where id = 8")
        .await;
    database
        .psql("update mcp_event_subscription set format = 'json', payload_fields = '{note}'")
        .await;
    let id = first.header("webhook-id").unwrap();
    eventd_ok(&database.url(), &["redeliver", id]).await;
    let again = receiver.wait_for(2, SOON).await.swap_remove(1);
    assert_eq!(
        (&again.body, again.header("x-mcp-signature").is_some()),
        (&first.body, true)
    );
}

const SHAPED: [&str; 6] = [
    "--event",
    "write",
    "--fields",
    "state",
    "--payload-fields",
    "name,state,amount_total,partner_id.name",
];

/// What each ready-made shape gives for an order that is confirmed: of our own database and of a real one.
async fn shaped(database: Database, order: i64, name: &str, partner: &str, total: &str, before: &str) {
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    for (index, shape) in ["slack", "teams", "discord", "odoo", "cloudevents"].iter().enumerate() {
        let label = format!("Shape {}", index + 1);
        let mut options = SHAPED.to_vec();
        options.extend(["--template", shape, "--name", &label]);
        subscribe(&database, &receiver, "sale.order", &options).await;
    }
    let _service = Service::leading(&database).await;
    database
        .psql(&format!("update sale_order set state = 'cancel' where id = {order}"))
        .await;
    let requests = receiver.wait_for(5, SOON).await;
    let of = |subscription: &str| {
        let request = requests
            .iter()
            .find(|r| r.header("x-mcp-subscription-id") == Some(subscription))
            .unwrap();
        (
            request.header("content-type").unwrap().to_owned(),
            serde_json::from_str::<Value>(&steady(request, &database)).unwrap(),
        )
    };
    let json_type = "application/json".to_owned();
    assert_eq!(
        of("1"),
        (
            json_type.clone(),
            json!({"text": format!("*sale.order* write: {name}\n• state: {before} → cancel\n• amount_total: {total}\n• partner_id.name: {partner}")})
        )
    );
    let (_, teams) = of("2");
    assert_eq!(
        teams["attachments"][0]["contentType"],
        "application/vnd.microsoft.card.adaptive"
    );
    assert_eq!(
        teams["attachments"][0]["content"]["body"],
        json!([
            {"type": "TextBlock", "weight": "Bolder", "wrap": true, "text": format!("sale.order write: {name}")},
            {"type": "FactSet", "facts": [
                {"title": "Record", "value": order.to_string()},
                {"title": "state", "value": format!("{before} → cancel")},
                {"title": "amount_total", "value": total},
                {"title": "partner_id.name", "value": partner},
            ]},
        ])
    );
    assert_eq!(
        of("3").1,
        json!({
            "content": format!("**sale.order** write: {name}"),
            "embeds": [{"timestamp": "TIME", "fields": [
                {"name": "state", "inline": true, "value": format!("{before} → cancel")},
                {"name": "amount_total", "inline": true, "value": total},
                {"name": "partner_id.name", "inline": true, "value": partner},
            ]}],
            "allowed_mentions": {"parse": []},
        })
    );
    let amount: f64 = total.parse().unwrap();
    assert_eq!(
        of("4").1,
        json!({"_action": "Shape 4(#4)", "_id": order, "_model": "sale.order", "amount_total": amount, "id": order,
               "name": name, "partner_id.name": partner, "state": "cancel"})
    );
    let values = json!({"name": name, "state": "cancel", "amount_total": amount, "partner_id.name": partner});
    assert_eq!(
        of("5"),
        (
            "application/cloudevents+json".to_owned(),
            json!({
                "specversion": "1.0", "id": format!("EVENT/{order}"), "source": "/odoo/DB/subscriptions/5", "type": "com.odoo.sale.order.write",
                "subject": format!("sale.order/{order}"), "time": "TIME", "datacontenttype": "application/json",
                "data": {
                    "event_id": "EVENT", "model": "sale.order", "event_type": "write", "record_ids": [order], "user_id": null, "timestamp": "TIME",
                    "database": "DB", "subscription_id": 5, "changed_fields": ["state"],
                    "records": [{"id": order, "values": values, "old": {"state": before}}],
                },
            })
        )
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_ready_made_shape_is_what_its_receiver_knows() {
    shaped(
        Database::fixture().await,
        3,
        "S00003",
        "Blue Harbor Bakery",
        "297.43",
        "sale",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_ready_made_shape_is_the_same_on_a_real_odoo() {
    let Some(database) = Database::dump().await else { return };
    let row = database
        .psql("select o.name, p.name, o.amount_total::float8, o.state from sale_order o join res_partner p on p.id = o.partner_id where o.id = 2")
        .await;
    let row: Vec<&str> = row.trim().split('|').collect();
    shaped(database, 2, row[0], row[1], row[2], row[3]).await;
}

/// What PostgreSQL says of the same order, as the body should have it.
const BY_HAND: &str = "
    select jsonb_build_object(
        'name', o.name, 'state', o.state, 'amount_total', o.amount_total, 'date_order', to_char(o.date_order, 'YYYY-MM-DD HH24:MI:SS'),
        'partner_id', jsonb_build_array(jsonb_build_object('name', p.name, 'email', p.email, 'country_id', p.country_id)),
        'user_id.login', u.login,
        'user_id.name', up.name,
        'tag_ids.name', (select coalesce(jsonb_agg(t.name ->> 'en_US' order by t.name ->> 'en_US'), '[]')
                           from sale_order_tag_rel r join crm_tag t on t.id = r.tag_id where r.order_id = o.id),
        'order_line', (select coalesce(jsonb_agg(jsonb_build_object(
                                'product_id', case when l.product_id is null then '[]' else
                                    jsonb_build_array(jsonb_build_object('name', pt.name ->> 'en_US', 'default_code', pp.default_code,
                                                                         'categ_id.complete_name', c.complete_name)) end,
                                'product_uom_qty', l.product_uom_qty, 'price_unit', l.price_unit) order by l.sequence, l.id), '[]')
                         from sale_order_line l left join product_product pp on pp.id = l.product_id
                         left join product_template pt on pt.id = pp.product_tmpl_id left join product_category c on c.id = pt.categ_id
                        where l.order_id = o.id),
        'message_ids.subject', (select coalesce(jsonb_agg(m.subject order by m.id desc), '[]') from mail_message m
                                 where m.model = 'sale.order' and m.res_id = o.id and m.message_type <> 'user_notification'))
      from sale_order o join res_partner p on p.id = o.partner_id left join res_users u on u.id = o.user_id
      left join res_partner up on up.id = u.partner_id where o.id = $1";

#[tokio::test(flavor = "multi_thread")]
async fn every_order_of_a_real_odoo_arrives_with_what_its_tables_hold() {
    let Some(database) = Database::dump().await else { return };
    let receiver = Receiver::start().await;
    let paths = "name,state,amount_total,date_order,partner_id{name,email,country_id},user_id.login,user_id.name,tag_ids.name,\
                 order_line{product_id{name,default_code,categ_id.complete_name},product_uom_qty,price_unit},message_ids.subject";
    let _service = served(
        &database,
        &receiver,
        "sale.order",
        &[
            "--event",
            "write",
            "--fields",
            "client_order_ref",
            "--payload-fields",
            paths,
            "--max-body-bytes",
            "4000000",
        ],
    )
    .await;
    let body = sent(
        &database,
        &receiver,
        "update sale_order set client_order_ref = 'checked'",
    )
    .await
    .json();
    let client = database.client().await;
    let records = body["records"].as_array().unwrap();
    assert!(records.len() > 50);
    for record in records {
        let id = i32::try_from(record["id"].as_i64().unwrap()).unwrap();
        let expected: Value = client.query_one(BY_HAND, &[&id]).await.unwrap().get(0);
        let mut values = record["values"].clone();
        if let Some(tags) = values["tag_ids.name"].as_array_mut() {
            tags.sort_by_key(Value::to_string);
        }
        assert_eq!(numbers_as_floats(values), numbers_as_floats(expected), "order {id}");
    }
}

/// 5 and 5.0 are one number.
fn numbers_as_floats(value: Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.into_iter().map(numbers_as_floats).collect(),
        Value::Object(members) => members.into_iter().map(|(k, v)| (k, numbers_as_floats(v))).collect(),
        other => other,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_of_a_real_odoo_reads_as_it_always_did() {
    let Some(database) = Database::dump().await else { return };
    let receiver = Receiver::start().await;
    let paths = "name,partner_id.name,currency_id{id,name},order_line{product_id,product_uom_qty,price_unit}";
    let options = ["--event", "write", "--fields", "state", "--payload-fields", paths];
    let _service = served(&database, &receiver, "sale.order", &options).await;
    let request = sent(
        &database,
        &receiver,
        "update sale_order set state = 'cancel' where id = 1",
    )
    .await;
    assert_eq!(
        steady(&request, &database),
        include_str!("snapshots/order_of_a_real_odoo.json").trim_end()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn files_go_as_base64_while_they_are_small() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    database
        .psql(
            "alter table res_partner add column x_file bytea;
             insert into ir_model_fields (model, model_id, name, ttype, state, store, field_description)
               select 'res.partner', id, 'x_file', 'binary', 'manual', true, '{\"en_US\": \"File\"}' from ir_model where model = 'res.partner'",
        )
        .await;
    let _service = served(
        &database,
        &receiver,
        "res.partner",
        &[
            "--event",
            "write",
            "--fields",
            "ref",
            "--payload-fields",
            "x_file,child_ids.x_file",
        ],
    )
    .await;
    let request = sent(
        &database,
        &receiver,
        "update res_partner set ref = 'a', x_file = convert_to('aGVsbG8=', 'UTF8') where id = 8",
    )
    .await;
    assert_eq!(
        request.json()["records"][0]["values"],
        json!({"x_file": "aGVsbG8=", "child_ids.x_file": [null, null]})
    );
    let request = sent(
        &database,
        &receiver,
        "update res_partner set ref = 'b', x_file = convert_to(repeat('A', 65540), 'UTF8') where id = 8",
    )
    .await;
    assert_eq!(request.json()["records"][0]["values"]["x_file"], Value::Null);
}
