//! gRPC-Web, as bytes and in base64: trailers as the last message, also where they are all there
//! is.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::Message;

use crate::native::GREET;
use crate::support::messages::*;
use crate::support::stranger::Upstream;
use crate::support::{Gateway, Reply};

const COUNT: &str = "/stranger.v1.StrangerService/Count";

/// Messages and the text of the trailers.
pub(crate) fn frames(mut body: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [flags, a, b, c, d, rest @ ..] = body {
        let (message, behind) = rest.split_at(u32::from_be_bytes([*a, *b, *c, *d]) as usize);
        frames.push((*flags, message.to_vec()));
        body = behind;
    }
    assert!(body.is_empty(), "{body:?}");
    frames
}

pub(crate) fn frame(message: &impl Message) -> Vec<u8> {
    let message = message.encode_to_vec();
    let mut frame = vec![0];
    frame.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(&message);
    frame
}

fn trailers(reply: &[(u8, Vec<u8>)]) -> String {
    let (flags, text) = reply.last().unwrap();
    assert_eq!(*flags, 0x80);
    String::from_utf8(text.clone()).unwrap()
}

fn greet(name: &str) -> Vec<u8> {
    frame(&GreetRequest {
        name: name.to_owned(),
        ..Default::default()
    })
}

async fn binary(gateway: &Gateway, path: &str, body: Vec<u8>) -> (Reply, Vec<(u8, Vec<u8>)>) {
    let reply = gateway.post(path, "application/grpc-web+proto", body).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("content-type"), "application/grpc-web+proto");
    let frames = frames(&reply.body);
    (reply, frames)
}

#[tokio::test]
async fn messages_pass_and_trailers_are_the_last_of_them() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let (_, answer) = binary(&gateway, GREET, greet("a")).await;
    let message = GreetResponse::decode(&*answer[0].1).unwrap();
    assert_eq!((answer.len(), &*message.text), (2, "hello a"));
    assert!(
        trailers(&answer).contains("grpc-status: 0\r\n"),
        "{answer:?}"
    );
    let count = frame(&CountRequest {
        to: 3,
        fail_at: 3,
        ..Default::default()
    });
    let (_, answer) = binary(&gateway, COUNT, count).await;
    assert_eq!(answer.len(), 3);
    assert!(
        trailers(&answer).contains("grpc-status: 10\r\n"),
        "{answer:?}"
    );
}

#[tokio::test]
async fn every_failure_is_a_trailer_frame() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready_with(&[upstream.address], &[("max_body_bytes", "100")]).await;
    for (path, body, status) in [
        (GREET, greet("nobody"), "grpc-status: 5\r\n"),
        ("/no.Such/Method", greet("a"), "grpc-status: 12\r\n"),
        (GREET, greet(&"x".repeat(200)), "grpc-status: 8\r\n"),
    ] {
        let (reply, answer) = binary(&gateway, path, body).await;
        assert!(!reply.headers.contains_key("grpc-status"), "{reply:?}");
        assert!(trailers(&answer).contains(status), "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn base64_comes_and_goes_in_pieces() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let request = greet("a");
    // Two pieces, each padded by itself.
    let text = format!(
        "{}{}",
        STANDARD.encode(&request[..4]),
        STANDARD.encode(&request[4..])
    );
    let reply = gateway.post(GREET, "application/grpc-web-text", text).await;
    assert_eq!(
        reply.header("content-type"),
        "application/grpc-web-text+proto"
    );
    let mut bytes = Vec::new();
    let body = reply.text();
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let padded = rest.find('=').map_or(rest.len(), |at| (at / 4 + 1) * 4);
        bytes.extend(STANDARD.decode(&rest[..padded]).unwrap());
        rest = &rest[padded..];
    }
    let answer = frames(&bytes);
    assert_eq!(
        GreetResponse::decode(&*answer[0].1).unwrap().text,
        "hello a"
    );
    assert!(trailers(&answer).contains("grpc-status: 0\r\n"));
}
