//! What the values of payloads cost, and with which rights they are read.

use std::sync::Arc;

use odoo_eventd::demo::Options;
use odoo_eventd::event::EventType;
use odoo_eventd::matching::Assembled;
use odoo_eventd::pg;
use odoo_eventd::worker::dispatch::payload_loader;
use odoo_eventd::worker::upkeep::admission;
use odoo_eventd::worker::upkeep::quarantine::Quarantine;

use crate::support::delivery::subscribe;
use crate::support::receiver::Receiver;
use crate::support::service::{SOON, Service, eventd_ok, wait_until_leading};
use crate::support::{Database, Server, eventually};

const ENRICHED: &str = "name,partner_id{name,country_id.code},order_line{product_id{name,default_code,product_tag_ids.name},product_uom_qty},tag_ids.name,message_ids.body";

/// Statements of the service that read values, since the log was looked at last.
fn reading_statements(database: &Database, since: &mut usize) -> usize {
    let log = std::fs::read_to_string(database.server().cluster().log_path()).unwrap();
    let new = log[*since..].to_owned();
    *since = log.len();
    // The last is the domain of an x2many field, judged over what was read.
    let reading = [
        "odoo_eventd.read_records(",
        "odoo_eventd.read_related(",
        "with ordinality given",
    ];
    new.lines()
        .filter(|line| line.contains(" execute ") && reading.iter().any(|text| line.contains(text)))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_enriched_orders_cost_as_many_statements_as_fifty() {
    let options = Options::new().setting("log_statement", "all");
    let database = Server::private(options).fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    database
        .psql(
            "insert into sale_order (name, partner_id, partner_invoice_id, partner_shipping_id, company_id, date_order, state)
               select 'X' || n, 8 + n % 5, 8, 8, 1, now(), 'draft' from generate_series(1, 550) n;
             insert into sale_order_line (order_id, name, product_id, product_uom, product_uom_qty, price_unit, customer_lead)
               select o.id, 'Line ' || n, 1 + n % 5, 1, n, 1.5, 0 from sale_order o, generate_series(1, 5) n where o.name like 'X%';
             insert into mail_message (date, body, model, res_id, message_type)
               select now(), o.name, 'sale.order', o.id, case when n = 1 then 'email' else 'user_notification' end
                 from sale_order o, generate_series(1, 2) n where o.name like 'X%';
             insert into sale_order_tag_rel (order_id, tag_id) select id, 1 + id % 3 from sale_order where name like 'X%';",
        )
        .await;
    let url = receiver.url("/");
    subscribe(
        &database,
        "sale.order",
        &url,
        &[
            "--event",
            "write",
            "--fields",
            "state",
            "--payload-fields",
            ENRICHED,
            "--max-body-bytes",
            "16000000",
        ],
    )
    .await;
    let service = Service::leading(&database).await;
    let mut seen = 0;
    reading_statements(&database, &mut seen);
    let mut costs = Vec::new();
    for (index, count) in [50, 500].into_iter().enumerate() {
        database
            .psql(&format!(
                "update sale_order set state = 'sale' where id in (select id from sale_order where name like 'X%' and state = 'draft' order by id limit {count})"
            ))
            .await;
        let requests = receiver.wait_for(index + 1, SOON).await;
        let body = requests[index].json();
        assert_eq!(body["records"].as_array().unwrap().len(), count, "{:?}", body["thin"]);
        assert_eq!(
            body["records"][count - 1]["values"]["order_line"]
                .as_array()
                .unwrap()
                .len(),
            5
        );
        assert_eq!(
            body["records"][0]["values"]["message_ids.body"],
            serde_json::json!([body["records"][0]["values"]["name"]])
        );
        costs.push(reading_statements(&database, &mut seen));
    }
    // Partners; countries; lines, and which they are; products; templates; their tags, and which; orders' tags; messages, which, and those shown.
    assert_eq!(costs, [13, 13]);

    // Many small transactions that come together are one batch.
    assert!(service.terminate().await.0.success());
    let client = database.client().await;
    for n in 1..=100 {
        let one = "update sale_order set state = 'sent' where id = (select max(id) - $1::int4 from sale_order)";
        client.execute(one, &[&n]).await.unwrap();
    }
    reading_statements(&database, &mut seen);
    let _service = Service::leading(&database).await;
    receiver.wait_for(102, SOON).await;
    assert_eq!(reading_statements(&database, &mut seen), costs[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_listener_sends_values_without_any_right_on_a_table() {
    let server = Server::private(Options::new());
    let database = server.fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.admin_url(), &["install"]).await;
    database
        .admin_client()
        .await
        .batch_execute("alter role odoo_eventd_listener login")
        .await
        .unwrap();
    let url = receiver.url("/");
    let listener = database.url_as("odoo_eventd_listener");
    eventd_ok(
        &listener,
        &[
            "subscribe",
            "--model",
            "sale.order",
            "--event",
            "write",
            "--fields",
            "state",
            "--url",
            &url,
            "--payload-fields",
            ENRICHED,
        ],
    )
    .await;
    let _service = Service::start(&listener, &[]);
    wait_until_leading(&database).await;
    database
        .psql("update sale_order set state = 'cancel' where id = 3")
        .await;
    let values = receiver.wait_for(1, SOON).await[0].json()["records"][0]["values"].clone();
    assert_eq!(
        values["partner_id"],
        serde_json::json!([{"name": "Blue Harbor Bakery", "country_id.code": "BE"}])
    );
    assert_eq!(values["order_line"][1]["product_id"][0]["name"], "Sharpening");
    let refused = database.client_as("odoo_eventd_listener").await;
    assert!(refused.query("select from public.res_partner", &[]).await.is_err());
    assert!(
        refused
            .query(
                "select from odoo_eventd.read_records('res.users', '{2}', '{password}', 1)",
                &[]
            )
            .await
            .is_err()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_transaction_comes_in_parts_with_the_values_of_each_record() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    let url = receiver.url("/");
    subscribe(
        &database,
        "res.partner",
        &url,
        &[
            "--event",
            "create",
            "--payload-fields",
            "name,country_id.code,category_id",
            "--max-body-bytes",
            "16000000",
        ],
    )
    .await;
    let _service = Service::leading(&database).await;
    // More than is read at once, and a last part that is not full.
    database
        .psql(
            "insert into res_partner (name, country_id, type, active, is_company)
               select 'P' || n, 1 + n % 2, 'contact', true, false from generate_series(1, 12345) n",
        )
        .await;
    let requests = receiver.wait_for(13, SOON * 2).await;
    let mut names = std::collections::BTreeSet::new();
    for request in &requests {
        let body = request.json();
        let records = body["records"].as_array().unwrap();
        assert_eq!(records.len(), body["record_ids"].as_array().unwrap().len());
        for (record, id) in records.iter().zip(body["record_ids"].as_array().unwrap()) {
            assert_eq!(&record["id"], id);
            let name = record["values"]["name"].as_str().unwrap();
            let number: i64 = name[1..].parse().unwrap();
            let code = if number % 2 == 0 { "BE" } else { "DE" };
            assert_eq!(record["values"]["country_id.code"], code, "{name}");
            assert_eq!(record["values"]["category_id"], serde_json::json!([]));
            names.insert(name.to_owned());
        }
    }
    assert_eq!(names.len(), 12_345);
    eventually("all of them in the log", SOON, async || {
        let done = "select count(*) from mcp_webhook_delivery where status = 'success'";
        (database.psql(done).await.trim() == "13").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn existing_records_make_a_body_without_a_change_of_theirs() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    subscribe(
        &database,
        "sale.order",
        "https://example.com/",
        &[
            "--event",
            "write",
            "--payload-fields",
            "name,partner_id.name,order_line.name",
        ],
    )
    .await;
    let looked = admission::refresh(&database.client().await, None, &Quarantine::default())
        .await
        .unwrap();
    let subscription = Arc::new(looked.rows.accepted.into_iter().next().unwrap());
    let pool = pg::connect::Database::parse(&database.url()).unwrap().pool(1).unwrap();
    let event = (uuid::Uuid::from_u128(1), EventType::Write, 0);
    let name: Arc<str> = database.name().into();
    let existing = Assembled::of_existing(subscription, event, vec![1, 7, 900], jiff::Timestamp::UNIX_EPOCH, name);
    let made = payload_loader::make(&pool.get().await.unwrap(), vec![existing])
        .await
        .unwrap();
    let body: serde_json::Value = serde_json::from_str(made[0].body.as_ref().unwrap()).unwrap();
    assert_eq!(
        body["records"],
        serde_json::json!([
            {"id": 1, "values": {"name": "S00001", "partner_id.name": "Blue Harbor Bakery", "order_line.name": ["Bench Vise", "Work Lamp"]}},
            {"id": 7, "values": {"name": "S00007", "partner_id.name": "Café Ÿlang", "order_line.name": ["Hand Plane (large)"]}},
            {"id": 900, "values": {"name": null, "partner_id.name": null, "order_line.name": null}},
        ])
    );
    assert_eq!(body["changed_fields"], serde_json::json!([]));
}
