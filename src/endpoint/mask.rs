//! How a URL is shown in logs, errors and listings; and what is taken out of an answer before it is kept.
//!
//! Webhook URLs are often secrets themselves: whoever knows a Slack webhook's path may post to the channel. What remains
//! visible is what an operator needs to tell endpoints apart: scheme, host, port and the public beginning of the path.

use std::fmt::Write;
use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use http::header::{AUTHORIZATION, HeaderMap, HeaderName};
use url::{Url, form_urlencoded};

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
    let public = public_segments(host);
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

/// How many segments of its paths are public, where the host is known for secret ones.
fn public_segments(host: &str) -> Option<usize> {
    SECRET_PATHS
        .iter()
        .find(|(known, _)| is_within(host, known))
        .map(|&(_, public)| public)
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

/// Shorter values say nothing by themselves, and hiding them would take every other word out of an answer.
const SHORTEST: usize = 4;

/// Parts of a header's value that are as long as this may be the secret in it.
const SHORTEST_PART: usize = 8;

/// So many characters at a cut end are taken for the beginning of a secret.
const SHORTEST_BEGINNING: usize = 4;

/// Headers that people set to say what they want, not who they are.
const HARMLESS: [&str; 9] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "content-language",
    "content-type",
    "pragma",
    "user-agent",
];

/// The secrets of a request, to be taken out of whatever comes back.
///
/// Receivers repeat what they were sent, most of all in their errors, and what they say is kept where more people read than may know
/// the secrets: in the log, in error texts, on a terminal. So what was sent is looked for in it: as it is, escaped as in
/// JSON, URLs, HTML and source code, in base64 and in hex digits, and in any case.
#[derive(Default)]
pub(crate) struct Concealed {
    needles: Vec<Needle>,
}

struct Needle {
    characters: Vec<char>,
    /// It is short: only as a word of its own.
    is_word: bool,
}

impl Concealed {
    /// Those of a URL and of the headers that are sent there. Signatures are none: they tell nothing of their key.
    pub(crate) fn of(url: &Url, headers: &HeaderMap) -> Self {
        let mut concealed = Self::default();
        for (name, value) in headers.iter().filter(|(_, value)| value.is_sensitive()) {
            concealed.add_header(name, &String::from_utf8_lossy(value.as_bytes()));
        }
        concealed.add_url(url);
        concealed
    }

    /// Adds a secret, however short.
    pub(crate) fn add(&mut self, secret: &str) {
        self.add_text(secret);
        if secret.chars().count() < SHORTEST {
            return;
        }
        for encoding in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
            for before in 0..3 {
                self.add_text(&within_base64(&encoding, secret, before));
            }
        }
        self.add_text(&hex::encode(secret));
    }

    fn add_text(&mut self, text: &str) {
        let characters: Vec<char> = text.chars().collect();
        if !characters.is_empty() && !self.needles.iter().any(|known| known.characters == characters) {
            self.needles.push(Needle {
                is_word: characters.len() < SHORTEST,
                characters,
            });
        }
    }

    /// Adds what may be a secret, if it is long enough for one.
    fn add_possible(&mut self, text: &str) {
        if text.chars().count() >= SHORTEST {
            self.add(text);
        }
    }

    fn add_header(&mut self, name: &HeaderName, value: &str) {
        if *name == AUTHORIZATION {
            self.add(value);
            let token = value.split_once(' ').map_or(value, |(_, token)| token.trim());
            self.add(token);
            let pair = STANDARD
                .decode(token)
                .ok()
                .and_then(|pair| String::from_utf8(pair).ok());
            if let Some((pair, (_, password))) = pair.as_deref().and_then(|pair| Some((pair, pair.split_once(':')?))) {
                self.add(pair);
                self.add(password);
            }
        } else if !HARMLESS.contains(&name.as_str()) {
            self.add_possible(value);
        } else {
            return;
        }
        for part in value.split([' ', ';', ',', '=', '"']) {
            if part.len() >= SHORTEST_PART {
                self.add(part);
            }
        }
    }

    fn add_url(&mut self, url: &Url) {
        if !url.username().is_empty() {
            self.add_possible(url.username());
            self.add_possible(&percent_decoded(url.username()));
        }
        if let Some(password) = url.password() {
            self.add(password);
            self.add(&percent_decoded(password));
        }
        for part in url.query().into_iter().flat_map(|query| query.split('&')) {
            self.add_possible(part.split_once('=').map_or(part, |(_, value)| value));
        }
        for (name, value) in url.query_pairs() {
            self.add_possible(if value.is_empty() { &name } else { &value });
        }
        let public = url.host_str().and_then(public_segments);
        for (index, segment) in url.path_segments().into_iter().flatten().enumerate() {
            if public.is_some_and(|public| index >= public) || looks_like_token(segment) {
                self.add_possible(segment);
                self.add_possible(&percent_decoded(segment));
            }
        }
    }

    /// The text without them. What stands at the end of a text that was cut off may be the beginning of one.
    pub(crate) fn hide(&self, text: &str, is_cut: bool) -> String {
        let characters: Vec<char> = text.chars().collect();
        let mut hidden: Vec<Range<usize>> = Vec::new();
        for from in 0..characters.len() {
            let longest = self
                .needles
                .iter()
                .filter_map(|needle| needle.end(&characters, from, is_cut))
                .max();
            match (longest, hidden.last_mut()) {
                (Some(to), Some(last)) if from <= last.end => last.end = last.end.max(to),
                (Some(to), _) => hidden.push(from..to),
                (None, _) => {}
            }
        }
        let mut shown = String::with_capacity(text.len());
        let mut at = 0;
        for range in hidden {
            shown.extend(&characters[at..range.start]);
            shown.push_str(HIDDEN);
            at = range.end;
        }
        shown.extend(&characters[at..]);
        shown
    }
}

