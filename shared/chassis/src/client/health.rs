//! Asking an endpoint how it is by `grpc.health.v1`.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderValue, Method, Request};
use http_body_util::BodyExt;
use prost::Message;
use tonic::{Code, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::endpoint::Endpoint;
use super::exchange;
use super::payload::Payload;
use super::settings::ClientSettings;
use crate::error;

const CHECK: &str = "/grpc.health.v1.Health/Check";

/// Flag and length before a message (gRPC over HTTP/2, "Length-Prefixed-Message").
const PREFIX_BYTES: usize = 5;

/// Whether it serves, or else why not. Who does not know the question is taken to be well.
pub(super) async fn check(
    endpoint: &Arc<Endpoint>,
    settings: &ClientSettings,
) -> Result<(), String> {
    // A server that takes longer for it than for a connection is not well.
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
    let mut payload = Payload::Whole(frame(&settings.health_service));
    let sent = exchange::send(endpoint, head(), &mut payload).await;
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
    let bytes = collected.to_bytes();
    let message = bytes.get(PREFIX_BYTES..).unwrap_or_default();
    let response = HealthCheckResponse::decode(message);
    let response = response.map_err(|error| Status::internal(error.to_string()))?;
    Ok(response.status())
}

fn frame(service: &str) -> Bytes {
    let message = HealthCheckRequest {
        service: service.to_owned(),
    };
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(PREFIX_BYTES + length);
    frame.put_u8(0);
    frame.put_u32(length as u32);
    frame.put_slice(&message.encode_to_vec());
    frame.freeze()
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
