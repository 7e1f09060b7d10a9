//! Fields that are kept in other tables: many2many, one2many, and those inherited through `_inherits`, from the statement to the
//! webhook.

use crate::capture::Captured;
use crate::support::receiver::Receiver;
use crate::support::service::{SOON, Service, eventd, eventd_ok};
use crate::support::{Database, eventually};

/// A service with subscriptions, and what arrives of each change.
struct Watching {
    database: Database,
    receiver: Receiver,
    heard: usize,
    service: Option<Service>,
}

/// A subscription to `model`, of the named options; its events arrive at `/name`.
struct Watch<'a>(&'a str, &'a str, &'a [&'a str]);

impl Watching {
    async fn start(watches: &[Watch<'_>]) -> Self {
        Self::start_in(Database::fixture().await, watches).await
    }

    async fn start_in(database: Database, watches: &[Watch<'_>]) -> Self {
        let receiver = Receiver::start().await;
        eventd_ok(&database.url(), &["install"]).await;
        for Watch(name, model, options) in watches {
            let url = receiver.url(&format!("/{name}"));
            let mut arguments = vec!["subscribe", "--model", model, "--url", &url];
            arguments.extend(*options);
            eventd_ok(&database.url(), &arguments).await;
        }
        let service = Service::leading(&database).await;
        let watching = Self {
            database,
            receiver,
            heard: 0,
            service: Some(service),
        };
        watching.all_ready().await;
        watching
    }

    async fn all_ready(&self) {
        eventually("all subscriptions to be ready", SOON * 2, async || {
            let unready = self
                .database
                .psql("select string_agg(model || ': ' || coalesce(error, ''), ' ') from mcp_event_subscription where active and state is distinct from 'ready'")
                .await;
            unready.trim().is_empty().then_some(())
        })
        .await;
    }

    async fn stop(&mut self) {
        let (status, _) = self.service.take().unwrap().terminate().await;
        assert!(status.success());
    }

    async fn go_on(&mut self) {
        self.service = Some(Service::leading(&self.database).await);
    }

    /// Runs statements, waits until everything they led to was delivered, and tells it: `orders write [1, 2] tag_ids`.
    async fn hears(&mut self, sql: &str) -> Vec<String> {
        self.database.psql(sql).await;
        self.hears_now().await
    }

    async fn hears_now(&mut self) -> Vec<String> {
        let client = self.database.client().await;
        eventually("everything to be read and delivered", SOON * 2, async || {
            let idle = client
                .query_one(
                    "select (s -> 'outbox' ->> 'unread')::int = 0 and (s -> 'deliveries' ->> 'unfinished')::int = 0
                       from odoo_eventd.status() s",
                    &[],
                )
                .await
                .unwrap();
            idle.get::<_, bool>(0).then_some(())
        })
        .await;
        let requests = self.receiver.requests();
        let mut told: Vec<String> = requests[self.heard..]
            .iter()
            .map(|request| {
                let body = request.json();
                let fields: Vec<&str> = body["changed_fields"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|f| f.as_str().unwrap())
                    .collect();
                let by = body["user_id"].as_i64().map_or(String::new(), |id| format!(" by {id}"));
                format!(
                    "{} {} {}{by} {}",
                    &request.path[1..],
                    body["event_type"].as_str().unwrap(),
                    body["record_ids"],
                    fields.join(",")
                )
                .trim_end()
                .to_owned()
            })
            .collect();
        self.heard = requests.len();
        told.sort();
        told
    }
}

const ORDER_TAGS: Watch<'_> = Watch("orders", "sale.order", &["--fields", "tag_ids"]);
const PARTNER_TAGS: Watch<'_> = Watch(
    "partners",
    "res.partner",
    &["--event", "write", "--fields", "category_id"],
);
const TAG_PARTNERS: Watch<'_> = Watch(
    "tags",
    "res.partner.category",
    &["--event", "write", "--fields", "partner_ids"],
);

// many2many ------------------------------------------------------------------------------------------------------------

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

impl Watching {
    /// Waits until what was made anew is captured.
    async fn repaired(&self, table: &str) {
        eventually("capture to be repaired", SOON * 2, async || {
            let repaired = self
                .database
                .psql(&format!(
                    "select count(*) from pg_trigger where tgrelid = '{table}'::regclass and tgname like 'odoo\\_eventd%'
                        and not exists (select from odoo_eventd.captured_column where captured_from is null)
                        and not exists (select from odoo_eventd.unsynced_models())"
                ))
                .await;
            (repaired.trim() == "4").then_some(())
        })
        .await;
    }
}

// one2many -------------------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_joins_leaves_or_moves_is_a_write_of_its_parents() {
    let mut watching = Watching::start(&[Watch("orders", "sale.order", &["--fields", "order_line"])]).await;
    let heard = watching.hears("insert into sale_order_line (id, order_id, name, product_uom_qty, price_unit, customer_lead) values (901, 1, 'More', 1, 1, 0)").await;
    assert_eq!(heard, ["orders write [1] order_line"]);
    let heard = watching
        .hears("update sale_order_line set order_id = 2 where id = 901")
        .await;
    assert_eq!(heard, ["orders write [1,2] order_line"]);
    let heard = watching
        .hears("update sale_order_line set name = 'Renamed', price_unit = 7 where id = 901")
        .await;
    assert!(heard.is_empty(), "{heard:?}");
    let heard = watching
        .hears(
            "begin; update sale_order_line set order_id = 4 where id = 901; update sale_order_line set order_id = 5 where id = 901;
             update sale_order set client_order_ref = 'merged' where id = 5; commit",
        )
        .await;
    assert_eq!(
        heard,
        ["orders write [2,5] order_line"],
        "where it was before and after, not in between"
    );
    let heard = watching
        .hears("begin; update sale_order_line set order_id = 4 where id = 901; update sale_order_line set order_id = 5 where id = 901; commit")
        .await;
    assert!(heard.is_empty(), "{heard:?}");
    let heard = watching.hears("delete from sale_order_line where id = 901").await;
    assert_eq!(heard, ["orders write [5] order_line"]);
    let heard = watching
        .hears(
            "begin; insert into sale_order_line (id, order_id, name, product_uom_qty, price_unit, customer_lead) values (902, 1, 'More', 1, 1, 0);
             delete from sale_order_line where id = 902; commit",
        )
        .await;
    assert!(heard.is_empty(), "{heard:?}");
    // By cascade: the lines go with their order.
    let heard = watching.hears("delete from sale_order where id = 6").await;
    assert_eq!(heard, ["orders unlink [6]"]);
    let heard = watching
        .hears(
            "begin; insert into sale_order (id, name, partner_id, partner_invoice_id, partner_shipping_id, company_id, date_order, state)
                    values (501, 'S501', 8, 8, 8, 1, now(), 'draft');
             insert into sale_order_line (order_id, name, product_uom_qty, price_unit, customer_lead) values (501, 'Line', 1, 1, 0); commit",
        )
        .await;
    assert_eq!(heard, ["orders create [501]"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn children_of_the_same_model_and_children_by_a_bare_number_tell_their_parent() {
    let mut watching = Watching::start(&[
        Watch(
            "partners",
            "res.partner",
            &["--event", "write", "--fields", "child_ids"],
        ),
        Watch(
            "messages",
            "res.partner",
            &["--event", "write", "--fields", "message_ids"],
        ),
    ])
    .await;
    let heard = watching
        .hears("update res_partner set parent_id = 11 where id in (9, 10)")
        .await;
    assert_eq!(heard, ["partners write [8,11] child_ids"]);
    let heard = watching
        .hears("update res_partner set parent_id = null where id = 9")
        .await;
    assert_eq!(heard, ["partners write [11] child_ids"]);
    let heard = watching
        .hears("insert into res_partner (id, name, type, parent_id, active) values (700, 'Child', 'contact', 12, true)")
        .await;
    assert_eq!(heard, ["partners write [12] child_ids"]);
    // The same number of another model is another record.
    let heard = watching
        .hears(
            "insert into mail_message (id, model, res_id, message_type) values (801, 'res.partner', 8, 'comment');
             insert into mail_message (id, model, res_id, message_type) values (802, 'sale.order', 8, 'comment')",
        )
        .await;
    assert_eq!(heard, ["messages write [8] message_ids"]);
    let heard = watching
        .hears("update mail_message set model = 'sale.order' where id = 801")
        .await;
    assert_eq!(heard, ["messages write [8] message_ids"]);
}

// _inherits ------------------------------------------------------------------------------------------------------------

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

// What is captured -----------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_while_the_service_was_away_arrives_and_nothing_from_before_the_subscription() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    eventd_ok(&database.url(), &["install"]).await;
    database.psql("insert into sale_order_tag_rel values (1, 1)").await;
    let url = receiver.url("/orders");
    eventd_ok(
        &database.url(),
        &[
            "subscribe",
            "--model",
            "sale.order",
            "--fields",
            "tag_ids,order_line",
            "--url",
            &url,
        ],
    )
    .await;
    database.psql("insert into sale_order_tag_rel values (1, 2)").await;
    database.psql("delete from sale_order_line where order_id = 2").await;
    let service = Service::leading(&database).await;
    let mut watching = Watching {
        database,
        receiver,
        heard: 0,
        service: Some(service),
    };
    assert_eq!(
        watching.hears_now().await,
        ["orders write [1] tag_ids", "orders write [2] order_line"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn switching_a_model_off_switches_its_relation_tables_off() {
    let mut watching = Watching::start(&[ORDER_TAGS]).await;
    let url = watching.database.url();
    eventd_ok(&url, &["capture", "off", "--model", "sale.order"]).await;
    let heard = watching.hears("insert into sale_order_tag_rel values (1, 1)").await;
    assert!(heard.is_empty(), "{heard:?}");
    let status = eventd(&url, &["status", "--json"]).await;
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    let off: Vec<&str> = status["models"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|model| model["switched_off"] == true)
        .map(|model| model["model"].as_str().unwrap())
        .collect();
    assert_eq!(off, ["sale.order", "sale_order_tag_rel"]);
    eventd_ok(&url, &["capture", "on", "--model", "sale.order"]).await;
    let heard = watching.hears("insert into sale_order_tag_rel values (1, 2)").await;
    assert_eq!(heard, ["orders write [1] tag_ids"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_moves_while_its_parents_model_is_switched_off_is_not_guessed_about() {
    let mut watching = Watching::start(&[
        Watch("orders", "sale.order", &["--fields", "order_line"]),
        Watch("lines", "sale.order.line", &["--fields", "order_id"]),
    ])
    .await;
    eventd_ok(&watching.database.url(), &["capture", "off", "--model", "sale.order"]).await;
    let heard = watching
        .hears("update sale_order_line set order_id = 1 where order_id = 4")
        .await;
    assert_eq!(heard, ["lines write [8,9] order_id"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_subscription_needs_any_more_is_not_captured_and_its_triggers_go() {
    let mut watching = Watching::start(&[ORDER_TAGS]).await;
    watching
        .database
        .psql("update mcp_event_subscription set active = false")
        .await;
    eventually("capture to stop", SOON, async || {
        let active = watching
            .database
            .psql("select count(*) from odoo_eventd.capture where active")
            .await;
        (active.trim() == "0").then_some(())
    })
    .await;
    let heard = watching.hears("insert into sale_order_tag_rel values (1, 1)").await;
    assert!(heard.is_empty(), "{heard:?}");
    assert_eq!(
        watching.database.psql("select count(*) from odoo_eventd.outbox").await,
        "0"
    );
    // One table a call.
    while !watching
        .database
        .psql("select odoo_eventd.drop_idle_triggers()")
        .await
        .trim()
        .is_empty()
    {}
    let left = "select count(*) from pg_trigger where tgname like 'odoo\\_eventd%'";
    assert_eq!(watching.database.psql(left).await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn any_field_means_many2many_too_and_the_others_only_by_name() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    eventd_ok(&database.url(), &["subscribe", "--model", "product.template"]).await;
    eventd_ok(
        &database.url(),
        &["subscribe", "--model", "project.task", "--event", "create"],
    )
    .await;
    let needs = "select string_agg(model, ' ' order by subscription_id, model) from odoo_eventd.subscription_need";
    assert_eq!(
        database.psql(needs).await,
        "product.template product_optional_rel product_tag_product_template_rel project.task"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_shows_nowhere_is_refused_with_the_reason() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    database
        .psql("alter table product_optional_rel rename column dest_id to other_id; insert into odoo_eventd.secret_field values ('res.partner', 'email')")
        .await;
    for (model, field, reason) in [
        ("sale.order", "tasks_ids", "is not stored in the database"),
        (
            "product.template",
            "optional_product_ids",
            "has no relation table in the database",
        ),
        ("res.partner", "image_1920", "is kept as an attachment"),
        ("res.users", "email", "holds a secret"),
        ("res.users", "password", "holds a secret"),
        ("sale.order", "no_such_ids", "has no field"),
    ] {
        let refused = eventd(&database.url(), &["subscribe", "--model", model, "--fields", field]).await;
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(
            !refused.status.success() && said.contains(reason),
            "{model} {field}: {said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn models_the_installer_did_not_allow_still_tell_of_fields_of_those_that_were() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    database
        .psql("insert into odoo_eventd.allowed_model values ('sale.order')")
        .await;
    let mut watching = Watching::start_in(
        database,
        &[Watch("orders", "sale.order", &["--fields", "order_line,tag_ids"])],
    )
    .await;
    let heard = watching.hears("begin; delete from sale_order_line where order_id = 1; delete from sale_order_tag_rel where order_id = 2; commit").await;
    assert_eq!(heard, ["orders write [1,2] order_line,tag_ids"]);
    watching
        .database
        .psql("insert into mcp_event_subscription (model) values ('sale.order.line')")
        .await;
    eventually("a model that is not allowed to be refused", SOON, async || {
        let error = "select error from mcp_event_subscription where state = 'invalid'";
        let said = watching.database.psql(error).await;
        said.contains("not among those the installer allowed").then_some(())
    })
    .await;
}

// No statement of a user's fails ---------------------------------------------------------------------------------------

const LINK_WRITES: [&str; 5] = [
    "insert into sale_order_tag_rel select 1, 1",
    "insert into sale_order_tag_rel select n, 3 from generate_series(4, 5) n",
    "update sale_order_tag_rel set order_id = order_id where order_id = 1",
    "update sale_order_tag_rel set order_id = 7 where order_id = 1",
    "delete from sale_order_tag_rel where order_id in (4, 5, 7)",
];

#[tokio::test]
async fn a_relation_tables_columns_may_be_renamed_retyped_or_dropped_under_long_lived_sessions() {
    for (ddl, writes_to, kinds) in [
        (
            "alter table sale_order_tag_rel rename column tag_id to label_id",
            "order_id",
            "d i",
        ),
        (
            "alter table sale_order_tag_rel alter column order_id type bigint, alter column tag_id type bigint",
            "order_id",
            "D I",
        ),
        (
            "alter table sale_order_tag_rel drop constraint sale_order_tag_rel_tag_id_fkey, alter column tag_id type text",
            "order_id",
            "D I",
        ),
        (
            "alter table sale_order_tag_rel add column x_note text",
            "order_id",
            "D I",
        ),
        ("drop table odoo_eventd.outbox_0 cascade", "order_id", ""),
        ("drop sequence odoo_eventd.outbox_id_seq", "order_id", ""),
    ] {
        let captured = Captured::installed().await;
        captured.want("sale_order_tag_rel", &["order_id", "tag_id"], &[]).await;
        captured.sync("sale_order_tag_rel").await.unwrap();
        let session = captured.writer().await;
        for _ in 0..8 {
            for sql in LINK_WRITES {
                session.batch_execute(sql).await.unwrap();
            }
        }
        captured.write("truncate odoo_eventd.outbox_0").await;
        captured.write(ddl).await;
        for sql in LINK_WRITES {
            session
                .batch_execute(sql)
                .await
                .unwrap_or_else(|error| panic!("after {ddl}: {sql}: {error:?}"));
        }
        if kinds.is_empty() {
            continue;
        }
        let told = captured
            .database
            .psql(&format!(
                "select string_agg(distinct op::text, ' ' order by op::text) from odoo_eventd.outbox where '{writes_to}' <> ''"
            ))
            .await;
        assert_eq!(told, kinds, "{ddl}");
    }
}

#[tokio::test]
async fn nothing_is_captured_in_a_renamed_database_or_for_a_full_outbox() {
    let captured = Captured::installed().await;
    captured.want("sale_order_tag_rel", &["order_id", "tag_id"], &[]).await;
    captured
        .write("update odoo_eventd.installation set outbox_max_bytes = 0")
        .await;
    captured.sync("sale_order_tag_rel").await.unwrap();
    // An empty table is not over its room yet.
    captured
        .write("insert into odoo_eventd.outbox_0 values (0, '3', 0, 'T', 0, now())")
        .await;
    captured.write("insert into sale_order_tag_rel values (1, 1)").await;
    captured
        .write("insert into sale_order_tag_rel values (1, 1) on conflict do nothing")
        .await;
    let overflow = "select count(*) from odoo_eventd.capture_overflow";
    assert_eq!(
        captured.database.psql(overflow).await,
        "1",
        "of the statement that wrote something"
    );
    assert_eq!(
        captured.database.psql("select count(*) from odoo_eventd.outbox").await,
        "1"
    );

    captured
        .write("update odoo_eventd.installation set outbox_max_bytes = 1000000, database_name = 'another'")
        .await;
    captured.write("select odoo_eventd.rotate_outbox(-1)").await;
    captured.write("insert into sale_order_tag_rel values (1, 2)").await;
    assert_eq!(
        captured.database.psql("select count(*) from odoo_eventd.outbox").await,
        "1"
    );
}

#[tokio::test]
async fn a_relation_tables_function_names_what_no_longer_is_as_it_was() {
    let captured = Captured::installed().await;
    captured.want("sale_order_tag_rel", &["order_id", "tag_id"], &[]).await;
    captured.sync("sale_order_tag_rel").await.unwrap();
    assert_eq!(captured.drift("sale_order_tag_rel").await, None);
    captured
        .write("alter table sale_order_tag_rel rename column tag_id to label_id")
        .await;
    assert_eq!(
        captured.drift("sale_order_tag_rel").await.as_deref(),
        Some("columns are gone: tag_id")
    );
    captured.write("drop table sale_order_tag_rel").await;
    assert_eq!(
        captured.drift("sale_order_tag_rel").await.as_deref(),
        Some("the table \"sale_order_tag_rel\" is gone")
    );
}

// A real Odoo ----------------------------------------------------------------------------------------------------------

#[tokio::test(flavor = "multi_thread")]
async fn the_relations_of_a_real_odoo_are_heard_of() {
    let Some(database) = Database::dump().await else { return };
    let mut watching = Watching::start_in(
        database,
        &[
            ORDER_TAGS,
            PARTNER_TAGS,
            Watch("variants", "product.product", &["--event", "write", "--fields", "name"]),
            Watch("users", "res.users", &["--event", "write", "--fields", "email"]),
            Watch("lines", "sale.order", &["--event", "write", "--fields", "order_line"]),
            Watch("any", "res.partner", &["--event", "write"]),
        ],
    )
    .await;
    let one = async |sql: &str| {
        watching
            .database
            .psql(sql)
            .await
            .lines()
            .next()
            .unwrap()
            .trim()
            .to_owned()
    };
    let order =
        one("select min(id) from sale_order o where exists (select from sale_order_line l where l.order_id = o.id)")
            .await;
    let tag = one("insert into crm_tag (name, color) values ('{\"en_US\": \"Fresh\"}', 1) returning id").await;
    let partner = one("select partner_id from res_users where login = 'admin'").await;
    let user = one("select id from res_users where login = 'admin'").await;
    let category =
        one("insert into res_partner_category (name, active) values ('{\"en_US\": \"Fresh\"}', true) returning id")
            .await;
    let template =
        one("select product_tmpl_id from product_product group by 1 having count(*) > 1 order by 1 limit 1").await;
    let variants = one(&format!(
        "select json_agg(id order by id)::text from product_product where product_tmpl_id = {template}"
    ))
    .await;
    let variants = variants.replace(' ', "");

    let heard = watching
        .hears(&format!(
            "insert into sale_order_tag_rel (order_id, tag_id) values ({order}, {tag})"
        ))
        .await;
    assert_eq!(heard, [format!("orders write [{order}] tag_ids")]);
    let heard = watching
        .hears(&format!(
            "insert into res_partner_res_partner_category_rel (partner_id, category_id) values ({partner}, {category})"
        ))
        .await;
    assert_eq!(
        heard,
        [
            format!("any write [{partner}] category_id"),
            format!("partners write [{partner}] category_id")
        ]
    );
    let heard = watching
        .hears(&format!(
            "update product_template set name = name || '{{\"en_US\": \"Anew\"}}' where id = {template}"
        ))
        .await;
    assert_eq!(heard, [format!("variants write {variants} name")]);
    let heard = watching
        .hears(&format!(
            "update res_partner set email = 'fresh@example.com' where id = {partner}"
        ))
        .await;
    assert_eq!(
        heard,
        [
            format!("any write [{partner}] email"),
            format!("users write [{user}] email")
        ]
    );
    let heard = watching
        .hears(&format!(
            "delete from sale_order_line where id = (select max(id) from sale_order_line where order_id = {order})"
        ))
        .await;
    assert_eq!(heard, [format!("lines write [{order}] order_line")]);
}
