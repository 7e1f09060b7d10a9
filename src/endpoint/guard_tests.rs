use super::*;

fn guard(networks: &[&str], ports: &[u16]) -> Guard {
    Guard::new(networks, ports).unwrap()
}

fn refusal(guard: &Guard, url: &str) -> String {
    let error = guard.validate_url(url).expect_err(url);
    assert!(error.is_usage(), "{url}: {error:?}");
    error.chain()
}

fn special(address: &str) -> bool {
    special_range(address.parse().unwrap()).is_some()
}

#[test]
fn special_ipv4_blocks_are_refused_at_both_ends_and_their_neighbours_are_not() {
    for (first, last) in [
        ("0.0.0.0", "0.255.255.255"),
        ("10.0.0.0", "10.255.255.255"),
        ("100.64.0.0", "100.127.255.255"),
        ("127.0.0.0", "127.255.255.255"),
        ("169.254.0.0", "169.254.255.255"),
        ("172.16.0.0", "172.31.255.255"),
        ("192.0.0.0", "192.0.0.255"),
        ("192.0.2.0", "192.0.2.255"),
        ("192.88.99.0", "192.88.99.255"),
        ("192.168.0.0", "192.168.255.255"),
        ("198.18.0.0", "198.19.255.255"),
        ("198.51.100.0", "198.51.100.255"),
        ("203.0.113.0", "203.0.113.255"),
        ("224.0.0.0", "255.255.255.255"),
    ] {
        assert!(special(first) && special(last), "{first}-{last}");
        let below = u32::from(first.parse::<Ipv4Addr>().unwrap()).checked_sub(1);
        let above = u32::from(last.parse::<Ipv4Addr>().unwrap()).checked_add(1);
        for neighbour in below.into_iter().chain(above) {
            let neighbour = Ipv4Addr::from(neighbour).to_string();
            assert!(!special(&neighbour), "{neighbour}");
        }
    }
}

#[test]
fn ordinary_addresses_are_global() {
    for address in [
        "1.1.1.1",
        "8.8.8.8",
        "93.184.215.14",
        "172.32.0.1",
        "2606:4700:4700::1111",
        "2a00:1450:4001:80b::200e",
    ] {
        assert!(!special(address), "{address}");
    }
}

#[test]
fn special_ipv6_blocks_are_refused() {
    for address in [
        "::",
        "::1",
        "::7f00:1",
        "::ffff:0:127.0.0.1",
        "64:ff9b:1::a00:1",
        "100::1",
        "100:0:0:1::1",
        "2001::1",
        "2001:0:5ef5:79fd:0:59d:a0e5:ba1",
        "2001:2::1",
        "2001:10::1",
        "2001:20::1",
        "2001:30::1",
        "2001:1::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:808:808::1",
        "3fff::1",
        "4000::1",
        "5f00::1",
        "fc00::1",
        "fd12:3456:789a::1",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
    ] {
        assert!(special(address), "{address}");
    }
}

#[test]
fn an_ipv4_address_inside_an_ipv6_one_is_judged_as_itself() {
    for (address, expected) in [
        ("::ffff:127.0.0.1", true),
        ("::ffff:10.1.2.3", true),
        ("::ffff:8.8.8.8", false),
        ("64:ff9b::169.254.169.254", true),
        ("64:ff9b::10.0.0.1", true),
        ("64:ff9b::8.8.8.8", false),
        ("64:ff9b::1:808:808", true),
    ] {
        assert_eq!(special(address), expected, "{address}");
    }
    let listed = guard(&["10.0.0.0/8"], &[]);
    assert_eq!(
        listed.check_address("::ffff:10.1.2.3".parse().unwrap(), Reach::AllowListed),
        Ok(())
    );
}

#[test]
fn every_spelling_of_loopback_is_refused() {
    let guard = guard(&[], &[]);
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "127.0.0.1.",
        "0",
        "①②⑦.⓪.⓪.①",
        "%31%32%37.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:0:0:1]",
        "localhost",
        "LOCALHOST.",
        "app.localhost",
    ] {
        let said = refusal(&guard, &format!("https://{host}/"));
        assert!(said.contains("not in allow_networks"), "{host}: {said}");
    }
    assert!(refusal(&guard, "https://169.254.169.254/latest/meta-data").contains("link-local"));
    assert!(refusal(&guard, "https://[64:ff9b::7f00:1]/").contains("loopback"));
}

#[test]
fn a_refusal_says_what_to_do_and_never_repeats_the_url() {
    let guard = guard(&[], &[]);
    for (url, said) in [
        ("", "the URL cannot be read: relative URL without a base"),
        (
            "receiver.example/s3cret",
            "the URL cannot be read: relative URL without a base",
        ),
        ("https://", "the URL cannot be read: empty host"),
        (
            "https://ex ample.com/s3cret",
            "the URL contains a space or a control character",
        ),
        (
            "https://example.com/s3\ncret",
            "the URL contains a space or a control character",
        ),
        (
            "ftp://example.com/s3cret",
            "the URL's scheme is ftp; only https and http can be called",
        ),
        (
            "file:///etc/passwd",
            "the URL's scheme is file; only https and http can be called",
        ),
        (
            "https://user:s3cret@example.com/",
            "the URL contains a user name or password",
        ),
        (
            "https://:s3cret@example.com/",
            "the URL contains a user name or password",
        ),
        (
            "http://example.com/s3cret",
            "the URL may not be called: plain http is only allowed to networks named in allow_networks, and none are named",
        ),
        (
            "https://example.com:8443/s3cret",
            "the URL may not be called: port 8443 is not 443, not in allow_ports, and no networks are named in allow_networks",
        ),
    ] {
        assert_eq!(refusal(&guard, url), said);
        assert!(!refusal(&guard, url).contains("s3cret"));
    }
}

