//! Files of binary fields are attachments too; who hears of them.

use serde_json::json;

use crate::support::Database;
use crate::support::delivery::subscribe;
use crate::support::receiver::Receiver;
use crate::support::service::{SOON, Service, eventd_ok};

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_makes_an_event_for_whoever_asks_for_its_field_and_a_document_for_everybody_else() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    let all = ["--event", "create"];
    subscribe(&database, "ir.attachment", &receiver.url("/documents"), &all).await;
    let pictures = "[('res_model', '=', 'res.partner'), ('res_field', '=', 'image_1920')]";
    let of_field = [&all[..], &["--domain", pictures]].concat();
    subscribe(&database, "ir.attachment", &receiver.url("/pictures"), &of_field).await;
    let partners = ["--event", "write"];
    subscribe(&database, "res.partner", &receiver.url("/partners"), &partners).await;
    let _service = Service::leading(&database).await;
    // As Odoo writes a picture: a row for each size, and the stamp of the record.
    database
        .psql(
            "begin;
             insert into ir_attachment (id, name, res_model, res_field, res_id, type) values
               (9001, 'image_1920', 'res.partner', 'image_1920', 8, 'binary'), (9002, 'image_128', 'res.partner', 'image_128', 8, 'binary');
             update res_partner set write_date = now() at time zone 'utc', write_uid = 2 where id = 8;
             commit",
        )
        .await;
    database
        .psql(
            "insert into ir_attachment (id, name, res_model, res_id, type) values (9003, 'offer.pdf', 'res.partner', 8, 'binary')",
        )
        .await;
    let mut heard: Vec<_> = receiver
        .wait_for(2, SOON)
        .await
        .iter()
        .map(|request| (request.path.clone(), request.json()["record_ids"].clone()))
        .collect();
    heard.sort_by_key(|(path, _)| path.clone());
    assert_eq!(
        heard,
        [
            ("/documents".to_owned(), json!([9003])),
            ("/pictures".to_owned(), json!([9001]))
        ]
    );
    assert_eq!(receiver.requests().len(), 2, "a stamp alone is no change");
}
