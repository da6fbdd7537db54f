//! The gateway's own pages: the OpenAPI document, the explorer, and reflection.

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use tokio::net::TcpListener;

use crate::support::stranger::{Reflection, Upstream, descriptors};
use crate::support::{Gateway, Reply, eventually};

const DOCUMENT: &str = "/openapi.json";

async fn ask(gateway: &Gateway, method: Method, path: &str, headers: &[(&str, &str)]) -> Reply {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    gateway
        .send(request.body(Full::<Bytes>::default()).unwrap())
        .await
}

#[tokio::test]
async fn the_document_describes_the_api_at_the_host_that_was_asked() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let reply = ask(&gateway, Method::GET, DOCUMENT, &[("host", "api.test:81")]).await;
    assert_eq!(
        (reply.status, reply.header("content-type")),
        (StatusCode::OK, "application/json")
    );
    let document = reply.json();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["servers"][0]["url"], "http://api.test:81");
    assert_eq!(document["info"]["title"], "Stranger");
    let operation = &document["paths"]["/v1/greetings/{name}"]["get"];
    assert_eq!(
        operation["x-grpc-method"],
        "/stranger.v1.StrangerService/Greet"
    );
}

#[tokio::test]
async fn the_document_names_the_server_as_a_trusted_proxy_does() {
    let upstream = Upstream::start().await;
    let behind = [
        ("host", "10.0.0.7:8080"),
        ("x-forwarded-host", "shop.test"),
        ("x-forwarded-proto", "https"),
    ];
    for (trusted, server) in [
        ("127.0.0.0/8", "https://shop.test"),
        ("10.0.0.0/8", "http://10.0.0.7:8080"),
    ] {
        let keys = [("trusted_proxies", trusted)];
        let gateway = Gateway::start(&[upstream.address], &keys).await;
        gateway.wait_until_ready().await;
        let document = ask(&gateway, Method::GET, DOCUMENT, &behind).await.json();
        assert_eq!(document["servers"][0]["url"], server);
    }
}

#[tokio::test]
async fn who_has_the_document_is_not_sent_it_again() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let first = ask(&gateway, Method::GET, DOCUMENT, &[("host", "a.test")]).await;
    let tag = first.header("etag").to_owned();
    assert!(tag.starts_with('"'), "a weak tag: {tag}");
    let again = [("host", "a.test"), ("if-none-match", &*tag)];
    let again = ask(&gateway, Method::GET, DOCUMENT, &again).await;
    assert_eq!(
        (again.status, again.header("etag")),
        (StatusCode::NOT_MODIFIED, &*tag)
    );
    assert!(again.body.is_empty());
    let elsewhere = [("host", "b.test"), ("if-none-match", &*tag)];
    let elsewhere = ask(&gateway, Method::GET, DOCUMENT, &elsewhere).await;
    assert_eq!(elsewhere.status, StatusCode::OK);
    let head = ask(&gateway, Method::HEAD, DOCUMENT, &[("host", "a.test")]).await;
    assert_eq!(head.header("etag"), tag);
    assert_eq!(head.header("content-length"), first.body.len().to_string());
}

#[tokio::test]
async fn another_schema_has_another_document() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let before = Upstream::serve(listener, descriptors("other"), Reflection::V1);
    // The new one has nothing of the old.
    let allow = [("schema.breaking_changes", "allow")];
    let gateway = Gateway::start(&[address], &allow).await;
    gateway.wait_until_ready().await;
    let tag = gateway.get(DOCUMENT).await.header("etag").to_owned();
    drop(before);
    let listener = eventually("the port is free", async || {
        TcpListener::bind(address).await
    })
    .await;
    let _after = Upstream::serve(listener, descriptors("stranger"), Reflection::V1);
    eventually("the new document", async || {
        let reply = ask(&gateway, Method::GET, DOCUMENT, &[("if-none-match", &*tag)]).await;
        let is_new =
            reply.status == 200 && reply.json()["paths"].get("/v1/greetings/{name}").is_some();
        is_new.then_some(()).ok_or(reply.status)
    })
    .await;
}

