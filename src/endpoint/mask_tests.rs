use super::*;

/// Every way in which a text is said again.
fn said_again(text: &str) -> Vec<String> {
    let json = serde_json::json!(text).to_string();
    let units = |c: char| {
        c.encode_utf16(&mut [0; 2])
            .iter()
            .map(|unit| format!("\\u{unit:04x}"))
            .collect::<String>()
    };
    let percent: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let mut ways = vec![
        text.to_owned(),
        text.to_uppercase(),
        json.clone(),
        json.replace('/', "\\/"),
        serde_json::json!(json).to_string(),
        serde_json::json!(serde_json::json!(json).to_string()).to_string(),
        format!("\"{}\"", text.chars().map(units).collect::<String>()),
        json.replace('&', "\\u0026")
            .replace('<', "\\u003c")
            .replace('>', "\\u003E"),
        form_urlencoded::byte_serialize(text.as_bytes()).collect(),
        percent.replace('%', "%25"),
        percent,
        text.replace('&', "&amp;")
            .replace('"', "&quot;")
            .replace('<', "&lt;")
            .replace('/', "&#x2F;")
            .replace('\'', "&#39;"),
        text.replace('\'', "\\'").replace('"', "\\\""),
        hex::encode(text),
        hex::encode(text).to_uppercase(),
    ];
    for before in ["", "a", "ab", "Authorization: Bearer "] {
        let around = format!("{before}{text} and more");
        ways.push(STANDARD.encode(&around));
        ways.push(URL_SAFE_NO_PAD.encode(&around));
    }
    ways
}

fn concealed(url: &str, headers: &[(&str, &str)]) -> Concealed {
    let headers = super::super::headers::parse_headers(headers.iter().copied()).unwrap();
    Concealed::of(&Url::parse(url).unwrap(), &headers)
}

#[test]
fn a_secret_is_hidden_however_it_is_said_again() {
    for secret in ["s3cret-token", "a/b+c==\"<&>'\\d e", "pässwörd 🔑 lang", "abcd"] {
        let mut concealed = Concealed::default();
        concealed.add(secret);
        for said in said_again(secret) {
            let shown = concealed.hide(&format!("you said [{said}] to us"), false);
            let (before, after) = ("you said [", "] to us");
            assert!(shown.starts_with(before) && shown.ends_with(after), "{said}: {shown}");
            let middle = &shown[before.len()..shown.len() - after.len()];
            assert!(
                middle.contains(HIDDEN),
                "{secret:?} said as {said} is shown as {middle}"
            );
            assert!(
                !middle.to_lowercase().contains(&secret.to_lowercase()),
                "{said}: {middle}"
            );
            let left = middle.replace(HIDDEN, "");
            assert!(
                left.len() <= 48 && left.len() < said.len(),
                "{secret:?} said as {said} is shown as {middle}"
            );
        }
    }
}

#[test]
fn what_is_secret_in_a_request_is_found_in_it() {
    let concealed = concealed(
        "https://some%20body:pass%2Bword@hooks.slack.com/services/T1/B1/xyzxyz?v=1&key=query%2Dvalue&onlyname&sig=a%3D",
        &[
            ("Authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            ("X-Key", "Token abcdefgh"),
            ("Cookie", "session=0123456789; theme=dark"),
            ("Accept", "application/json"),
            ("X-Tenant", "42"),
        ],
    );
    for secret in [
        "some body",
        "some%20body",
        "pass+word",
        "xyzxyz",
        "query-value",
        "query%2Dvalue",
        "onlyname",
        "QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        "open sesame",
        "Aladdin:open sesame",
        "abcdefgh",
        "Token abcdefgh",
        "0123456789",
    ] {
        assert_eq!(concealed.hide(secret, false), HIDDEN, "{secret}");
    }
    for shown in ["application/json", "42", "v=1", "hooks.slack.com/services", "ok", ""] {
        assert_eq!(concealed.hide(shown, false), shown);
    }
}

#[test]
fn a_short_secret_is_hidden_where_it_is_a_word() {
    let mut concealed = Concealed::default();
    concealed.add("pw");
    assert_eq!(concealed.hide("pw: \"pw\" powpw", false), "***: \"***\" powpw");
}

#[test]
fn the_beginning_of_a_secret_at_a_cut_end_is_hidden() {
    let mut concealed = Concealed::default();
    concealed.add("s3cret/token");
    for (text, shown) in [
        ("token: s3cret", "token: ***"),
        ("token: s3cret\\", "token: ***"),
        ("token: s3cret%2", "token: ***"),
        ("token: s3", "token: s3"),
    ] {
        assert_eq!(concealed.hide(text, true), shown);
        assert_eq!(concealed.hide(text, false), text);
    }
}

#[test]
fn secrets_in_urls_are_not_shown() {
    for (url, shown) in [
        (
            "https://user:pw@example.com/hook?key=1#x",
            "https://example.com/hook?***",
        ),
        ("https://example.com", "https://example.com/"),
        ("http://127.0.0.1:8069/odoo/hook", "http://127.0.0.1:8069/odoo/hook"),
        (
            "https://hooks.slack.com/services/T0001/B0001/abc",
            "https://hooks.slack.com/services/T0001/B0001/***",
        ),
        (
            "https://discord.com/api/webhooks/123/abc",
            "https://discord.com/api/webhooks/123/***",
        ),
        (
            "https://ptb.discord.com/api/webhooks/123/abc",
            "https://ptb.discord.com/api/webhooks/123/***",
        ),
        (
            "https://notdiscord.com/api/webhooks/123/abc",
            "https://notdiscord.com/api/webhooks/123/abc",
        ),
        (
            "https://acme.webhook.office.com/webhookb2/a@b/Inc/c",
            "https://acme.webhook.office.com/webhookb2/***",
        ),
        ("https://hook.eu1.make.com/abc", "https://hook.eu1.make.com/***"),
        (
            "https://api.telegram.org/bot1:A/sendMessage",
            "https://api.telegram.org/***",
        ),
        (
            "https://n8n.example.com/webhook/0e2d6a1c-9f0b-4c1e-8a77-1b2c3d4e5f60/x",
            "https://n8n.example.com/webhook/***/x",
        ),
        ("https://[2001:db8::1]:8443/a", "https://[2001:db8::1]:8443/a"),
    ] {
        assert_eq!(mask_url_text(url), shown);
    }
    assert_eq!(mask_url_text("s3cret"), "***");
}
