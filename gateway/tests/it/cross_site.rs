//! Pages of other origins that make a browser send requests, and names that point to the gateway.

use http::{Method, Request};
use http_body_util::Full;
use tonic::Code;

use crate::support::forms::{self, forms, handshake};
use crate::support::stranger::Upstream;
use crate::support::{Gateway, Reply};

const EVIL: &str = "https://evil.example";

/// Bodies that a page may send to any origin without asking (Fetch §3.3.1), and one that it may
/// not.
const BODIES: [(Option<&str>, &str); 6] = [
    (None, r#"{"name":"a"}"#),
    (Some("text/plain"), r#"{"name":"a"}"#),
    (Some("application/x-www-form-urlencoded"), "name=a"),
    (
        Some("multipart/form-data; boundary=x"),
        "--x\r\ncontent-disposition: form-data; name=\"name\"\r\n\r\na\r\n--x--\r\n",
    ),
    (Some("application/json"), r#"{"name":"a"}"#),
    (Some("application/JSON; charset=utf-8"), r#"{"name":"a"}"#),
];

async fn post(
    gateway: &Gateway,
    (content_type, body): (Option<&str>, &'static str),
    headers: &[(&str, &str)],
) -> Reply {
    let mut request = Request::post("/v1/greetings");
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    gateway.send(request.body(Full::from(body)).unwrap()).await
}

#[tokio::test]
async fn what_a_page_of_another_origin_may_send_is_refused() {
    let upstream = Upstream::start().await;
    for dialect in ["strict", "grpc-gateway", "envoy"] {
        let keys = [
            ("dialect", dialect),
            ("cors.allowed_origins", "http://a.test"),
        ];
        let gateway = Gateway::ready_with(&[upstream.address], &keys).await;
        for body in BODIES {
            for headers in [
                &[("origin", EVIL)][..],
                &[("origin", "null")],
                &[("origin", "")],
                &[("origin", EVIL), ("sec-fetch-site", "cross-site")],
                &[
                    ("origin", "http://localhost:3000"),
                    ("sec-fetch-site", "same-site"),
                ],
                &[("sec-fetch-site", "cross-site")],
                &[("origin", EVIL), ("x-http-method-override", "GET")],
            ] {
                let reply = post(&gateway, body, headers).await;
                assert_eq!(reply.status, 403, "{dialect} {body:?} {headers:?}");
                reply.assert_error(403, Code::PermissionDenied, "CROSS_SITE");
                let allowed = reply.header("access-control-allow-origin");
                assert_eq!(allowed, "", "{headers:?}");
            }
        }
    }
}

#[tokio::test]
async fn each_protocol_refuses_such_a_page_in_its_own_form() {
    let upstream = forms::upstream().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let headers = [("origin", EVIL), ("sec-fetch-site", "cross-site")];
    for form in forms() {
        let before = upstream.greeted().len();
        let reply = form.send(&gateway, &headers).await;
        if form.method == Method::GET {
            assert_eq!(reply.status, 200, "{}", form.name);
            continue;
        }
        let said = match form.name {
            "JSON" => reply.json()["code"].to_string(),
            "Connect" | "Connect with proto" => reply.json()["code"].to_string(),
            name if name.starts_with("gRPC-Web text") => {
                use base64::Engine;
                let engine = base64::engine::general_purpose::STANDARD;
                String::from_utf8_lossy(&engine.decode(&reply.body).unwrap()).into_owned()
            }
            "gRPC-Web" | "Connect stream" => String::from_utf8_lossy(&reply.body).into_owned(),
            _ => format!("grpc-status: {}", reply.header("grpc-status")),
        };
        let expected = match form.name {
            "JSON" => "7",
            name if name.starts_with("Connect") => "permission_denied",
            _ => "grpc-status: 7",
        };
        assert!(said.contains(expected), "{}: {said}", form.name);
        assert_eq!(upstream.greeted().len(), before, "{}", form.name);
    }
    assert_eq!(handshake(&gateway, &headers).await.0, 403);
}

#[tokio::test]
async fn programs_own_pages_and_allowed_pages_send() {
    let upstream = forms::upstream().await;
    let keys = [("cors.allowed_origins", "https://*.shop.example")];
    let gateway = Gateway::ready_with(&[upstream.address], &keys).await;
    for headers in [
        &[][..],
        &[("host", "api.test"), ("origin", "http://api.test")],
        &[("host", "api.test"), ("origin", "https://api.test")],
        &[("host", "api.test:81"), ("origin", "http://api.test:81")],
        &[
            ("origin", "https://other.test"),
            ("sec-fetch-site", "same-origin"),
        ],
        &[("sec-fetch-site", "none")],
        &[("origin", "https://a.shop.example")],
        &[
            ("origin", "https://a.shop.example"),
            ("sec-fetch-site", "cross-site"),
        ],
    ] {
        for form in forms() {
            let reply = form.send(&gateway, headers).await;
            assert_eq!(reply.status, 200, "{} {headers:?}", form.name);
            let status = reply.header("grpc-status");
            assert!(matches!(status, "" | "0"), "{} {headers:?}", form.name);
        }
    }
    let any = [("cors.allowed_origins", "*")];
    let gateway = Gateway::ready_with(&[upstream.address], &any).await;
    let headers = [("origin", "null"), ("sec-fetch-site", "cross-site")];
    let reply = post(&gateway, BODIES[4], &headers).await;
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn the_host_of_a_trusted_proxy_is_the_gateways_own() {
    let upstream = Upstream::start().await;
    let headers = [
        ("origin", "https://shop.test"),
        ("host", "10.0.0.7:8080"),
        ("x-forwarded-host", "shop.test"),
        ("x-forwarded-proto", "https"),
    ];
    for (trusted, expected) in [("127.0.0.0/8", 200), ("10.0.0.0/8", 403)] {
        let keys = [("trusted_proxies", trusted)];
        let gateway = Gateway::ready_with(&[upstream.address], &keys).await;
        let reply = post(&gateway, BODIES[4], &headers).await;
        assert_eq!(reply.status, expected, "{trusted}");
        // The proxy says that pages have TLS.
        let plain = [&[("origin", "http://shop.test")], &headers[1..]].concat();
        assert_eq!(post(&gateway, BODIES[4], &plain).await.status, 403);
    }
}

#[tokio::test]
async fn pages_for_operators_are_there_under_hosts_of_this_machine_only() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let ask = async |headers: &[(&str, &str)]| {
        let mut request = Request::get("/-/schema");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        gateway.ask(request).await.status.as_u16()
    };
    for host in ["localhost", "127.0.0.1:8080", "[::1]", "LocalHost:1"] {
        assert_eq!(ask(&[("host", host)]).await, 200, "{host}");
    }
    for headers in [
        &[("host", "evil.example")][..],
        &[("host", "localhost.evil.example")],
        &[("host", "10.0.0.1")],
        &[("origin", EVIL)],
        &[("origin", "http://localhost")],
        &[("sec-fetch-site", "cross-site")],
        &[("x-forwarded-proto", "https")],
        &[("x-envoy-internal", "true")],
    ] {
        assert_eq!(ask(headers).await, 404, "{headers:?}");
    }
}

#[tokio::test]
async fn only_allowed_hosts_are_served() {
    let upstream = forms::upstream().await;
    let keys = [("listener.allowed_hosts", "api.test")];
    let gateway = Gateway::ready_with(&[upstream.address], &keys).await;
    for form in forms() {
        for (host, expected) in [("api.test", 200), ("API.test:81", 200), ("evil.test", 421)] {
            let reply = form.send(&gateway, &[("host", host)]).await;
            assert_eq!(reply.status, expected, "{} {host}", form.name);
        }
    }
    for path in ["/healthz", "/readyz", "/metrics", "/-/schema"] {
        assert_eq!(gateway.get(path).await.status, 200, "{path}");
    }
    let reply = gateway.get("/openapi.json").await;
    assert_eq!(reply.status, 421);
}