#[tokio::test]
async fn a_document_of_one_service_has_nothing_else() {
    let upstream = Upstream::start().await;
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let other = Upstream::serve(other, descriptors("other"), Reflection::V1);
    let gateway = Gateway::ready(&[upstream.address, other.address]).await;
    let paths = async |query: &str| -> Vec<String> {
        let reply = gateway.get(&format!("{DOCUMENT}{query}")).await;
        let document = reply.json();
        document["paths"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect()
    };
    let all = paths("").await;
    let one = paths("?service=stranger.v1.StrangerService").await;
    assert!(one.contains(&"/v1/greetings/{name}".to_owned()), "{one:?}");
    assert!(!one.contains(&"/v1/ping".to_owned()), "{one:?}");
    assert!(all.len() > one.len(), "{all:?}");
    let unknown = gateway.get("/openapi.json?service=made.up.Service").await;
    unknown.assert_error(404, tonic::Code::NotFound, "UNKNOWN_SERVICE");
}

#[tokio::test]
async fn document_and_explorer_can_be_switched_off() {
    let upstream = Upstream::start().await;
    let off = [("openapi.document", "false"), ("openapi.explorer", "false")];
    let gateway = Gateway::start(&[upstream.address], &off).await;
    gateway.wait_until_ready().await;
    for path in [DOCUMENT, "/docs", "/docs/"] {
        let reply = gateway.get(path).await;
        reply.assert_error(404, tonic::Code::NotFound, "ROUTE_NOT_FOUND");
    }
}

#[tokio::test]
async fn the_explorer_needs_nothing_from_elsewhere() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let root = gateway.get("/docs").await;
    assert_eq!(
        (root.status.as_u16(), root.header("location")),
        (308, "docs/")
    );
    let page = gateway.get("/docs/").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let policy = page.header("content-security-policy");
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self';"),
        "{policy}"
    );
    let html = page.text();
    let assets: Vec<&str> = html
        .split(['"'])
        .filter(|text| text.ends_with(".js") || text.ends_with(".css") || text.ends_with(".png"))
        .collect();
    assert_eq!(assets.len(), 5, "{html}");
    for asset in assets {
        assert!(!asset.contains("//"), "{asset} is elsewhere");
        let reply = gateway.get(&format!("/docs/{asset}")).await;
        let expected = match asset.rsplit_once('.').unwrap().1 {
            "js" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            _ => "image/png",
        };
        assert_eq!(
            (reply.status.as_u16(), reply.header("content-type")),
            (200, expected),
            "{asset}"
        );
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert!(!reply.body.is_empty(), "{asset}");
        let tag = reply.header("etag");
        let path = format!("/docs/{asset}");
        let again = ask(&gateway, Method::GET, &path, &[("if-none-match", tag)]).await;
        assert_eq!(again.status, StatusCode::NOT_MODIFIED, "{asset}");
    }
    assert_eq!(gateway.get("/docs/made-up.js").await.status, 404);
}

#[tokio::test]
async fn reflection_and_probes_live_on_one_port() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    for path in ["/healthz", "/readyz"] {
        let (reply, _connection) = gateway
            .open_http2(Request::get(path).body(Full::<Bytes>::default()).unwrap())
            .await;
        assert_eq!(reply.status(), StatusCode::OK, "{path} over HTTP/2");
    }
    let mut client =
        tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient::new(
            gateway.grpc().await,
        );
    let ask = |message_request| tonic_reflection::pb::v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(message_request),
    };
    use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
    let request = tokio_stream::once(ask(MessageRequest::ListServices(String::new())));
    let mut answers = client
        .server_reflection_info(request)
        .await
        .unwrap()
        .into_inner();
    let answer = answers.message().await.unwrap().unwrap();
    assert!(
        format!("{answer:?}").contains("stranger.v1.StrangerService"),
        "{answer:?}"
    );
}
