//! Pages of other origins, and OPTIONS.

use http::Request;

use crate::support::stranger::Upstream;
use crate::support::{Gateway, Reply};

const SHOP: &str = "https://shop.example";

async fn gateway(upstream: &Upstream, keys: &[(&str, &str)]) -> Gateway {
    Gateway::ready_with(&[upstream.address], keys).await
}

async fn preflight(gateway: &Gateway, path: &str, origin: &str, method: &str) -> Reply {
    let request = Request::options(path)
        .header("origin", origin)
        .header("access-control-request-method", method)
        .header("access-control-request-headers", "x-custom")
        .header("access-control-request-private-network", "true");
    gateway.ask(request).await
}

#[tokio::test]
async fn a_preflight_is_answered_by_the_routes_of_its_path() {
    let upstream = Upstream::start().await;
    let gateway = gateway(&upstream, &[("cors.allowed_origins", SHOP)]).await;
    for (path, method, methods) in [
        ("/v1/greetings", "POST", "POST"),
        ("/v1/files/page", "GET", "GET, HEAD, POST"),
        ("/stranger.v1.StrangerService/Greet", "POST", "POST"),
        ("/v1/nowhere", "GET", ""),
    ] {
        let reply = preflight(&gateway, path, SHOP, method).await;
        assert_eq!(reply.status, 204, "{path}");
        assert_eq!(
            reply.header("access-control-allow-methods"),
            methods,
            "{path}"
        );
        assert_eq!(reply.header("access-control-allow-origin"), SHOP);
        assert_eq!(reply.header("access-control-max-age"), "7200");
        let headers = reply.header("access-control-allow-headers");
        for name in ["x-grpc-web", "connect-protocol-version", "content-type"] {
            assert!(headers.contains(name), "{headers}");
        }
        let vary = reply.header("vary");
        assert!(
            vary.contains("origin") && vary.contains("request-method"),
            "{vary}"
        );
        assert_eq!(reply.header("access-control-allow-private-network"), "");
        assert_eq!(reply.header("access-control-allow-credentials"), "");
    }
    let reply = preflight(&gateway, "/v1/greetings", "https://evil.example", "POST").await;
    assert_eq!(reply.header("access-control-allow-origin"), "");
    assert_eq!(reply.header("access-control-allow-methods"), "");
    assert!(reply.header("vary").contains("origin"));
}

#[tokio::test]
async fn a_page_reads_the_answer_only_where_its_origin_may() {
    let upstream = Upstream::start().await;
    let keys = [
        ("cors.allowed_origins", "https://*.shop.example"),
        ("cors.allow_credentials", "true"),
    ];
    let gateway = gateway(&upstream, &keys).await;
    for (origin, allowed) in [
        ("https://a.shop.example", "https://a.shop.example"),
        ("https://evil.example", ""),
        ("null", ""),
    ] {
        for path in ["/v1/greetings/a", "/v1/counts/1", "/v1/nowhere"] {
            let reply = gateway
                .ask(Request::get(path).header("origin", origin))
                .await;
            assert_eq!(
                reply.header("access-control-allow-origin"),
                allowed,
                "{path}"
            );
            let credentials = if allowed.is_empty() { "" } else { "true" };
            assert_eq!(
                reply.header("access-control-allow-credentials"),
                credentials
            );
            let exposes = reply
                .header("access-control-expose-headers")
                .contains("etag");
            assert_eq!(exposes, !allowed.is_empty());
            let varies = reply
                .headers
                .get_all("vary")
                .iter()
                .any(|vary| vary == "origin");
            assert!(varies, "{reply:?}");
        }
    }
    let reply = gateway.get("/v1/greetings/a").await;
    assert_eq!(reply.header("access-control-allow-origin"), "");
    assert!(
        reply
            .headers
            .get_all("vary")
            .iter()
            .any(|vary| vary == "origin")
    );
}

#[tokio::test]
async fn configured_methods_any_header_and_any_origin() {
    let upstream = Upstream::start().await;
    let keys = [
        ("cors.allowed_origins", "*"),
        ("cors.allowed_methods", "GET"),
        ("cors.allowed_headers", "*"),
        ("cors.allow_private_network", "true"),
    ];
    let gateway = gateway(&upstream, &keys).await;
    let reply = preflight(&gateway, "/v1/greetings", SHOP, "POST").await;
    assert_eq!(reply.header("access-control-allow-origin"), "*");
    assert_eq!(reply.header("access-control-allow-methods"), "GET");
    assert_eq!(reply.header("access-control-allow-headers"), "x-custom");
    assert_eq!(reply.header("access-control-allow-private-network"), "true");
    let reply = gateway
        .ask(Request::get("/v1/greetings/a").header("origin", SHOP))
        .await;
    assert_eq!(reply.header("access-control-allow-origin"), "*");
    assert_eq!(reply.header("vary"), "");
}

#[tokio::test]
async fn options_without_a_preflight_tell_what_the_path_allows() {
    let upstream = Upstream::start().await;
    for keys in [&[][..], &[("cors.allowed_origins", SHOP)]] {
        let gateway = gateway(&upstream, keys).await;
        let request = Request::options("/v1/files/page").header("origin", SHOP);
        let reply = gateway.ask(request).await;
        assert_eq!(
            (reply.status.as_u16(), reply.header("allow")),
            (204, "GET, HEAD, POST, OPTIONS")
        );
        assert_eq!(reply.header("access-control-allow-methods"), "");
        let reply = gateway.ask(Request::options("/v1/nowhere")).await;
        assert_eq!(reply.status, 404);
    }
}

#[tokio::test]
async fn without_origins_there_is_no_cors() {
    let upstream = Upstream::start().await;
    let gateway = gateway(&upstream, &[]).await;
    let reply = preflight(&gateway, "/v1/greetings", SHOP, "POST").await;
    assert_eq!(
        (
            reply.header("allow"),
            reply.header("access-control-allow-origin")
        ),
        ("POST, OPTIONS", "")
    );
    let reply = gateway
        .ask(Request::get("/v1/greetings/a").header("origin", SHOP))
        .await;
    assert_eq!(
        (
            reply.header("vary"),
            reply.header("access-control-allow-origin")
        ),
        ("", "")
    );
}
