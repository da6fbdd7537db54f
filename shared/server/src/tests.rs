//! A real server on a loopback port: layers, probes, health, reflection, limits, drain.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use rpc::error::reason;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_stream::StreamExt;
use tonic::{Code, Status};
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::service_fn;

mod bounds;
mod client;
mod observe;
mod overload;
mod torn;

use crate::testing::{self, COUNT, GET, Line, PUT, Put, Reply, Running, Shop, call};
use crate::{ListenerSettings, Server, Settings};

/// More than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn get(id: &str) -> testing::Get {
    testing::Get { id: id.to_owned() }
}

async fn patient<F: Future>(what: &str, future: F) -> F::Output {
    let outcome = tokio::time::timeout(PATIENCE, future).await;
    outcome.unwrap_or_else(|_| panic!("{what} took too long"))
}

async fn http_get(server: &Running, path: &str) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    patient("answer", stream.read_to_string(&mut answer))
        .await
        .unwrap();
    answer
}

#[tokio::test]
async fn serves_calls_and_unknown_methods() {
    let server = Running::start(Shop::echo().server(), testing::settings()).await;
    assert_eq!(
        call(&server.upstream(), GET, get("42")).await.unwrap(),
        "42"
    );
    let status = call(&server.upstream(), "/other.v1.Other/Get", get("42"))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    server.stop().await;
}

#[tokio::test]
async fn refuses_an_invalid_unary_request_before_the_handler() {
    let shop = Shop::new(async |_| -> Result<String, Status> { panic!("handler was called") });
    let server = Running::start(shop.server(), testing::settings()).await;
    let sku = "lower".to_owned();
    let lines = vec![Line { sku, quantity: 1 }];
    let put = Put {
        id: "abc".to_owned(),
        lines,
    };
    let status = call(&server.upstream(), PUT, put).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(reason(&status).as_deref(), Some("INVALID_FIELD"));
    let body = <tonic_types::Status as prost::Message>::decode(status.details()).unwrap();
    assert!(
        body.details
            .iter()
            .any(|any| any.type_url.ends_with("google.rpc.BadRequest"))
    );
    assert!(
        status.message().starts_with("lines[0].sku: does not match"),
        "{status:?}"
    );
    server.stop().await;
}

