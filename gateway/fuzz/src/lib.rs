//! Fuzz targets of the listener: any bytes on a connection, which may neither panic nor hang nor
//! stay open; and of tokens, which are accepted only if they say what they must.
//!
//! `cargo xtask fuzz` runs them under libFuzzer; `cargo test` replays the seeds and everything that
//! was ever found.
#![allow(clippy::unwrap_used, clippy::expect_used)] // A panic is how a target reports.

mod token;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chassis::config::{Layers, Sources};
use chassis::{Process, Server};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tower::service_fn;

pub use token::token;

/// A target: any bytes in, a panic out when something is wrong.
pub type Target = fn(&[u8]);

/// All targets by name.
pub const TARGETS: &[(&str, Target)] = &[("listener", listener), ("token", token)];

/// More than any input takes; a connection that is still open then hangs.
const PATIENCE: Duration = Duration::from_secs(5);

/// How HTTP/2 begins: the preface and empty SETTINGS.
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Panics in tasks of the server, which the server itself survives.
static PANICS: AtomicUsize = AtomicUsize::new(0);

/// A server in the thread of its client, so that an input does the same each time.
struct Peer {
    runtime: Runtime,
    address: SocketAddr,
}

/// One connection: the first byte says whether the preface of HTTP/2 comes first and where the
/// client pauses, the others are sent.
///
/// The server takes one connection at a time: one that stayed open would keep the next input
/// waiting.
pub fn listener(data: &[u8]) {
    thread_local!(static TARGET: RefCell<Option<Peer>> = const { RefCell::new(None) });
    let Some((choice, bytes)) = data.split_first() else {
        return;
    };
    let preface = if choice & 1 == 0 { &b""[..] } else { HTTP2 };
    let pause = bytes.len() * usize::from(choice >> 1) / 128;
    let (first, second) = bytes.split_at(pause);
    TARGET.with_borrow_mut(|target| {
        let target = target.get_or_insert_with(Peer::start);
        let sent = converse(target.address, [preface, first, second]);
        let bounded = async { tokio::time::timeout(PATIENCE, sent).await };
        let ended = target.runtime.block_on(bounded);
        assert!(ended.is_ok(), "the connection hangs");
    });
    assert_eq!(
        PANICS.load(Ordering::SeqCst),
        0,
        "a task of the server panicked"
    );
}

async fn converse(address: SocketAddr, parts: [&[u8]; 3]) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    for part in parts {
        // The server may close at any time; then there is nothing left to send.
        if stream.write_all(part).await.is_err() {
            return;
        }
        tokio::task::yield_now().await;
    }
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
}

// === impl Peer ===

impl Peer {
    fn start() -> Self {
        count_panics();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let keys = [
            ("max_connections", "1"),
            ("listener.max_header_bytes", "8192"),
            ("listener.header_timeout_ms", "200"),
            ("listener.idle_timeout_ms", "200"),
        ];
        let flags = keys.map(|(key, value)| (key.to_owned(), vec![value.to_owned()]));
        let sources = Sources {
            flags: BTreeMap::from(flags),
            ..Sources::default()
        };
        let settings = Layers::load("", &sources).unwrap().settings().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move {
            let process = Process::new("fuzz", settings);
            let served = Server::from_service(service_fn(answer)).serve(listener, &process);
            served.await.unwrap();
        });
        Self { runtime, address }
    }
}

/// Reads the request to its end, and answers with its length.
async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let read = request.into_body().collect().await;
    let length = read.map_or(0, |body| body.to_bytes().len());
    Ok(Response::new(Full::from(length.to_string())))
}

fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.fetch_add(1, Ordering::SeqCst);
            default(panic);
        }));
    });
}
