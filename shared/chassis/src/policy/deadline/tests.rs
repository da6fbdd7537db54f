//! Deadlines on a paused clock: parsing, expiry before and within a response, inheritance.

use http_body_util::BodyExt;
use tonic::Code;
use tower::service_fn;

use super::*;

fn parsed(value: &str) -> Option<Duration> {
    parse(value.as_bytes())
}

fn request(timeout: &str) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    let value = HeaderValue::from_str(timeout).unwrap();
    request.headers_mut().insert(GRPC_TIMEOUT, value);
    request
}

fn code(response: &Response<Body>) -> Option<Code> {
    Status::from_header_map(response.headers()).map(|status| status.code())
}

#[test]
fn reads_each_unit() {
    assert_eq!(parsed("1H"), Some(Duration::from_secs(3600)));
    assert_eq!(parsed("2M"), Some(Duration::from_secs(120)));
    assert_eq!(parsed("3S"), Some(Duration::from_secs(3)));
    assert_eq!(parsed("4m"), Some(Duration::from_millis(4)));
    assert_eq!(parsed("5u"), Some(Duration::from_micros(5)));
    assert_eq!(parsed("99999999n"), Some(Duration::from_nanos(99_999_999)));
    assert_eq!(
        parsed("99999999H"),
        Some(Duration::from_secs(99_999_999 * 3600))
    );
}

#[test]
fn refuses_what_the_specification_does_not_allow() {
    for value in [
        "",
        "S",
        "1",
        "1s",
        "-1S",
        "+1S",
        "1.5S",
        "100000000n",
        " 1S",
        "1 S",
    ] {
        assert_eq!(parsed(value), None, "{value:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn writes_the_finest_unit_that_fits() {
    let now = Instant::now();
    for (left, text) in [
        (Duration::from_millis(50), "50000000n"),
        (Duration::from_secs(5), "5000000u"),
        (Duration::from_secs(500), "500000m"),
        (Duration::from_secs(200_000), "200000S"),
    ] {
        assert_eq!(header_value(now + left), text);
    }
    assert_eq!(header_value(now), "0n");
}

#[tokio::test(start_paused = true)]
async fn a_malformed_timeout_is_the_callers_mistake() {
    let service = service_fn(async |_: Request<Body>| Ok(Response::new(Body::empty())));
    let response = enforce(service, request("soon")).await.unwrap();
    assert_eq!(code(&response), Some(Code::InvalidArgument));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_never_answers_ends_at_the_deadline() {
    let service =
        service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, Infallible>>());
    let start = Instant::now();
    let response = enforce(service, request("250m")).await.unwrap();
    assert_eq!(code(&response), Some(Code::DeadlineExceeded));
    assert_eq!(start.elapsed().as_millis(), 250);
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_end_ends_at_the_deadline() {
    let service = service_fn(async |_: Request<Body>| {
        let frames = futures::stream::repeat_with(|| Ok(Frame::data(Bytes::from_static(b"x"))));
        let slow = tokio_stream::StreamExt::throttle(frames, Duration::from_millis(100));
        let body = http_body_util::StreamBody::new(slow);
        Ok(Response::new(Body::new(BodyExt::map_err(
            body,
            |error: Status| error,
        ))))
    });
    let response = enforce(service, request("1S")).await.unwrap();
    let collected = response.into_body().collect().await.unwrap();
    let trailers = collected.trailers().cloned().unwrap();
    let status = Status::from_header_map(&trailers).unwrap();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(collected.to_bytes().len(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_handler_sees_the_time_that_is_left() {
    let service = service_fn(async |_: Request<Body>| {
        tokio::time::advance(Duration::from_millis(400)).await;
        assert_eq!(remaining(), Some(Duration::from_millis(600)));
        Ok(Response::new(Body::empty()))
    });
    let response = enforce(service, request("1S")).await.unwrap();
    assert_eq!(code(&response), None);
    assert_eq!(remaining(), None);
}

#[tokio::test(start_paused = true)]
async fn an_inner_scope_can_only_shorten() {
    let now = Instant::now();
    let inner = scope(now + Duration::from_secs(9), async { remaining() });
    let left = scope(now + Duration::from_secs(2), inner).await;
    assert_eq!(left, Some(Duration::from_secs(2)));
}
