//! Callers that open no window and leave streams of responses unread, and probes beside them.

use bytes::Bytes;
use futures::future::join_all;
use h2::client::{Builder, ResponseFuture};
use hostile::{Options, Script, Step, grpc};
use http::Request;
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use crate::protocol::{Extra, Method, Outcome, Protocol, call};
use crate::support::{BAD, Fronted};

/// More than responses of 512 KiB, the window of a stream, fill the 64 MiB of a connection.
const UNREAD: usize = 140;
const PROBES: usize = 50;

/// A DATA frame that is one message, with a text that fills it.
fn message() -> Vec<u8> {
    const TEXT: usize = 16_384 - 5 - 3;
    let mut message = vec![0x0a, (TEXT % 128) as u8 | 0x80, (TEXT / 128) as u8];
    message.resize(message.len() + TEXT, b'a');
    grpc::message(&message)
}

/// Just as much as the window of its stream allows, and no end.
pub(crate) fn flood() -> Script {
    vec![
        grpc::headers(grpc::HEAD),
        Step::Repeat(31, vec![grpc::data(&message())]),
        Step::Hold,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_that_read_nothing_stop_no_other() {
    // All calls at once: a limit would admit further ones as heads arrive, which the gate prevents.
    let keys = "[client]\nadaptive_limit = false";
    let fronted = Fronted::with_keys(flood(), Options::default(), keys).await;
    fronted.upstream.close_gate();
    let stream = TcpStream::connect(fronted.address).await.unwrap();
    let shaken = Builder::new()
        .initial_window_size(0)
        .handshake::<_, Bytes>(stream)
        .await;
    let (mut client, connection) = shaken.unwrap();
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let mut unread: Vec<ResponseFuture> = Vec::new();
    for _ in 0..UNREAD {
        client = client.ready().await.unwrap();
        unread.push(watch(&mut client));
    }
    // All of it has been written to the gateway.
    assert!(fronted.upstream.holds(UNREAD).await);
    let plain = Extra::default();
    let probes = (0..PROBES).map(|at| {
        let protocol = Protocol::ALL[at % 4];
        call(fronted.address, protocol, Method::Get, &["good"], &plain)
    });
    for outcome in join_all(probes).await {
        assert_eq!(outcome, Outcome::good("good"));
    }
}

fn watch(client: &mut h2::client::SendRequest<Bytes>) -> ResponseFuture {
    let request = Request::post("http://hostile/hostile.v1.HostileService/Watch")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
    let (response, mut body) = client.send_request(request, false).unwrap();
    let message = grpc::message(&crate::support::response(BAD));
    body.send_data(message.into(), true).unwrap();
    response
}
