//! Fields inherited through `_inherits`: a change of the parent is a write of all that inherit it.

use super::{Watch, Watching};

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
