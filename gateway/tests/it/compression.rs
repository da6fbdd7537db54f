//! Content codings of the JSON API, both ways.

use bytes::Bytes;
use compression_codecs::core::Level;
use compression_codecs::core::util::PartialBuffer;
use compression_codecs::{
    BrotliDecoder, Decode, Encode, GzipDecoder, GzipEncoder, ZlibEncoder, ZstdDecoder, ZstdEncoder,
};
use http::Request;
use http_body_util::{BodyExt, Full};
use tonic::Code;

use crate::support::stranger::Upstream;
use crate::support::{Gateway, Reply, eventually, soon};

fn decode(mut decoder: impl Decode, input: &[u8]) -> String {
    let mut out = PartialBuffer::new(vec![0; 1 << 20]);
    decoder
        .decode(&mut PartialBuffer::new(input), &mut out)
        .unwrap();
    String::from_utf8(out.written().to_vec()).unwrap()
}

fn decode_as(coding: &str, input: &[u8]) -> String {
    match coding {
        "gzip" => decode(GzipDecoder::new(), input),
        "br" => decode(BrotliDecoder::new(), input),
        "zstd" => decode(ZstdDecoder::new(), input),
        other => panic!("{other}"),
    }
}

fn encode(mut encoder: impl Encode, input: &[u8]) -> Bytes {
    let mut out = PartialBuffer::new(vec![0; input.len() + 1024]);
    encoder
        .encode(&mut PartialBuffer::new(input), &mut out)
        .unwrap();
    while !encoder.finish(&mut out).unwrap() {}
    out.written().to_vec().into()
}

pub(crate) fn gzip(input: &[u8]) -> Bytes {
    encode(GzipEncoder::new(Level::Default.into()), input)
}

async fn post(gateway: &Gateway, path: &str, coding: &str, body: Bytes) -> Reply {
    let request = Request::post(path)
        .header("content-type", "application/json")
        .header("content-encoding", coding);
    gateway.send(request.body(Full::new(body)).unwrap()).await
}

#[tokio::test]
async fn a_response_is_compressed_as_the_caller_likes() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let path = format!("/v1/greetings/{}?times=50&fields=text", "x".repeat(60));
    let plain = gateway.get(&path).await;
    assert_eq!(
        (plain.header("vary"), plain.header("content-encoding")),
        ("accept-encoding", "")
    );
    for (accept, coding) in [
        ("gzip", "gzip"),
        ("br", "br"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("zstd;q=0.1, gzip;q=0.2", "gzip"),
        ("deflate", ""),
        ("identity", ""),
    ] {
        let reply = gateway
            .ask(Request::get(&path).header("accept-encoding", accept))
            .await;
        assert_eq!(reply.header("content-encoding"), coding, "{accept}");
        assert_eq!(reply.header("vary"), "accept-encoding");
        let text = match coding {
            "" => reply.text(),
            coding => decode_as(coding, &reply.body),
        };
        assert_eq!(text, plain.text(), "{accept}");
        let head = gateway
            .ask(Request::head(&path).header("accept-encoding", accept))
            .await;
        assert_eq!(head.header("content-encoding"), coding, "{accept}");
        assert_eq!(
            head.headers.contains_key("content-length"),
            coding.is_empty()
        );
    }
    let small = gateway
        .ask(Request::get("/v1/files/page").header("accept-encoding", "gzip"))
        .await;
    assert_eq!(
        (small.header("content-encoding"), small.header("vary")),
        ("", "")
    );
    let untouched = Request::get(&path)
        .header("accept-encoding", "gzip")
        .header("grpc-metadata-echo-cache-control", "no-transform");
    assert_eq!(gateway.ask(untouched).await.header("content-encoding"), "");
    let keys = [("compression.response", "br")];
    let only_br = Gateway::ready_with(&[upstream.address], &keys).await;
    let request = Request::get(&path).header("accept-encoding", "gzip, br;q=0");
    let reply = only_br.ask(request).await;
    assert_eq!(
        (reply.header("content-encoding"), reply.text()),
        ("", plain.text())
    );
}

#[tokio::test]
async fn an_event_of_a_compressed_stream_arrives_at_once() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    for coding in ["gzip", "br", "zstd"] {
        for accept in ["application/x-ndjson", "application/json"] {
            let request = Request::get("/v1/counts/9?hold_at=2")
                .header("accept", accept)
                .header("accept-encoding", coding);
            let request = request.body(Full::<Bytes>::default()).unwrap();
            let (response, _connection) = gateway.open(request).await;
            assert_eq!(response.headers()["content-encoding"], coding);
            let (mut body, mut received) = (response.into_body(), Vec::new());
            // The stream goes no further, so that what is not flushed never comes.
            let second = async {
                while !decode_as(coding, &received).contains(r#""number":2"#) {
                    let frame = body.frame().await.unwrap().unwrap();
                    received.extend_from_slice(&frame.into_data().unwrap());
                }
            };
            soon("the second message", second).await;
        }
    }
}

