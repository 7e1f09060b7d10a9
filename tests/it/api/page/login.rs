//! Coming in and going out.

use super::{Api, Database, EVERYTHING, Visitor, eventd_ok, orders, token, value_of};
use crate::support::eventually;
use crate::support::service::SOON;

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_a_page_before_he_shows_a_token_and_then_the_one_he_asked_for() {
    let database = Database::fixture().await;
    let api = Api::of(&database).await;
    let admin = token(&database, "admin", "admin", &[]).await;
    let mut visitor = Visitor::unknown(&api);
    for path in [
        "/",
        "/subscriptions",
        "/subscriptions/1",
        "/deliveries",
        "/dashboard",
        "/health",
        "/subscriptions/new",
    ] {
        let answer = visitor.get(path).await;
        assert_eq!(answer.status, 303, "{path}");
        assert!(answer.header("location").starts_with("/login"), "{path}");
        assert!(!answer.text.contains("form_token"), "{path}");
    }
    let asked = visitor.get("/deliveries?status=failed").await;
    assert_eq!(asked.header("location"), "/login?to=%2Fdeliveries%3Fstatus%3Dfailed");
    for wrong in ["", "oet_", "oet_wrong", "nothing"] {
        let answer = visitor.post_plain("/login", &[("token", wrong)], &[]).await;
        assert_eq!(answer.status, 401, "{wrong}");
        assert!(
            answer.headers.get("set-cookie").is_none() && visitor.cookie.is_empty(),
            "{wrong}"
        );
        assert!(answer.text.contains("The token is none"), "{wrong}");
    }
    let fields = [("token", admin.as_str()), ("to", "/deliveries?status=failed")];
    let answer = visitor.post_plain("/login", &fields, &[]).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("location")),
        (303, "/deliveries?status=failed")
    );
    visitor.page("/deliveries?status=failed").await;
    let away = visitor
        .post_plain("/login", &[("token", &admin), ("to", "//evil.example")], &[])
        .await;
    assert_eq!(away.header("location"), "/");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_is_strict_and_with_tls_no_other_host_can_set_it() {
    let database = Database::fixture().await;
    let api = Api::of(&database).await;
    let admin = token(&database, "admin", "admin", &[]).await;
    let mut visitor = Visitor::unknown(&api);
    let fields = [("token", admin.as_str())];
    let plain = visitor.post_plain("/login", &fields, &[]).await;
    let cookie = plain.header("set-cookie");
    for part in ["HttpOnly", "SameSite=Strict", "Max-Age=43200", "Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Secure") && !cookie.starts_with("__Host-"), "{cookie}");
    let tls = visitor
        .post_plain("/login", &fields, &[("origin", "https://localhost")])
        .await;
    let cookie = tls.header("set-cookie");
    assert!(cookie.starts_with("__Host-") && cookie.contains("Secure"), "{cookie}");
    visitor.page("/subscriptions").await;
    let open = visitor
        .post_plain(
            "/login",
            &fields,
            &[("host", "10.0.0.5"), ("origin", "http://10.0.0.5")],
        )
        .await;
    assert_eq!(open.status, 403, "a token over a network in plain text");
    assert!(open.headers.get("set-cookie").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn logging_out_or_revoking_the_token_ends_the_session_in_every_tab_at_every_instance() {
    let database = Database::fixture().await;
    let api = Api::of(&database).await;
    let other = Api::beside(&database, &[]).await;
    let admin = token(&database, "admin", "admin", &[]).await;
    let mut first = api.visitor(&admin).await;
    let elsewhere = Visitor {
        api: &other,
        cookie: first.cookie.clone(),
        base: "",
    };
    elsewhere.page("/subscriptions").await;
    let out = first.post("/logout", &[]).await;
    assert_eq!(out.header("location"), "/login?done=out");
    assert_eq!(out.header("clear-site-data"), "\"cache\"");
    assert_eq!(first.get("/subscriptions").await.status, 303);
    assert_eq!(elsewhere.get("/subscriptions").await.status, 303);

    let again = api.visitor(&admin).await;
    let page = again.page("/subscriptions").await;
    eventd_ok(&database.url(), &["token", "revoke", "1"]).await;
    assert_eq!(again.get("/subscriptions").await.status, 303);
    let token = value_of(&page, "form_token");
    let mut again = again;
    let fields = [("form_token", token.as_str()), ("action", "pause")];
    assert_eq!(again.post_plain("/subscriptions/1/do", &fields, &[]).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_with_the_time_of_its_token() {
    let database = Database::fixture().await;
    let api = Api::of(&database).await;
    let short = token(&database, "short", "admin", &["--expires", "3s"]).await;
    let visitor = api.visitor(&short).await;
    eventually("the token's time to be over", SOON, async || {
        (visitor.get("/subscriptions").await.status == 303).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_link_logs_in_once_and_only_who_presses_the_button() {
    let database = Database::fixture().await;
    let api = Api::of(&database).await;
    let url = eventd_ok(&database.url(), &["login-link", "--url", "http://localhost:1"]).await;
    let path = url.trim().strip_prefix("http://localhost:1").unwrap();
    let code = path.split("link=").nth(1).unwrap();
    let mut visitor = Visitor::unknown(&api);
    for _ in 0..3 {
        // What a chat or a mail filter does.
        assert!(visitor.page(path).await.contains(code));
    }
    let entered = visitor.post_plain("/login", &[("link", code)], &[]).await;
    assert_eq!(entered.status, 303, "{}", entered.text);
    assert!(visitor.page("/health").await.contains("login link"));
    let mut second = Visitor::unknown(&api);
    let refused = second.post_plain("/login", &[("link", code)], &[]).await;
    assert_eq!(refused.status, 401);
    assert!(refused.text.contains("used already") && second.cookie.is_empty());
    let client = database.admin_client().await;
    let kept: i64 = client
        .query_one("select count(*) from odoo_eventd.login_link", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(kept, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_of_another_site_or_another_session_does_nothing() {
    let database = Database::fixture().await;
    let api = Api::of(&database).await;
    let writer = token(&database, "writer", EVERYTHING, &[]).await;
    let id = api.subscribe(&writer, orders()).await;
    let mut visitor = api.visitor(&writer).await;
    let page = visitor.page("/subscriptions").await;
    let form_token = value_of(&page, "form_token");
    let path = format!("/subscriptions/{id}/do");
    let good = [("form_token", form_token.as_str()), ("action", "pause")];
    for foreign in [
        &[("sec-fetch-site", "cross-site")][..],
        &[("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", ""), ("origin", "https://evil.example")],
        &[("sec-fetch-site", ""), ("origin", "null")],
    ] {
        let answer = visitor.post_plain(&path, &good, foreign).await;
        assert_eq!(answer.status, 403, "{foreign:?}");
    }
    assert_eq!(
        visitor
            .post_plain("/login", &[("token", &writer)], &[("sec-fetch-site", "cross-site")])
            .await
            .status,
        403
    );
    let other = api.visitor(&writer).await.page("/subscriptions").await;
    let stolen = value_of(&other, "form_token");
    for wrong in ["", "x", stolen.as_str()] {
        let answer = visitor
            .post_plain(&path, &[("form_token", wrong), ("action", "pause")], &[])
            .await;
        assert_eq!(answer.status, 403, "{wrong}");
    }
    let paused = async || {
        let told = api
            .ask(&writer, "GET", &format!("/api/v1/subscriptions/{id}"), None)
            .await;
        told.json()["paused"].as_bool().unwrap()
    };
    assert!(!paused().await);
    assert_eq!(visitor.post_plain(&path, &good, &[]).await.status, 303);
    assert!(paused().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_by_another_sites_link_is_sent_around_so_that_his_cookie_comes_along() {
    let database = Database::fixture().await;
    let api = Api::of(&database).await;
    let answer = api
        .ask_with(
            "",
            "GET",
            "/deliveries?status=failed",
            &[("sec-fetch-site", "cross-site")],
            None,
        )
        .await;
    assert_eq!(answer.status, 200);
    assert!(
        answer
            .text
            .contains("http-equiv=refresh content=\"0; url=/deliveries?status=failed\""),
        "{}",
        answer.text
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_the_page_has_none_of_it() {
    let database = Database::fixture().await;
    eventd_ok(&database.url(), &["install"]).await;
    let api = Api::beside(&database, &["--api-ui", "false"]).await;
    for path in ["/", "/login", "/subscriptions", "/assets/page.css", "/live/domain"] {
        let answer = api.ask("", "GET", path, None).await;
        assert_eq!(answer.status, 404, "{path}");
        answer.pointers();
    }
}
