//! What a form or a query says: names and values, each as often as it was said.

use axum::body::Body;
use axum::http::Uri;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use url::form_urlencoded;

use super::dress::Trouble;
use crate::api::ask;

/// The fields, in the order in which they came.
#[derive(Debug, Clone, Default)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    /// Those of a query.
    pub fn of_query(uri: &Uri) -> Self {
        Self::read(uri.query().unwrap_or_default().as_bytes())
    }

    /// Those of a form that was sent.
    ///
    /// # Errors
    /// 415 for another media type; else as [`ask::whole`].
    pub async fn of_body(parts: &Parts, body: Body) -> Result<Self, Trouble> {
        let said = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = said.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(Trouble::unreadable("a form is application/x-www-form-urlencoded"));
        }
        let bytes = ask::whole(body).await?;
        Ok(Self::read(&bytes))
    }

    fn read(bytes: &[u8]) -> Self {
        let pairs = form_urlencoded::parse(bytes);
        // Browsers end lines with CR LF in forms; PostgreSQL keeps no NUL.
        let clean = |text: &str| text.replace("\r\n", "\n").replace('\0', "\u{fffd}");
        Self(pairs.map(|(name, value)| (clean(&name), clean(&value))).collect())
    }

    /// What was said last of this name, without spaces around it; empty where nothing was.
    pub fn get(&self, name: &str) -> &str {
        let found = self.0.iter().rev().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value.trim())
    }

    /// The same; none where it is empty.
    pub fn some(&self, name: &str) -> Option<&str> {
        Some(self.get(name)).filter(|value| !value.is_empty())
    }

    /// The same as what it is read as; none where it is empty or cannot be read.
    pub fn parsed<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.some(name).and_then(|value| value.parse().ok())
    }

    /// Everything that was said of this name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// Whether this is one of the values of this name.
    pub fn has(&self, name: &str, value: &str) -> bool {
        self.all(name).any(|said| said == value)
    }

    /// Says this, beside what was said before.
    pub fn add(&mut self, name: &str, value: impl Into<String>) {
        self.0.push((name.to_owned(), value.into()));
    }

    /// Says this in place of what was said before.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.retain(|(known, _)| known != name);
        self.add(name, value);
    }

    /// As a query, with this in place of what was said of that name; an empty value says nothing. Pages begin anew.
    pub fn query_with(&self, name: &str, value: &str) -> String {
        let mut changed = self.clone();
        for gone in ["cursor", "done", "n", name] {
            changed.0.retain(|(known, _)| known != gone);
        }
        changed.add(name, value);
        changed.to_query()
    }

    /// As a query; empty values say nothing.
    pub fn to_query(&self) -> String {
        let said = self.0.iter().filter(|(_, value)| !value.is_empty());
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in said {
            query.append_pair(name, value);
        }
        let query = query.finish();
        if query.is_empty() { query } else { format!("?{query}") }
    }

    /// Names and values, for forms that say them again.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_come_often_and_a_link_changes_one_of_them() {
        let uri: Uri = "/subscriptions?q=a%20b&show=invalid&ids=1&ids=2&cursor=x"
            .parse()
            .unwrap();
        let fields = Fields::of_query(&uri);
        assert_eq!(fields.get("q"), "a b");
        assert_eq!(fields.all("ids").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(fields.query_with("show", ""), "?q=a+b&ids=1&ids=2");
        assert_eq!(fields.query_with("show", "<&>"), "?q=a+b&ids=1&ids=2&show=%3C%26%3E");
        assert_eq!(Fields::default().to_query(), "");
    }
}
