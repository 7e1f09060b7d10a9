//! Names, types, helps and labels of the metrics.

use std::collections::BTreeSet;

use super::assert_kept;
use crate::support::Database;
use crate::support::delivery::{subscribe, wait_logged};
use crate::support::pages::{free_port, page};
use crate::support::receiver::Receiver;
use crate::support::service::{Service, eventd_ok, wait_until_leading};

#[tokio::test(flavor = "multi_thread")]
async fn metrics_have_the_names_and_labels_that_they_had() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    subscribe(&database, "sale.order", &receiver.url("/"), &["--event", "write"]).await;
    let port = free_port().await;
    let service = Service::start(&database.url(), &["--listen-http", &format!("127.0.0.1:{port}")]);
    wait_until_leading(&database).await;
    database
        .psql("update sale_order set client_order_ref = 'a' where id = 1")
        .await;
    wait_logged(&database, "status = 'success'", 1).await;
    let (_, text) = page(port, "/metrics").await.unwrap();
    let mut lines: BTreeSet<String> = BTreeSet::new();
    for line in text.lines() {
        if line.starts_with('#') {
            lines.insert(line.to_owned());
            continue;
        }
        let (name, labels) = line.split_once(['{', ' ']).unwrap();
        let labels = labels.split_once('}').map_or("", |(labels, _)| labels);
        // A label's value has neither comma nor quote in it here.
        let keys: Vec<&str> = labels
            .split(',')
            .filter_map(|label| Some(label.split_once('=')?.0))
            .collect();
        lines.insert(format!("{name} {{{}}}", keys.join(", ")));
    }
    let lines: Vec<String> = lines.into_iter().collect();
    assert_kept(&database, "metrics", &lines.join("\n"));
    service.terminate().await;
}
