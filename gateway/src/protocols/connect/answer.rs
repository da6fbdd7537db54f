//! The response of a unary call, read as a whole: Connect says how a call ended before it says anything else.

use bytes::{Bytes, BytesMut};
use http::Response;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use http_body_util::{BodyExt, Full};
use tonic::body::Body;
use tonic::{Code, Status};

use super::{error, metadata, payload};
use crate::api::Catalog;
use crate::call::frame::{FRAME_HEADER_BYTES, STATUS, bad_upstream};
use crate::protocols::inspect;
use crate::protocols::sniff::Codec;

/// One message, or the reason why there is none.
pub(super) struct Answer {
    head: HeaderMap,
    frame: Result<Bytes, Status>,
    trailers: HeaderMap,
}

impl Answer {
    /// Reads a response of gRPC that always ends in a status; it is bounded by the largest message.
    pub(super) async fn read(response: Response<Body>) -> Result<Self, Status> {
        let (mut head, mut body) = response.into_parts();
        let mut frames = BytesMut::new();
        let mut trailers = HeaderMap::new();
        if head.headers.contains_key(STATUS) {
            // Trailers only: all of its metadata came at the end.
            std::mem::swap(&mut head.headers, &mut trailers);
        }
        while let Some(frame) = body.frame().await.transpose()? {
            match frame.into_data() {
                Ok(data) => frames.extend_from_slice(&data),
                Err(frame) => trailers = frame.into_trailers().unwrap_or_default(),
            }
            if end_of_first(&frames).is_some_and(|end| frames.len() > end) {
                let status = bad_upstream("the upstream sent more than one message");
                return Ok(Self {
                    head: head.headers,
                    frame: Err(status),
                    trailers,
                });
            }
        }
        let frame = outcome(frames.freeze(), &trailers);
        Ok(Self {
            head: head.headers,
            frame,
            trailers,
        })
    }

    pub(super) fn respond(self, codec: Codec, catalog: &Catalog) -> Response<Body> {
        let coding = self.head.get(inspect::ENCODING).cloned();
        let mut head = metadata::unary_head(self.head);
        metadata::append_trailing(self.trailers, &mut head);
        let frame = match self.frame {
            Ok(frame) => frame,
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
        if let Some(coding) = coding.filter(|_| frame.first() == Some(&1)) {
            head.insert(CONTENT_ENCODING, coding);
        }
        let mut response = Response::new(Body::new(Full::new(payload(&frame))));
        *response.headers_mut() = head;
        response
    }
}

/// Where the first message ends; `None` while that is not known.
fn end_of_first(frames: &[u8]) -> Option<usize> {
    let length = frames.get(1..FRAME_HEADER_BYTES)?.try_into().ok()?;
    Some(FRAME_HEADER_BYTES + u32::from_be_bytes(length) as usize)
}

/// The one message, if the call went well.
fn outcome(frames: Bytes, trailers: &HeaderMap) -> Result<Bytes, Status> {
    match Status::from_header_map(trailers) {
        Some(status) if status.code() != Code::Ok => Err(status),
        None => Err(bad_upstream("the upstream ended without a status")),
        Some(_) if end_of_first(&frames) == Some(frames.len()) => Ok(frames),
        Some(_) if frames.is_empty() => Err(bad_upstream(
            "the upstream sent neither a message nor an error",
        )),
        Some(_) => Err(bad_upstream("the upstream broke a message off")),
    }
}
