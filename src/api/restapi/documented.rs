//! Answers as document 003 has them: XML for whoever accepts that, and 403 for errors that it knows no other status of.

use axum::extract::Request;
use axum::http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use crate::api::problem::{PROBLEM_JSON, Problem};
use crate::payload::xml;

/// The longest answer that is rewritten: all webhooks of a database are less.
const LONGEST: usize = 64 * 1024 * 1024;

pub(super) async fn answers(request: Request, next: Next) -> Response {
    let wants_xml = prefers_xml(request.headers());
    let response = next.run(request).await;
    let is_problem = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|said| said == PROBLEM_JSON);
    let status = match response.status() {
        StatusCode::BAD_REQUEST
        | StatusCode::CONFLICT
        | StatusCode::PRECONDITION_FAILED
        | StatusCode::UNSUPPORTED_MEDIA_TYPE
        | StatusCode::UNPROCESSABLE_ENTITY => StatusCode::FORBIDDEN,
        other => other,
    };
    if !wants_xml && status == response.status() {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let Ok(bytes) = axum::body::to_bytes(body, LONGEST).await else {
        return Problem::unavailable("the answer is too long").into_response();
    };
    let mut told: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    if status != head.status {
        head.status = status;
        told["status"] = json!(status.as_u16());
        told["title"] = json!(status.canonical_reason());
    }
    head.headers.remove(CONTENT_LENGTH);
    let body = if wants_xml {
        head.headers
            .insert(CONTENT_TYPE, HeaderValue::from_static(xml::CONTENT_TYPE));
        written(&told, is_problem)
    } else {
        told.to_string()
    };
    Response::from_parts(head, body.into())
}

/// The only member is the root: `<webhook>`, `<count>`; an error is `<error>`, and nothing is `<response>`.
fn written(told: &Value, is_problem: bool) -> String {
    let members: Option<&Map<String, Value>> = told.as_object();
    match members.and_then(|members| members.iter().next().filter(|_| members.len() == 1)) {
        _ if is_problem => xml::to_xml("error", told),
        Some((root, value)) => xml::to_xml(root, value),
        None => xml::to_xml("response", told),
    }
}

/// Whether XML is accepted, and more than JSON is.
fn prefers_xml(headers: &HeaderMap) -> bool {
    let said = headers.get_all(ACCEPT).iter().filter_map(|line| line.to_str().ok());
    let (mut xml, mut json) = (0.0, 0.0);
    for range in said.flat_map(|line| line.split(',')) {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let weight = parts
            .find_map(|part| part.strip_prefix("q=")?.parse().ok())
            .unwrap_or(1.0_f32);
        match kind.as_str() {
            "application/xml" | "text/xml" => xml = weight.max(xml),
            "application/json" | "application/*" | "*/*" => json = weight.max(json),
            _ => {}
        }
    }
    xml > 0.0 && xml >= json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xml_is_for_whoever_prefers_it() {
        for (accept, wants) in [
            ("application/xml", true),
            ("text/xml;q=0.9, */*;q=0.1", true),
            ("*/*", false),
            ("application/json, application/xml;q=0.5", false),
            ("application/xml;q=0", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(prefers_xml(&headers), wants, "{accept}");
        }
        assert!(!prefers_xml(&HeaderMap::new()));
    }
}
