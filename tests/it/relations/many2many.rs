//! Links in a many2many table: added, removed and moved, they are writes of the field.

use super::{ORDER_TAGS, PARTNER_TAGS, TAG_PARTNERS, Watch, Watching};
use crate::support::eventually;
use crate::support::service::SOON;

#[tokio::test(flavor = "multi_thread")]
async fn links_added_removed_and_moved_are_writes_of_the_field() {
    let mut watching = Watching::start(&[ORDER_TAGS]).await;
    let heard = watching
        .hears("insert into sale_order_tag_rel values (1, 1), (1, 2), (4, 1)")
        .await;
    assert_eq!(heard, ["orders write [1,4] tag_ids"]);
    let heard = watching
        .hears("delete from sale_order_tag_rel where order_id = 1 and tag_id = 2")
        .await;
    assert_eq!(heard, ["orders write [1] tag_ids"]);
    // Both the record that loses the link and the one that gets it.
    let heard = watching
        .hears("update sale_order_tag_rel set order_id = 5 where order_id = 4")
        .await;
    assert_eq!(heard, ["orders write [4,5] tag_ids"]);
    let heard = watching
        .hears("update sale_order_tag_rel set tag_id = 3 where order_id = 5")
        .await;
    assert_eq!(heard, ["orders write [5] tag_ids"]);
    // A tag that is removed takes its links along.
    let heard = watching.hears("delete from crm_tag where id = 1").await;
    assert_eq!(heard, ["orders write [1,2,3] tag_ids"]);
    let heard = watching
        .hears("insert into sale_order_tag_rel values (2, 2) on conflict do nothing; insert into sale_order_tag_rel values (2, 2) on conflict do nothing")
        .await;
    assert_eq!(heard, ["orders write [2] tag_ids"]);
    let script = std::env::temp_dir().join(format!("{}_links.sql", watching.database.name()));
    std::fs::write(
        &script,
        "copy sale_order_tag_rel (order_id, tag_id) from stdin;\n7\t2\n7\t3\n8\t3\n\\.\n",
    )
    .unwrap();
    watching.database.psql_file(&script).await;
    std::fs::remove_file(&script).unwrap();
    assert_eq!(watching.hears_now().await, ["orders write [7,8] tag_ids"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_added_and_removed_in_one_transaction_is_no_change() {
    let mut watching = Watching::start(&[ORDER_TAGS]).await;
    let heard = watching
        .hears(
            "begin; insert into sale_order_tag_rel values (1, 1); delete from sale_order_tag_rel where order_id = 1; commit;
             begin; delete from sale_order_tag_rel where order_id = 2; insert into sale_order_tag_rel values (2, 1); commit;
             begin; update sale_order_tag_rel set order_id = 7 where order_id = 6; update sale_order_tag_rel set order_id = 6 where order_id = 7; commit;
             begin; insert into sale_order_tag_rel values (1, 3); rollback;
             update sale_order_tag_rel set order_id = order_id",
        )
        .await;
    assert!(heard.is_empty(), "{heard:?}");
    // What is done twice and undone once is a change.
    let heard = watching
        .hears("begin; delete from sale_order_tag_rel where order_id = 3; insert into sale_order_tag_rel values (3, 2); commit")
        .await;
    assert_eq!(heard, ["orders write [3] tag_ids"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn links_of_a_record_that_is_created_or_unlinked_with_them_are_no_write() {
    let mut watching = Watching::start(&[ORDER_TAGS]).await;
    let heard = watching
        .hears(
            "with made as (insert into sale_order (id, name, partner_id, partner_invoice_id, partner_shipping_id, company_id, date_order, state)
                           values (501, 'S501', 8, 8, 8, 1, now(), 'draft') returning id)
             insert into sale_order_tag_rel select id, 1 from made",
        )
        .await;
    // The rows of one statement's parts are captured as one transaction.
    assert_eq!(heard, ["orders create [501]"]);
    assert_eq!(
        watching.hears("delete from sale_order where id = 501").await,
        ["orders unlink [501]"]
    );
    let heard = watching
        .hears("begin; delete from sale_order_tag_rel where order_id = 3; delete from sale_order where id = 3; commit")
        .await;
    assert_eq!(heard, ["orders unlink [3]"]);
    let heard = watching
        .hears(
            "begin; insert into sale_order (id, name, partner_id, partner_invoice_id, partner_shipping_id, company_id, date_order, state)
                           values (502, 'S502', 8, 8, 8, 1, now(), 'draft');
             insert into sale_order_tag_rel values (502, 1); delete from sale_order where id = 502; commit",
        )
        .await;
    assert!(heard.is_empty(), "{heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_and_columns_of_the_record_are_one_write_by_who_wrote_the_record() {
    let mut watching = Watching::start(&[
        Watch("some", "sale.order", &["--fields", "tag_ids,client_order_ref"]),
        Watch("any", "sale.order", &[]),
        Watch("column", "sale.order", &["--fields", "client_order_ref"]),
        Watch("created", "sale.order", &["--event", "create"]),
    ])
    .await;
    let heard = watching
        .hears(
            "begin; insert into sale_order_tag_rel values (1, 1);
             update sale_order set client_order_ref = 'x', write_uid = 5, write_date = now() at time zone 'utc' where id = 1; commit",
        )
        .await;
    assert_eq!(
        heard,
        [
            "any write [1] by 5 client_order_ref,tag_ids",
            "column write [1] by 5 client_order_ref",
            "some write [1] by 5 client_order_ref,tag_ids"
        ]
    );
    // As Odoo writes a many2many alone: the record is stamped, and nothing else of it is written.
    let heard = watching
        .hears(
            "begin; update sale_order set write_uid = 6, write_date = now() at time zone 'utc' where id in (1, 2);
             insert into sale_order_tag_rel values (1, 2), (2, 2); commit",
        )
        .await;
    assert_eq!(heard, ["any write [1,2] by 6 tag_ids", "some write [1,2] by 6 tag_ids"]);
    // Columns that end where they began leave the link.
    let heard = watching
        .hears(
            "begin; update sale_order set client_order_ref = 'y' where id = 1; update sale_order set client_order_ref = 'x' where id = 1;
             insert into sale_order_tag_rel values (1, 3); commit",
        )
        .await;
    assert_eq!(heard, ["any write [1] tag_ids", "some write [1] tag_ids"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_of_a_relation_hear_of_a_link() {
    let mut watching = Watching::start(&[PARTNER_TAGS, TAG_PARTNERS]).await;
    let heard = watching
        .hears("insert into res_partner (id, name, type, active) values (600, 'New', 'contact', true)")
        .await;
    assert!(heard.is_empty(), "{heard:?}");
    let heard = watching
        .hears("insert into res_partner_res_partner_category_rel (partner_id, category_id) values (600, 1), (600, 2)")
        .await;
    assert_eq!(
        heard,
        ["partners write [600] category_id", "tags write [1,2] partner_ids"]
    );
    let heard = watching.hears("delete from res_partner where id = 600").await;
    assert_eq!(heard, ["tags write [1,2] partner_ids"]);
    let heard = watching.hears("delete from res_partner_category where id = 5").await;
    assert_eq!(heard, ["partners write [13] category_id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relation_of_a_model_to_itself_tells_the_two_sides_apart() {
    let mut watching = Watching::start(&[
        Watch("blocked", "project.task", &["--fields", "depend_on_ids"]),
        Watch("blocks", "project.task", &["--fields", "dependent_ids"]),
    ])
    .await;
    let heard = watching
        .hears("insert into task_dependencies_rel (task_id, depends_on_id) values (4, 5)")
        .await;
    assert_eq!(
        heard,
        ["blocked write [4] depend_on_ids", "blocks write [5] dependent_ids"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pairs_that_a_model_keeps_are_links_too() {
    let mut watching = Watching::start(&[Watch(
        "tasks",
        "project.task",
        &["--fields", "user_ids,personal_stage_type_ids"],
    )])
    .await;
    let heard = watching
        .hears("insert into project_task_user_rel (task_id, user_id) values (4, 5)")
        .await;
    assert_eq!(heard, ["tasks write [4] user_ids"]);
    let heard = watching
        .hears("update project_task_user_rel set stage_id = 4 where task_id = 4")
        .await;
    assert_eq!(heard, ["tasks write [4] personal_stage_type_ids"]);
    let heard = watching
        .hears("delete from project_task_user_rel where task_id = 4")
        .await;
    assert_eq!(heard, ["tasks write [4] personal_stage_type_ids,user_ids"]);
    let heard = watching
        .hears("begin; delete from project_task_user_rel where task_id = 5; insert into project_task_user_rel (task_id, user_id) values (5, 2); commit")
        .await;
    assert!(heard.is_empty(), "{heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_is_judged_on_a_record_of_which_only_a_link_changed() {
    let mut watching = Watching::start(&[
        Watch(
            "sold",
            "sale.order",
            &[
                "--event",
                "write",
                "--fields",
                "tag_ids",
                "--domain",
                "[('state','=','sale')]",
            ],
        ),
        Watch(
            "urgent",
            "sale.order",
            &[
                "--event",
                "write",
                "--fields",
                "tag_ids",
                "--domain",
                "[('tag_ids','in',[3])]",
            ],
        ),
        Watch(
            "entered",
            "sale.order",
            &[
                "--event",
                "write",
                "--fields",
                "tag_ids,state",
                "--domain",
                "[('state','=','sale')]",
                "--trigger-mode",
                "enter",
            ],
        ),
    ])
    .await;
    // 1 and 2 are no sales, 3 is.
    let heard = watching
        .hears("insert into sale_order_tag_rel values (1, 2), (2, 3), (3, 3)")
        .await;
    assert_eq!(heard, ["sold write [3] tag_ids", "urgent write [2,3] tag_ids"]);
    let heard = watching
        .hears("begin; insert into sale_order_tag_rel values (4, 1), (7, 1); update sale_order set state = 'sale' where id = 7; commit")
        .await;
    assert_eq!(heard, ["entered write [7] state,tag_ids", "sold write [4,7] tag_ids"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_links_in_one_statement_are_one_event_in_blocks() {
    let mut watching = Watching::start(&[PARTNER_TAGS, TAG_PARTNERS]).await;
    let made = "insert into res_partner (id, name, complete_name, type, active)
                select 10000 + n, 'P' || n, 'P' || n, 'contact', true from generate_series(1, 10500) n";
    assert!(watching.hears(made).await.is_empty());
    let heard = watching
        .hears(
            "insert into res_partner_res_partner_category_rel (partner_id, category_id)
             select 10000 + n, 1 from generate_series(1, 10500) n",
        )
        .await;
    let partners = heard.iter().filter(|told| told.starts_with("partners write")).count();
    assert_eq!(partners, 11, "blocks of 1,000");
    let mut ids: Vec<i64> = Vec::new();
    for request in watching.receiver.requests() {
        if request.path == "/partners" {
            let of_block: Vec<i64> = request.json()["record_ids"]
                .as_array()
                .unwrap()
                .iter()
                .map(|id| id.as_i64().unwrap())
                .collect();
            assert!(of_block.is_sorted() && of_block.len() <= 1_000);
            ids.extend(of_block);
        }
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 10_500);
    assert_eq!(heard.last().map(String::as_str), Some("tags write [1] partner_ids"));
    // The one record that has more links than a page holds, and columns and links of many records at once.
    let heard = watching
        .hears(
            "begin; update res_partner_res_partner_category_rel set category_id = 2 where partner_id > 10000;
             delete from res_partner_res_partner_category_rel where partner_id > 10002;
             update res_partner set name = name || '!' where id > 10000;
             insert into res_partner_res_partner_category_rel (partner_id, category_id) select 10000 + n, 1 from generate_series(3, 10500) n; commit",
        )
        .await;
    assert_eq!(
        heard,
        [
            "partners write [10001,10002] category_id",
            "tags write [1,2] partner_ids"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn truncating_a_relation_table_is_an_alarm_and_no_write() {
    let mut watching = Watching::start(&[ORDER_TAGS]).await;
    let heard = watching.hears("truncate sale_order_tag_rel").await;
    assert!(heard.is_empty(), "{heard:?}");
    let heard = watching.hears("insert into sale_order_tag_rel values (2, 1)").await;
    assert_eq!(heard, ["orders write [2] tag_ids"]);
    let (_, log) = watching.service.take().unwrap().terminate().await;
    assert!(log.contains("truncated") && log.contains("sale_order_tag_rel"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relation_table_that_is_made_anew_is_watched_again() {
    let mut watching = Watching::start(&[ORDER_TAGS]).await;
    let made_anew = "create table copy as select * from sale_order_tag_rel; drop table sale_order_tag_rel;
                     alter table copy rename to sale_order_tag_rel";
    watching.database.psql(&format!("begin; {made_anew}; commit")).await;
    watching.repaired("sale_order_tag_rel").await;
    let heard = watching.hears("insert into sale_order_tag_rel values (1, 2)").await;
    assert_eq!(heard, ["orders write [1] tag_ids"]);

    // Gone for a while: what names it is refused, and served again once it is there.
    watching
        .database
        .psql("alter table sale_order_tag_rel rename to elsewhere")
        .await;
    eventually("the subscription to be refused", SOON, async || {
        let error = watching
            .database
            .psql("select error from mcp_event_subscription where state = 'invalid'")
            .await;
        error.contains("tag_ids").then_some(())
    })
    .await;
    watching
        .database
        .psql("alter table elsewhere rename to sale_order_tag_rel")
        .await;
    watching.all_ready().await;
    watching.repaired("sale_order_tag_rel").await;
    let heard = watching.hears("insert into sale_order_tag_rel values (1, 3)").await;
    assert_eq!(heard, ["orders write [1] tag_ids"]);
}
