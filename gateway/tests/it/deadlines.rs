//! Deadlines of the configuration, and callers that go away.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::sync::mpsc::Sender;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use crate::support::Gateway;
use crate::support::stranger::{Upstream, happened};

#[tokio::test]
async fn the_configuration_bounds_every_call() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready_with(&[upstream.address], &[("deadline.max_ms", "300")]).await;
    let mut events = upstream.events();
    // The caller's deadline counts only if it is shorter.
    let request = Request::get("/v1/greetings/hang").header("request-timeout", "1000");
    gateway
        .ask(request)
        .await
        .assert_error(504, Code::DeadlineExceeded, "DEADLINE_EXCEEDED");
    happened(&mut events, "Greet dropped").await;

    let reply = gateway.get("/v1/counts/5?hold_at=2").await;
    let last: serde_json::Value =
        serde_json::from_str(reply.text().trim().lines().last().unwrap()).unwrap();
    assert_eq!(
        last["error"]["code"],
        Code::DeadlineExceeded as i32,
        "{reply:?}"
    );
    happened(&mut events, "Count dropped").await;

    let reply = gateway.get("/v1/greetings/a").await;
    let forwarded = &reply.json()["metadata"]["grpc-timeout"];
    let micros: u64 = forwarded
        .as_str()
        .unwrap()
        .trim_end_matches('u')
        .parse()
        .unwrap();
    assert!(micros < 300_000, "{forwarded}");
}

type Piece = Result<http_body::Frame<Bytes>, std::io::Error>;

/// A body that begins and does not end.
fn unending() -> (StreamBody<ReceiverStream<Piece>>, Sender<Piece>) {
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    (StreamBody::new(ReceiverStream::new(receiver)), sender)
}

#[tokio::test]
async fn a_caller_that_goes_away_cancels_the_call_over_both_versions() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    for (path, begun, cancelled) in [
        ("/v1/greetings/hang", "Greet hangs", "Greet dropped"),
        ("/v1/counts/9?hold_at=1", "", "Count dropped"),
    ] {
        for is_http2 in [false, true] {
            let upstream_events = upstream.events();
            let before = count(&upstream_events, cancelled);
            let uri = format!("http://{}{path}", gateway.address);
            let request = Request::get(uri).header("host", gateway.address.to_string());
            let request = request.body(Full::<Bytes>::default()).unwrap();
            let (mut waiting, connection) = if is_http2 {
                let (mut sender, connection) = gateway.connect_http2().await;
                (
                    tokio::spawn(async move { sender.send_request(request).await }),
                    connection,
                )
            } else {
                let (mut sender, connection) = gateway.connect().await;
                (
                    tokio::spawn(async move { sender.send_request(request).await }),
                    connection,
                )
            };
            let mut response = None;
            if begun.is_empty() {
                let mut begun = (&mut waiting).await.unwrap().unwrap().into_body();
                begun.frame().await.unwrap().unwrap();
                response = Some(begun);
            } else {
                more(&upstream, begun, before).await;
            }
            waiting.abort();
            drop((response, connection));
            more(&upstream, cancelled, before).await;
        }
    }
}

#[tokio::test]
async fn an_upload_that_breaks_off_never_looks_whole_over_both_versions() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    for is_http2 in [false, true] {
        let before = count(&upstream.events(), "Store torn");
        let (body, sender) = unending();
        let uri = format!("http://{}/v1/files/f", gateway.address);
        let request = Request::builder()
            .method(Method::POST)
            .uri(uri)
            .header("host", gateway.address.to_string())
            .body(body)
            .unwrap();
        let frame = http_body::Frame::data(Bytes::from_static(b"part"));
        sender.send(Ok(frame)).await.unwrap();
        let (waiting, connection) = if is_http2 {
            let (mut client, connection) = gateway.connect_http2().await;
            let waiting = tokio::spawn(async move { client.send_request(request).await });
            (waiting, connection)
        } else {
            let (mut client, connection) = gateway.connect().await;
            let waiting = tokio::spawn(async move { client.send_request(request).await });
            (waiting, connection)
        };
        crate::support::eventually("the upload begins", async || {
            let stored = upstream
                .observed
                .stored
                .load(std::sync::atomic::Ordering::SeqCst);
            (stored >= 4 * (before as u64 + 1))
                .then_some(())
                .ok_or(stored)
        })
        .await;
        waiting.abort();
        drop(connection);
        more(&upstream, "Store torn", before).await;
        drop(sender);
        assert_eq!(count(&upstream.events(), "Store complete"), 0);
    }
}

fn count(events: &crate::support::stranger::Events, event: &str) -> usize {
    events.borrow().iter().filter(|seen| *seen == event).count()
}

/// Waits until this has happened more often than before.
async fn more(upstream: &Upstream, event: &str, before: usize) {
    let mut events = upstream.events();
    let happened =
        events.wait_for(|seen| seen.iter().filter(|seen| *seen == event).count() > before);
    crate::support::soon(event, happened).await.unwrap();
}
