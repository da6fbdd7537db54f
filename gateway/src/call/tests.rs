//! Responses of upstreams that do not keep to the protocol.

use http_body_util::BodyExt;
use http_body_util::StreamBody;

use super::*;

fn response(headers: &[(&'static str, &'static str)], body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    for (name, value) in headers {
        response
            .headers_mut()
            .insert(*name, HeaderValue::from_static(value));
    }
    response
}

fn body(data: &'static [u8], trailers: &[(&'static str, &'static str)]) -> Body {
    let mut map = HeaderMap::new();
    for (name, value) in trailers {
        map.insert(*name, HeaderValue::from_static(value));
    }
    let frames = [
        Ok::<_, Status>(http_body::Frame::data(Bytes::from_static(data))),
        Ok(http_body::Frame::trailers(map)),
    ];
    Body::new(StreamBody::new(tokio_stream::iter(frames)))
}

async fn outcome(response: Response<Body>) -> Result<Bytes, (Code, String)> {
    let read = async { only_message(messages(response, 10, None)?).await };
    let outcome: Result<UnaryReply, Status> = read.await;
    let outcome = outcome.map(|answer| answer.message);
    outcome.map_err(|status| (status.code(), status.message().to_owned()))
}

#[tokio::test]
async fn a_request_of_one_frame_does_not_tell_its_length() {
    use http_body::Body as _;
    let mut body = one_frame(Bytes::from_static(b"frame"));
    assert_eq!(body.size_hint().exact(), None);
    assert!(!body.is_end_stream());
    let frame = body.frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "frame");
    assert!(body.is_end_stream());
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn one_message_is_the_answer_and_none_or_two_are_not() {
    let ok = [("grpc-status", "0")];
    let one = body(b"\0\0\0\0\x01x", &ok);
    assert_eq!(outcome(response(&[], one)).await.unwrap(), "x");
    for wrong in [body(b"", &ok), body(b"\0\0\0\0\x01x\0\0\0\0\x01x", &ok)] {
        assert_eq!(
            outcome(response(&[], wrong)).await.unwrap_err().0,
            Code::Internal
        );
    }
}

#[tokio::test]
async fn a_message_over_the_bound_is_the_upstreams_fault() {
    let eleven = body(b"\0\0\0\0\x0bxxxxxxxxxxx", &[("grpc-status", "0")]);
    let (code, message) = outcome(response(&[], eleven)).await.unwrap_err();
    assert_eq!(code, Code::Internal);
    assert!(message.contains("11 bytes"), "{message}");
}

#[test]
fn an_answer_that_is_not_grpc_is_judged_by_its_http_status() {
    for (status, code) in [
        (200, Code::Unknown),
        (400, Code::Internal),
        (401, Code::Unauthenticated),
        (403, Code::PermissionDenied),
        (404, Code::Unimplemented),
        (429, Code::Unavailable),
        (503, Code::Unavailable),
        (500, Code::Unknown),
    ] {
        let status = StatusCode::from_u16(status).unwrap();
        assert_eq!(not_grpc(status).code(), code, "{status}");
    }
}

#[test]
fn grpc_is_recognised_by_its_media_type() {
    for (content_type, expected) in [
        ("application/grpc", true),
        ("application/grpc+proto", true),
        ("application/grpc;x=y", true),
        ("application/grpc-web", false),
        ("application/json", false),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        assert_eq!(is_grpc(&headers), expected, "{content_type}");
    }
}
