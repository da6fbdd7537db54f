//! Health checks of an endpoint by `grpc.health.v1`.

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request};
use http_body_util::BodyExt;
use prost::Message;
use rpc::error;
use rpc::frame::{self, Frame, FrameError, FrameReader};
use tonic::{Code, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::endpoint::Endpoint;
use crate::exchange;
use crate::payload::Payload;
use crate::settings::ClientSettings;

const CHECK: &str = "/grpc.health.v1.Health/Check";

/// The largest accepted answer; a valid one has 2 bytes.
const RESPONSE_BYTES_MAX: usize = 1024;

/// Checks that the endpoint serves, and says why not. An endpoint without the health service counts
/// as healthy.
pub(crate) async fn check(
    endpoint: &Arc<Endpoint>,
    settings: &ClientSettings,
) -> Result<(), String> {
    // A server that answers slower than it should connect is unhealthy.
    let limit = settings.connect_timeout();
    match tokio::time::timeout(limit, ask(endpoint, settings)).await {
        Ok(Ok(ServingStatus::Serving)) => Ok(()),
        Ok(Ok(other)) => Err(other.as_str_name().to_owned()),
        Ok(Err(status)) if status.code() == Code::Unimplemented => Ok(()),
        Ok(Err(status)) => Err(status.message().to_owned()),
        Err(_) => Err(format!("no answer within {} ms", limit.as_millis())),
    }
}

async fn ask(endpoint: &Arc<Endpoint>, settings: &ClientSettings) -> Result<ServingStatus, Status> {
    let mut payload = Payload::Whole(question(&settings.health_service)?);
    let sent = exchange::send(endpoint, head(), &mut payload, None).await;
    let answer = sent.map_err(|failure| failure.status)?;
    if let Some(status) = error::from_headers(answer.head.headers()) {
        return Err(status);
    }
    let collected = answer.into_body().collect().await?;
    if let Some(status) = collected.trailers().and_then(error::from_headers)
        && status.code() != Code::Ok
    {
        return Err(status);
    }
    let mut frames = FrameReader::new(RESPONSE_BYTES_MAX).accept_flags(0);
    frames.push(collected.to_bytes());
    let frame = frames.next_frame().map_err(malformed)?;
    let message = frame.map(Frame::into_message).unwrap_or_default();
    let response = HealthCheckResponse::decode(message);
    let response = response.map_err(|error| Status::internal(error.to_string()))?;
    Ok(response.status())
}

fn question(service: &str) -> Result<Bytes, Status> {
    let message = HealthCheckRequest {
        service: service.to_owned(),
    };
    frame::encode(0, &message.encode_to_vec()).map_err(malformed)
}

fn malformed(error: FrameError) -> Status {
    Status::internal(error.to_string())
}

fn head() -> Parts {
    let mut request = Request::new(());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = http::Uri::from_static(CHECK);
    let headers = request.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/grpc"));
    headers.insert("te", HeaderValue::from_static("trailers"));
    request.into_parts().0
}
