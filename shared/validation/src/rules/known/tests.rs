//! Each format against texts on both sides of it.

use super::{Format, Versions};

#[track_caller]
fn check(format: Format, good: &[&str], bad: &[&str]) {
    for text in good {
        assert!(format.takes(text), "{format:?} refuses {text:?}");
    }
    for text in bad {
        assert!(!format.takes(text), "{format:?} takes {text:?}");
    }
}

#[test]
fn mail_addresses_and_hosts() {
    check(
        Format::Email,
        &["a@b", "a.b+c@d-e.example", "!#$%&'*+/=?^_`{|}~-.@x"],
        &[
            "", "a", "@b", "a@", "a@b@c", "a b@c", "a@-b", "a@b-", "a@b..c", "ä@b", "a@b\n",
        ],
    );
    let long = "a".repeat(64);
    check(
        Format::Hostname,
        &["a", "a.example", "a.example.", "1a.b2", "a-b"],
        &["", ".", "a..b", "-a", "a-", "a_b", "1.2", "a.1", "ä", &long],
    );
    check(Format::Hostname, &[], &[&["a"; 130].join(".")]);
    check(
        Format::HostAndPort,
        &[
            "a:0",
            "a.example:65535",
            "1.2.3.4:80",
            "[::1]:80",
            "[fe80::1%en0]:1",
        ],
        &[
            "a",
            "a:",
            ":80",
            "a:65536",
            "a:080",
            "a:-1",
            "a:+1",
            "::1:80",
            "[::1]",
            "[1.2.3.4]:80",
            "[::1]80",
        ],
    );
    check(
        Format::Address,
        &["a.example", "1.2.3.4", "::1"],
        &["", "1.2.3", "a b"],
    );
}

#[test]
fn ip_addresses_and_prefixes() {
    let (v4, v6, both) = (Versions::V4, Versions::V6, Versions::Both);
    check(
        Format::Ip(v4),
        &["0.0.0.0", "255.255.255.255"],
        &[
            "",
            "1.2.3",
            "1.2.3.256",
            "01.2.3.4",
            "1.2.3.4 ",
            "::1",
            "1.2.3.4/8",
        ],
    );
    check(
        Format::Ip(v6),
        &[
            "::",
            "::1",
            "2001:DB8::1",
            "::ffff:1.2.3.4",
            "fe80::1%en0",
            "::1%%",
        ],
        &[
            "",
            ":::",
            "1::2::3",
            "12345::",
            "::1%",
            "[::1]",
            "1.2.3.4",
            "1:2:3:4:5:6:7",
        ],
    );
    check(Format::Ip(both), &["1.2.3.4", "::"], &["x"]);
    check(
        Format::IpWithPrefixLength(both),
        &["1.2.3.4/0", "1.2.3.4/32", "::1/128"],
        &[
            "1.2.3.4",
            "1.2.3.4/33",
            "1.2.3.4/",
            "1.2.3.4/08",
            "1.2.3.4/+8",
            "::1/129",
            "::1%a/64",
        ],
    );
    check(
        Format::IpPrefix(both),
        &[
            "0.0.0.0/0",
            "10.0.0.0/8",
            "1.2.3.4/32",
            "::/0",
            "fe80::/10",
            "::1/128",
        ],
        &["10.0.0.1/8", "1.0.0.0/0", "fe80::1/10", "::1/0"],
    );
    check(Format::IpPrefix(v4), &["10.0.0.0/8"], &["::/0"]);
    check(Format::IpPrefix(v6), &["::/0"], &["10.0.0.0/8"]);
}

#[test]
fn uris_and_references() {
    check(
        Format::Uri,
        &[
            "a:",
            "mailto:a@b.example",
            "http://a",
            "http://a:80/b/c?d=e/?#f",
            "urn:a:b:c",
            "file:///a",
            "http://u:p@h:1",
            "http://[::1]:80/",
            "http://[fe80::1%25en0]/",
            "http://[v1.a:b]/",
            "http://%e4%bd%a0/",
            "http://1.2.3.4/%20",
            "A+1.-:x",
            "http://",
        ],
        &[
            "",
            "a",
            "//a",
            "1a:",
            ":a",
            "a b:",
            "http://a b",
            "http://a/%",
            "http://a/%2",
            "http://a/%zz",
            "http://[::1",
            "http://[::g]",
            "http://[1.2.3.4]",
            "http://[::1]a",
            "http://a:b",
            "http://a#b#c",
            "http://a/<",
            "http://ä",
            "http://%ff/",
            "http://[v.a]",
            "http://[::1%en0]",
            "http://a@b@c",
        ],
    );
    check(
        Format::UriRef,
        &[
            "", "a", "/a", "//a/b", "./a:b", "?a", "#a", "a/b:c", "http://a",
        ],
        &["a b", "1a:b", "/%", "#a#b", ":a", "//[::g]"],
    );
}

#[test]
fn identifiers() {
    check(
        Format::Uuid,
        &[
            "00000000-0000-0000-0000-000000000000",
            "0190163D-8694-739b-aea5-966c26f8ad91",
        ],
        &[
            "",
            "0190163d8694739baea5966c26f8ad91",
            "0190163g-8694-739b-aea5-966c26f8ad91",
            "{0190163d-8694-739b-aea5-966c26f8ad9}",
        ],
    );
    check(
        Format::TrimmedUuid,
        &["0190163d8694739baea5966c26f8ad91"],
        &["", "0190163d"],
    );
    check(
        Format::Ulid,
        &["01ARZ3NDEKTSV4RRFFQ69G5FAV", "7zzzzzzzzzzzzzzzzzzzzzzzzz"],
        &[
            "",
            "81ARZ3NDEKTSV4RRFFQ69G5FAV",
            "01ARZ3NDEKTSV4RRFFQ69G5FAU",
            "01ARZ3NDEKTSV4RRFFQ69G5FA",
        ],
    );
    check(
        Format::ProtobufName,
        &["a", "_a.B1"],
        &["", ".a", "a.", "a..b", "1a", "a-b"],
    );
    check(
        Format::ProtobufDottedName,
        &[".a", ".a.b"],
        &["", "a", ".", "..a"],
    );
}

#[test]
fn headers() {
    check(
        Format::HeaderName,
        &["a", ":path", "X-A_b|~`^"],
        &["", ":", "a:", "a b", "a\n", "ä"],
    );
    check(
        Format::HeaderValue,
        &["", "a\tb", "ä"],
        &["a\n", "\0", "\x7f"],
    );
    check(Format::LooseHeaderName, &["a b", ":"], &["a\r"]);
    check(Format::LooseHeaderValue, &["", "\x01"], &["a\n", "\0"]);
}
