//! Validates every request message by the rules of `buf.validate` before a handler sees it.

use std::collections::HashMap;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use crate::violations;
use anyhow::{Context as _, ensure};
use bytes::Bytes;
use contract::Method;
use http::Request;
use http_body::Frame;
use rpc::error::Fault;
use rpc::frame::{FrameError, FrameReader};
use tonic::body::Body;
use tonic::{Code, Status};
use validation::{Clock, Validation, ValidationOptions, Validator};

#[cfg(test)]
mod tests;

/// The compiled rules of a contract.
pub(crate) struct Rules {
    inputs: HashMap<&'static str, Input>,
    max_message_bytes: usize,
}

/// The request message of a method with rules or text, or with a condition of access.
#[derive(Clone)]
struct Input {
    name: &'static str,
    validator: Validator,
}

/// A request body of whole frames, each with a valid message.
struct ValidatedBody {
    source: Body,
    input: Input,
    frames: FrameReader,
    source_ended: bool,
    failed: bool,
}

/// Validates the messages of a request if their type has rules or text; other requests pass
/// untouched.
///
/// An invalid message reaches tonic as an error of the body. It decodes the one message of a unary
/// call before it calls the handler, and hands those of a stream to the handler in order, so one
/// mechanism serves all four kinds.
pub(crate) fn validate(rules: &Rules, request: Request<Body>) -> Request<Body> {
    match rules.inputs.get(request.uri().path()) {
        None => request,
        Some(input) => {
            request.map(|body| ValidatedBody::wrap(body, input.clone(), rules.max_message_bytes))
        }
    }
}

// === impl Rules ===

impl Rules {
    /// Compiles the rules of every request message of `methods`. One rule is added to the
    /// contract's: text must not contain U+0000, which protobuf allows and Postgres does not store.
    /// A handler could only fail, and a saga would retry forever.
    ///
    /// # Errors
    /// A descriptor set that does not compile or lacks a message, and a rule that is not supported.
    pub(crate) fn compile(
        descriptor_set: &[u8],
        methods: &'static [Method],
        max_message_bytes: usize,
    ) -> anyhow::Result<Self> {
        Self::compile_framing(descriptor_set, methods, max_message_bytes, |_| false)
    }

    /// Compiles the rules as [`Rules::compile`] does. Requests to methods that `is_framed` names
    /// become whole frames even without rules, for a layer that reads their first message.
    ///
    /// # Errors
    /// See [`Rules::compile`].
    pub(crate) fn compile_framing(
        descriptor_set: &[u8],
        methods: &'static [Method],
        max_message_bytes: usize,
        is_framed: impl Fn(&str) -> bool,
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
            if validator.has_rules() || is_framed(method.path) {
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
        Err(violations::refusal(&self.validator, found))
    }
}

// === impl ValidatedBody ===

impl ValidatedBody {
    fn wrap(source: Body, input: Input, max_message_bytes: usize) -> Body {
        Body::new(Self {
            source,
            input,
            frames: FrameReader::new(max_message_bytes).accept_flags(0),
            source_ended: false,
            failed: false,
        })
    }

    /// Returns the next whole frame; `None` if more bytes are needed.
    fn next_frame(&mut self) -> Result<Option<Bytes>, Fault> {
        let Some(frame) = self.frames.next_frame().map_err(rejected)? else {
            return Ok(None);
        };
        self.input.check(frame.message())?;
        Ok(Some(frame.into_bytes()))
    }

    fn fail(&mut self, status: Status) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.failed = true;
        self.source = Body::empty();
        Poll::Ready(Some(Err(status)))
    }
}

impl http_body::Body for ValidatedBody {
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
            match self.next_frame() {
                Ok(Some(frame)) => return Poll::Ready(Some(Ok(Frame::data(frame)))),
                Ok(None) => {}
                Err(fault) => return self.fail(fault.into()),
            }
            if self.source_ended {
                // tonic's decoder reports the truncated frame.
                let rest = self.frames.take_rest();
                return Poll::Ready((!rest.is_empty()).then(|| Ok(Frame::data(rest))));
            }
            match ready!(Pin::new(&mut self.source).poll_frame(context)) {
                None => self.source_ended = true,
                Some(Err(status)) => return self.fail(status),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.frames.push(data),
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.failed || (self.frames.is_empty() && self.source.is_end_stream())
    }
}

fn rejected(error: FrameError) -> Fault {
    match error {
        FrameError::TooLarge { length, limit } => {
            let text = format!("request message of {length} bytes is above the limit of {limit}");
            Fault::resource_exhausted("MESSAGE_TOO_LARGE", text)
        }
        FrameError::Flags(_) => Fault::new(
            Code::Unimplemented,
            "COMPRESSION_UNSUPPORTED",
            "grpc-encoding: requests to this method must not be compressed",
        ),
        FrameError::Truncated => Fault::aborted("REQUEST_TORN", error.to_string()),
    }
}
