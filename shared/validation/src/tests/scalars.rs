//! Rules of numbers, booleans, enums, text and bytes.

use super::{Rows, rule};

#[test]
fn every_number_type_has_its_rules() {
    let mut rows = Rows::default();
    for kind in [
        "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "fixed64", "sfixed32",
        "sfixed64", "float", "double",
    ] {
        let field = |rules: &str| rule(kind, &format!("{kind} = {{{rules}}}"));
        let id = |rule: &str| format!("{kind}.{rule}");
        rows.add(
            &field("const: 3"),
            &["3"],
            &[("2", &id("const")), ("", &id("const"))],
        );
        rows.add(&field("lt: 3"), &["2", ""], &[("3", &id("lt"))]);
        rows.add(&field("lte: 3"), &["3"], &[("4", &id("lte"))]);
        rows.add(
            &field("gt: 3"),
            &["4"],
            &[("3", &id("gt")), ("", &id("gt"))],
        );
        rows.add(&field("gte: 3"), &["3"], &[("2", &id("gte"))]);
        rows.add(
            &field("gt: 3 lte: 5"),
            &["4", "5"],
            &[("3", &id("gt_lte")), ("6", &id("gt_lte"))],
        );
        rows.add(
            &field("gte: 5 lt: 3"),
            &["2", "5"],
            &[
                ("3", &id("gte_lt_exclusive")),
                ("4", &id("gte_lt_exclusive")),
            ],
        );
        rows.add(&field("in: [1, 2]"), &["1", "2"], &[("3", &id("in"))]);
        rows.add(&field("not_in: [1, 2]"), &["3"], &[("2", &id("not_in"))]);
        rows.add(&field("example: 9"), &["1"], &[]);
    }
    rows.check();
}

#[test]
fn numbers_at_the_ends_of_their_types() {
    let mut rows = Rows::default();
    rows.add(
        &rule("uint64", "uint64.gt = 9223372036854775807"),
        &["\"18446744073709551615\""],
        &[("\"9223372036854775807\"", "uint64.gt")],
    );
    rows.add(
        &rule("sint64", "sint64.const = -9223372036854775808"),
        &["\"-9223372036854775808\""],
        &[("1", "sint64.const")],
    );
    rows.add(
        &rule("int32", "int32.lt = 0"),
        &["-2147483648"],
        &[("0", "int32.lt")],
    );
    rows.add(
        &rule("sfixed32", "sfixed32.lt = 0"),
        &["-1"],
        &[("0", "sfixed32.lt")],
    );
    rows.add(
        &rule("double", "double = {finite: true}"),
        &["1e308", "-0.0"],
        &[
            ("\"NaN\"", "double.finite"),
            ("\"-Infinity\"", "double.finite"),
        ],
    );
    rows.add(
        &rule("float", "float = {gt: 1 lt: 2}"),
        &["1.5"],
        &[("\"NaN\"", "float.gt_lt"), ("2", "float.gt_lt")],
    );
    rows.add(
        &rule("float", "float.in = 0.1"),
        &["0.1"],
        &[("0.2", "float.in")],
    );
    rows.check();
}

#[test]
fn booleans_and_enums() {
    let mut rows = Rows::default();
    rows.add(
        &rule("bool", "bool.const = true"),
        &["true"],
        &[("false", "bool.const"), ("", "bool.const")],
    );
    rows.add(
        &rule("Size", "enum.defined_only = true"),
        &["\"SMALL\"", "5", ""],
        &[("2", "enum.defined_only"), ("-1", "enum.defined_only")],
    );
    rows.add(
        &rule("Size", "enum.const = 1"),
        &["1"],
        &[("5", "enum.const")],
    );
    rows.add(
        &rule("Size", "enum = {in: [1, 5]}"),
        &["5"],
        &[("", "enum.in")],
    );
    rows.add(
        &rule("Size", "enum.not_in = 0"),
        &["1"],
        &[("0", "enum.not_in")],
    );
    rows.check();
}

