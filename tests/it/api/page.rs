//! The web page as a browser without a script meets it: forms, cookies, redirects. What needs a real browser is in `tests/ui`.

mod browser;
mod flow;
mod hostile;
mod lists;
mod login;
mod rights;

use super::{Api, EVERYTHING, NOWHERE, encoded, orders, token};
use crate::support::receiver::Receiver;
use crate::support::service::{SOON, Service, eventd_ok, program, wait_until_leading};
use crate::support::{Database, eventually};

/// Somebody who looks at the page, with what his browser remembers.
struct Visitor<'a> {
    api: &'a Api,
    cookie: String,
    base: &'static str,
}

impl Api {
    /// Logs in with a token.
    async fn visitor(&self, token: &str) -> Visitor<'_> {
        let mut visitor = Visitor::unknown(self);
        let answer = visitor.post_plain("/login", &[("token", token)], &[]).await;
        assert_eq!(answer.status, 303, "{}", answer.text);
        visitor
    }
}

impl<'a> Visitor<'a> {
    fn unknown(api: &'a Api) -> Self {
        Self {
            api,
            cookie: String::new(),
            base: "",
        }
    }

    async fn get(&self, path: &str) -> super::Answer {
        let headers = [("cookie", self.cookie.as_str()), ("sec-fetch-site", "same-origin")];
        self.api
            .ask_with("", "GET", &format!("{}{path}", self.base), &headers, None)
            .await
    }

    /// A page that must be there.
    async fn page(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        assert!(answer.header("content-type").starts_with("text/html"), "{path}");
        answer.text
    }

    /// Sends a form of ours, with its token.
    async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> super::Answer {
        let page = self.page("/deliveries").await;
        let token = value_of(&page, "form_token");
        let mut fields = fields.to_vec();
        fields.push(("form_token", &token));
        self.post_plain(path, &fields, &[]).await
    }

    /// Sends a form as it is said, keeping cookies that come.
    async fn post_plain(&mut self, path: &str, fields: &[(&str, &str)], headers: &[(&str, &str)]) -> super::Answer {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        let mut request = hyper::Request::builder()
            .method("POST")
            .uri(format!("{}{path}", self.base))
            .header("content-type", "application/x-www-form-urlencoded");
        for (name, value) in [
            ("host", "localhost"),
            ("cookie", &self.cookie),
            ("sec-fetch-site", "same-origin"),
        ] {
            if !headers.iter().any(|(known, _)| *known == name) {
                request = request.header(name, value);
            }
        }
        for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
            request = request.header(*name, *value);
        }
        let body = http_body_util::Full::from(hyper::body::Bytes::from(body));
        let answer = self.api.send(request.body(body).unwrap()).await;
        for cookie in answer.headers.get_all("set-cookie") {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            if pair.len() > pair.find('=').unwrap() + 1 {
                pair.clone_into(&mut self.cookie);
            }
        }
        answer
    }
}

/// The value of the first input of this name.
fn value_of(page: &str, name: &str) -> String {
    let begin = format!("name=\"{name}\" value=\"");
    let from = page.find(&begin).unwrap_or_else(|| panic!("no {name} in {page}")) + begin.len();
    page[from..].split('"').next().unwrap().to_owned()
}