#[tokio::test]
async fn what_is_compressed_at_once_is_bounded() {
    let upstream = Upstream::start().await;
    let keys = [("compression.max_at_once", "1")];
    let gateway = Gateway::ready_with(&[upstream.address], &keys).await;
    let open = async || {
        let request = Request::get("/v1/counts/9?hold_at=2").header("accept-encoding", "gzip");
        let request = request.body(Full::<Bytes>::default()).unwrap();
        gateway.open(request).await
    };
    let (first, connection) = open().await;
    assert_eq!(first.headers()["content-encoding"], "gzip");
    let (second, _connection) = open().await;
    assert!(!second.headers().contains_key("content-encoding"));
    drop((first, connection));
    eventually("the place is free again", async || {
        let (response, _connection) = open().await;
        let headers = response.headers().clone();
        headers
            .get("content-encoding")
            .map(drop)
            .ok_or(headers.clone())
    })
    .await;
}

#[tokio::test]
async fn a_compressed_stream_is_whole() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let plain = gateway.get("/v1/counts/100?padding=100").await.text();
    for coding in ["gzip", "br", "zstd"] {
        let request = Request::get("/v1/counts/100?padding=100").header("accept-encoding", coding);
        let reply = gateway.ask(request).await;
        assert_eq!(decode_as(coding, &reply.body), plain, "{coding}");
        assert!(
            reply.body.len() < plain.len() / 2,
            "{coding}: {}",
            reply.body.len()
        );
    }
}

#[tokio::test]
async fn a_compressed_request_is_decoded() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let body = br#"{"name":"Ada"}"#;
    for (coding, encoded) in [
        ("gzip", gzip(body)),
        ("x-gzip", gzip(body)),
        ("GZIP", gzip(body)),
        (
            "deflate",
            encode(ZlibEncoder::new(Level::Default.into()), body),
        ),
        ("zstd", encode(ZstdEncoder::new(3), body)),
        ("identity", Bytes::from_static(body)),
    ] {
        let reply = post(&gateway, "/v1/greetings", coding, encoded).await;
        assert_eq!(reply.json()["text"], "hello Ada", "{coding} {reply:?}");
    }
    let many = r#"{"times":1}"#.repeat(3);
    let reply = post(&gateway, "/v1/gatherings/x", "gzip", gzip(many.as_bytes())).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let reply = post(&gateway, "/v1/files/f", "gzip", gzip(&[7; 1000])).await;
    assert_eq!(reply.json()["bytes"], "1000", "{reply:?}");
    // Nothing is in no coding.
    let reply = post(&gateway, "/v1/gatherings/x", "gzip", Bytes::new()).await;
    assert_eq!(reply.status, 200, "{reply:?}");
}

#[tokio::test]
async fn an_unknown_coding_is_415_and_tells_the_known_ones() {
    let upstream = Upstream::start().await;
    let gateway =
        Gateway::ready_with(&[upstream.address], &[("compression.request", "gzip")]).await;
    for coding in ["compress", "br", "gzip, gzip"] {
        let reply = post(&gateway, "/v1/greetings", coding, gzip(b"{}")).await;
        reply.assert_error(415, Code::InvalidArgument, "UNSUPPORTED_CONTENT_CODING");
        assert_eq!(reply.header("accept-encoding"), "gzip");
    }
}

#[tokio::test]
async fn a_spoiled_cut_or_exploding_body_is_refused() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let whole = gzip(br#"{"times":1}"#);
    let cut = whole.slice(..whole.len() - 3);
    for path in ["/v1/greetings", "/v1/gatherings/x", "/v1/files/f"] {
        for body in [Bytes::from_static(b"no gzip at all"), cut.clone()] {
            let reply = post(&gateway, path, "gzip", body).await;
            reply.assert_error(400, Code::InvalidArgument, "BAD_CONTENT_CODING");
        }
    }
    let numbers: String = (0..800_000).map(|number| format!("{number}\n")).collect();
    let large = gzip(numbers.as_bytes());
    assert!(large.len() < 3 << 20 && numbers.len() > 5 << 20);
    let reply = post(&gateway, "/v1/greetings", "gzip", large).await;
    reply.assert_error(413, Code::ResourceExhausted, "BODY_TOO_LARGE");
    let bomb = gzip(&vec![b' '; 64 << 20]);
    assert!(bomb.len() < 100_000);
    for path in ["/v1/greetings", "/v1/gatherings/x", "/v1/files/f"] {
        let reply = post(&gateway, path, "gzip", bomb.clone()).await;
        reply.assert_error(400, Code::InvalidArgument, "BAD_CONTENT_CODING");
    }
}
