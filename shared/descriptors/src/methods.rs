//! The methods of the services, as callers need to know them.

mod access;
mod answers;
mod rate_limit;

use std::sync::Arc;

use contract::{Cache, Criticality, Idempotency, IdempotencyKey, MethodKind};
use prost::Message;

use crate::kind::MessageId;
use crate::pool::{MethodDef, Pool, ServiceDef};
use answers::Answers;

pub use answers::{check_answers, is_vary};

pub use access::AccessOption;
pub use rate_limit::RateLimitOption;

/// One method of a service.
#[derive(Debug)]
pub struct MethodPlan {
    path: Box<str>,
    kind: MethodKind,
    idempotency: Idempotency,
    criticality: Criticality,
    answers: Answers,
    input_name: Box<str>,
    output_name: Box<str>,
    access: Option<Box<AccessOption>>,
    rate_limits: Box<[RateLimitOption]>,
    /// The request message.
    pub input: MessageId,
    /// The response message.
    pub output: MessageId,
}

/// `google.protobuf.MethodOptions`, with `mesh.v1`, as far as it is policy.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
struct MethodOptions {
    #[prost(int32, tag = "34")]
    idempotency_level: i32,
    #[prost(int32, tag = "50101")]
    criticality: i32,
}

// === impl MethodPlan ===

impl MethodPlan {
    /// Returns the plan of one method. Malformed options promise nothing; readers of other options
    /// report them.
    pub fn new(pool: &Pool, service: &ServiceDef, definition: &MethodDef) -> Arc<Self> {
        let name = definition.name.rsplit('.').next().unwrap_or_default();
        let options: MethodOptions = definition.options.decode().unwrap_or_default();
        Arc::new(MethodPlan {
            path: format!("/{}/{name}", service.name).into(),
            kind: MethodKind::new(
                definition.is_client_streaming,
                definition.is_server_streaming,
            ),
            idempotency: Idempotency::from_level(options.idempotency_level),
            criticality: Criticality::from_number(options.criticality),
            answers: Answers::of(pool, definition),
            input: definition.input,
            output: definition.output,
            access: AccessOption::of(pool, definition).map(Box::new),
            rate_limits: RateLimitOption::of(pool, definition).into(),
            input_name: pool.message(definition.input).name.clone(),
            output_name: pool.message(definition.output).name.clone(),
        })
    }

    /// Returns the path of the HTTP/2 request, `/package.Service/Method`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the full name of the service, `package.Service`.
    pub fn service(&self) -> &str {
        let path = self.path.trim_start_matches('/');
        path.split('/').next().unwrap_or_default()
    }

    /// Returns which sides stream.
    pub fn kind(&self) -> MethodKind {
        self.kind
    }

    /// Returns what the contract promises about repeating a call.
    pub fn idempotency(&self) -> Idempotency {
        self.idempotency
    }

    /// Returns how late its calls are rejected under overload.
    pub fn criticality(&self) -> Criticality {
        self.criticality
    }

    /// Returns how long its answers are served again; `None` where they are not.
    pub fn cache(&self) -> Option<&Cache> {
        self.answers.cache.as_deref()
    }

    /// Returns how a repeated call is known; `None` where none is.
    pub fn idempotency_key(&self) -> Option<&IdempotencyKey> {
        self.answers.idempotency_key.as_deref()
    }

    /// Returns who may call it, as the contract says; `None` where it says nothing.
    pub fn access(&self) -> Option<&AccessOption> {
        self.access.as_deref()
    }

    /// Returns how often it may be called, as written.
    pub fn rate_limits(&self) -> &[RateLimitOption] {
        &self.rate_limits
    }

    /// Returns the full name of the request message.
    pub fn input(&self) -> &str {
        &self.input_name
    }

    /// Returns the full name of the response message.
    pub fn output(&self) -> &str {
        &self.output_name
    }
}
