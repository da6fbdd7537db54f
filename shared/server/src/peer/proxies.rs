//! The header fields by which proxies tell a server about the client and the request that they have
//! received.

use std::borrow::Cow;

/// Names after `x-`, or what they begin with.
const EXTENDED: [&str; 44] = [
    "amzn-mtls-",
    "amzn-oidc-",
    "anonymous-consumer",
    "apigateway-api-userinfo",
    "appengine-",
    "arr-",
    "auth-request-",
    "authenticated-",
    "authentik-",
    "azure-",
    "cdn-src-ip",
    "client-cert",
    "client-dn",
    "client-ip",
    "client-port",
    "client-tls",
    "client-verify",
    "cluster-client-",
    "coming-from",
    "consumer-",
    "endpoint-api-userinfo",
    "envoy-",
    "forwarded",
    "goog-authenticated-user-",
    "goog-iap-",
    "host-override",
    "http-forwarded",
    "http-host-override",
    "ms-client-principal",
    "nf-client-",
    "original-",
    "originating-",
    "pomerium-",
    "proxyuser-",
    "real-",
    "remote-",
    "rewrite-url",
    "scheme",
    "ssl-",
    "tls-",
    "true-client-",
    "url-scheme",
    "vercel-",
    "webauth-",
];

/// Returns whether a header field is one of those that only proxies send: the client's address,
/// certificate or identity, or the request as the client sent it (`forwarded` of RFC 7239,
/// `client-cert` of RFC 9440, `x-forwarded-*`, `x-real-ip`, `x-envoy-*` and their kin).
///
/// `name` is in lower case. `_` is read as `-`, as CGI and its successors do (RFC 3875 §4.1.18),
/// and `-bin` of gRPC metadata is no other name.
pub fn is_of_proxies(name: &str) -> bool {
    let name = match name.contains('_') {
        true => Cow::Owned(name.replace('_', "-")),
        false => Cow::Borrowed(name),
    };
    let begins = |families: &[&str]| families.iter().any(|family| name.starts_with(family));
    match name.as_bytes().first() {
        Some(b'a') => begins(&["akamai-", "ali-cdn-"]),
        Some(b'c') => begins(&["cf-", "client-cert", "client-ip", "cloudfront-"]),
        Some(b'f') => begins(&["fastly-", "fly-", "forwarded", "front-end-https"]),
        Some(b'i') => begins(&["incap-"]),
        Some(b'l') => begins(&["l5d-"]),
        Some(b'p') => begins(&["proxy-client-"]),
        Some(b'r') => begins(&["remote-"]),
        Some(b's') => begins(&["ssl-client-"]),
        Some(b't') => begins(&["true-client-"]),
        Some(b'w') => begins(&["wl-proxy-"]),
        Some(b'x') => {
            let extended = name.strip_prefix("x-");
            extended.is_some_and(|name| EXTENDED.iter().any(|family| name.starts_with(family)))
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_proxies_are_known_in_every_spelling() {
        for name in [
            "forwarded",
            "x-forwarded-for",
            "x-forwarded-client-cert",
            "x_forwarded_for",
            "x-forwarded_proto-bin",
            "x-real-ip",
            "x-original-url",
            "x-envoy-external-address",
            "x-cluster-client-ip",
            "true-client-ip",
            "cf-connecting-ip",
            "client-cert-chain",
            "fly-client-ip",
            "l5d-client-id",
            "remote-user",
            "x-consumer-username",
            "x-scheme",
        ] {
            assert!(is_of_proxies(name), "{name}");
        }
        for name in [
            "",
            "x-",
            "x-request-id",
            "x-client-version",
            "authorization",
            "content-type",
            "cookie",
            "origin",
            "te",
            "traceparent",
            "x-grpc-web",
        ] {
            assert!(!is_of_proxies(name), "{name}");
        }
    }
}
