//! Headers and metadata that pass, and their names.

use super::*;

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, HeaderValue::from_static(value));
    }
    headers
}

fn rules(dialect: Dialect) -> MetadataRules {
    let table: toml::Table = toml::from_str(crate::DEFAULTS).unwrap();
    let settings = table["metadata"].clone().try_into().unwrap();
    MetadataRules::new(&settings, dialect)
}

#[test]
fn only_allowed_headers_become_metadata() {
    let sent = headers(&[
        ("authorization", "Bearer x"),
        ("cookie", "a=b"),
        ("grpc-metadata-cookie", "a=b"),
        ("grpc-metadata-x-forwarded-for", "1.1.1.1"),
        ("grpc-metadata-x_real_ip", "1.1.1.1"),
        ("connection", "close"),
        ("grpc-metadata-tenant", "a"),
        ("grpc-metadata-tenant", "b"),
        ("grpc-metadata-grpc-timeout", "1S"),
        ("grpc-metadata-content-type", "text/plain"),
        ("last-event-id", "7"),
    ]);
    let expected = headers(&[
        ("authorization", "Bearer x"),
        ("tenant", "a"),
        ("tenant", "b"),
        ("last-event-id", "7"),
    ]);
    let rules = rules(Dialect::Strict);
    assert_eq!(rules.of_request(&sent).unwrap(), expected);
    let unprintable = headers(&[("x-request-id", "a\tb")]);
    assert!(rules.of_request(&unprintable).is_err());
}

#[test]
fn binary_metadata_is_one_value_each_without_padding() {
    let rules = rules(Dialect::Strict);
    let sent = headers(&[
        ("grpc-metadata-x-bin", "YQ==,YmI, Y2Nj"),
        ("grpc-metadata-x-bin", ""),
    ]);
    let expected = headers(&[
        ("x-bin", "YQ"),
        ("x-bin", "YmI"),
        ("x-bin", "Y2Nj"),
        ("x-bin", ""),
    ]);
    assert_eq!(rules.of_request(&sent).unwrap(), expected);
    let spoiled = headers(&[("grpc-metadata-x-bin", "a b")]);
    assert!(rules.of_request(&spoiled).is_err());
}

#[test]
fn metadata_of_the_upstream_are_named_by_the_dialect() {
    let sent = headers(&[
        ("content-type", "application/grpc"),
        ("content-disposition", "attachment"),
        ("date", "today"),
        ("grpc-status", "0"),
        ("access-control-allow-origin", "*"),
        ("x-http-code", "201"),
        ("etag", "\"1\""),
        ("x-shard", "7"),
        ("x-shard", "8"),
    ]);
    for (dialect, shard) in [
        (Dialect::Strict, "x-shard"),
        (Dialect::GrpcGateway, "grpc-metadata-x-shard"),
    ] {
        let mut passed = HeaderMap::new();
        rules(dialect).add_headers(&sent, &mut passed);
        let expected = headers(&[
            ("content-disposition", "attachment"),
            ("etag", "\"1\""),
            (shard, "7"),
            (shard, "8"),
        ]);
        for name in expected.keys() {
            let (found, expected) = (passed.get_all(name), expected.get_all(name));
            assert!(found.iter().eq(expected), "{dialect:?} {name}");
        }
        let is_extra = |name: &&http::HeaderName| !expected.contains_key(*name);
        let extra: Vec<&str> = passed
            .keys()
            .filter(is_extra)
            .map(|name| name.as_str())
            .collect();
        let renamed: &[&str] = match dialect {
            Dialect::GrpcGateway => &["grpc-metadata-content-disposition", "grpc-metadata-etag"],
            _ => &[],
        };
        assert_eq!(extra, renamed);
    }
}

#[test]
fn a_status_is_one_that_ends_an_exchange() {
    for (value, expected) in [
        ("201", Some(201)),
        ("599", Some(599)),
        ("100", None),
        ("101", None),
        ("600", None),
        ("99", None),
        ("ok", None),
    ] {
        let code = http_code(&headers(&[("x-http-code", value)]));
        assert_eq!(code.map(|code| code.as_u16()), expected, "{value}");
    }
}

#[test]
fn connection_headers_end_at_the_gateway() {
    let mut sent = headers(&[
        ("connection", "close, x-kept"),
        ("te", "trailers"),
        ("x-kept", "2"),
    ]);
    strip_hop_by_hop(&mut sent);
    assert_eq!(sent, headers(&[("x-kept", "2")]));
}
