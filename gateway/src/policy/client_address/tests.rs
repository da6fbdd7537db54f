//! Trusted and untrusted peers, and the headers passed on.

use std::sync::Arc;

use chassis::server::{Certificate, Session};

use super::*;

/// Returns the client and the forwarding headers of a request from `peer` with these headers.
fn identify(peer: &str, sent: &[(&str, &str)]) -> (String, Vec<(String, String)>) {
    let trust = ["10.0.0.0/8", "::1", "192.0.2.1"].map(str::to_owned);
    let mut request = Request::get("/v1/x").header("host", "a:80");
    for (name, value) in sent {
        request = request.header(*name, *value);
    }
    let peer = Peer {
        address: SocketAddr::new(peer.parse().unwrap(), 1234),
        tls: None,
    };
    let mut request = request.extension(peer).body(()).unwrap();
    TrustedProxies::parse(&trust)
        .unwrap()
        .identify(&mut request);
    request.headers_mut().remove(HOST);
    let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
    let headers = request.headers().iter();
    let mut headers: Vec<_> = headers
        .map(|(name, value)| (name.to_string(), text(value)))
        .collect();
    headers.sort();
    let client = request.extensions().get::<ClientAddress>().unwrap();
    (client.address.to_string(), headers)
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

#[test]
fn a_client_is_its_certificate_unless_that_is_a_proxys() {
    let certificate = Certificate {
        subject: "CN=orders".to_owned(),
        dns_names: Vec::new(),
        uris: Vec::new(),
        emails: Vec::new(),
        addresses: Vec::new(),
        not_after: None,
        der: Vec::new().into(),
    };
    let session = Arc::new(Session {
        server_name: None,
        certificate: Some(certificate),
    });
    let orders = Client::Certificate("CN=orders".into());
    let address = |text: &str| Client::at(text.parse().unwrap());
    for (peer, tls, expected) in [
        ("203.0.113.9", None, address("203.0.113.9")),
        ("203.0.113.9", Some(session.clone()), orders),
        ("10.1.2.3", Some(session), address("2001:db8:0:1::7")),
    ] {
        let peer = SocketAddr::new(peer.parse().unwrap(), 1234);
        let request = Request::get("/").header("x-forwarded-for", "2001:db8:0:1::1");
        let request = request.extension(Peer { address: peer, tls });
        let mut request = request.body(()).unwrap();
        let trust = TrustedProxies::parse(&["10.0.0.0/8".to_owned()]).unwrap();
        trust.identify(&mut request);
        assert_eq!(request.extensions().get::<Client>(), Some(&expected));
    }
}

#[test]
fn what_a_stranger_says_is_replaced() {
    let lies = [
        ("x-forwarded-for", "1.1.1.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "evil"),
        ("forwarded", "for=1.1.1.1"),
        ("x-real-ip", "1.1.1.1"),
        ("x-forwarded-prefix", "/evil"),
    ];
    let (client, headers) = identify("203.0.113.9", &lies);
    assert_eq!(client, "203.0.113.9");
    let truth = pairs(&[
        ("forwarded", "for=203.0.113.9;proto=http;host=\"a:80\""),
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-host", "a:80"),
        ("x-forwarded-proto", "http"),
    ]);
    assert_eq!(headers, truth);
}

#[test]
fn what_a_trusted_proxy_says_is_continued() {
    let said = [
        ("x-forwarded-for", "198.51.100.7"),
        ("x-forwarded-for", "10.9.9.9"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "shop.example"),
    ];
    let (client, headers) = identify("::ffff:10.0.0.1", &said);
    assert_eq!(client, "198.51.100.7");
    let continued = pairs(&[
        ("forwarded", "for=10.0.0.1;proto=http;host=\"a:80\""),
        ("x-forwarded-for", "198.51.100.7, 10.9.9.9, 10.0.0.1"),
        ("x-forwarded-host", "shop.example"),
        ("x-forwarded-proto", "https"),
    ]);
    assert_eq!(headers, continued);
}

#[test]
fn the_client_is_the_last_hop_that_nobody_trusts() {
    let client = |sent: &[(&str, &str)]| identify("::1", sent).0;
    for (list, expected) in [
        ("1.1.1.1, 198.51.100.7", "198.51.100.7"),
        ("1.1.1.1, 198.51.100.7, 10.1.1.1, 192.0.2.1", "198.51.100.7"),
        ("198.51.100.7:4711", "198.51.100.7"),
        ("[2001:db8::1]:4711, 10.1.1.1", "2001:db8::1"),
        ("10.2.2.2, 10.1.1.1", "10.2.2.2"),
        ("1.1.1.1, unknown, 10.1.1.1", "10.1.1.1"),
        ("unknown", "::1"),
        ("", "::1"),
    ] {
        assert_eq!(client(&[("x-forwarded-for", list)]), expected, "{list}");
    }
    let standard = "for=1.1.1.1, For=\"[2001:db8::1]:80\";proto=https, by=x;for=10.1.1.1";
    assert_eq!(client(&[("forwarded", standard)]), "2001:db8::1");
    assert_eq!(
        client(&[("forwarded", "for=_hidden, for=10.1.1.1")]),
        "10.1.1.1"
    );
}

#[test]
fn a_proxy_that_is_no_address_is_named() {
    let error =
        TrustedProxies::parse(&["10.0.0.0/8".to_owned(), "proxy.internal".to_owned()]).unwrap_err();
    assert_eq!(error.key, "trusted_proxies");
    assert!(error.problem.contains("proxy.internal"), "{error}");
}

#[test]
fn the_origin_is_the_one_that_was_asked() {
    let origin_of = |uri: &str, headers: &[(&str, &str)]| {
        let mut request = Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        origin(&request.body(()).unwrap().into_parts().0)
    };
    let of_host = |host: &str| origin_of("/openapi.json", &[("host", host)]);
    assert_eq!(of_host("a.test:81").as_deref(), Some("http://a.test:81"));
    assert_eq!(
        origin_of("https://b.test/openapi.json", &[]).as_deref(),
        Some("https://b.test")
    );
    let behind = [
        ("host", "10.0.0.7:8080"),
        ("x-forwarded-host", "shop.test"),
        ("x-forwarded-proto", "https"),
    ];
    assert_eq!(
        origin_of("/openapi.json", &behind).as_deref(),
        Some("https://shop.test")
    );
    let chain = [
        ("x-forwarded-host", "shop.test, inner"),
        ("x-forwarded-proto", "https,http"),
    ];
    assert_eq!(
        origin_of("/openapi.json", &chain).as_deref(),
        Some("https://shop.test")
    );
    for host in ["", "a\"b", "user@a.test", "a b"] {
        assert_eq!(of_host(host), None, "{host}");
    }
}
