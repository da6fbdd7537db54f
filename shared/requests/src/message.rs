//! Calls as messages: metadata and status as headers, one protobuf message as payload.

use async_nats::HeaderMap as NatsHeaders;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, TE};
use http::{HeaderMap, Response};
use http_body_util::{BodyExt, Full, Limited};
use rpc::error::Fault;
use rpc::frame;
use tonic::body::Body;
use tonic::{Code, Status};

/// The header with the code of a reply, in decimal.
pub(crate) const STATUS: &str = "grpc-status";
/// Media type of payloads.
const PROTOBUF: &str = "application/protobuf";
/// Media type of calls between this crate and tonic.
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
/// Fields of the HTTP/2 form that the message form has no use for.
const OF_HTTP: [&str; 6] = [
    "content-type",
    "te",
    "user-agent",
    "grpc-encoding",
    "grpc-accept-encoding",
    "date",
];
/// Bytes around the headers of a message: `NATS/1.0` and two line ends.
const HEADER_FRAME: usize = 12;
/// Bytes around one header: a colon, a space, a line end.
const LINE_FRAME: usize = 4;

/// One message on its way.
#[derive(Debug)]
pub(crate) struct Envelope {
    pub(crate) headers: NatsHeaders,
    pub(crate) payload: Bytes,
}

// === impl Envelope ===

impl Envelope {
    /// Returns the bytes that the broker counts.
    pub(crate) fn size(&self) -> usize {
        let lines = self.headers.iter().flat_map(|(name, values)| {
            let name: &str = name.as_ref();
            let line = |value: &async_nats::HeaderValue| name.len() + value.as_str().len();
            values.iter().map(move |value| line(value) + LINE_FRAME)
        });
        HEADER_FRAME + lines.sum::<usize>() + self.payload.len()
    }

    /// Writes a reply; `most` is the largest that the broker takes.
    pub(crate) async fn of_response(response: Response<Body>, most: usize) -> Self {
        match read(response, most).await {
            Ok(reply) if reply.size() <= most => reply,
            Ok(reply) => Self::of_fault(too_large("response", reply.size(), most)),
            Err(fault) => Self::of_fault(fault),
        }
    }

    /// Writes a reply without a message.
    pub(crate) fn of_fault(fault: Fault) -> Self {
        let head: Response<Body> = Status::from(fault).into_http();
        Self {
            headers: to_nats(head.headers()),
            payload: Bytes::new(),
        }
    }

    /// Reads a reply as the response of an HTTP/2 call.
    ///
    /// # Errors
    /// A reply without a status, or with headers that are none of HTTP.
    pub(crate) fn into_response(self) -> Result<Response<Body>, Fault> {
        let (mut head, mut trailers) = (HeaderMap::new(), HeaderMap::new());
        for (name, value) in from_nats(&self.headers)? {
            let of_status = name.as_str().starts_with("grpc-");
            let side = if of_status { &mut trailers } else { &mut head };
            side.append(name, value);
        }
        let Some(status) = trailers.get(STATUS) else {
            return Err(rpc::error::no_status());
        };
        head.insert(CONTENT_TYPE, GRPC);
        if status != "0" {
            head.extend(trailers);
            return Ok(with_head(Body::empty(), head));
        }
        let frame = frame::encode(0, &self.payload).map_err(rpc::error::internal)?;
        let body = Full::new(frame).with_trailers(std::future::ready(Some(Ok(trailers))));
        Ok(with_head(Body::new(body), head))
    }
}

fn with_head(body: Body, head: HeaderMap) -> Response<Body> {
    let mut response = Response::new(body);
    *response.headers_mut() = head;
    response
}

/// Reads the response of a unary method. Its extensions, which hold memory and slot of the call,
/// live until then.
async fn read(response: Response<Body>, most: usize) -> Result<Envelope, Fault> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, most + frame::HEADER_BYTES)
        .collect()
        .await;
    let body = body.map_err(|error| match error.downcast::<Status>() {
        Ok(status) => Fault::new(
            status.code(),
            "RESPONSE_FAILED",
            status.message().to_owned(),
        ),
        Err(_) => too_large("response", most + 1, most),
    })?;
    let mut headers = to_nats(&head.headers);
    for (name, value) in lines(body.trailers().unwrap_or(&HeaderMap::new())) {
        headers.append(name, value);
    }
    if headers.get(STATUS).is_none() {
        return Err(rpc::error::no_status());
    }
    Ok(Envelope {
        headers,
        payload: unframed(body.to_bytes())?,
    })
}

/// Reads the body of a unary request.
///
/// # Errors
/// RESOURCE_EXHAUSTED for one that the broker does not take.
pub(crate) async fn request_payload(body: Body, most: usize) -> Result<Bytes, Fault> {
    let body = Limited::new(body, most + frame::HEADER_BYTES)
        .collect()
        .await;
    let body = body.map_err(|error| match error.downcast::<Status>() {
        Ok(status) => Fault::new(status.code(), "REQUEST_FAILED", status.message().to_owned()),
        Err(_) => too_large("request", most + 1, most),
    })?;
    unframed(body.to_bytes())
}

