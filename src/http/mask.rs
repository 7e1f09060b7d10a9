//! How a URL is shown in logs, errors and listings.
//!
//! Webhook URLs are often secrets themselves: whoever knows a Slack webhook's path may post to the channel. What remains
//! visible is what an operator needs to tell endpoints apart: scheme, host, port and the public beginning of the path.

use std::fmt::Write;

use url::Url;

/// Stands for a part that is not shown.
pub const HIDDEN: &str = "***";

/// Hosts (and their subdomains) whose paths carry a secret, with the number of leading path segments that are public.
///
/// Slack `/services/T../B../secret`, Discord `/api/webhooks/id/secret`, Teams `/webhookb2/..`, Zapier `/hooks/catch/account/secret`, Make and
/// Telegram (`/bot<token>/method`) from the first segment on.
const SECRET_PATHS: [(&str, usize); 11] = [
    ("hooks.slack.com", 3),
    ("discord.com", 3),
    ("discordapp.com", 3),
    ("webhook.office.com", 1),
    ("outlook.office.com", 1),
    ("hooks.zapier.com", 3),
    ("make.com", 0),
    ("integromat.com", 0),
    ("api.telegram.org", 0),
    ("pipedream.net", 0),
    ("webhook.site", 0),
];

/// The URL without user name, password, query and fragment, and with secret parts of its path replaced by `***`.
///
/// Beside the known hosts, any path segment that looks like a token is hidden, whatever the host: 16 characters or more with
/// both letters and digits. Costs a readable URL now and then; the other way round costs a secret.
#[must_use]
pub fn mask_url(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    let mut shown = format!("{}://{host}", url.scheme());
    if let Some(port) = url.port() {
        let _ = write!(shown, ":{port}");
    }
    let public = SECRET_PATHS
        .iter()
        .find(|(known, _)| is_within(host, known))
        .map(|&(_, public)| public);
    for (index, segment) in url.path_segments().into_iter().flatten().enumerate() {
        shown.push('/');
        if public.is_some_and(|public| index >= public && !segment.is_empty()) {
            shown.push_str(HIDDEN);
            // One mark for the whole rest: how many parts a secret has is nobody's business.
            break;
        }
        shown.push_str(if looks_like_token(segment) { HIDDEN } else { segment });
    }
    if url.query().is_some() {
        shown.push('?');
        shown.push_str(HIDDEN);
    }
    shown
}

/// As [`mask_url`] for text that may not be a URL; what cannot be read is not shown at all.
#[must_use]
pub fn mask_url_text(text: &str) -> String {
    Url::parse(text.trim()).map_or_else(|_| HIDDEN.into(), |url| mask_url(&url))
}

fn is_within(host: &str, known: &str) -> bool {
    host.strip_suffix(known)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn looks_like_token(segment: &str) -> bool {
    segment.len() >= 16
        && segment.bytes().any(|b| b.is_ascii_digit())
        && segment.bytes().any(|b| b.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
