//! Children that join, leave or move: writes of their parents.

use super::{Watch, Watching};

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
