//! `buf.validate` at the door: every request message is checked before a handler can see it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use anyhow::{Context as _, ensure};
use bytes::{Buf, Bytes, BytesMut};
use contract::Method;
use http::{Request, Response};
use http_body::Frame;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Service, ServiceExt};
use validation::{Clock, Validation, ValidationOptions, Validator};

use crate::error::{Fault, Violation};

#[cfg(test)]
mod tests;

/// Compressed flag and big-endian length before each message (gRPC over HTTP/2, "Length-Prefixed-Message").
const PREFIX_BYTES: usize = 5;

/// The compiled rules of a contract.
pub(crate) struct Rules {
    inputs: HashMap<&'static str, Input>,
    max_message_bytes: usize,
}

/// The request message of a method that has something to check.
#[derive(Clone)]
struct Input {
    name: &'static str,
    validator: Validator,
}

/// A request body that gives out whole messages, each one valid.
struct Checked {
    source: Body,
    rules: Arc<Rules>,
    input: Input,
    buffer: BytesMut,
    source_ended: bool,
    failed: bool,
}

/// Passes the request on with a checked body if its messages have rules or text, else untouched.
///
/// A bad message reaches tonic as an error of the body. It decodes the one message of a unary call before it calls
/// the handler, and hands those of a stream to the handler in order, so one mechanism serves all four kinds.
pub(crate) async fn enforce<S>(
    rules: Arc<Rules>,
    inner: S,
    request: Request<Body>,
) -> Result<Response<Body>, Infallible>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let request = match rules.inputs.get(request.uri().path()).cloned() {
        None => request,
        Some(input) => request.map(|source| {
            Body::new(Checked {
                source,
                rules,
                input,
                buffer: BytesMut::new(),
                source_ended: false,
                failed: false,
            })
        }),
    };
    inner.oneshot(request).await
}

// === impl Rules ===

impl Rules {
    /// Compiles the rules of every request message of `methods`. Beside the contract's own rules one of ours holds everywhere:
    /// U+0000 is text in protobuf and in none of our databases. A handler that got it could only fail, and a saga that carried
    /// it could only retry for ever.
    ///
    /// # Errors
    /// A descriptor set that does not compile or lacks a message, and a rule that nothing would check.
    pub(crate) fn compile(
        descriptor_set: &[u8],
        methods: &'static [Method],
        max_message_bytes: usize,
    ) -> anyhow::Result<Self> {
        let options = ValidationOptions {
            enforce: true,
            refuse_nul: true,
            clock: Some(Clock(SystemTime::now)),
        };
        let validation = Validation::compile(descriptor_set, &options)?;
        let mut inputs = HashMap::new();
        for method in methods {
            let validator = validation
                .validator(method.input)
                .with_context(|| format!("descriptor set lacks {}", method.input))?;
            let unenforced = validator.unenforced();
            let texts: Vec<String> = unenforced.iter().map(ToString::to_string).collect();
            ensure!(texts.is_empty(), "validation: {}", texts.join("; "));
            if validator.has_rules() {
                let name = method.input;
                inputs.insert(method.path, Input { name, validator });
            }
        }
        Ok(Self {
            inputs,
            max_message_bytes,
        })
    }
}

// === impl Input ===

impl Input {
    fn check(&self, wire: &[u8]) -> Result<(), Fault> {
        let found = self.validator.check(wire).map_err(|error| {
            let text = format!("request is not a {}: {error}", self.name);
            Fault::invalid_argument("INVALID_MESSAGE", text)
        })?;
        if found.is_empty() {
            return Ok(());
        }
        let mut fault = Fault::invalid_argument("INVALID_FIELD", found.to_string());
        fault.violations = found.listed.into_iter().map(Violation::from).collect();
        Err(fault)
    }
}

// === impl Checked ===

impl Checked {
    // Takes the next whole message out of the buffer, prefix included; `None` if more bytes are needed.
    fn next_message(&mut self) -> Result<Option<Bytes>, Fault> {
        if self.buffer.len() < PREFIX_BYTES {
            return Ok(None);
        }
        let mut prefix = &self.buffer[..PREFIX_BYTES];
        let compressed = prefix.get_u8() != 0;
        let length = prefix.get_u32() as usize;
        if compressed {
            return Err(Fault::new(
                Code::Unimplemented,
                "COMPRESSION_UNSUPPORTED",
                "grpc-encoding: requests to this method must not be compressed",
            ));
        }
        let limit = self.rules.max_message_bytes;
        if length > limit {
            let text = format!("request message of {length} bytes is above the limit of {limit}");
            return Err(Fault::resource_exhausted("MESSAGE_TOO_LARGE", text));
        }
        if self.buffer.len() < PREFIX_BYTES + length {
            return Ok(None);
        }
        let message = self.buffer.split_to(PREFIX_BYTES + length).freeze();
        self.input.check(&message[PREFIX_BYTES..])?;
        Ok(Some(message))
    }

    fn fail(&mut self, status: Status) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.failed = true;
        self.source = Body::empty();
        Poll::Ready(Some(Err(status)))
    }
}

impl http_body::Body for Checked {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.failed {
            return Poll::Ready(None);
        }
        loop {
            match self.next_message() {
                Ok(Some(message)) => return Poll::Ready(Some(Ok(Frame::data(message)))),
                Ok(None) => {}
                Err(fault) => return self.fail(fault.into()),
            }
            if self.source_ended {
                // Half a message: the decoder knows how to report it.
                let rest = self.buffer.split().freeze();
                return Poll::Ready((!rest.is_empty()).then(|| Ok(Frame::data(rest))));
            }
            match ready!(Pin::new(&mut self.source).poll_frame(context)) {
                None => self.source_ended = true,
                Some(Err(status)) => return self.fail(status),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.buffer.extend_from_slice(&data),
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.failed || (self.buffer.is_empty() && self.source.is_end_stream())
    }
}
