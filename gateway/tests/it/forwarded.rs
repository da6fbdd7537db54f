//! Headers that only the gateway and its proxies may send, with and without trusted proxies, in
//! every protocol.

use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};

use crate::grpc_web::frame;
use crate::support::Gateway;
use crate::support::forms::{self, forms, handshake};
use crate::support::messages::GreetRequest;
use crate::support::stranger::Upstream;

const GREET: &str = "/stranger.v1.StrangerService/Greet";

/// Headers of proxies; the gateway itself sets the first four.
const OF_PROXIES: [&str; 24] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-user",
    "x-forwarded-client-cert",
    "x-real-ip",
    "x-original-forwarded-for",
    "x-original-host",
    "x-original-uri",
    "x-originating-ip",
    "x-remote-addr",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-envoy-external-address",
    "x-ssl-client-verify",
    "x-auth-request-user",
    "client-ip",
    "client-cert",
    "true-client-ip",
    "cf-connecting-ip",
    "fastly-client-ip",
];

/// The metadata that the upstream gets in each protocol for a call with these headers.
async fn received(
    upstream: &Upstream,
    gateway: &Gateway,
    headers: &[(&str, &str)],
) -> Vec<(&'static str, HeaderMap)> {
    let mut received = Vec::new();
    for form in forms() {
        let reply = form.send(gateway, headers).await;
        assert_eq!(reply.status, 200, "{}: {reply:?}", form.name);
        received.push((form.name, upstream.received()));
    }
    assert_eq!(handshake(gateway, headers).await.0, 101);
    received.push(("WebSocket", upstream.received()));
    received
}

#[tokio::test]
async fn the_upstream_learns_who_the_client_is() {
    let upstream = Upstream::start().await;
    for (trusted, chain, proto) in [
        ("10.0.0.0/8", "127.0.0.1", "http"),
        ("127.0.0.0/8", "198.51.100.7, 127.0.0.1", "https"),
    ] {
        let keys = [("trusted_proxies", trusted)];
        let gateway = Gateway::start(&[upstream.address], &keys).await;
        gateway.wait_until_ready().await;
        let request = Request::get("/v1/greetings/a")
            .header("host", "shop.test")
            .header("x-forwarded-for", "198.51.100.7")
            .header("x-forwarded-proto", "https");
        let reply = gateway.send(request.body(Full::default()).unwrap()).await;
        let metadata = &reply.json()["metadata"];
        assert_eq!(metadata["x-forwarded-for"], chain, "{reply:?}");
        assert_eq!(metadata["x-forwarded-proto"], proto);
        assert_eq!(metadata["x-forwarded-host"], "shop.test");
        let forwarded = "for=127.0.0.1;proto=http;host=\"shop.test\"";
        assert_eq!(metadata["forwarded"], forwarded);

        let mut message = tonic::Request::new(GreetRequest::default());
        let forged = "198.51.100.7".parse().unwrap();
        message.metadata_mut().insert("x-forwarded-for", forged);
        let mut client = tonic::client::Grpc::new(gateway.grpc().await);
        client.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::default();
        let path = http::uri::PathAndQuery::from_static(GREET);
        let reply = client.unary(message, path, codec).await.unwrap();
        let reply: crate::support::messages::GreetResponse = reply.into_inner();
        assert_eq!(reply.metadata["x-forwarded-for"], chain);
    }
}

#[tokio::test]
async fn a_caller_does_not_speak_for_a_proxy_in_any_protocol() {
    let upstream = forms::upstream().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    for spell in [
        str::to_owned as fn(&str) -> String,
        |name| name.replace('-', "_"),
        |name| format!("{name}-bin"),
        |name| format!("Grpc-Metadata-{name}"),
        |name| format!("grpc-metadata-{}", name.replace('-', "_")),
        |name| format!("GRPC-METADATA-{name}-bin"),
    ] {
        let names = OF_PROXIES.map(spell);
        let forged: Vec<(&str, &str)> = names.iter().map(|name| (&**name, "Zm9v")).collect();
        for (form, metadata) in received(&upstream, &gateway, &forged).await {
            for name in OF_PROXIES {
                for spelt in [name, &name.replace('-', "_"), &format!("{name}-bin")] {
                    let mut values = metadata.get_all(spelt).iter();
                    let is_forged = values.any(|value| value == "Zm9v");
                    assert!(!is_forged, "{form}: {spelt} by {}", names[0]);
                }
            }
            assert_eq!(metadata["x-forwarded-for"], "127.0.0.1", "{form}");
            assert_eq!(metadata["x-forwarded-proto"], "http", "{form}");
            let forwarded = metadata["forwarded"].to_str().unwrap();
            assert!(forwarded.starts_with("for=127.0.0.1;"), "{form}");
        }
    }
}

