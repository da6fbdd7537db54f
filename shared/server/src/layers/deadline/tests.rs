//! Expiry before and within a response, on a paused clock.

use std::time::Duration;

use http::HeaderValue;
use http_body_util::BodyExt;
use rpc::deadline::{GRPC_TIMEOUT, remaining};
use tonic::Code;

use super::*;

fn request(timeout: &str) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    let value = HeaderValue::from_str(timeout).unwrap();
    request.headers_mut().insert(GRPC_TIMEOUT, value);
    request
}

fn code(response: &Response<Body>) -> Option<Code> {
    Status::from_header_map(response.headers()).map(|status| status.code())
}

#[tokio::test(start_paused = true)]
async fn a_malformed_timeout_is_the_callers_mistake() {
    let service = async |_: Request<Body>| Ok(Response::new(Body::empty()));
    let response = enforce(request("soon"), service).await.unwrap();
    assert_eq!(code(&response), Some(Code::InvalidArgument));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_never_answers_ends_at_the_deadline() {
    let service = |_: Request<Body>| std::future::pending::<Result<Response<Body>, Infallible>>();
    let start = Instant::now();
    let response = enforce(request("250m"), service).await.unwrap();
    assert_eq!(code(&response), Some(Code::DeadlineExceeded));
    assert_eq!(start.elapsed().as_millis(), 250);
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_end_ends_at_the_deadline() {
    let service = async |_: Request<Body>| {
        let frames = futures::stream::repeat_with(|| Ok(Frame::data(Bytes::from_static(b"x"))));
        let slow = tokio_stream::StreamExt::throttle(frames, Duration::from_millis(100));
        let body = http_body_util::StreamBody::new(slow);
        Ok(Response::new(Body::new(BodyExt::map_err(
            body,
            |error: Status| error,
        ))))
    };
    let response = enforce(request("1S"), service).await.unwrap();
    let collected = response.into_body().collect().await.unwrap();
    let trailers = collected.trailers().cloned().unwrap();
    let status = Status::from_header_map(&trailers).unwrap();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(collected.to_bytes().len(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_handler_sees_the_time_that_is_left() {
    let service = async |_: Request<Body>| {
        tokio::time::advance(Duration::from_millis(400)).await;
        assert_eq!(remaining(), Some(Duration::from_millis(600)));
        Ok(Response::new(Body::empty()))
    };
    let response = enforce(request("1S"), service).await.unwrap();
    assert_eq!(code(&response), None);
    assert_eq!(remaining(), None);
}