#[tokio::test]
async fn refuses_the_invalid_message_of_a_stream() {
    let server = Running::start(Shop::echo().server(), testing::settings()).await;
    for (last, expected) in [(1, Ok("3".to_owned())), (0, Err(Code::InvalidArgument))] {
        let lines = [1, 1000, last].map(|quantity| Line {
            sku: "A".to_owned(),
            quantity,
        });
        let mut client = tonic::client::Grpc::new(server.upstream());
        let codec = tonic_prost::ProstCodec::<Line, Reply>::default();
        let request = tonic::Request::new(tokio_stream::iter(lines));
        let path = http::uri::PathAndQuery::from_static(COUNT);
        client.ready().await.unwrap();
        let answer = client.client_streaming(request, path, codec).await;
        let outcome = answer.map(|reply| reply.into_inner().text);
        assert_eq!(outcome.map_err(|status| status.code()), expected);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_panicking_handler_answers_internal() {
    let shop = Shop::new(async |id| {
        if id == "bad" {
            panic!("as asked")
        } else {
            Ok(id)
        }
    });
    let server = Running::start(shop.server(), testing::settings()).await;
    let status = call(&server.upstream(), GET, get("bad")).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert_eq!(status.message(), "internal error");
    assert_eq!(
        call(&server.upstream(), GET, get("good")).await.unwrap(),
        "good"
    );
    server.stop().await;
}

#[tokio::test]
async fn answers_probes_over_http1() {
    let server = Running::start(Shop::echo().server(), testing::settings()).await;
    for path in ["/healthz", "/readyz"] {
        let answer = http_get(&server, path).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    }
    server.stop().await;
}

#[tokio::test]
async fn serves_any_http_service_beside_its_own() {
    let echo = service_fn(async |request: Request<Incoming>| {
        let peer = request
            .extensions()
            .get::<tonic::transport::server::TcpConnectInfo>();
        assert!(peer.is_some_and(|info| info.remote_addr().is_some()));
        Ok::<_, Infallible>(Response::new(Full::new(bytes::Bytes::from_static(b"mine"))))
    });
    let server = Server::from_service(echo)
        .ready_when(|| false)
        .add_service(Shop::echo());
    let server = Running::start(server, testing::settings()).await;
    assert!(http_get(&server, "/anything").await.ends_with("mine"));
    assert!(
        http_get(&server, "/healthz")
            .await
            .starts_with("HTTP/1.1 200")
    );
    assert!(
        http_get(&server, "/readyz")
            .await
            .starts_with("HTTP/1.1 503")
    );
    assert_eq!(call(&server.upstream(), GET, get("1")).await.unwrap(), "1");
    server.stop().await;
}

#[tokio::test]
async fn reflection_lists_what_is_served_in_both_versions_and_keeps_options() {
    use tonic_reflection::pb::{v1, v1alpha};

    let server = Running::start(Shop::echo().server(), testing::settings()).await;
    let upstream = server.upstream();
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(upstream.clone());
    let request = v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            v1::server_reflection_request::MessageRequest::FileContainingSymbol(
                "shop.v1.ShopService".to_owned(),
            ),
        ),
    };
    let mut answers = client
        .server_reflection_info(tokio_stream::iter([request]))
        .await
        .unwrap()
        .into_inner();
    let answer = format!("{:?}", answers.next().await.unwrap().unwrap());
    // The pattern of a validation rule, which a decoder without extensions would drop.
    let rule: Vec<String> = b"^[A-Z0-9]+$".iter().map(u8::to_string).collect();
    let rule = rule.join(", ");
    assert!(
        answer.contains(&rule) || answer.contains("^[A-Z0-9]+$"),
        "{answer}"
    );

    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(upstream);
    let request = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            v1alpha::server_reflection_request::MessageRequest::ListServices(String::new()),
        ),
    };
    let mut answers = client
        .server_reflection_info(tokio_stream::iter([request]))
        .await
        .unwrap()
        .into_inner();
    let answer = format!("{:?}", answers.next().await.unwrap().unwrap());
    assert!(answer.contains("\"shop.v1.ShopService\""), "{answer}");
    assert!(answer.contains("\"grpc.health.v1.Health\""), "{answer}");
    assert!(!answer.contains("shop.v1.StockService"), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn health_turns_to_not_serving_when_draining() {
    let server = Running::start(Shop::echo().server(), testing::settings()).await;
    let mut client = HealthClient::new(server.upstream());
    for service in ["", "shop.v1.ShopService"] {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let answer = client.check(request).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving.into());
    }
    let request = HealthCheckRequest {
        service: String::new(),
    };
    let mut watch = client.watch(request).await.unwrap().into_inner();
    let first = watch.next().await.unwrap().unwrap();
    assert_eq!(first.status(), ServingStatus::Serving.into());
    server.host.draining.cancel();
    let second = patient("NOT_SERVING", watch.next()).await.unwrap().unwrap();
    assert_eq!(second.status(), ServingStatus::NotServing.into());
    drop(watch);
    server.stop().await;
}

#[tokio::test]
async fn health_follows_readiness() {
    let is_ready = Arc::new(AtomicBool::new(false));
    let ready = is_ready.clone();
    let server = Shop::echo()
        .server()
        .ready_when(move || ready.load(Ordering::SeqCst));
    let server = Running::start(server, testing::settings()).await;
    for service in ["", "shop.v1.ShopService"] {
        is_ready.store(false, Ordering::SeqCst);
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let mut client = HealthClient::new(server.upstream());
        let mut watch = client.watch(request).await.unwrap().into_inner();
        let mut status = async || {
            let answer = patient("health", watch.next()).await.unwrap();
            answer.unwrap().status()
        };
        while status().await != ServingStatus::NotServing.into() {}
        is_ready.store(true, Ordering::SeqCst);
        assert_eq!(status().await, ServingStatus::Serving.into());
    }
    server.stop().await;
}

