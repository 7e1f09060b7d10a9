use super::*;

#[test]
fn a_request_that_is_made_once_uses_no_connection_that_a_close_may_be_on_its_way_to() {
    for (milliseconds, settled, fresh) in [
        (0, false, false),
        (19, false, false),
        (20, true, true),
        (100, true, true),
        (101, true, false),
    ] {
        let idle_for = Duration::from_millis(milliseconds);
        assert_eq!(
            (is_settled(idle_for), is_fresh(idle_for)),
            (settled, fresh),
            "{idle_for:?}"
        );
    }
}

#[test]
fn a_connection_is_kept_for_less_than_its_receiver_announces() {
    for (said, milliseconds) in [
        ("timeout=0", 0),
        ("timeout=1", 500),
        ("timeout=2, max=100", 1_000),
        ("max=7,  Timeout = 3", 2_000),
        ("timeout=\"5\"", 4_000),
        ("timeout=300", 4_000),
        ("timeout=300, max=0", 0),
        ("timeout=soon", 4_000),
        ("", 4_000),
    ] {
        let headers = HeaderMap::from_iter([("keep-alive".parse().unwrap(), said.parse().unwrap())]);
        assert_eq!(kept_for(&headers), Duration::from_millis(milliseconds), "{said}");
    }
    assert_eq!(kept_for(&HeaderMap::new()), KEPT_FOR);
}
