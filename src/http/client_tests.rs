use super::*;

#[test]
fn a_request_shows_neither_headers_nor_body_nor_query() {
    let request = Request {
        method: Method::POST,
        url: Url::parse("https://example.com/?key=s3cret").unwrap(),
        audience: Audience::Endpoint,
        headers: HeaderMap::from_iter([(USER_AGENT, HeaderValue::from_static("s3cret"))]),
        body: Bytes::from_static(b"s3cret"),
        timeout: Duration::from_secs(5),
        reuse: Reuse::Any,
        secrets: vec![Secret::parse("s3cret").unwrap()],
    };
    assert!(!format!("{request:?}").contains("s3cret"));
}
