//! Calls through a client: retries, deadlines, errors.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use client::{ClientSettings, Upstream};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::StreamBody;
use hyper::body::Incoming;
use rpc::deadline;
use rpc::error::Fault;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::service_fn;

use crate::Server;
use crate::testing::{self, GET, Line, METHODS, PUT, Put, Running, Shop, call};

fn get() -> testing::Get {
    testing::Get::default()
}

fn put() -> Put {
    let sku = "A".to_owned();
    let lines = vec![Line { sku, quantity: 1 }];
    Put {
        id: "abc".to_owned(),
        lines,
    }
}

// Fails `failures` times with `code`, then tells how often it was called.
fn flaky(failures: usize, code: Code) -> (Shop, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = calls.clone();
    let shop = Shop::new(move |_| {
        let call = count.fetch_add(1, Ordering::SeqCst) + 1;
        let refused = Status::from(Fault::new(code, "AWAY", "not now"));
        async move {
            if call > failures {
                Ok(call.to_string())
            } else {
                Err(refused)
            }
        }
    });
    (shop, calls)
}

async fn outcome(
    shop: Shop,
    path: &'static str,
    message: impl prost::Message + 'static,
) -> Result<String, Code> {
    let server = Running::start(shop.server(), testing::settings()).await;
    let outcome = call(&server.upstream(), path, message).await;
    server.stop().await;
    outcome.map_err(|status| status.code())
}

#[tokio::test]
async fn a_safe_call_is_repeated_while_the_service_is_away() {
    let (shop, _) = flaky(2, Code::Unavailable);
    assert_eq!(outcome(shop, GET, get()).await.as_deref(), Ok("3"));
}

#[tokio::test]
async fn repeats_end() {
    let (shop, calls) = flaky(99, Code::Unavailable);
    assert_eq!(outcome(shop, GET, get()).await, Err(Code::Unavailable));
    assert_eq!(calls.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_call_that_the_contract_does_not_call_safe_is_sent_once() {
    let (shop, calls) = flaky(1, Code::Unavailable);
    assert_eq!(outcome(shop, PUT, put()).await, Err(Code::Unavailable));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn only_unavailable_is_repeated() {
    let (shop, calls) = flaky(1, Code::Aborted);
    assert_eq!(outcome(shop, GET, get()).await, Err(Code::Aborted));
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn the_budget_bounds_repeats_of_all_calls() {
    let (shop, calls) = flaky(usize::MAX, Code::Unavailable);
    let server = Running::start(shop.server(), testing::settings()).await;
    let upstream = server.upstream();
    let all = (0..200).map(|_| call(&upstream, GET, get()));
    let outcomes = futures::future::join_all(all).await;
    assert!(outcomes.iter().all(Result::is_err));
    let sent = calls.load(Ordering::SeqCst);
    // 200 calls allow 40 repeats, and 10 for each of the 10 seconds of the window.
    assert!((201..=340).contains(&sent), "{sent} calls arrived");
    server.stop().await;
}

#[tokio::test]
async fn nobody_there_is_unavailable() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{port}");
    let upstream = Upstream::connect_lazy(&url, &ClientSettings::default(), METHODS).unwrap();
    let status = call(&upstream, PUT, put()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
}

#[tokio::test]
async fn the_deadline_travels_and_shrinks() {
    let shop = Shop::new(async |_| {
        Ok(format!(
            "{:?}",
            deadline::remaining().map(|left| left.as_secs())
        ))
    });
    let server = Running::start(shop.server(), testing::settings()).await;
    let upstream = server.upstream();
    assert_eq!(call(&upstream, GET, get()).await.unwrap(), "None");
    let soon = Instant::now() + Duration::from_secs(30);
    let text = deadline::scope(soon, call(&upstream, GET, get()))
        .await
        .unwrap();
    assert_eq!(text, "Some(29)");
    server.stop().await;
}

#[tokio::test]
async fn a_call_ends_at_the_deadline_although_the_peer_hangs() {
    // Accepts in the kernel and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let upstream = Upstream::connect_lazy(&url, &ClientSettings::default(), METHODS).unwrap();
    let soon = Instant::now() + Duration::from_millis(50);
    let status = deadline::scope(soon, call(&upstream, GET, get()))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_url_must_be_one_of_http() {
    for url in ["", "nowhere", "127.0.0.1:1", "ftp://a", "http://a:1/x"] {
        let refused = Upstream::connect_lazy(url, &ClientSettings::default(), METHODS);
        assert!(refused.is_err(), "{url:?} was taken");
    }
}

fn not_found(details: &'static str) -> HeaderMap {
    let fields = [
        ("grpc-status", "5"),
        ("grpc-message", "not%20here"),
        ("grpc-status-details-bin", details),
    ];
    let fields = fields.map(|(name, value)| {
        let name = HeaderName::from_static(name);
        (name, HeaderValue::from_static(value))
    });
    fields.into_iter().collect()
}

#[tokio::test]
async fn details_that_are_not_base64_cost_only_themselves() {
    for in_trailers in [false, true] {
        let stranger = service_fn(move |_: Request<Incoming>| async move {
            let mut frames = Vec::new();
            let mut response = Response::new(());
            if in_trailers {
                frames.push(Ok::<_, Status>(Frame::trailers(not_found("!"))));
            } else {
                *response.headers_mut() = not_found("!");
            }
            response
                .headers_mut()
                .insert("content-type", HeaderValue::from_static("application/grpc"));
            let body = StreamBody::new(tokio_stream::iter(frames));
            Ok::<_, std::convert::Infallible>(response.map(|()| Body::new(body)))
        });
        let server = Running::start(Server::from_service(stranger), testing::settings()).await;
        let status = call(&server.upstream(), PUT, get()).await.unwrap_err();
        assert_eq!(
            (status.code(), status.message()),
            (Code::NotFound, "not here")
        );
        server.stop().await;
    }
}
