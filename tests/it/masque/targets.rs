//! Which URIs have a target, and which targets are allowed.

use http::Uri;

use super::{proxy::Allowed, target::Target};

#[test]
fn a_target_is_read_from_an_expansion_of_the_template_and_from_nothing_else() {
    // R9298-3.1-02
    let long = "a".repeat(254);
    let too_long = "a".repeat(255);
    for (variables, target) in [
        ("192.0.2.6/443/", Some(("192.0.2.6", 443))),
        ("a.test/1/", Some(("a.test", 1))),
        ("a.test./65535/", Some(("a.test.", 65535))),
        ("x_y-z.test/53/", Some(("x_y-z.test", 53))),
        ("2001%3Adb8%3A%3A42/443/", Some(("2001:db8::42", 443))),
        ("%3a%3A1/443/", Some(("::1", 443))),
        ("%3A%3Affff%3A127.0.0.1/443/", Some(("::ffff:127.0.0.1", 443))),
        // Every character may be encoded.
        ("%61.test/%34%34%33/", Some(("a.test", 443))),
        ("a.test/00443/", Some(("a.test", 443))),
        (&format!("{long}/1/"), Some((&long, 1))),
        // Something is missing, or too much.
        ("", None),
        ("/", None),
        ("//", None),
        ("/443/", None),
        ("a.test//", None),
        ("a.test/", None),
        ("a.test/443", None),
        ("a.test/443//", None),
        ("a.test/443/x", None),
        ("a.test/443/x/", None),
        ("/a.test/443/", None),
        ("a.test/443/?", None),
        ("a.test/443/?x=1", None),
        // A port that is none.
        ("a.test/0/", None),
        ("a.test/65536/", None),
        ("a.test/-1/", None),
        ("a.test/+443/", None),
        ("a.test/%2B443/", None),
        ("a.test/443%20/", None),
        ("a.test/4e2/", None),
        ("a.test/https/", None),
        ("a.test/99999999999999999999/", None),
        // A host that is none.
        ("2001:db8::42/443/", None),
        ("[%3A%3A1]/443/", None),
        ("%5B%3A%3A1%5D/443/", None),
        ("%3A%3Ag/443/", None),
        ("fe80%3A%3A1%25eth0/443/", None),
        ("a.test%3A80/443/", None),
        ("a%2Fb/443/", None),
        ("a%00.test/443/", None),
        ("a%0D%0A.test/443/", None),
        ("a%20b/443/", None),
        ("a%/443/", None),
        ("a%zz/443/", None),
        ("a%FF/443/", None),
        ("%C3%A4.test/443/", None),
        ("a@b/443/", None),
        ("*/443/", None),
        (&format!("{too_long}/1/"), None),
    ] {
        for before in ["", "http://proxy.test", "https://proxy.test:8443"] {
            let uri: Uri = format!("{before}/tunnel/{variables}").parse().unwrap();
            let target = target.map(|(host, port)| Target { host: host.to_owned(), port });
            assert_eq!(Target::parse(&uri, "/tunnel/"), target, "{uri}");
            assert_eq!(Target::parse(&uri, "/other/"), None, "{uri}");
        }
    }
}

#[test]
fn an_address_is_allowed_if_it_is_of_the_loopback_or_else_if_it_is_listed() {
    let listed: Allowed = ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.2"]
        .map(|text| text.parse().unwrap())
        .into_iter()
        .collect();
    for (address, by_default, by_list) in [
        ("127.0.0.1", true, false),
        ("127.255.255.254", true, false),
        ("::1", true, false),
        ("::ffff:127.0.0.1", true, false),
        ("192.0.2.1", false, true),
        ("::ffff:192.0.2.1", false, true),
        ("192.0.2.2", false, true),
        ("2001:db8::1", false, true),
        ("0.0.0.0", false, false),
        ("::", false, false),
        ("::127.0.0.1", false, false),
        ("10.0.0.1", false, false),
        ("169.254.169.254", false, false),
        ("fe80::1", false, false),
        ("255.255.255.255", false, false),
    ] {
        let address = address.parse().unwrap();
        assert_eq!(Allowed::default().contains(address), by_default, "{address}");
        assert_eq!(listed.contains(address), by_list, "{address}");
    }
}