#[tokio::test]
async fn a_drain_finishes_running_requests_and_accepts_no_more() {
    let (entered, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (enter, wait) = (entered.clone(), release.clone());
    let shop = Shop::new(move |id| {
        let (enter, wait) = (enter.clone(), wait.clone());
        async move {
            enter.notify_one();
            wait.notified().await;
            Ok(id)
        }
    });
    let server = Running::start(shop.server(), testing::settings()).await;
    let upstream = server.upstream();
    let running = tokio::spawn(async move { call(&upstream, GET, get("late")).await });
    patient("call", entered.notified()).await;
    server.host.draining.cancel();
    let refused = async { while TcpStream::connect(server.address).await.is_ok() {} };
    patient("closed listener", refused).await;
    assert!(!server.served.is_finished());
    release.notify_one();
    assert_eq!(patient("answer", running).await.unwrap().unwrap(), "late");
    patient("stop", server.stop()).await;
}

#[tokio::test]
async fn a_drain_ends_at_its_bound() {
    let mut settings = testing::settings();
    settings.drain_timeout = Duration::from_millis(50);
    let entered = Arc::new(Notify::new());
    let enter = entered.clone();
    let shop = Shop::new(move |_| {
        enter.notify_one();
        std::future::pending()
    });
    let server = Running::start(shop.server(), settings).await;
    let upstream = server.upstream();
    let running = tokio::spawn(async move { call(&upstream, GET, get("never")).await });
    patient("call", entered.notified()).await;
    patient("stop", server.stop()).await;
    assert!(patient("end of the call", running).await.unwrap().is_err());
}

#[tokio::test]
async fn connections_above_the_limit_wait_for_calls_but_not_for_idle_connections() {
    let (entered, leave) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (enters, leaves) = (entered.clone(), leave.clone());
    let shop = Shop::new(move |id: String| {
        let (entered, leave) = (enters.clone(), leaves.clone());
        async move {
            if id == "held" {
                entered.notify_one();
                leave.notified().await;
            }
            Ok(id)
        }
    });
    let mut settings = testing::settings();
    settings.max_connections = 2;
    let server = Running::start(shop.server(), settings).await;
    let mut idle = Vec::new();
    for _ in 0..10 {
        idle.push(TcpStream::connect(server.address).await.unwrap());
    }
    let first = server.upstream();
    let held = tokio::spawn(async move { call(&first, GET, get("held")).await });
    patient("call", entered.notified()).await;
    for _ in 0..10 {
        idle.push(TcpStream::connect(server.address).await.unwrap());
    }
    let second = server.upstream();
    let answer = patient("second call", call(&second, GET, get("2"))).await;
    assert_eq!(answer.unwrap(), "2");
    assert!(!held.is_finished());
    leave.notify_one();
    let answer = patient("first call", held).await.unwrap();
    assert_eq!(answer.unwrap(), "held");
    server.stop().await;
}

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[tokio::test]
async fn a_trace_crosses_client_and_server() {
    let shop = Shop::new(async |_| Ok(telemetry::current_traceparent().unwrap_or_default()));
    let server = Running::start(shop.server(), testing::settings()).await;
    let upstream = server.upstream();
    let span = tracing::info_span!("caller");
    telemetry::set_parent(&span, PARENT);
    let call = call(&upstream, GET, get(""));
    let seen = tracing::Instrument::instrument(call, span).await.unwrap();
    assert!(seen.contains(TRACE_ID), "{seen:?}");
    server.stop().await;
}