impl Needle {
    /// Where it ends in the text, if it begins at this place.
    fn end(&self, text: &[char], from: usize, is_cut: bool) -> Option<usize> {
        let mut at = from;
        for (matched, wanted) in self.characters.iter().enumerate() {
            match length_of(&text[at..], *wanted) {
                Some(length) => at += length,
                // An escape may be cut in two as well.
                None => {
                    let is_at_end = at == text.len() || text.len() - at < 6 && matches!(text[at], '\\' | '%' | '&');
                    return (is_cut && is_at_end && matched >= SHORTEST_BEGINNING).then_some(text.len());
                }
            }
        }
        let is_apart = |neighbour: Option<&char>| neighbour.is_none_or(|c| !c.is_alphanumeric());
        let is_found =
            !self.is_word || is_apart(from.checked_sub(1).map(|before| &text[before])) && is_apart(text.get(at));
        is_found.then_some(at)
    }
}

/// How many characters the text begins with that stand for this one: an escape, or itself in either case. In this order, as an escape
/// may begin with the very character that it stands for.
fn length_of(text: &[char], wanted: char) -> Option<usize> {
    let first = *text.first()?;
    let is_itself = is_same(first, wanted) || first == '+' && wanted == ' ';
    length_of_escape(text, wanted).or(is_itself.then_some(1))
}

fn length_of_escape(text: &[char], wanted: char) -> Option<usize> {
    let first = *text.first()?;
    match first {
        '\\' => {
            // However often it was escaped: JSON within JSON doubles them each time.
            let slashes = text.iter().take_while(|c| **c == '\\').count();
            let rest = &text[slashes..];
            match rest.first()? {
                'u' if rest.get(1) == Some(&'{') => {
                    let end = rest.iter().position(|c| *c == '}')?;
                    (number(&rest[2..end], 16)? == u32::from(wanted)).then_some(slashes + end + 1)
                }
                'u' => {
                    let mut units = [0; 2];
                    let mut at = 0;
                    for unit in wanted.encode_utf16(&mut units) {
                        // The second of two has backslashes of its own.
                        let again = rest[at..].iter().take_while(|c| **c == '\\').count();
                        at += again;
                        let digits = (rest.get(at) == Some(&'u')).then(|| rest.get(at + 1..at + 5))??;
                        (number(digits, 16)? == u32::from(*unit)).then_some(())?;
                        at += 5;
                    }
                    Some(slashes + at)
                }
                'x' => (number(rest.get(1..3)?, 16)? == u32::from(wanted)).then_some(slashes + 3),
                other => is_same(*other, wanted).then_some(slashes + 1),
            }
        }
        '%' => {
            let mut bytes = [0; 4];
            let mut at = 0;
            for byte in wanted.encode_utf8(&mut bytes).bytes() {
                (text.get(at) == Some(&'%')).then_some(())?;
                at += 1;
                // However often it was escaped.
                while number(text.get(at..at + 2)?, 16)? != u32::from(byte) {
                    (text[at..at + 2] == ['2', '5']).then_some(())?;
                    at += 2;
                }
                at += 2;
            }
            Some(at)
        }
        '&' => {
            let end = text.iter().take(12).position(|c| *c == ';')?;
            let name: String = text[1..end].iter().collect();
            let meant = match name.as_str() {
                "amp" => '&',
                "lt" => '<',
                "gt" => '>',
                "quot" => '"',
                "apos" => '\'',
                _ => {
                    let digits = text.get(2..end).filter(|_| text[1] == '#')?;
                    let code = match digits.first()? {
                        'x' | 'X' => number(&digits[1..], 16)?,
                        _ => number(digits, 10)?,
                    };
                    char::from_u32(code)?
                }
            };
            is_same(meant, wanted).then_some(end + 1)
        }
        _ => None,
    }
}

/// Whether they are the same letter, in either case.
fn is_same(one: char, other: char) -> bool {
    one == other || one.to_lowercase().eq(other.to_lowercase())
}

fn number(digits: &[char], radix: u32) -> Option<u32> {
    let text: String = digits.iter().filter(|c| c.is_ascii_hexdigit()).collect();
    (text.len() == digits.len()).then(|| u32::from_str_radix(&text, radix).ok())?
}

/// The characters that are the same wherever this stands in something that is base64 as a whole: after so many bytes of a group of
/// three. Empty where too few are left to be told from chance.
fn within_base64(encoding: &impl Engine, secret: &str, before: usize) -> String {
    let encoded = encoding.encode([&[0; 2][..before], secret.as_bytes()].concat());
    let from = [0, 2, 3][before];
    let to = encoded.len() - usize::from(!(before + secret.len()).is_multiple_of(3));
    let core = encoded.get(from..to).unwrap_or_default();
    if core.len() < SHORTEST {
        String::new()
    } else {
        core.to_owned()
    }
}

fn percent_decoded(text: &str) -> String {
    // A plus is one there.
    let as_value = text.replace('+', "%2B");
    form_urlencoded::parse(format!("x={}", as_value.replace('&', "%26")).as_bytes())
        .next()
        .map_or_else(String::new, |(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
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
}
