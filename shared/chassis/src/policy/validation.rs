//! `buf.validate` at the door: every request message is checked before a handler can see it.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use anyhow::Context as _;
use bytes::{Buf, Bytes, BytesMut};
use http::{Request, Response};
use http_body::Frame;
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MessageDescriptor};
use schema::Method;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::{Service, ServiceExt};

use self::check::RulesByName;
use self::compile::Options;
use crate::error::Fault;

mod check;
mod compile;
mod plan;

#[cfg(test)]
mod tests;

/// Compressed flag and big-endian length before each message (gRPC over HTTP/2, "Length-Prefixed-Message").
const PREFIX_BYTES: usize = 5;

/// The compiled rules of a contract.
pub(crate) struct Rules {
    inputs: HashMap<&'static str, MessageDescriptor>,
    messages: RulesByName,
    max_message_bytes: usize,
}

/// A request body that gives out whole messages, each one valid.
struct Checked {
    source: Body,
    rules: Arc<Rules>,
    input: MessageDescriptor,
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
    /// Compiles the rules of every request message of `methods`.
    ///
    /// # Errors
    /// A descriptor set that does not decode or lacks a message, and a rule that does not compile.
    pub(crate) fn compile(
        descriptor_set: &[u8],
        methods: &'static [Method],
        max_message_bytes: usize,
    ) -> anyhow::Result<Self> {
        let pool = DescriptorPool::decode(descriptor_set).context("descriptor set")?;
        let options = Options::find(&pool);
        let mut rules = Self {
            inputs: HashMap::new(),
            messages: RulesByName::new(),
            max_message_bytes,
        };
        for method in methods {
            let input = pool
                .get_message_by_name(method.input)
                .with_context(|| format!("descriptor set lacks {}", method.input))?;
            if rules.add_reachable(&options, &input)? {
                rules.inputs.insert(method.path, input);
            }
        }
        Ok(rules)
    }

    // Compiles a message and all inside of it; returns whether any of them has something to check: rules or text.
    fn add_reachable(
        &mut self,
        options: &Options,
        input: &MessageDescriptor,
    ) -> anyhow::Result<bool> {
        let mut any = false;
        for message in reachable(input) {
            any |= message.fields().any(|field| field.kind() == Kind::String);
            let compiled = options.compile(&message)?;
            if !compiled.is_empty() {
                any = true;
                self.messages
                    .insert(message.full_name().to_owned(), compiled);
            }
        }
        Ok(any)
    }

    fn check(&self, input: &MessageDescriptor, wire: &[u8]) -> Result<(), Fault> {
        let message = DynamicMessage::decode(input.clone(), wire).map_err(|error| {
            let text = format!("request is not a {}: {error}", input.full_name());
            Fault::invalid_argument("INVALID_MESSAGE", text)
        })?;
        let violations = check::violations(&self.messages, &message, wire);
        let Some(first) = violations.first() else {
            return Ok(());
        };
        let mut text = format!("{}: {}", first.field, first.description);
        if violations.len() > 1 {
            text.push_str(&format!(" (and {} more)", violations.len() - 1));
        }
        let mut fault = Fault::invalid_argument("INVALID_FIELD", text);
        fault.violations = violations;
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
        self.rules.check(&self.input, &message[PREFIX_BYTES..])?;
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

fn reachable(root: &MessageDescriptor) -> Vec<MessageDescriptor> {
    let mut seen = HashSet::from([root.full_name().to_owned()]);
    let mut messages = vec![root.clone()];
    let mut next = 0;
    while let Some(message) = messages.get(next).cloned() {
        next += 1;
        for field in message.fields() {
            if let Some(nested) = field.kind().as_message()
                && seen.insert(nested.full_name().to_owned())
            {
                messages.push(nested.clone());
            }
        }
    }
    messages
}
