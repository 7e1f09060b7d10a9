//! The dashboard's figures are what the log says, though it is never read for them.

use odoo_eventd::ops::dashboard::Dashboard;
use odoo_eventd::ops::error::Error;
use odoo_eventd::ops::{Operator, Scope};
use serde_json::{Value, json};

use crate::floor::{draft, operator, orders, verbs, verbs_of};
use crate::support::Database;
use crate::support::delivery::{logged, order_refs, subscribe, wait_logged, wait_true, write_ref};
use crate::support::receiver::{Receiver, Reply};
use crate::support::service::{Service, eventd_ok};

/// The same figures from the log, for days of UTC.
const BY_SQL: &str = "
  with ended as (select l.*, d.event_type from mcp_webhook_delivery l left join odoo_eventd.delivery d using (delivery_id)
                  where l.status <> 'pending')
  select jsonb_build_object(
    'summary', (select jsonb_build_object('total_sent', count(*), 'success_count', count(*) filter (where status = 'success'),
                  'failed_count', count(*) filter (where status = 'failed'),
                  'success_rate', round(100.0 * count(*) filter (where status = 'success') / count(*), 2)::float8,
                  'pending_count', (select count(*) from odoo_eventd.delivery where due_at is not null),
                  'dead_count', (select count(*) from odoo_eventd.delivery where state = 'failed' and event_type <> 'test')) from ended),
    'events_per_model', (select jsonb_agg(m order by total desc, model) from (
       select model, count(*) as total, count(*) filter (where status = 'success') as success, count(*) filter (where status = 'failed') as failed
         from ended group by model) m),
    'daily_traffic', (select jsonb_agg(d order by date) from (
       select create_date::date::text as date, count(*) filter (where status = 'success') as success, count(*) filter (where status = 'failed') as failed
         from ended group by 1) d),
    'event_type_distribution', (select jsonb_object_agg(t, n) from (select coalesce(event_type, 'unknown') as t, count(*) as n from ended group by 1) e),
    'errors', (select jsonb_agg(e order by count desc, error) from (
       select error, count(*) as count from ended where status = 'failed' group by error) e))";

/// The parts of a dashboard that the log tells, and of the days those that have something.
fn told(dashboard: &Dashboard) -> Value {
    let mut told = serde_json::to_value(dashboard).unwrap();
    let all = told.as_object_mut().unwrap();
    for aside in ["top_endpoints", "is_complete"] {
        all.remove(aside);
    }
    for time in ["p50_ms", "p95_ms"] {
        all["summary"].as_object_mut().unwrap().remove(time);
    }
    let days = all["daily_traffic"].as_array_mut().unwrap();
    days.retain(|day| day["success"] != 0 || day["failed"] != 0);
    told
}

