//! A database as it is after a year: a log of millions of attempts, and a thousand subscriptions.

use std::time::{Duration, Instant};

use odoo_eventd::demo::Cluster;
use tokio_postgres::Client;

use super::Service;

/// Models that are watched, `sale.order` among them.
pub(crate) const MODELS: u64 = 200;

/// Subscriptions to each of them.
pub(crate) const SUBSCRIPTIONS: u64 = 5;

/// Deliveries and their attempts as a busy database has them after ten days; half of all are today's.
pub(crate) async fn fill_log(client: &Client, admin: &Client, rows: u64) {
    let started = Instant::now();
    let day = |back: u64| format!("((now() at time zone 'utc')::date - {back})");
    for back in 1..=10 {
        client
            .batch_execute(&format!(
                "do $$ begin
                   execute format('create table if not exists odoo_eventd.%I partition of public.mcp_webhook_delivery for values from (%L) to (%L)',
                                  'mcp_webhook_delivery_' || to_char({0}, 'YYYYMMDD'), {0}, {0} + 1);
                 end $$",
                day(back)
            ))
            .await
            .unwrap();
    }
    let piece = rows / 20;
    for number in 0..20_u64 {
        let back = if number < 10 { 0 } else { number - 9 };
        admin
            .batch_execute(&format!(
                "with made as materialized (
                   select gen_random_uuid() as delivery_id, gen_random_uuid() as event_id, n from generate_series(1, {piece}) n),
                 kept as (
                   insert into odoo_eventd.delivery (event_id, subscription_id, part, delivery_id, model, event_type, record_ids, state, attempts)
                   select event_id, 1, 0, delivery_id, 'sale.order', 'write', array[n], 'success', 1 from made)
                 insert into public.mcp_webhook_delivery
                   (delivery_id, subscription_id, event_id, model, record_ids, attempt, status, response_code, payload, duration_ms,
                    create_date, finished_at)
                 select delivery_id, 1, event_id, 'sale.order', array[n], 1, 'success', 200,
                        '{{\"model\": \"sale.order\", \"event_type\": \"write\", \"record_ids\": [' || n || '], \"changes\": {{\"client_order_ref\": [\"before\", \"after\"]}}}}',
                        3, {0} + n * interval '1 ms', {0} + n * interval '1 ms'
                   from made",
                day(back)
            ))
            .await
            .unwrap();
    }
    println!("<!-- {rows} attempts were filled in in {:.0?} -->", started.elapsed());
}

/// Models as Odoo's users make them, and subscriptions to them; those of `sale.order` beside the first match nothing.
pub(crate) async fn subscribe_to_much(cluster: &Cluster, client: &Client, endpoint: &str) {
    client
        .batch_execute(&format!(
            "do $$ begin for n in 1..{MODELS} - 1 loop
               execute format('create table x_model_%s (id serial primary key, x_name varchar, x_state varchar, x_amount numeric,
                               create_uid integer, create_date timestamp, write_uid integer, write_date timestamp)', n);
             end loop; end $$;
             with model as (
               insert into ir_model (model, name, \"order\", state, transient)
               select 'x_model_' || n, jsonb_build_object('en_US', 'Model ' || n), 'id', 'manual', false
                 from generate_series(1, {MODELS} - 1) n returning id, model)
             insert into ir_model_fields (model, model_id, name, ttype, field_description, state, store)
             select m.model, m.id, f.name, f.ttype, jsonb_build_object('en_US', f.name), case when f.name like 'x\\_%' then 'manual' else 'base' end, true
               from model m, (values ('id', 'integer'), ('x_name', 'char'), ('x_state', 'char'), ('x_amount', 'float'), ('create_uid', 'integer'),
                                     ('create_date', 'datetime'), ('write_uid', 'integer'), ('write_date', 'datetime')) f (name, ttype);
             insert into mcp_event_subscription (name, model, fields, domain, webhook_url)
             select format('%s, %s', m.model, n), m.model, '{{x_state}}', format('[(''x_name'', ''='', ''%s'')]', n), '{0}'
               from ir_model m, generate_series(1, {SUBSCRIPTIONS}) n where m.model like 'x\\_model\\_%';
             insert into mcp_event_subscription (name, model, fields, domain, webhook_url)
             select format('nothing %s', n), 'sale.order', '{{client_order_ref}}', format('[(''client_order_ref'', ''='', ''nothing %s'')]', n), '{0}'
               from generate_series(2, {SUBSCRIPTIONS}) n",
            endpoint
        ))
        .await
        .unwrap();
    let service = Service::leading(cluster);
    let started = Instant::now();
    let ready = "select count(*) from mcp_event_subscription where state = 'ready'";
    loop {
        let count: i64 = client.query_one(ready, &[]).await.unwrap().get(0);
        if count.unsigned_abs() == MODELS * SUBSCRIPTIONS {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(300), "{count} are ready");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    println!(
        "<!-- {} subscriptions were ready after {:.1?} -->",
        MODELS * SUBSCRIPTIONS,
        started.elapsed()
    );
    service.stop();
}
