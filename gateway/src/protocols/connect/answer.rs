//! The response of a unary call, read as a whole: Connect sends the outcome first.

use http::Response;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use http_body_util::{BodyExt, Full};
use rpc::error::GRPC_STATUS;
use rpc::frame::{Frame, FrameReader};
use tonic::body::Body;
use tonic::{Code, Status};

use super::{error, metadata};
use crate::api::Catalog;
use crate::call::frame::{bad_frame, bad_upstream};
use crate::protocols::inspect;
use crate::protocols::sniff::Codec;

/// The outcome of a unary call.
pub(super) struct UnaryResponse {
    head: HeaderMap,
    message: Result<Frame, Status>,
    trailers: HeaderMap,
}

impl UnaryResponse {
    /// Reads a response of gRPC that always ends in a status; it is bounded by the largest message.
    pub(super) async fn read(response: Response<Body>) -> Result<Self, Status> {
        let (mut head, mut body) = response.into_parts();
        let mut frames = FrameReader::new(usize::MAX);
        let mut message = None;
        let mut trailers = HeaderMap::new();
        if head.headers.contains_key(GRPC_STATUS) {
            // Trailers only: all of its metadata came at the end.
            std::mem::swap(&mut head.headers, &mut trailers);
        }
        while let Some(frame) = body.frame().await.transpose()? {
            match frame.into_data() {
                Ok(data) => frames.push(data),
                Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
            }
            if message.is_none() {
                message = frames.next_frame().map_err(bad_frame)?;
            }
            if message.is_some() && !frames.is_empty() {
                let status = bad_upstream("the upstream sent more than one message");
                return Ok(Self {
                    head: head.headers,
                    message: Err(status),
                    trailers,
                });
            }
        }
        Ok(Self {
            head: head.headers,
            message: outcome(message, &frames, &trailers),
            trailers,
        })
    }

    /// The error that the call has ended with.
    pub(super) fn error(&self) -> Option<&Status> {
        self.message.as_ref().err()
    }

    pub(super) fn respond(self, codec: Codec, catalog: &Catalog) -> Response<Body> {
        let coding = self.head.get(inspect::ENCODING).cloned();
        let mut head = metadata::unary_head(self.head);
        metadata::append_trailing(self.trailers, &mut head);
        let message = match self.message {
            Ok(message) => message,
            Err(status) => {
                let mut response = error::respond(status.into(), &catalog.schema);
                head.extend(std::mem::take(response.headers_mut()));
                *response.headers_mut() = head;
                return response;
            }
        };
        let content_type = match codec {
            Codec::Json => "application/json",
            _ => "application/proto",
        };
        head.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if let Some(coding) = coding.filter(|_| message.is_compressed()) {
            head.insert(CONTENT_ENCODING, coding);
        }
        let mut response = Response::new(Body::new(Full::new(message.into_message())));
        *response.headers_mut() = head;
        response
    }
}

/// The one message, if the call went well.
fn outcome(
    message: Option<Frame>,
    frames: &FrameReader,
    trailers: &HeaderMap,
) -> Result<Frame, Status> {
    let problem = match (rpc::error::from_headers(trailers), message) {
        (Some(status), _) if status.code() != Code::Ok => return Err(status),
        (Some(_), Some(message)) => return Ok(message),
        (None, _) => "the upstream ended without a status",
        (Some(_), None) if frames.is_empty() => "the upstream sent neither a message nor an error",
        (Some(_), None) => "truncated message from the upstream",
    };
    Err(bad_upstream(problem))
}
