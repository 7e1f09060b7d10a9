//! What is refused to a token for some models tells nothing of another one, not even by how it is refused.

use serde_json::{Value, json};

use super::{Api, EVERYTHING, orders, token};
use crate::support::Database;
use crate::support::service::eventd_ok;

/// Leaves and paths that lead beyond, with `FIELD` in them.
const DOMAINS_BEYOND: [&str; 9] = [
    "[('partner_id.FIELD', '=', 1)]",
    "[('partner_id.FIELD', 'in', [])]",
    "[('partner_id.FIELD', '=like', {})]",
    "[('partner_id.FIELD.id', '=', 1)]",
    "['!', ('partner_id.FIELD', '!=', False)]",
    "[('partner_id', 'any', [('FIELD', '=', 1)])]",
    "[('partner_id.parent_id.FIELD', '=', 1)]",
    "['|', ('name', '=', 'x'), ('order_line.order_partner_id.FIELD', 'ilike', 'x')]",
    "[('partner_id.child_ids', 'any', [('FIELD', 'in', [1]), ('id', 'in', [])])]",
];
const PATHS_BEYOND: [&str; 5] = [
    "partner_id.FIELD",
    "partner_id.FIELD.id",
    "partner_id{FIELD}",
    "partner_id{id,FIELD{id}}",
    "order_line.order_partner_id.FIELD",
];

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_tells_whether_a_field_of_a_third_model_exists() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let api = Api::beside(&database, &["--api-requests-per-second", "10000"]).await;
    let bound = token(&database, "bound", EVERYTHING, &["--models", "sale.order"]).await;
    let id = api.subscribe(&bound, orders()).await;
    // Stored, related, computed, a relation, kept for each company, a file, and one that is close to another.
    let fields = [
        "vat",
        "parent_name",
        "company_type",
        "child_ids",
        "country_id",
        "trust",
        "image_1920",
        "nam",
    ];
    let mut asked: Vec<(&str, &str, String, Value)> = Vec::new();
    for domain in DOMAINS_BEYOND {
        let at = format!("/api/v1/subscriptions/{id}");
        asked.push((
            "POST",
            "/api/v1/domains/check",
            String::new(),
            json!({"model": "sale.order", "domain": domain}),
        ));
        asked.push((
            "POST",
            "/api/v1/subscriptions",
            String::new(),
            json!({"model": "sale.order", "event_type": "write", "domain": domain}),
        ));
        asked.push(("PATCH", "", at, json!({"domain": domain})));
    }
    for path in PATHS_BEYOND {
        for column in ["payload_fields", "enrich_fields"] {
            let at = format!("/api/v1/subscriptions/{id}");
            asked.push((
                "POST",
                "/api/v1/subscriptions",
                String::new(),
                json!({"model": "sale.order", "event_type": "write", column: [path]}),
            ));
            asked.push(("PATCH", "", at, json!({column: [path]})));
        }
    }
    for (method, path, at, body) in asked {
        for field in fields {
            // As long, so that places in the text are the same.
            let unknown = "q".repeat(field.len());
            let mut told = Vec::new();
            for name in [field, unknown.as_str()] {
                let body: Value = serde_json::from_str(&body.to_string().replace("FIELD", name)).unwrap();
                let answer = api.ask(&bound, method, &format!("{path}{at}"), Some(body)).await;
                assert_eq!(answer.status, 422, "{method} {path}{at} {name}: {}", answer.text);
                told.push(answer.text.replace(name, "FIELD"));
            }
            assert_eq!(told[0], told[1], "{body} {field}");
            assert!(
                !told[0].contains("res.partner") && !told[0].contains("did you mean"),
                "{}",
                told[0]
            );
        }
    }
    // Own fields are told of as ever.
    let own = json!({"model": "sale.order", "domain": "[('client_order_reff', '=', 1)]"});
    let own = api.ask(&bound, "POST", "/api/v1/domains/check", Some(own)).await;
    assert!(own.text.contains("client_order_ref?"), "{}", own.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fields_of_ones_own_model_name_no_third() {
    let database = Database::fixture().await;
    let api = Api::of(&database).await;
    let admin = token(&database, "admin", "admin", &[]).await;
    let models = api.ask(&admin, "GET", "/api/v1/models", None).await.json();
    let names: Vec<&str> = models["models"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|model| model["model"].as_str())
        .collect();
    assert!(names.len() > 10, "{names:?}");
    for own in ["sale.order", "res.partner", "res.users", "project.task"] {
        let bound = token(&database, own, EVERYTHING, &["--models", own]).await;
        let told = api
            .ask(&bound, "GET", &format!("/api/v1/models/{own}/fields"), None)
            .await;
        assert_eq!(told.status, 200, "{}", told.text);
        for name in names.iter().filter(|name| **name != own && name.contains('.')) {
            for quoted in [format!("\"{name}\""), format!("\\\"{name}\\\"")] {
                assert!(!told.text.contains(&quoted), "{own}: {name} in {}", told.text);
            }
        }
        let all = api
            .ask(&admin, "GET", &format!("/api/v1/models/{own}/fields"), None)
            .await;
        assert!(all.text.contains("\"relation\":\"res."), "{}", all.text);
    }
}