#[test]
fn https_to_a_name_or_a_global_address_is_allowed() {
    let guard = guard(&[], &[]);
    for url in [
        "https://example.com",
        " https://example.com:443/a?b=c ",
        "https://1.1.1.1/",
        "https://[2606:4700::1111]/x",
    ] {
        assert_eq!(
            guard.check_url(&guard.validate_url(url).unwrap()),
            Ok(Reach::Public),
            "{url}"
        );
    }
}

#[test]
fn plain_http_and_other_ports_reach_only_the_listed_networks() {
    let guard = guard(&["127.0.0.0/8", "10.0.0.0/8"], &[8443]);
    for (url, expected) in [
        ("https://example.com:8443/", Some(Reach::Public)),
        ("https://example.com:9443/", Some(Reach::AllowListed)),
        ("http://example.com/", Some(Reach::AllowListed)),
        ("http://127.0.0.1:8069/", Some(Reach::AllowListed)),
        ("http://localhost:8069/", Some(Reach::AllowListed)),
        ("https://10.1.2.3/", Some(Reach::Public)),
        ("http://1.1.1.1/", None),
        ("https://1.1.1.1:9443/", None),
        ("http://192.168.0.1/", None),
        ("https://192.168.0.1/", None),
        ("http://[::1]/", None),
    ] {
        assert_eq!(guard.check_url(&parse_url(url).unwrap()).ok(), expected, "{url}");
    }
    let global = "1.1.1.1".parse().unwrap();
    assert_eq!(
        guard.check_address(global, Reach::AllowListed),
        Err(Blocked::NotListed {
            address: global,
            setting: "allow_networks"
        })
    );
    assert_eq!(guard.check_address(global, Reach::Public), Ok(()));
}

#[test]
fn networks_are_read_leniently_or_refused_by_name() {
    assert_eq!(parse_network(" 10.1.2.3/8 ").unwrap().to_string(), "10.0.0.0/8");
    assert_eq!(parse_network("192.168.1.7").unwrap().to_string(), "192.168.1.7/32");
    assert_eq!(parse_network("fd00::/8").unwrap().to_string(), "fd00::/8");
    for bad in ["", "10.0.0.0/33", "10.0.0/8", "localhost", "::ffff:10.0.0.0/104"] {
        assert!(parse_network(bad).unwrap_err().is_usage(), "{bad}");
    }
}

/// The IANA IPv4 Special-Purpose Address Registry: every entry, an address of it, and whether it may be called; then what is special
/// without being in it.
const REGISTRY_V4: &[(&str, &str, bool)] = &[
    ("0.0.0.0/8", "0.1.2.3", false),
    ("0.0.0.0/32", "0.0.0.0", false),
    ("10.0.0.0/8", "10.1.2.3", false),
    ("100.64.0.0/10", "100.64.0.1", false),
    ("127.0.0.0/8", "127.0.0.1", false),
    ("169.254.0.0/16", "169.254.169.254", false),
    ("172.16.0.0/12", "172.16.0.1", false),
    ("192.0.0.0/24", "192.0.0.200", false),
    ("192.0.0.0/29", "192.0.0.1", false),
    ("192.0.0.8/32", "192.0.0.8", false),
    // Globally reachable in the registry, and refused all the same: anycast services of the nearest router, no receivers.
    ("192.0.0.9/32", "192.0.0.9", false),
    ("192.0.0.10/32", "192.0.0.10", false),
    ("192.0.0.170/32", "192.0.0.170", false),
    ("192.0.0.171/32", "192.0.0.171", false),
    ("192.0.2.0/24", "192.0.2.1", false),
    ("192.31.196.0/24", "192.31.196.1", true),
    ("192.52.193.0/24", "192.52.193.1", true),
    ("192.88.99.0/24", "192.88.99.1", false),
    ("192.88.99.2/32", "192.88.99.2", false),
    ("192.168.0.0/16", "192.168.1.1", false),
    ("192.175.48.0/24", "192.175.48.1", true),
    ("198.18.0.0/15", "198.19.0.1", false),
    ("198.51.100.0/24", "198.51.100.1", false),
    ("203.0.113.0/24", "203.0.113.1", false),
    ("240.0.0.0/4", "250.1.2.3", false),
    ("255.255.255.255/32", "255.255.255.255", false),
    ("224.0.0.0/4, multicast", "224.0.0.1", false),
    ("224.0.0.0/4, multicast", "239.255.255.255", false),
];

