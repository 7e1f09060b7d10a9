//! What Odoo tells about its own fields goes before what is shipped.

use crate::support::Database;
use crate::support::receiver::{Receiver, Reply};
use crate::support::service::{eventd, eventd_ok};

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
