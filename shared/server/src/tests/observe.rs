//! Records of served requests.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;

use http::{Request, Response};
use hyper::body::Incoming;
use telemetry::metrics::Format;
use tokio::time::Instant;

use crate::testing::{self, GET, Running, Shop, call, host};
use crate::{Host, Operator, Server};

/// More than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for a line of the metrics: the record is closed shortly after the client has its answer.
async fn counted(host: &Host, line: &str) {
    let deadline = Instant::now() + PATIENCE;
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    loop {
        let text = host.metrics.encode(Format::Prometheus).unwrap();
        if text.lines().any(|found| found == line) {
            return;
        }
        assert!(Instant::now() < deadline, "{line} is not in {text}");
        ticks.tick().await;
    }
}

fn call_count(method: &str, code: &str, count: u32) -> String {
    format!(
        "rpc_server_call_duration_seconds_count{{rpc_method=\"{method}\",protocol=\"grpc\",rpc_response_status_code=\"{code}\"}} {count}"
    )
}

#[tokio::test]
async fn calls_are_counted_by_method_and_code_and_unknown_ones_together() {
    let server = Running::start(Shop::echo().server(), testing::settings()).await;
    let upstream = server.upstream();
    let get = || testing::Get {
        id: "42".to_owned(),
    };
    call(&upstream, GET, get()).await.unwrap();
    counted(
        &server.host,
        &call_count("shop.v1.ShopService/Get", "OK", 1),
    )
    .await;
    for path in ["/shop.v1.Made/Up", "/shop.v1.Made/Again"] {
        call(&upstream, path, get()).await.unwrap_err();
    }
    counted(&server.host, &call_count("_OTHER", "UNIMPLEMENTED", 2)).await;
    counted(&server.host, "http_server_active_requests 0").await;
    let text = server.host.metrics.encode(Format::Prometheus).unwrap();
    assert!(!text.contains("Made"), "{text}");
    server.stop().await;
}

#[tokio::test]
async fn a_call_that_its_client_drops_is_counted_as_cancelled() {
    let (began, begun) = tokio::sync::oneshot::channel();
    let began = std::sync::Mutex::new(Some(began));
    let shop = Shop::new(move |_| {
        if let Some(began) = began.lock().unwrap().take() {
            let _ = began.send(());
        }
        std::future::pending()
    });
    let server = Running::start(shop.server(), testing::settings()).await;
    let upstream = server.upstream();
    let get = tokio::spawn(async move { call(&upstream, GET, testing::Get::default()).await });
    begun.await.unwrap();
    counted(&server.host, "http_server_active_requests 1").await;
    get.abort();
    counted(
        &server.host,
        &call_count("shop.v1.ShopService/Get", "CANCELLED", 1),
    )
    .await;
    server.stop().await;
}

#[tokio::test]
async fn operators_with_a_listener_of_their_own_are_served_there_alone() {
    let [public, admin] = [
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
        TcpListener::bind("127.0.0.1:0").await.unwrap(),
    ];
    let (at_public, at_admin) = (public.local_addr().unwrap(), admin.local_addr().unwrap());
    let host = host(testing::settings());
    let serving = host.clone();
    let served = tokio::spawn(async move {
        let server = Server::from_service(tower::service_fn(async |request: Request<Incoming>| {
            let is_operator = request.extensions().get::<Operator>().is_some();
            Ok::<_, Infallible>(Response::new(format!("{is_operator}")))
        }));
        server.serve_apart(public, Some(admin), serving).await
    });
    for (address, path, expected) in [
        (at_admin, "/metrics", "process_open_fds"),
        (at_admin, "/healthz", "ok"),
        (at_admin, "/-/x", "true"),
        (at_admin, "/v1/orders", "404"),
        (at_public, "/metrics", "false"),
        (at_public, "/-/x", "false"),
        (at_public, "/healthz", "ok"),
    ] {
        let answer = http_get(address, path).await;
        assert!(answer.contains(expected), "{path}: {answer}");
    }
    host.draining.cancel();
    served.await.unwrap().unwrap();
}

async fn http_get(address: SocketAddr, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