#[test]
fn text() {
    let mut rows = Rows::default();
    let field = |rules: &str| rule("string", &format!("string = {{{rules}}}"));
    rows.add(
        &field("const: 'a'"),
        &["\"a\""],
        &[("\"b\"", "string.const")],
    );
    rows.add(&field("len: 2"), &["\"äö\""], &[("\"ä\"", "string.len")]);
    rows.add(
        &field("min_len: 2"),
        &["\"äö\""],
        &[("\"ä\"", "string.min_len")],
    );
    rows.add(
        &field("max_len: 1"),
        &["\"ä\""],
        &[("\"äö\"", "string.max_len")],
    );
    rows.add(
        &field("len_bytes: 2"),
        &["\"ä\""],
        &[("\"äö\"", "string.len_bytes")],
    );
    rows.add(
        &field("min_bytes: 2"),
        &["\"ä\""],
        &[("\"a\"", "string.min_bytes")],
    );
    rows.add(
        &field("max_bytes: 2"),
        &["\"ä\""],
        &[("\"äö\"", "string.max_bytes")],
    );
    rows.check();
}

#[test]
fn parts_of_text() {
    let mut rows = Rows::default();
    let field = |rules: &str| rule("string", &format!("string = {{{rules}}}"));
    rows.add(
        &field("pattern: '^a+$'"),
        &["\"aa\""],
        &[("\"b\"", "string.pattern"), ("\"a\\na\"", "string.pattern")],
    );
    rows.add(
        &field("prefix: 'a'"),
        &["\"ab\""],
        &[("\"ba\"", "string.prefix")],
    );
    rows.add(
        &field("suffix: 'a'"),
        &["\"ba\""],
        &[("\"ab\"", "string.suffix")],
    );
    rows.add(
        &field("contains: 'a'"),
        &["\"bab\""],
        &[("\"b\"", "string.contains")],
    );
    rows.add(
        &field("not_contains: 'a'"),
        &["\"b\""],
        &[("\"bab\"", "string.not_contains")],
    );
    rows.add(
        &field("in: ['a', 'b']"),
        &["\"b\""],
        &[("\"c\"", "string.in")],
    );
    rows.add(
        &field("not_in: ['a', 'b']"),
        &["\"c\""],
        &[("\"b\"", "string.not_in")],
    );
    rows.add(
        &field("min_len: 3 prefix: 'a'"),
        &["\"abc\""],
        &[("\"b\"", "v string.min_len, v string.prefix")],
    );
    rows.check();
}

#[test]
fn text_of_known_formats() {
    let mut rows = Rows::default();
    let cases = [
        ("email", "a.b@c.example", "a@"),
        ("hostname", "a.example.", "-a"),
        ("ip", "::1%eth0", "1.2.3"),
        ("ipv4", "1.2.3.4", "::1"),
        ("ipv6", "::1", "1.2.3.4"),
        ("uri", "https://a.example/b?c#d", "/b"),
        ("address", "1.2.3.4", "a b"),
        ("uuid", "0190163d-8694-739b-aea5-966c26f8ad91", "0190163d"),
        ("tuuid", "0190163d8694739baea5966c26f8ad91", "0190163d-8694"),
        ("ip_with_prefixlen", "10.1.2.3/8", "10.1.2.3"),
        ("ipv4_with_prefixlen", "10.1.2.3/8", "::1/8"),
        ("ipv6_with_prefixlen", "::1/8", "10.1.2.3/8"),
        ("ip_prefix", "10.0.0.0/8", "10.0.0.1/8"),
        ("ipv4_prefix", "10.0.0.0/8", "::/8"),
        ("ipv6_prefix", "fe80::/10", "10.0.0.0/8"),
        ("host_and_port", "[::1]:80", "a.example"),
        ("ulid", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "01ARZ3"),
        ("protobuf_fqn", "a.B", ".a.B"),
        ("protobuf_dot_fqn", ".a.B", "a.B"),
    ];
    for (name, good, bad) in cases {
        let field = rule("string", &format!("string.{name} = true"));
        let quoted = |text: &str| format!("{text:?}");
        rows.add(
            &field,
            &[&quoted(good)],
            &[
                (&quoted(bad), &format!("string.{name}")),
                ("", &format!("string.{name}_empty")),
            ],
        );
        let off = rule("string", &format!("string.{name} = false"));
        rows.add(&off, &[&quoted(bad), ""], &[]);
    }
    rows.add(
        &rule("string", "string.uri_ref = true"),
        &["\"/b\"", ""],
        &[("\"a b\"", "string.uri_ref")],
    );
    rows.check();
}

