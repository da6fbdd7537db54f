//! A rolling restart under load: processes take over from each other on one port, and no request
//! fails.
//!
//! `GATEWAY_TEST_REQUESTS=50000 cargo test -p protomesh-gateway --test it drain -- --nocapture`
//! is the full size.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::soon;
use crate::support::stranger::Upstream;

/// Clients of each version of HTTP.
const CLIENTS: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_processes_take_over() {
    let total = std::env::var("GATEWAY_TEST_REQUESTS").map_or(5000, |count| count.parse().unwrap());
    let upstream = Upstream::start().await;
    // Holds the port without listening on it.
    let port = TcpSocket::new_v4().unwrap();
    port.set_reuseport(true).unwrap();
    port.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = port.local_addr().unwrap();

    let mut running = start(address, &upstream).await;
    let load = Arc::new(Load {
        address,
        left: AtomicUsize::new(total),
        answered: watch::Sender::new(0),
        connections: AtomicUsize::new(0),
    });
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(load.clone().run_http1());
        clients.spawn(load.clone().run_http2());
    }
    for restart in 1..=2 {
        let mut answered = load.answered.subscribe();
        tokio::select! {
            _ = answered.wait_for(|answered| *answered > restart * total / 4) => {}
            Some(client) = clients.join_next() => panic!("a client ended: {client:?}"),
        }
        let next = start(address, &upstream).await;
        stop(std::mem::replace(&mut running, next)).await;
    }
    let during = *load.answered.borrow();
    while let Some(client) = clients.join_next().await {
        client.unwrap();
    }
    assert_eq!(*load.answered.borrow(), total);
    assert!(during < total, "the load ended before the restarts did");
    let connections = load.connections.load(SeqCst);
    println!(
        "{total} requests on {connections} connections, {during} of them before the last restart was over, 0 failed"
    );
    assert!(connections > 2 * CLIENTS, "nobody had to connect again");
    stop(running).await;
}

/// Starts a gateway, and returns when it listens, which it does when it is ready.
async fn start(address: SocketAddr, upstream: &Upstream) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mesh-gateway"))
        .env("PROTOMESH_LISTEN", address.to_string())
        .env("PROTOMESH_LISTENER__REUSE_PORT", "true")
        .env(
            "PROTOMESH_UPSTREAMS",
            format!("http://{}", upstream.address),
        )
        .env("PROTOMESH_LOG_FORMAT", "json")
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let listening = async {
        while let Some(line) = log.next_line().await.unwrap() {
            if line.contains("\"listening\"") {
                return;
            }
        }
        panic!("the gateway ended");
    };
    soon("listening", listening).await;
    // A full pipe would stop the process.
    tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
    child
}

async fn stop(mut gateway: Child) {
    let pid = Pid::from_raw(gateway.id().unwrap().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let status = soon("the stop", gateway.wait()).await.unwrap();
    assert!(status.success(), "{status}");
}

/// Requests that clients share; each is sent once, and one without a good answer fails the test.
struct Load {
    address: SocketAddr,
    left: AtomicUsize,
    answered: watch::Sender<usize>,
    connections: AtomicUsize,
}

impl Load {
    async fn run_http1(self: Arc<Self>) {
        while self.left.load(SeqCst) > 0 {
            let (mut sender, connection) = http1::handshake(self.connect().await).await.unwrap();
            let connection = tokio::spawn(connection);
            // A connection that ends between requests has been announced by `connection: close`.
            while sender.ready().await.is_ok() && self.take() {
                let sent = sender.send_request(request(String::new()));
                let response = soon("an answer", sent).await;
                let closes = self.check(response).await;
                if closes {
                    break;
                }
            }
            drop(sender);
            connection.await.unwrap().unwrap();
        }
    }

    async fn run_http2(self: Arc<Self>) {
        while self.left.load(SeqCst) > 0 {
            let handshake = http2::handshake(TokioExecutor::new(), self.connect().await);
            let (mut sender, connection) = handshake.await.unwrap();
            let connection = tokio::spawn(connection);
            // GOAWAY ends it for new requests.
            while sender.ready().await.is_ok() && self.take() {
                let request = request(format!("http://{}", self.address));
                let sent = sender.try_send_request(request);
                let mut sent = soon("an answer", sent).await;
                if let Err(error) = &mut sent
                    && error.take_message().is_some()
                {
                    // Not sent, as the connection had just been closed for new requests.
                    self.left.fetch_add(1, SeqCst);
                    break;
                }
                self.check(sent.map_err(|error| error.into_error())).await;
            }
            drop(sender);
            connection.await.unwrap().unwrap();
        }
    }

    async fn connect(&self) -> TokioIo<TcpStream> {
        self.connections.fetch_add(1, SeqCst);
        TokioIo::new(TcpStream::connect(self.address).await.unwrap())
    }

    /// Takes one of the requests that are left.
    fn take(&self) -> bool {
        let less = |left: usize| left.checked_sub(1);
        self.left.fetch_update(SeqCst, SeqCst, less).is_ok()
    }

    /// Checks an answer, and returns whether it is the last one of its connection.
    async fn check(&self, response: hyper::Result<Response<Incoming>>) -> bool {
        let response = response.unwrap();
        assert_eq!(response.status(), 200);
        let closes = response
            .headers()
            .get("connection")
            .is_some_and(|value| value == "close");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(body.starts_with(b"{\"text\":\"hello a\""), "{body:?}");
        self.answered.send_modify(|answered| *answered += 1);
        closes
    }
}

/// HTTP/2 takes the origin from the URI, HTTP/1.1 from `host`.
fn request(origin: String) -> Request<Empty<Bytes>> {
    let mut request = Request::get(origin.clone() + "/v1/greetings/a");
    if origin.is_empty() {
        request = request.header("host", "gateway.test");
    }
    request.body(Empty::new()).unwrap()
}