#[tokio::test]
async fn a_caller_does_not_take_away_what_the_gateway_sets() {
    let upstream = forms::upstream().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let named = "x-forwarded-for, X-Forwarded-Proto,x-forwarded-host, forwarded, content-type, \
        content-length, host, te, traceparent, x-own, x-request-id";
    let headers = [
        ("connection", named),
        ("x-own", "1"),
        ("x-request-id", "1"),
        ("te", "trailers"),
    ];
    for (form, metadata) in received(&upstream, &gateway, &headers).await {
        for name in ["x-forwarded-for", "x-forwarded-proto", "forwarded", "te"] {
            assert!(metadata.contains_key(name), "{form}: {name}");
        }
        for name in ["connection", "x-own", "x-request-id"] {
            assert!(!metadata.contains_key(name), "{form}: {name}");
        }
    }
}

#[tokio::test]
async fn what_a_caller_says_in_trailers_ends_at_the_gateway() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let gather = "/stranger.v1.StrangerService/Gather";
    for (path, content_type) in [
        (GREET, "application/grpc"),
        (GREET, "application/grpc-web"),
        (gather, "application/grpc"),
        (gather, "application/grpc-web"),
    ] {
        let message = GreetRequest {
            name: "a".to_owned(),
            ..Default::default()
        };
        let mut trailers = HeaderMap::new();
        for name in OF_PROXIES.iter().chain(&["authorization", "x-own"]) {
            trailers.insert(*name, HeaderValue::from_static("forged"));
        }
        let frames = [
            Frame::data(Bytes::from(frame(&message))),
            Frame::trailers(trailers),
        ];
        let body = StreamBody::new(tokio_stream::iter(frames.map(Ok::<_, Infallible>)));
        let request = Request::post(path)
            .header("content-type", content_type)
            .header("te", "trailers");
        let (response, _connection) = gateway.open_http2(request.body(body).unwrap()).await;
        let answer = response.into_body().collect().await.unwrap().to_bytes();
        assert!(!answer.is_empty(), "{path} {content_type}");
        let metadata = upstream.received();
        assert_eq!(metadata["x-forwarded-for"], "127.0.0.1");
        let forged = metadata.iter().find(|(_, value)| *value == "forged");
        assert_eq!(forged, None, "{path} {content_type}");
    }
}

#[tokio::test]
async fn a_trusted_proxy_is_heard_in_every_protocol() {
    let upstream = forms::upstream().await;
    let listed = OF_PROXIES.map(|name| format!("{name:?}")).join(", ");
    let file = format!(
        "upstreams = [\"http://{}\"]\nreflect_interval_ms = 20\n\
         trusted_proxies = [\"127.0.0.0/8\"]\n[metadata]\nrequest = [{listed}]\n",
        upstream.address
    );
    let gateway = Gateway::with_file(&file).await;
    gateway.wait_until_ready().await;
    // Its client can neither name what it adds nor say the same in metadata.
    let mut headers = vec![("connection", "x-forwarded-for, x-real-ip")];
    headers.extend(OF_PROXIES.map(|name| (name, "198.51.100.7")));
    let names = OF_PROXIES.map(|name| format!("grpc-metadata-{name}"));
    headers.extend(names.iter().map(|name| (&**name, "forged")));
    for (form, metadata) in received(&upstream, &gateway, &headers).await {
        for name in OF_PROXIES {
            let values: Vec<_> = metadata.get_all(name).iter().collect();
            let [value] = values[..] else {
                panic!("{form}: {name}: {values:?}");
            };
            let value = value.to_str().unwrap();
            assert!(value.starts_with("198.51.100.7"), "{form}: {name}: {value}");
        }
        assert_eq!(metadata["x-forwarded-for"], "198.51.100.7, 127.0.0.1");
    }
}

#[tokio::test]
async fn cookies_pass_only_if_they_are_listed_in_every_protocol() {
    let upstream = forms::upstream().await;
    for (keys, passes) in [
        (&[][..], false),
        (&[("metadata.request", "cookie")], true),
        (&[("metadata.request", "*")], true),
    ] {
        let gateway = Gateway::ready_with(&[upstream.address], keys).await;
        let headers = [("cookie", "session=1")];
        for (form, metadata) in received(&upstream, &gateway, &headers).await {
            assert_eq!(metadata.contains_key("cookie"), passes, "{form} {keys:?}");
        }
        let headers = [("grpc-metadata-cookie", "session=1")];
        for (form, metadata) in received(&upstream, &gateway, &headers).await {
            let is_there = metadata.contains_key("cookie");
            assert!(!is_there || passes, "{form} {keys:?}");
        }
    }
}

#[tokio::test]
async fn no_caller_speaks_for_a_process_in_any_protocol() {
    let upstream = forms::upstream().await;
    for keys in [
        &[][..],
        &[("metadata.request", "*")],
        &[("metadata.request", "mesh-*")],
    ] {
        let gateway = Gateway::ready_with(&[upstream.address], keys).await;
        for name in ["mesh-identity", "grpc-metadata-mesh-identity"] {
            for (form, metadata) in received(&upstream, &gateway, &[(name, "forged")]).await {
                assert!(!metadata.contains_key("mesh-identity"), "{form} {keys:?}");
            }
        }
    }
}