async fn assert_equals_the_log(database: &Database, dashboard: &Dashboard) {
    let by_sql: Value = serde_json::from_str(&database.psql(BY_SQL).await).unwrap();
    assert_eq!(told(dashboard), by_sql);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_figure_equals_what_sql_says_of_the_log_however_attempts_ended() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    receiver.replies([
        Reply::status(503),
        Reply::status(404),
        Reply::status(410),
        Reply::close(),
    ]);
    let id = order_refs(
        &database,
        &receiver,
        &["--max-attempts", "2", "--retry-first-ms", "1000"],
    )
    .await;
    let too_large = subscribe(
        &database,
        "res.partner",
        &receiver.url("/p"),
        &[
            "--max-body-bytes",
            "1024",
            "--fields",
            "name",
            "--payload-fields",
            "name",
        ],
    )
    .await;
    let service = Service::leading(&database).await;
    for n in 0..12 {
        write_ref(&database, 1 + n % 3, &format!("ref {n}")).await;
    }
    database
        .psql(&format!(
            "update res_partner set name = repeat('long', 2000) where id = {}",
            1
        ))
        .await;
    wait_logged(&database, "status = 'pending'", 0).await;
    wait_true(
        &database,
        "(select count(*) >= 12 and bool_and(due_at is null) from odoo_eventd.delivery)",
    )
    .await;
    eventd_ok(&database.url(), &["test", &id.to_string()]).await;
    // Deliveries that are cancelled before they are sent, and some that are erased.
    eventd_ok(&database.url(), &["subscriptions", "pause", &too_large.to_string()]).await;
    wait_true(
        &database,
        &format!("(select paused from mcp_event_subscription where id = {too_large})"),
    )
    .await;
    database
        .psql("update res_partner set name = name || ' x' where id in (2, 3)")
        .await;
    wait_true(
        &database,
        "(select count(*) = 1 from odoo_eventd.delivery where state = 'waiting')",
    )
    .await;
    database
        .psql(&format!(
            "update mcp_event_subscription set active = false where id = {too_large}"
        ))
        .await;
    wait_logged(&database, "error = 'cancelled'", 1).await;
    service.terminate().await;

    let verbs = verbs_of(&database, 2).await;
    let admin = Operator::of_database();
    let dashboard = verbs.dashboard(&admin, 2, "UTC").await.unwrap();
    assert!(dashboard.is_complete);
    assert!(
        dashboard.summary.total_sent > 12 && dashboard.errors.len() >= 3,
        "{dashboard:?}"
    );
    assert_equals_the_log(&database, &dashboard).await;
    assert_eq!(dashboard.top_endpoints[0].host, "127.0.0.1");
    assert_eq!(dashboard.daily_traffic.len(), 2);
    // Which type of event an erased one was is known to the counts alone.
    eventd_ok(&database.url(), &["erase", "--model", "sale.order", "--ids", "2"]).await;
    let after = verbs.dashboard(&admin, 2, "UTC").await.unwrap();
    assert_eq!(after.event_type_distribution, dashboard.event_type_distribution);
    assert_eq!(after.summary.total_sent, logged(&database, "status <> 'pending'").await);
    let slow = dashboard.summary.p95_ms.unwrap();
    assert!(slow >= dashboard.summary.p50_ms.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ended_before_anything_was_counted_is_counted_once() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    order_refs(&database, &receiver, &[]).await;
    let service = Service::leading(&database).await;
    for n in 0..5 {
        write_ref(&database, 1, &format!("ref {n}")).await;
    }
    wait_logged(&database, "status = 'success'", 5).await;
    service.terminate().await;
    // As an installation of before was.
    database
        .psql(
            "truncate odoo_eventd.traffic, odoo_eventd.subscription_traffic;
             insert into mcp_webhook_delivery (delivery_id, subscription_id, event_id, model, record_ids, attempt, status, error, create_date, finished_at)
               select gen_random_uuid(), 7, gen_random_uuid(), 'res.partner', '{1}', 1, 'failed', 'timeout', at, at
                 from (select now() at time zone 'utc' - n * interval '1 ms' from generate_series(1, 4500) n) t (at);
             insert into odoo_eventd.traffic_backfill (upto) select clock_timestamp() at time zone 'utc'",
        )
        .await;
    let verbs = verbs_of(&database, 2).await;
    let admin = Operator::of_database();
    assert!(!verbs.dashboard(&admin, 1, "UTC").await.unwrap().is_complete);
    let service = Service::leading(&database).await;
    write_ref(&database, 1, "afterwards").await;
    wait_logged(&database, "status = 'success'", 6).await;
    wait_true(&database, "not exists (select from odoo_eventd.traffic_backfill)").await;
    service.terminate().await;
    let dashboard = verbs.dashboard(&admin, 2, "UTC").await.unwrap();
    assert_eq!(dashboard.summary.total_sent, 4506);
    assert_equals_the_log(&database, &dashboard).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_is_told_of_his_own_traffic_alone() {
    let database = Database::fixture().await;
    let verbs = verbs(&database, 2).await;
    let receiver = Receiver::start().await;
    let (anna, ben) = (operator("anna"), operator("ben"));
    verbs
        .create_subscription(&anna, orders(&receiver.url("/anna")))
        .await
        .unwrap();
    let partners = draft(json!({"model": "res.partner", "fields": ["name"], "webhook_url": receiver.url("/ben")}));
    verbs.create_subscription(&ben, partners).await.unwrap();
    let service = Service::leading(&database).await;
    write_ref(&database, 1, "x").await;
    database
        .psql("update res_partner set name = name || ' x' where id = 1")
        .await;
    wait_logged(&database, "status = 'success'", 2).await;
    service.terminate().await;
    let models = |dashboard: Dashboard| -> Vec<String> {
        let of = dashboard.events_per_model.into_iter();
        of.map(|of| of.model).collect()
    };
    let of = async |operator: &Operator| models(verbs.dashboard(operator, 2, "UTC").await.unwrap());
    assert_eq!(of(&anna).await, ["sale.order"]);
    assert_eq!(of(&ben).await, ["res.partner"]);
    let bound = Operator::of_connection("chief", [Scope::Admin]).bound_to(["sale.order".to_owned()]);
    assert_eq!(of(&bound).await, ["sale.order"]);
    assert_eq!(of(&Operator::of_database()).await.len(), 2);
    let nobody = verbs.dashboard(&operator("carl"), 3, "UTC").await.unwrap();
    assert_eq!(
        (
            nobody.summary.total_sent,
            nobody.summary.success_rate,
            nobody.summary.p50_ms
        ),
        (0, None, None)
    );
    assert_eq!(nobody.daily_traffic.len(), 3);
    let blind = Operator::of_connection("blind", [Scope::SubscriptionsWrite]);
    assert!(matches!(
        verbs.dashboard(&blind, 1, "UTC").await,
        Err(Error::Forbidden(Scope::DeliveriesRead))
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn days_are_those_of_the_time_zone_that_is_asked_for() {
    let database = Database::fixture().await;
    let verbs = verbs(&database, 2).await;
    let admin = Operator::of_database();
    // One attempt in each hour of three days.
    database
        .psql(
            "select odoo_eventd.count_attempts(array_agg(at), array_agg(1), array_agg('sale.order'::text), array_agg('write'::text), array_agg('h'::text),
                                               array_agg(null::text), array_agg(7))
               from generate_series(date_trunc('hour', now() at time zone 'utc') - interval '71 hours', now() at time zone 'utc', interval '1 hour') at",
        )
        .await;
    for tz in ["UTC", "Asia/Tokyo", "America/Los_Angeles"] {
        let dashboard = verbs.dashboard(&admin, 2, tz).await.unwrap();
        let days: Vec<i64> = dashboard.daily_traffic.iter().map(|day| day.success).collect();
        let hours = database
            .psql(&format!("select extract(hour from now() at time zone '{tz}')::int + 1"))
            .await;
        assert_eq!(days, [24, hours.trim().parse().unwrap()], "{tz}");
        assert_eq!(dashboard.top_endpoints[0].avg_ms, Some(7.0));
    }
    for (days, tz) in [
        (0, "UTC"),
        (91, "UTC"),
        (7, "Mars/Olympus"),
        (7, "Etc/Unknown"),
        (7, "a\0b"),
        (7, ""),
    ] {
        let refused = verbs.dashboard(&admin, days, tz).await;
        assert!(matches!(refused, Err(Error::Refused(_))), "{days} {tz:?}: {refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_are_let_go_of_after_400_days() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    database
        .psql(
            "select odoo_eventd.count_attempts(array_agg(at), array_agg(1), array_agg('sale.order'::text), array_agg('write'::text), array_agg('h'::text),
                                               array_agg('timeout'::text), array_agg(7))
               from (values (now() at time zone 'utc' - interval '402 days'), (now() at time zone 'utc' - interval '398 days')) t (at)",
        )
        .await;
    let service = Service::leading(&database).await;
    for table in ["traffic", "subscription_traffic"] {
        wait_true(
            &database,
            &format!("(select count(*) = 1 and min(hour) > now() - interval '399 days' from odoo_eventd.{table})"),
        )
        .await;
    }
    service.terminate().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_figures_are_printed_with_bars() {
    let database = Database::fixture().await;
    let receiver = Receiver::start().await;
    order_refs(&database, &receiver, &[]).await;
    let service = Service::leading(&database).await;
    write_ref(&database, 1, "x").await;
    wait_logged(&database, "status = 'success'", 1).await;
    service.terminate().await;
    assert_eq!(logged(&database, "true").await, 1);
    let printed = eventd_ok(&database.url(), &["dashboard", "--days", "2"]).await;
    assert!(
        printed.starts_with("sent 1  arrived 1  failed 0  success 100.0 %"),
        "{printed}"
    );
    let bar = format!("sale.order  1        0       {}", "#".repeat(40));
    assert!(printed.contains(&bar), "{printed}");
    let json: Value = serde_json::from_str(&eventd_ok(&database.url(), &["dashboard", "--json"]).await).unwrap();
    assert_eq!(json["daily_traffic"].as_array().unwrap().len(), 14);
}