/// The same of the IANA IPv6 Special-Purpose Address Registry.
const REGISTRY_V6: &[(&str, &str, bool)] = &[
    ("::1/128", "::1", false),
    ("::/128", "::", false),
    ("::ffff:0:0/96", "::ffff:192.168.0.1", false),
    ("64:ff9b::/96", "64:ff9b::192.168.0.1", false),
    ("64:ff9b::/96", "64:ff9b::8.8.8.8", true),
    ("64:ff9b:1::/48", "64:ff9b:1::8.8.8.8", false),
    ("100::/64", "100::1", false),
    ("100:0:0:1::/64", "100:0:0:1::1", false),
    ("2001::/23", "2001:5::1", false),
    ("2001::/32, Teredo", "2001:0:4136:e378:8000:63bf:3fff:fdd2", false),
    // Refused although globally reachable, as those of IPv4.
    ("2001:1::1/128", "2001:1::1", false),
    ("2001:1::2/128", "2001:1::2", false),
    ("2001:1::3/128", "2001:1::3", false),
    ("2001:2::/48", "2001:2::1", false),
    ("2001:3::/32", "2001:3::1", false),
    ("2001:4:112::/48", "2001:4:112::1", false),
    ("2001:10::/28", "2001:10::1", false),
    ("2001:20::/28", "2001:20::1", false),
    ("2001:30::/28", "2001:30::1", false),
    ("2001:db8::/32", "2001:db8::1", false),
    ("2002::/16, 6to4", "2002:c0a8:1::1", false),
    ("2620:4f:8000::/48", "2620:4f:8000::1", true),
    ("3fff::/20", "3fff:fff::1", false),
    ("5f00::/16", "5f00::1", false),
    ("fc00::/7", "fd00::1", false),
    ("fe80::/10", "fe80::1", false),
    ("ff00::/8, multicast", "ff0e::1", false),
    ("fec0::/10, site-local", "fec0::1", false),
    ("::/96, IPv4-compatible", "::192.168.0.1", false),
    ("::ffff:0:0:0/96, IPv4-translated", "::ffff:0:8.8.8.8", false),
];

#[test]
fn every_entry_of_the_special_purpose_registries_is_judged() {
    let guard = guard(&[], &[]);
    for (entry, address, allowed) in REGISTRY_V4.iter().chain(REGISTRY_V6) {
        let parsed: IpAddr = address.parse().unwrap();
        assert_eq!(special_range(parsed).is_none(), *allowed, "{entry}: {address}");
        let judged = guard.check_address(parsed, Reach::Public);
        assert_eq!(judged.is_ok(), *allowed, "{entry}: {address}");
        // As a literal in a URL it is judged alike.
        let host = if parsed.is_ipv6() {
            format!("[{address}]")
        } else {
            (*address).to_owned()
        };
        let judged = guard.validate_url(&format!("https://{host}/"));
        assert_eq!(judged.is_ok(), *allowed, "{entry}: {address}");
    }
}

#[test]
fn a_listed_network_opens_itself_and_nothing_that_only_looks_like_it() {
    let guard = guard(&["10.0.0.0/8", "fd00::/8"], &[]);
    for (address, allowed) in [
        ("10.1.2.3", true),
        ("::ffff:10.1.2.3", true),
        ("fd00::1", true),
        ("11.0.0.1", false),
        // Other ways to write 10.1.2.3 into an IPv6 address lead elsewhere than to 10.1.2.3.
        ("64:ff9b::10.1.2.3", false),
        ("2002:a01:203::1", false),
        ("::10.1.2.3", false),
        ("fc00::1", false),
    ] {
        let judged = guard.check_address(address.parse().unwrap(), Reach::AllowListed);
        assert_eq!(judged.is_ok(), allowed, "{address}: {judged:?}");
    }
}

#[test]
fn no_spelling_of_a_host_gets_around_its_judgement() {
    let guard = guard(&[], &[]);
    for url in [
        // Full-width letters, other full stops and soft hyphens are mapped before anything is looked up (UTS 46).
        "https://localhost\u{3002}/",
        "https://\u{ff4c}ocalhost/",
        "https://127\u{3002}0\u{3002}0\u{3002}1/",
        "https://\u{ff11}\u{ff12}\u{ff17}.0.0.1/",
        "https://loc\u{ad}alhost/",
        // Backslashes are slashes, and the host ends at the first.
        r"https:\\127.0.0.1\@example.com/",
        "https://127.0.0.1#@example.com/",
        "https://127.0.0.1?@example.com/",
        "https:127.0.0.1",
        "https:///127.0.0.1/",
        "HTTPS://0x7F.0.0.0x1/",
        "https://127.0.0.1:443/",
        "https://00000177.1/",
        "https://[::1%25lo]/",
        "https://[fe80::1%25eth0]/",
        "https://[::FFFF:7F00:0001]/",
        "https://0.0.0.0/",
        "https://[::]/",
        "https://256.256.256.256/",
        "https://127.0.0.0x100/",
        "https://evil.example@127.0.0.1/",
        "https://127.0.0.1@evil.example/",
    ] {
        assert!(guard.validate_url(url).is_err(), "{url}");
    }
}
