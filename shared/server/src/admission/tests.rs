//! What is refused, with its status; over real sockets this is tested with the gateway.

use super::*;

const BOUNDS: Bounds = Bounds {
    max_headers: 3,
    max_target_bytes: 20,
};

fn check(version: Version, target: &str, headers: &[(&str, &str)]) -> Result<(), u16> {
    let mut request = Request::get(target).version(version);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let outcome = BOUNDS.check(&request.body(()).unwrap());
    outcome.map_err(|Refusal(status, _)| status.as_u16())
}

#[test]
fn one_host_is_said_once_or_twice_the_same() {
    let (one, two) = (Version::HTTP_11, Version::HTTP_2);
    for (version, target, headers, expected) in [
        (one, "/a", &[("host", "a:1")][..], Ok(())),
        (one, "/a", &[("host", "")], Ok(())),
        (Version::HTTP_10, "/a", &[], Ok(())),
        (one, "/a", &[], Err(400)),
        (one, "/a", &[("host", "a"), ("host", "a")], Err(400)),
        (one, "/a", &[("host", "a/b")], Err(400)),
        (one, "/a", &[("host", "user@a")], Err(400)),
        (one, "http://a/b", &[("host", "A")], Ok(())),
        (one, "http://a/b", &[("host", "b")], Err(400)),
        (two, "http://a/b", &[], Ok(())),
        (two, "http://a/b", &[("host", "a")], Ok(())),
        (two, "http://a/b", &[("host", "b")], Err(400)),
        (two, "http://x@a/b", &[], Err(400)),
    ] {
        assert_eq!(
            check(version, target, headers),
            expected,
            "{version:?} {target} {headers:?}"
        );
    }
}

#[test]
fn a_request_is_bounded_and_has_no_coding_that_is_not_decoded() {
    let long = "/123456789012345678901";
    for (target, headers, expected) in [
        (long, &[("host", "a")][..], Err(414)),
        (
            "/a",
            &[("host", "a"), ("x", "1"), ("x", "2"), ("y", "3")],
            Err(431),
        ),
        ("/a", &[("host", "a"), ("expect", "100-Continue")], Ok(())),
        ("/a", &[("host", "a"), ("expect", "tea")], Err(417)),
        (
            "/a",
            &[("host", "a"), ("transfer-encoding", "Chunked")],
            Ok(()),
        ),
        (
            "/a",
            &[("host", "a"), ("transfer-encoding", "gzip, chunked")],
            Err(501),
        ),
        (
            "/a",
            &[
                ("host", "a"),
                ("transfer-encoding", "gzip"),
                ("transfer-encoding", "chunked"),
            ],
            Err(501),
        ),
    ] {
        assert_eq!(
            check(Version::HTTP_11, target, headers),
            expected,
            "{target} {headers:?}"
        );
    }
}