#[test]
fn http_headers() {
    let mut rows = Rows::default();
    let field = |rules: &str| rule("string", &format!("string = {{{rules}}}"));
    let (name, value) = (
        "string.well_known_regex.header_name",
        "string.well_known_regex.header_value",
    );
    rows.add(
        &field("well_known_regex: KNOWN_REGEX_HTTP_HEADER_NAME"),
        &["\"x-a\"", "\":path\""],
        &[("\"a b\"", name), ("", &format!("{name}_empty"))],
    );
    rows.add(
        &field("well_known_regex: KNOWN_REGEX_HTTP_HEADER_NAME strict: false"),
        &["\"a b\""],
        &[("\"a\\n\"", name)],
    );
    rows.add(
        &field("well_known_regex: KNOWN_REGEX_HTTP_HEADER_VALUE"),
        &["\"a\\tb\"", ""],
        &[("\"a\\u0001\"", value)],
    );
    rows.add(
        &field("well_known_regex: KNOWN_REGEX_HTTP_HEADER_VALUE strict: false"),
        &["\"a\\u0001\""],
        &[("\"a\\r\"", value)],
    );
    rows.check();
}

#[test]
fn bytes() {
    let mut rows = Rows::default();
    let field = |rules: &str| rule("bytes", &format!("bytes = {{{rules}}}"));
    // YWI= is "ab", /w== is 0xff, AQIDBA== has four bytes.
    rows.add(
        &field("const: 'ab'"),
        &["\"YWI=\""],
        &[("\"YQ==\"", "bytes.const")],
    );
    rows.add(
        &field("len: 2"),
        &["\"YWI=\""],
        &[("\"YQ==\"", "bytes.len")],
    );
    rows.add(
        &field("min_len: 2"),
        &["\"YWI=\""],
        &[("\"YQ==\"", "bytes.min_len")],
    );
    rows.add(
        &field("max_len: 1"),
        &["\"YQ==\""],
        &[("\"YWI=\"", "bytes.max_len")],
    );
    rows.add(
        &field("pattern: '^a'"),
        &["\"YWI=\""],
        &[("\"/w==\"", "bytes.pattern")],
    );
    rows.add(
        &field("prefix: 'a'"),
        &["\"YWI=\""],
        &[("\"/w==\"", "bytes.prefix")],
    );
    rows.add(
        &field("suffix: 'b'"),
        &["\"YWI=\""],
        &[("\"YQ==\"", "bytes.suffix")],
    );
    rows.add(
        &field("contains: 'b'"),
        &["\"YWI=\""],
        &[("\"YQ==\"", "bytes.contains")],
    );
    rows.add(
        &field("in: ['ab', 'c']"),
        &["\"YWI=\""],
        &[("\"YQ==\"", "bytes.in")],
    );
    rows.add(
        &field("not_in: ['a']"),
        &["\"YWI=\""],
        &[("\"YQ==\"", "bytes.not_in")],
    );
    for (name, good) in [
        ("ip", "AQIDBA=="),
        ("ipv4", "AQIDBA=="),
        ("ipv6", "AAAAAAAAAAAAAAAAAAAAAA=="),
        ("uuid", "AAAAAAAAAAAAAAAAAAAAAA=="),
    ] {
        rows.add(
            &field(&format!("{name}: true")),
            &[&format!("{good:?}")],
            &[
                ("\"YWI=\"", &format!("bytes.{name}")),
                ("", &format!("bytes.{name}_empty")),
            ],
        );
    }
    rows.check();
}