/// Returns the one message of a body; an empty body of a failure has none.
fn unframed(body: Bytes) -> Result<Bytes, Fault> {
    let Some((head, _)) = body.split_first_chunk::<{ frame::HEADER_BYTES }>() else {
        return Ok(Bytes::new());
    };
    let header = frame::Header::decode(*head);
    let message = body.slice(frame::HEADER_BYTES..);
    if header.flags & frame::COMPRESSED != 0 {
        let text = "messages over a broker are not compressed";
        return Err(Fault::new(Code::Unimplemented, "COMPRESSED", text));
    }
    if header.length as usize != message.len() {
        let text = "expected one message, as of a unary method";
        return Err(Fault::new(Code::Unimplemented, "NOT_UNARY", text));
    }
    Ok(message)
}

pub(crate) fn too_large(side: &str, size: usize, most: usize) -> Fault {
    let text = format!("the {side} has {size} bytes or more, the broker takes {most}");
    Fault::resource_exhausted("MESSAGE_TOO_LARGE", text)
}

/// Returns the metadata of an HTTP/2 call as headers of a message.
pub(crate) fn to_nats(headers: &HeaderMap) -> NatsHeaders {
    let mut found = NatsHeaders::new();
    for (name, value) in lines(headers) {
        found.append(name, value);
    }
    found.insert("content-type", PROTOBUF);
    found
}

/// Returns the lines that the message form has; values that are not visible ASCII are none of gRPC.
fn lines(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let lines = headers
        .iter()
        .filter(|(name, _)| !OF_HTTP.contains(&name.as_str()));
    lines.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
}

/// Returns the headers of a request message as those of an HTTP/2 call.
///
/// # Errors
/// INVALID_ARGUMENT, with the name of the header.
pub(crate) fn request_headers(headers: Option<&NatsHeaders>) -> Result<HeaderMap, Fault> {
    let mut found = HeaderMap::new();
    for (name, value) in headers.map(from_nats).transpose()?.into_iter().flatten() {
        found.append(name, value);
    }
    found.insert(CONTENT_TYPE, GRPC);
    found.insert(TE, HeaderValue::from_static("trailers"));
    Ok(found)
}

/// Returns the headers without those of the broker and those that the message form does not have.
fn from_nats(headers: &NatsHeaders) -> Result<Vec<(HeaderName, HeaderValue)>, Fault> {
    let mut found = Vec::new();
    for (name, values) in headers.iter() {
        let lower = <_ as AsRef<str>>::as_ref(name).to_ascii_lowercase();
        if lower.starts_with("nats-") || OF_HTTP.contains(&lower.as_str()) {
            continue;
        }
        for value in values {
            let name = HeaderName::try_from(&lower).ok();
            let line = name.zip(HeaderValue::from_str(value.as_str()).ok());
            found.push(line.ok_or_else(|| {
                let text = format!("invalid header {lower:?}");
                Fault::invalid_argument("INVALID_METADATA", text)
            })?);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn through(response: Response<Body>) -> (HeaderMap, Bytes, Option<HeaderMap>) {
        let reply = Envelope::of_response(response, 1_000).await;
        let (head, body) = reply.into_response().unwrap().into_parts();
        let body = body.collect().await.unwrap();
        let trailers = body.trailers().cloned();
        (head.headers, body.to_bytes(), trailers)
    }

    fn answered(message: &[u8]) -> Response<Body> {
        let mut trailers = HeaderMap::new();
        trailers.insert(STATUS, HeaderValue::from_static("0"));
        let frame = Full::new(frame::encode(0, message).unwrap());
        let body = frame.with_trailers(std::future::ready(Some(Ok(trailers))));
        let mut response = Response::new(Body::new(body));
        let head = response.headers_mut();
        head.insert(CONTENT_TYPE, GRPC);
        head.insert("x-shelf", HeaderValue::from_static("7"));
        response
    }

    #[tokio::test]
    async fn a_response_survives_its_message() {
        let (head, body, trailers) = through(answered(b"abc")).await;
        assert_eq!(
            (&head["x-shelf"], &head[CONTENT_TYPE]),
            (&"7".parse().unwrap(), &GRPC)
        );
        assert_eq!(body, frame::encode(0, b"abc").unwrap());
        assert_eq!(trailers.unwrap()[STATUS], "0");
    }

    #[tokio::test]
    async fn a_failure_survives_its_message() {
        let fault = Fault::not_found("NO_SHELF", "no shelf 7");
        let (head, body, trailers) = through(Status::from(fault).into_http()).await;
        let status = Status::from_header_map(&head).unwrap();
        assert_eq!(
            (status.code(), status.message()),
            (Code::NotFound, "no shelf 7")
        );
        assert_eq!(rpc::error::reason(&status).as_deref(), Some("NO_SHELF"));
        assert!(body.is_empty() && trailers.is_none());
    }

    #[tokio::test]
    async fn a_response_that_the_broker_would_refuse_is_a_failure() {
        for length in [980, 2_000] {
            let (head, _, _) = through(answered(&vec![7; length])).await;
            let status = Status::from_header_map(&head).unwrap();
            assert_eq!(status.code(), Code::ResourceExhausted, "{length}");
        }
    }

    #[test]
    fn headers_of_the_broker_are_no_metadata() {
        let mut headers = NatsHeaders::new();
        headers.insert("Nats-Msg-Id", "1");
        headers.insert("Content-Type", "application/protobuf");
        headers.insert("X-Shelf", "7");
        let read = request_headers(Some(&headers)).unwrap();
        assert_eq!(read["x-shelf"], "7");
        assert_eq!(read.len(), 3, "{read:?}");
        headers.insert("bad(name)", "7");
        assert!(request_headers(Some(&headers)).is_err());
    }
}
