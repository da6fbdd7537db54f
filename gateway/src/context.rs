//! The context that all requests of one generation share.

use std::sync::Arc;
use std::time::Duration;

use admission::Budget;
use chassis::Process;
use chassis::stalled::Pace;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::api::{Catalog, Dialect, Directory};
use crate::call::frame::{ByteLimit, RESPONSE_LIMIT};
use crate::failure::{self, BODY_LIMIT, ErrorSettings};
use crate::policy::Policy;

/// The shared parts of one generation; clones are the same generation.
#[derive(Clone)]
pub(crate) struct Context {
    shared: Arc<Shared>,
}

/// The parts that a context is made of.
pub(crate) struct ContextParts {
    pub(crate) policy: Policy,
    pub(crate) directory: Arc<Directory>,
    pub(crate) dialect: Dialect,
    pub(crate) errors: ErrorSettings,
    /// Largest request body, in bytes.
    pub(crate) max_body_bytes: usize,
    /// Largest piece of a raw upload in one message, in bytes.
    pub(crate) upload_chunk_bytes: usize,
    /// Silence on a server-sent event stream before a comment is sent.
    pub(crate) sse_keep_alive: Duration,
}

struct Shared {
    parts: ContextParts,
    max_message_bytes: usize,
    body_pace: Pace,
    budget: Budget,
    request_window: usize,
    response_window: usize,
    response_stall_timeout: Duration,
    draining: CancellationToken,
}

impl Context {
    pub(crate) fn new(parts: ContextParts, process: &Process) -> Self {
        let settings = process.settings();
        Self {
            shared: Arc::new(Shared {
                parts,
                max_message_bytes: settings.max_message_bytes,
                body_pace: settings.listener.body_pace(),
                budget: process.budget().clone(),
                request_window: settings.listener.stream_window_bytes as usize,
                response_window: settings.client.stream_window_bytes as usize,
                response_stall_timeout: settings.listener.response_stall_timeout(),
                draining: process.draining(),
            }),
        }
    }

    pub(crate) fn policy(&self) -> &Policy {
        &self.shared.parts.policy
    }

    pub(crate) fn directory(&self) -> &Arc<Directory> {
        &self.shared.parts.directory
    }

    /// The API as it is known now. A request takes it once, and is answered by it whatever is
    /// learned meanwhile.
    pub(crate) fn catalog(&self) -> Arc<Catalog> {
        self.directory().catalog()
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.shared.parts.dialect
    }

    /// An error of the gateway's own, as callers of the RPC protocols see it.
    pub(crate) fn own_error(&self, status: Status) -> Status {
        match self.shared.parts.errors.reasons {
            true => status,
            false => failure::without_reason(status),
        }
    }

    /// The largest request body, in bytes; of a stream, its largest message.
    pub(crate) fn max_body_bytes(&self) -> usize {
        self.shared.parts.max_body_bytes
    }

    /// The largest message of a request.
    pub(crate) fn request_limit(&self) -> ByteLimit {
        let (body, message) = (self.max_body_bytes(), self.max_message_bytes());
        match body < message {
            true => ByteLimit {
                bytes: body,
                key: BODY_LIMIT,
            },
            false => ByteLimit {
                bytes: message,
                key: RESPONSE_LIMIT,
            },
        }
    }

    pub(crate) fn max_message_bytes(&self) -> usize {
        self.shared.max_message_bytes
    }

    pub(crate) fn upload_chunk_bytes(&self) -> usize {
        self.shared.parts.upload_chunk_bytes
    }

    pub(crate) fn sse_keep_alive(&self) -> Duration {
        self.shared.parts.sse_keep_alive
    }

    /// The memory that requests may hold.
    pub(crate) fn budget(&self) -> &Budget {
        &self.shared.budget
    }

    /// Bytes that a client may send of a stream that is not read.
    pub(crate) fn request_window(&self) -> usize {
        self.shared.request_window
    }

    /// Bytes that an upstream may send of a response that is not read.
    pub(crate) fn response_window(&self) -> usize {
        self.shared.response_window
    }

    /// How slow a body that is one message may be.
    pub(crate) fn body_pace(&self) -> Pace {
        self.shared.body_pace
    }

    /// How long a client may leave a response unread.
    pub(crate) fn response_stall_timeout(&self) -> Duration {
        self.shared.response_stall_timeout
    }

    pub(crate) fn draining(&self) -> &CancellationToken {
        &self.shared.draining
    }
}
