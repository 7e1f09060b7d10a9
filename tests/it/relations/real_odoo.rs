//! The same on a real Odoo database.

use super::{ORDER_TAGS, PARTNER_TAGS, Watch, Watching};
use crate::support::Database;

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
