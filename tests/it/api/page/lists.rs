//! What is counted, filtered and ordered is what the database has.

use super::{Api, Database, EVERYTHING, eventd_ok, token};

/// Subscriptions of every kind, made past every door.
const MANY: &str = "insert into mcp_event_subscription (model, event_type, name, webhook_url, created_from, active, paused, failure_count, connection)
    select 'sale.order', 'write', 'number ' || n, 'http://127.0.0.1:9/', case when n % 3 = 0 then 'ai' else 'manual' end, n % 4 <> 0, n % 5 = 0,
           n, 'shop'
      from generate_series(1, 200) n;
    insert into mcp_event_subscription (model, event_type, domain, webhook_url)
    values ('sale.order', 'write', '[(''nothing'', ''='', 1)]', 'http://127.0.0.1:9/')";

#[tokio::test(flavor = "multi_thread")]
async fn each_quick_filter_counts_and_shows_what_sql_says() {
    let database = Database::fixture().await;
    let api = Api::of(&database).await;
    let client = database.admin_client().await;
    client.batch_execute(MANY).await.unwrap();
    client
        .batch_execute("update mcp_event_subscription set state = 'invalid', error = 'because' where id % 7 = 0")
        .await
        .unwrap();
    let admin = token(&database, "admin", "admin", &[]).await;
    let visitor = api.visitor(&admin).await;
    for (name, value, condition) in [
        ("from", "ai", "created_from = 'ai'"),
        ("from", "manual", "created_from = 'manual'"),
        ("show", "active", "active"),
        ("show", "inactive", "not active"),
        ("show", "invalid", "active and state = 'invalid'"),
        ("show", "disabled", "active and state = 'disabled'"),
        ("show", "paused", "active and paused"),
    ] {
        let rows = client
            .query(
                &format!("select id from mcp_event_subscription where {condition} order by id"),
                &[],
            )
            .await
            .unwrap();
        let mut expected: Vec<i32> = rows.iter().map(|row| row.get(0)).collect();
        let page = visitor.page("/subscriptions").await;
        let facet = page.split(&format!("data-filter=\"{value}\"")).nth(1).unwrap();
        let count = facet
            .split("class=\"count\">")
            .nth(1)
            .unwrap()
            .split('<')
            .next()
            .unwrap();
        assert_eq!(count, expected.len().to_string(), "{value}");
        let mut shown = listed(&visitor, &format!("/subscriptions?{name}={value}")).await;
        shown.sort_unstable();
        expected.sort_unstable();
        assert_eq!(shown, expected, "{value}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_an_order_and_a_domain_go_from_page_to_page() {
    let database = Database::fixture().await;
    let api = Api::of(&database).await;
    database.admin_client().await.batch_execute(MANY).await.unwrap();
    let admin = token(&database, "admin", "admin", &[]).await;
    let mut visitor = api.visitor(&admin).await;
    let shown = listed(&visitor, "/subscriptions?q=NUMBER+1&order=-failure_count").await;
    let expected: Vec<i32> = (1..=200)
        .rev()
        .filter(|n: &i32| n.to_string().starts_with('1'))
        .collect();
    assert_eq!(shown, expected);
    let domain = super::encoded("[('failure_count', '>', 195)]");
    assert_eq!(
        listed(&visitor, &format!("/subscriptions?domain={domain}")).await,
        [196, 197, 198, 199, 200]
    );
    let wrong = visitor.page("/subscriptions?domain=%5B%28%27x%27").await;
    assert!(wrong.contains("role=\"alert\"") && wrong.contains('^'), "{wrong}");
    for odd in ["?cursor=x", "?order=nothing", "?show=nothing&from=", "?domain=%00"] {
        visitor.page(&format!("/subscriptions{odd}")).await;
    }
    let fields = [
        ("action", "deactivate"),
        ("ids", "1"),
        ("ids", "2"),
        ("ids", "3"),
        ("to", "/subscriptions?q=number"),
    ];
    let bulk = visitor.post("/subscriptions/bulk", &fields).await;
    assert_eq!(
        bulk.header("location"),
        "/subscriptions?q=number&done=bulk&n=3",
        "{}",
        bulk.text
    );
    let inactive = listed(&visitor, "/subscriptions?show=inactive").await;
    assert!(inactive.starts_with(&[1, 2, 3]), "{inactive:?}");
    assert_eq!(
        visitor
            .post("/subscriptions/bulk", &[("action", "activate")])
            .await
            .status,
        400
    );
    assert_eq!(visitor.post("/subscriptions/bulk", &[("ids", "1")]).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_there_below_a_path_and_for_each_of_several_databases() {
    let (one, two) = (Database::fixture().await, Database::fixture().await);
    for database in [&one, &two] {
        eventd_ok(&database.url(), &["install"]).await;
    }
    let folder = std::env::temp_dir().join(format!("odoo-eventd-page-{}-{}.toml", one.name(), std::process::id()));
    let text = format!(
        "[api]\nbase_path = \"/eventd\"\n[[database]]\nname = \"a\"\nurl = \"{}\"\n[[database]]\nname = \"b\"\nurl = \"{}\"\n",
        one.url(),
        two.url()
    );
    std::fs::write(&folder, text).unwrap();
    let port = crate::support::pages::free_port().await;
    let mut command = super::program();
    command.args([
        "serve",
        "--config",
        folder.to_str().unwrap(),
        "--api-listen",
        &port.to_string(),
    ]);
    let api = Api {
        service: super::Service::spawn(command),
        port,
    };
    api.wait().await;
    let admin = token(&one, "admin", EVERYTHING, &[]).await;
    let mut visitor = super::Visitor::unknown(&api);
    visitor.base = "/eventd/d/a";
    let entered = visitor.post_plain("/login", &[("token", &admin)], &[]).await;
    assert_eq!(
        (entered.status.as_u16(), entered.header("location")),
        (303, "/eventd/d/a/")
    );
    for path in [
        "/subscriptions",
        "/deliveries",
        "/dashboard",
        "/health",
        "/subscriptions/new?model=sale.order",
    ] {
        let page = visitor.page(path).await;
        let links = page.split("href=\"").skip(1).chain(page.split("action=\"").skip(1));
        for link in links.filter_map(|rest| rest.split('"').next()) {
            assert!(
                link.starts_with("/eventd/d/a/") || link.starts_with('#'),
                "{path}: {link}"
            );
        }
    }
    let style = visitor.get("/assets/page.css").await;
    assert_eq!(style.header("content-type"), "text/css; charset=utf-8");
    visitor.base = "/eventd/d/b";
    assert_eq!(
        visitor.get("/subscriptions").await.status,
        303,
        "a session of one database is none of another"
    );
    visitor.base = "";
    assert_eq!(visitor.get("/subscriptions").await.status, 404);
    std::fs::remove_file(folder).unwrap();
}

/// The ids of a list, page after page.
async fn listed(visitor: &super::Visitor<'_>, path: &str) -> Vec<i32> {
    let mut ids = Vec::new();
    let mut next = path.to_owned();
    loop {
        let page = visitor.page(&next).await;
        let rows = page.split("<tr data-id=\"").skip(1);
        ids.extend(rows.map(|row| row.split('"').next().unwrap().parse::<i32>().unwrap()));
        match page.split("rel=\"next\" href=\"").nth(1) {
            Some(link) => {
                next = link
                    .split('"')
                    .next()
                    .unwrap()
                    .replace("&#38;", "&")
                    .replace("&amp;", "&")
            }
            None => return ids,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_of_the_log_reads_a_day_unless_somebody_wants_all_of_it() {
    let database = Database::fixture().await;
    let api = Api::of(&database).await;
    let client = database.admin_client().await;
    client
        .batch_execute(
            "select odoo_eventd.ensure_log_days(1);
             do $$ begin
               execute format('create table odoo_eventd.mcp_webhook_delivery_old partition of mcp_webhook_delivery
                               for values from (%L) to (%L)', current_date - 9, current_date - 8);
             end $$;
             insert into mcp_webhook_delivery (delivery_id, subscription_id, event_id, model, record_ids, attempt, status, create_date)
             select gen_random_uuid(), 1, gen_random_uuid(), 'sale.order', '{42}', 1, 'success', current_date - 9 + interval '1 hour'",
        )
        .await
        .unwrap();
    let admin = token(&database, "admin", "admin", &[]).await;
    let visitor = api.visitor(&admin).await;
    let day = visitor.page("/deliveries?record=42").await;
    assert!(
        !day.contains("<tr data-id") && day.contains("No attempt of the last 24 hours"),
        "{day}"
    );
    let link = day
        .split("href=\"")
        .find(|link| link.contains("time=all"))
        .unwrap()
        .split('"')
        .next()
        .unwrap();
    let all = visitor.page(&link.replace("&#38;", "&").replace("&amp;", "&")).await;
    assert_eq!(all.matches("<tr data-id").count(), 1, "{all}");
    let name: String = client
        .query_one(
            "select name from sale_order where id = (select min(id) from sale_order)",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    let named = visitor
        .page(&format!(
            "/deliveries?model=sale.order&record={}&time=all",
            super::encoded(&name)
        ))
        .await;
    assert!(named.contains("is record"), "{named}");
    assert!(
        visitor
            .page("/deliveries?record=S99999&model=sale.order")
            .await
            .contains("is called")
    );
}
