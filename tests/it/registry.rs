//! What Odoo tells about its own fields goes before what is shipped.

use std::collections::BTreeSet;

use crate::support::Database;
use crate::support::delivery::subscribe;
use crate::support::receiver::{Receiver, Reply};
use crate::support::service::{SOON, Service, eventd, eventd_ok};

fn answers(result: serde_json::Value) -> Reply {
    Reply::status(200).body(serde_json::json!({"jsonrpc": "2.0", "id": 1, "result": result}).to_string())
}

#[tokio::test]
async fn a_pulled_domain_narrows_the_search_through_its_field() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let odoo = Receiver::start().await;
    // Logged in as user 2; every model then claims the same field.
    let never = serde_json::json!([["id", "=", 0]]);
    odoo.replies([answers(2.into())]);
    odoo.otherwise(answers(
        serde_json::json!({"order_line": {"type": "one2many", "store": true, "domain": never}}),
    ));

    let lines = ["domain", "eval", "--model", "sale.order", "[('order_line.id', '>', 0)]"];
    let before = eventd_ok(&database.url(), &lines).await;
    assert_ne!(before.trim(), "[]", "orders have lines");
    let directory = std::env::temp_dir().join(format!("odoo-eventd-pull-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let password = directory.join("password");
    std::fs::write(&password, "s3cret\n").unwrap();
    let url = odoo.url("/");
    let pull = [
        "registry",
        "pull",
        "--odoo-url",
        &url,
        "--login",
        "admin",
        "--password-file",
        password.to_str().unwrap(),
    ];
    eventd_ok(&database.url(), &pull).await;
    assert_eq!(eventd_ok(&database.url(), &lines).await.trim(), "[]");

    let requests = odoo.requests();
    assert_eq!(
        requests[0].json()["params"]["args"],
        serde_json::json!([database.name(), "admin", "s3cret"])
    );
    assert_eq!(requests[1].json()["params"]["args"][1], 2);
    assert_eq!(requests[1].json()["params"]["args"][4], "fields_get");

    odoo.replies([answers(false.into())]);
    let refused = eventd(&database.url(), &pull).await;
    std::fs::remove_dir_all(&directory).unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        words.contains("Odoo refuses admin") && !words.contains("s3cret"),
        "{words}"
    );
}

/// The `_inherits` parents that the program sees: model, parent, link.
async fn inherits(database: &Database) -> BTreeSet<(String, String, String)> {
    let registry = odoo_eventd::pg::registry::load(&database.client().await).await.unwrap();
    let of_model = |model: &odoo_eventd::odoo::registry::Model| {
        let name = model.name.clone();
        let parents = model.inherits.clone().into_iter();
        parents.map(move |inherit| (name.clone(), inherit.parent, inherit.link))
    };
    registry.models().flat_map(of_model).collect()
}

#[tokio::test]
async fn where_no_table_tells_the_parents_of_inherits_the_fields_do() {
    let database = Database::fixture().await;
    let told = inherits(&database).await;
    assert!(told.len() >= 2, "{told:?}");
    database.psql("drop table ir_model_inherit").await;
    assert_eq!(inherits(&database).await, told, "not installed");
    eventd_ok(&database.url(), &["install"]).await;
    assert_eq!(inherits(&database).await, told, "installed");
    database.psql("select odoo_eventd.registry_stamp()").await;
}

#[tokio::test]
async fn real_tables_and_real_fields_tell_the_same_parents() {
    // In 19 a computed field leads to the parent, and one model of 17 to 19 has a row for an abstract one.
    for (version, only_told) in [(17, 1), (18, 1), (19, 3)] {
        let Some(database) = Database::dump_of(version).await else {
            return;
        };
        let with_table = |told: &(String, String, String)| told.0 != "mail.alias.mixin";
        let told = inherits(&database).await;
        database.psql("drop table ir_model_inherit").await;
        let found = inherits(&database).await;
        let found_alone: Vec<_> = found.difference(&told).filter(|one| one.0 != "ir.cron").collect();
        assert!(found_alone.is_empty(), "{version}: {found_alone:?}");
        let told_alone: Vec<_> = told.difference(&found).collect();
        assert!(told_alone.len() <= only_told, "{version}: {told_alone:?}");
        assert!(found.iter().all(with_table));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_odoo_16_is_served_inherited_fields_too() {
    let Some(database) = Database::dump_of(16).await else {
        return;
    };
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    let options = [
        "--event",
        "write",
        "--fields",
        "email",
        "--payload-fields",
        "login,email,property_account_receivable_id",
    ];
    subscribe(&database, "res.users", &receiver.url("/"), &options).await;
    let _service = Service::leading(&database).await;
    database
        .psql("update res_partner set email = 'new@example.com' where id = (select partner_id from res_users where id = 2)")
        .await;
    let body = receiver.wait_for(1, SOON).await[0].json();
    assert_eq!(body["record_ids"], serde_json::json!([2]));
    let values = &body["records"][0]["values"];
    assert_eq!(values["email"], "new@example.com");
    // 16 keeps it in ir_property.
    assert_eq!(values["property_account_receivable_id"], 6);
}
