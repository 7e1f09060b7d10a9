//! Headers and bodies of every shape, as they arrive.

use std::collections::BTreeMap;

use super::{assert_kept, pretty};
use crate::support::Database;
use crate::support::delivery::wait_true;
use crate::support::receiver::{Receiver, Recorded};
use crate::support::service::{SOON, Service, eventd_ok};

/// Headers whose values are a matter of the run.
const BY_RUN: [&str; 3] = ["content-length", "host", "webhook-timestamp"];

fn shown(request: &Recorded) -> String {
    let mut headers = BTreeMap::new();
    for (name, value) in &request.headers {
        let name = name.to_lowercase();
        let is_by_run = BY_RUN.contains(&name.as_str()) || name.contains("timestamp");
        headers.insert(
            name,
            if is_by_run {
                "[by run]".to_owned()
            } else {
                value.clone()
            },
        );
    }
    let mut text = format!("{} {}\n", request.method, request.path);
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\n"));
    }
    let body = match serde_json::from_slice(&request.body) {
        Ok(value) => pretty(value),
        Err(_) => String::from_utf8(request.body.clone()).unwrap(),
    };
    format!("{text}\n{body}")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_shape_arrives_as_it_did() {
    let shapes: [(&str, &[&str]); 11] = [
        ("plain", &[]),
        (
            "payload_fields",
            &[
                "--payload-fields",
                "name,state,partner_id,partner_id.email,order_line{name,price_unit|round(1)}",
            ],
        ),
        ("enriched", &["--enrich-fields", "partner_id.name,amount_total"]),
        ("per_record", &["--grouping", "record"]),
        (
            "thin",
            &["--payload-fields", "name,order_line{name}", "--max-body-bytes", "1024"],
        ),
        ("xml", &["--format", "xml", "--payload-fields", "name,partner_id"]),
        ("slack", &["--template", "slack"]),
        ("teams", &["--template", "teams"]),
        ("discord", &["--template", "discord"]),
        ("odoo", &["--template", "odoo"]),
        ("cloudevents", &["--template", "cloudevents"]),
    ];
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    for (name, options) in shapes {
        let url = receiver.url(&format!("/{name}"));
        let command = [
            "subscribe",
            "--model",
            "sale.order",
            "--event",
            "write",
            "--url",
            &url,
            "--secret",
            "a secret of some length",
        ];
        eventd_ok(&database.url(), &[&command, options].concat()).await;
    }
    let service = Service::leading(&database).await;
    wait_true(&database, "bool_and(state = 'ready') from mcp_event_subscription").await;
    database
        .psql("update sale_order set client_order_ref = 'x' where id = 1")
        .await;
    for request in receiver.wait_for(shapes.len(), SOON).await {
        let name = request.path.trim_start_matches('/').to_owned();
        assert_kept(&database, &format!("shape_{name}"), &shown(&request));
    }
    service.terminate().await;
}
