//! Questions about records that the database does not answer, or answers wrongly for a name.

use super::{ORDER_TAGS, Watch, Watching};
use crate::support::service::{SOON, eventd_ok};
use crate::support::{Database, eventually};

/// What is asked of Odoo's tables, by functions whose names in SQL are ours.
const QUESTIONS: [&str; 5] = [
    "select count(*) from odoo_eventd.current_records('sale.order', '{1,2,999}', '{1,1,1}', array[now(), now(), now()], '{name}')",
    "select count(*) from odoo_eventd.inheriting_records('product.product', 'product_tmpl_id', '{1,2}')",
    "select count(*) from odoo_eventd.read_records('sale.order', '{1,2,999}', '{name}', 1000000)",
    "select count(*) from odoo_eventd.read_related('sale.order', 'order_line', '{1,2}', null, 100)",
    "select count(*) from odoo_eventd.read_related('sale.order', 'tag_ids', '{1,2}', null, 100)",
];

/// Tables that those read.
const TABLES: [&str; 5] = [
    "sale_order",
    "sale_order_line",
    "sale_order_tag_rel",
    "crm_tag",
    "product_product",
];

#[tokio::test(flavor = "multi_thread")]
async fn columns_named_as_in_our_questions_change_no_answer() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let answers = async || {
        let mut answers = Vec::new();
        for question in QUESTIONS {
            answers.push(database.psql(question).await.trim().to_owned());
        }
        answers
    };
    let before = answers().await;
    assert!(before.iter().all(|count| count != "0"), "{before:?}");
    // Every letter, and every longer alias and column in a function of ours that makes SQL. Of a type that nothing compares with.
    let names = "
        select distinct word from (
          select m[1] as word
            from pg_proc p cross join regexp_matches(p.prosrc, '([a-z_][a-z0-9_]*)', 'g') m
           where p.pronamespace = 'odoo_eventd'::regnamespace and p.proname ~ '_held$'
          union select chr(i) from generate_series(97, 122) i) w
         where length(word) < 60";
    for table in TABLES {
        database
            .psql(&format!(
                "do $$ declare new_name text; begin
                   for new_name in {names} loop
                     if not exists (select from pg_attribute where attrelid = '{table}'::regclass and attname = new_name) then
                       execute format('alter table {table} add column %I macaddr default ''00:00:00:00:00:00''', new_name);
                     end if;
                   end loop;
                 end $$"
            ))
            .await;
    }
    assert_eq!(answers().await, before);
}

/// Whatever makes reading one model's records an error, each time.
const REFUSES_ORDERS: &str = "
    alter function odoo_eventd.current_records_held(text, bigint[], text[], timestamptz[], name[]) rename to current_records_asked;
    create function odoo_eventd.current_records_held(of_model text, ids bigint[], xids text[], times timestamptz[], wanted name[])
    returns table (place bigint, columns text[], types text[], image text[], user_id integer)
    language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
    begin
      if of_model = 'sale.order' then
        raise exception 'operator does not exist: integer = macaddr' using errcode = 'undefined_function';
      end if;
      return query select * from odoo_eventd.current_records_asked(of_model, ids, xids, times, wanted);
    end $$";

const ANSWERS_ORDERS: &str = "
    drop function odoo_eventd.current_records_held(text, bigint[], text[], timestamptz[], name[]);
    alter function odoo_eventd.current_records_asked(text, bigint[], text[], timestamptz[], name[]) rename to current_records_held";

#[tokio::test(flavor = "multi_thread")]
async fn a_model_whose_records_cannot_be_read_stops_no_others_events() {
    let mut watching = Watching::start(&[
        ORDER_TAGS,
        Watch("names", "sale.order", &["--fields", "name"]),
        Watch(
            "partners",
            "res.partner",
            &["--event", "write", "--fields", "category_id,ref"],
        ),
    ])
    .await;
    watching.database.psql(REFUSES_ORDERS).await;
    let heard = watching
        .hears(
            "insert into sale_order_tag_rel values (1, 1);
             update res_partner set ref = 'P8' where id = 8;
             update sale_order set name = 'S4' where id = 4",
        )
        .await;
    assert_eq!(heard, ["names write [4] name", "partners write [8] ref"]);
    let told =
        "select string_agg(coalesce(name, model) || ' ' || state || ' ' || coalesce(error, ''), '; ' order by id)
                  from mcp_event_subscription where state <> 'ready'";
    eventually("the subscription to say why", SOON, async || {
        let told = watching.database.psql(told).await;
        (told.contains("invalid what it watches cannot be read") && told.contains("integer = macaddr")).then_some(())
    })
    .await;
    // A change of the subscription lets it try again.
    watching.database.psql(ANSWERS_ORDERS).await;
    watching
        .database
        .psql("update mcp_event_subscription set fields = '{tag_ids,name}' where fields = '{tag_ids}'")
        .await;
    watching.all_ready().await;
    let heard = watching.hears("insert into sale_order_tag_rel values (4, 1)").await;
    assert_eq!(heard, ["orders write [4] tag_ids"]);
}
