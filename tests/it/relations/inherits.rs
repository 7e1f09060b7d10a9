//! Fields inherited through `_inherits`: a change of the parent is a write of all that inherit it.

use serde_json::{Value, json};

use super::{Watch, Watching};
use crate::support::Database;
use crate::support::service::{eventd, eventd_ok};

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_parent_is_a_write_of_all_that_inherit_the_field() {
    let mut watching = Watching::start(&[
        Watch("variants", "product.product", &["--fields", "name,default_code"]),
        Watch("templates", "product.template", &["--fields", "name"]),
        Watch("users", "res.users", &["--event", "write", "--fields", "email"]),
        Watch(
            "tagged",
            "product.product",
            &["--event", "write", "--fields", "product_tag_ids"],
        ),
    ])
    .await;
    let heard = watching
        .hears(r#"update product_template set name = '{"en_US": "Block Plane"}', list_price = 60 where id = 2"#)
        .await;
    assert_eq!(heard, ["templates write [2] name", "variants write [2,3] name"]);
    let heard = watching
        .hears("update product_template set list_price = 61 where id = 2")
        .await;
    assert!(heard.is_empty(), "{heard:?}");
    let heard = watching
        .hears(
            r#"begin; update product_template set name = '{"en_US": "Vise"}' where id = 1; update product_product set default_code = 'V' where id in (1, 2); commit"#,
        )
        .await;
    assert_eq!(
        heard,
        ["templates write [1] name", "variants write [1,2] default_code,name"]
    );
    let heard = watching
        .hears("update res_partner set email = 'new@meridian.example' where id in (6, 8)")
        .await;
    assert_eq!(heard, ["users write [5] email"]);
    let heard = watching
        .hears("insert into product_tag_product_template_rel (product_tag_id, product_template_id) values (1, 2)")
        .await;
    assert_eq!(heard, ["tagged write [2,3] product_tag_ids"]);
    // Made, or removed, together with the parent.
    let heard = watching
        .hears(
            r#"begin; insert into product_template (id, name, type, categ_id, uom_id, active) values (71, '{"en_US": "New"}', 'consu', 2, 1, true);
               update product_template set name = '{"en_US": "Newer"}' where id = 71;
               insert into product_product (id, product_tmpl_id, active) values (72, 71, true); commit"#,
        )
        .await;
    assert_eq!(heard, ["templates create [71]", "variants create [72]"]);
    let heard = watching
        .hears(
            r#"begin; update product_template set name = '{"en_US": "Never"}' where id = 71; delete from product_product where id = 72;
               delete from product_template where id = 71; commit"#,
        )
        .await;
    assert_eq!(heard, ["templates unlink [71]", "variants unlink [72]"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_over_inherited_fields_is_judged_as_in_the_event_where_the_parent_changed_in_it() {
    let mut watching = Watching::start(&[
        Watch(
            "bench",
            "product.product",
            &["--fields", "default_code,name", "--domain", "[('name','=','Bench')]"],
        ),
        Watch(
            "entered",
            "product.product",
            &[
                "--event",
                "write",
                "--fields",
                "name",
                "--domain",
                "[('name','=','Bench')]",
                "--trigger-mode",
                "enter",
            ],
        ),
        Watch(
            "other",
            "product.product",
            &[
                "--event",
                "write",
                "--fields",
                "default_code",
                "--domain",
                "[('name','!=','Bench')]",
            ],
        ),
    ])
    .await;
    let rename = |name: &str| format!(r#"update product_template set name = '{{"en_US": "{name}"}}' where id = 2"#);
    assert!(watching.hears(&rename("Plane")).await.is_empty());
    let heard = watching.hears(&rename("Bench")).await;
    assert_eq!(heard, ["bench write [2,3] name", "entered write [2,3] name"]);
    let heard = watching
        .hears("update product_product set default_code = 'B' where id in (1, 2)")
        .await;
    assert_eq!(heard, ["bench write [2] default_code", "other write [1] default_code"]);
    // The parent's values in the transaction count, also when it is another's by the time it is processed.
    let renamed_and_back = format!(
        "begin; {}; update product_product set default_code = 'C' where id = 2; commit",
        rename("Saw")
    );
    watching.stop().await;
    watching.database.psql(&renamed_and_back).await;
    watching.database.psql(&rename("Bench")).await;
    watching.go_on().await;
    let heard = watching.hears_now().await;
    assert_eq!(
        heard,
        [
            "bench write [2,3] name",
            "entered write [2,3] name",
            "other write [2] default_code"
        ]
    );
    // Made and unlinked with its parent.
    let heard = watching
        .hears(
            r#"begin; insert into product_template (id, name, type, categ_id, uom_id, active) values (71, '{"en_US": "Bench"}', 'consu', 2, 1, true);
               insert into product_product (id, product_tmpl_id, active) values (72, 71, true); commit"#,
        )
        .await;
    assert_eq!(heard, ["bench create [72]"]);
    let heard = watching
        .hears("begin; delete from product_product where id = 72; delete from product_template where id = 71; commit")
        .await;
    assert_eq!(heard, ["bench unlink [72]"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_transaction_is_judged_on_the_parents_it_made_and_removed() {
    let mut watching = Watching::start(&[Watch(
        "bench",
        "product.product",
        &["--domain", "[('name','=','Bench')]"],
    )])
    .await;
    let heard = watching
        .hears(
            r#"begin; insert into product_template (id, name, type, categ_id, uom_id, active)
                 select 1000 + n, case when n % 3 = 0 then '{"en_US": "Bench"}' else '{"en_US": "Saw"}' end::jsonb, 'consu', 2, 1, true from generate_series(1, 3000) n;
               insert into product_product (id, product_tmpl_id, active) select 1000 + n, 1000 + n, true from generate_series(1, 3000) n; commit"#,
        )
        .await;
    assert_eq!(heard.len(), 1);
    assert!(heard[0].starts_with("bench create [1003,1006,1009,"), "{heard:?}");
    assert_eq!(heard[0].matches(',').count(), 999);
    let heard = watching
        .hears(
            "begin; delete from product_product where id > 1000; delete from product_template where id > 1000; commit",
        )
        .await;
    assert!(
        heard.len() == 1 && heard[0].starts_with("bench unlink [1003,1006,1009,"),
        "{heard:?}"
    );
}

/// The records of the requests from `since` on, by arrival.
fn records(watching: &Watching, since: usize) -> Vec<Value> {
    let requests = watching.receiver.requests();
    requests[since..].iter().map(|r| r.json()["records"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn old_holds_what_an_inherited_field_was_before_its_parent_changed() {
    let mut watching = Watching::start(&[Watch(
        "users",
        "res.users",
        &[
            "--event",
            "write",
            "--fields",
            "email,login,country_id,comment",
            "--payload-fields",
            "login,email,mail: partner_id.email,partner_id{email},country_id.code,comment,partner_id",
        ],
    )])
    .await;
    watching
        .hears(
            "update res_partner set email = 'a', comment = 'long', country_id = (select id from res_country where code = 'BE') where id = 6",
        )
        .await;
    let mut seen = watching.heard;
    assert_eq!(
        watching.hears("update res_partner set email = 'b' where id = 6").await,
        ["users write [5] email"]
    );
    let sent = records(&watching, seen);
    assert_eq!(sent[0][0]["old"], json!({"email": "a", "mail": "a"}));
    assert_eq!(sent[0][0]["values"]["email"], "b");

    seen = watching.heard;
    watching
        .hears("begin; update res_partner set email = 'x' where id = 6; update res_users set login = 'm' where id = 5; update res_partner set email = 'c' where id = 6; commit")
        .await;
    let sent = records(&watching, seen);
    assert_eq!(
        sent[0][0]["old"],
        json!({"login": "mira@meridian.example", "email": "b", "mail": "b"})
    );
    assert_eq!(sent[0][0]["values"]["email"], "c");

    // A relation that is inherited, and what lies behind it.
    seen = watching.heard;
    watching
        .hears("update res_partner set country_id = (select id from res_country where code = 'DE') where id = 6")
        .await;
    let sent = records(&watching, seen);
    assert_eq!(sent[0][0]["old"], json!({"country_id.code": "BE"}));
    assert_eq!(sent[0][0]["values"]["country_id.code"], "DE");

    // What the parent was in each transaction, however late it is read; also in a large one.
    seen = watching.heard;
    watching.stop().await;
    for sql in [
        "update res_partner set email = 'd' where id = 6",
        "begin; update res_partner set comment = 'x' || id; update res_partner set email = 'e' where id = 6; \
         insert into res_partner (name) select 'Filler' from generate_series(1, 3000); commit",
        "update res_partner set email = 'f' where id = 6",
    ] {
        watching.database.psql(sql).await;
    }
    watching.go_on().await;
    watching.hears_now().await;
    let mut sent: Vec<(Value, Value)> = records(&watching, seen)
        .iter()
        .flat_map(|records| records.as_array().unwrap().clone())
        .filter(|record| record["id"] == 5)
        .map(|record| (record["old"]["email"].clone(), record["values"]["email"].clone()))
        .collect();
    sent.sort_by_key(|(old, _)| old.to_string());
    assert_eq!(
        sent,
        [("c", "d"), ("d", "e"), ("e", "f")].map(|(old, new)| (json!(old), json!(new)))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unlinked_with_its_parent_has_the_values_from_before_the_transaction() {
    let mut watching = Watching::start(&[Watch(
        "variants",
        "product.product",
        &["--fields", "name", "--payload-fields", "name,default_code"],
    )])
    .await;
    let seen = watching.heard;
    let heard = watching
        .hears(
            r#"begin; insert into product_template (id, name, type, categ_id, uom_id, active) values (71, '{"en_US": "New"}', 'consu', 2, 1, true);
               insert into product_product (id, product_tmpl_id, active, default_code) values (72, 71, true, 'N'); commit"#,
        )
        .await;
    assert_eq!(heard, ["variants create [72]"]);
    let heard = watching
        .hears(
            r#"begin; update product_template set name = '{"en_US": "Never"}' where id = 71; delete from product_product where id = 72;
               delete from product_template where id = 71; commit"#,
        )
        .await;
    assert_eq!(heard, ["variants unlink [72]"]);
    let of_both = records(&watching, seen);
    assert_eq!(of_both[0], of_both[1]);
    assert_eq!(
        of_both[1],
        json!([{"id": 72, "values": {"name": "New", "default_code": "N"}}])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inherited_text_too_long_to_be_kept_is_not_in_old() {
    let mut watching = Watching::start(&[Watch(
        "users",
        "res.users",
        &[
            "--event",
            "write",
            "--fields",
            "comment",
            "--payload-fields",
            "comment",
            "--max-body-bytes",
            "1000000",
        ],
    )])
    .await;
    watching
        .hears("update res_partner set comment = repeat('long', 10000) where id = 6")
        .await;
    let seen = watching.heard;
    watching
        .hears("update res_partner set comment = repeat('LONG', 10000) where id = 6")
        .await;
    let sent = records(&watching, seen);
    assert_eq!(sent[0][0]["old"], json!({}));
    assert_eq!(sent[0][0]["values"]["comment"], "LONG".repeat(10000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_on_what_a_parent_inherits_itself_is_refused() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    database
        .psql(
            r#"create table x_cashier (id serial primary key, user_id integer not null, till varchar);
               insert into ir_model (model, name, "order", info, state, transient, is_mail_thread)
                 values ('x_cashier', '{"en_US": "Cashier"}', 'id', '', 'base', false, false);
               insert into ir_model_fields (model, model_id, name, ttype, field_description, relation, related, state, store, copied, required,
                                            readonly, index, translate, company_dependent, selectable)
                 select m.model, m.id, f.name, f.ttype, '{"en_US": "-"}', f.relation, f.related, 'base', f.related is null, true, false,
                        false, false, false, false, true
                   from ir_model m,
                        (values ('id', 'integer', null, null), ('user_id', 'many2one', 'res.users', null), ('till', 'char', null, null),
                                ('login', 'char', null, 'user_id.login'), ('email', 'char', null, 'user_id.email'))
                          f (name, ttype, relation, related)
                  where m.model = 'x_cashier';
               insert into ir_model_inherit (model_id, parent_id, parent_field_id)
                 select m.id, p.id, f.id from ir_model m, ir_model p, ir_model_fields f
                  where m.model = 'x_cashier' and p.model = 'res.users' and f.model = 'x_cashier' and f.name = 'user_id';"#,
        )
        .await;
    let subscribe = |domain| {
        let url = database.url();
        async move {
            let options = [
                "subscribe",
                "--model",
                "x_cashier",
                "--fields",
                "till,email",
                "--domain",
                domain,
            ];
            eventd(&url, &options).await
        }
    };
    let refused = subscribe("[('email','=','a')]").await;
    let why = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2), "{why}");
    assert!(
        why.contains("\"user_id\" leads to a \"res.users\", which inherits it in turn"),
        "{why}"
    );
    let taken = subscribe("[('login','=','a')]").await;
    assert!(taken.status.success(), "{}", String::from_utf8_lossy(&taken.stderr));
}
