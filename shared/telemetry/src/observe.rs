//! The record of one request: its span, its metrics and its line in the access log.
//!
//! The server opens the record before anything can reject the request and closes it with the last
//! byte of the response. Code on the way notes in [`current`] which method was matched, how the
//! call ended, and which upstream answered.

mod access;
mod body;
mod close;
mod conventions;
mod open;

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use http::{Method, Request};
use hyper::body::Incoming;
use rpc::lock::lock;
use tonic::Code;
use tonic::body::Body;
use tracing::Span;

use crate::metrics::{Call, Metrics, Protocol, Route};

pub use access::{AccessLogSettings, LoggedRequests};
pub use conventions::Sniff;

use access::{AccessLog, Line, PATH_BYTES, cut};
use body::RequestBody;
use conventions::{known_method, server_span};

/// nginx's status for a client that disconnected before there was one.
const CLIENT_GONE: u16 = 499;

/// No code recorded.
const NO_CODE: u8 = u8::MAX;

tokio::task_local! {
    static CURRENT: RequestRecord;
}

/// The record of one request; clones share it. Outside of a request it ignores all notes.
#[derive(Clone, Debug, Default)]
pub struct RequestRecord(Option<Arc<Record>>);

/// Closes the record of an upgraded connection.
#[derive(Debug)]
#[must_use = "the record is closed when this is dropped"]
pub struct UpgradeRecord(Arc<Record>);

/// How a response ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Complete.
    Complete = 0,
    /// The caller disconnected before the end.
    ClientGone = 1,
    /// The upstream, or the producer of the response, failed in between.
    UpstreamFailed = 2,
    /// The process stops, and the response had no end.
    Drain = 3,
    /// The caller's deadline has passed.
    Deadline = 4,
    /// The caller's credential has expired, or was revoked.
    CredentialEnded = 5,
}

/// The shared parts of all records of a server.
#[derive(Debug)]
pub struct Observer {
    metrics: Metrics,
    access: AccessLog,
    /// Paths of the methods that identify a gRPC request by its path.
    known: HashSet<&'static str>,
    sniff: Sniff,
}

/// A function that is told the outcome of a call.
type AtEnd = Box<dyn FnOnce(Code) + Send>;

struct Record {
    observer: Arc<Observer>,
    started: Instant,
    method: Method,
    protocol: Protocol,
    span: Span,
    line: Option<Box<Line>>,
    call: OnceLock<Arc<Call>>,
    route: OnceLock<Arc<Route>>,
    code: AtomicU8,
    end: AtomicU8,
    is_upgraded: OnceLock<()>,
    /// The path as it is told; `None` where nobody is.
    path: Mutex<Option<Box<str>>>,
    at_end: Mutex<Option<AtEnd>>,
    request_bytes: AtomicU64,
    response_bytes: AtomicU64,
}

/// The record of a request without an answer yet; dropping it means that the client disconnected.
#[derive(Debug)]
#[must_use = "dropping this records that the client disconnected"]
pub struct OpenRecord {
    record: Arc<Record>,
    is_answered: bool,
}

/// Returns the record of the current request, to be kept for a task or a body that outlives it.
pub fn current() -> RequestRecord {
    CURRENT.try_with(RequestRecord::clone).unwrap_or_default()
}

/// Counts the bytes of a request body from here on.
pub fn count_body(request: Request<Incoming>) -> Request<Body> {
    match current().0 {
        Some(record) => request.map(|body| Body::new(RequestBody::new(body, record))),
        None => request.map(Body::new),
    }
}

/// Opens the record of a request, which its answer closes: [`OpenRecord::around`].
pub fn open<B>(observer: &Arc<Observer>, request: &Request<B>) -> OpenRecord {
    let record = Arc::new(Record::open(observer.clone(), request));
    let path = request.uri().path();
    if record.protocol == Protocol::GRPC && observer.known.contains(path) {
        RequestRecord(Some(record.clone())).call(path, Protocol::GRPC);
    }
    OpenRecord {
        record,
        is_answered: false,
    }
}

// === impl RequestRecord ===

impl RequestRecord {
    /// Records the RPC method (`/package.Service/Method`). It must be one of a schema, so that
    /// labels are bounded.
    pub fn call(&self, method: &str, protocol: Protocol) {
        let Some(record) = &self.0 else { return };
        let call = record.observer.metrics.call(method, protocol);
        record.span.record("rpc.method", call.method());
        record.span.record("rpc.system.name", "grpc");
        record.span.record("protocol", protocol.as_str());
        if protocol.is_rpc() {
            record.span.record("otel.name", call.method());
        }
        if record.call.set(call.clone()).is_ok() {
            call.active.inc();
        }
    }

    /// Records the route of plain HTTP. It must be a template, so that labels are bounded.
    pub fn route(&self, template: &str) {
        let Some(record) = &self.0 else { return };
        let method = known_method(&record.method);
        record.span.record("http.route", template);
        if !record.span.is_disabled() {
            record
                .span
                .record("otel.name", format!("{method} {template}"));
        }
        let _ = record
            .route
            .set(record.observer.metrics.route(&method, template));
    }

    /// Tells this template in place of the path, which holds a value that is nobody's to read.
    pub fn hide_path(&self, template: &str) {
        if let Some(record) = &self.0
            && let Some(path) = lock(&record.path).as_mut()
        {
            *path = template.into();
        }
    }

    /// Records the upstream of the call.
    pub fn upstream(&self, address: &str) {
        if let Some(line) = self.line() {
            let _ = line.upstream.set(address.into());
        }
    }

    /// Records the client's address, if it is not the peer's.
    pub fn client(&self, address: IpAddr) {
        if let Some(line) = self.line() {
            let _ = line.client.set(address);
        }
    }

    /// Records the caller, if its name is logged.
    pub fn caller(&self, name: impl FnOnce() -> String) {
        if let Some(line) = self.line() {
            let _ = line.caller.set(name().into());
        }
    }

    /// Records the decision about the call: `ALLOWED`, or the reason of a denial. The last one
    /// counts.
    pub fn decision(&self, decision: &'static str) {
        if let Some(line) = self.line() {
            *lock(&line.decision) = Some(decision);
        }
    }

    /// Records the outcome of the call, if no gRPC trailers say it. The last one counts.
    pub fn code(&self, code: Code) {
        if let Some(record) = &self.0 {
            record.code.store(code as u8, Ordering::Relaxed);
        }
    }

    /// Tells `told` the outcome of the call when the record is closed. It is dropped without that
    /// outside of a request, or if another one follows.
    pub fn at_end(&self, told: impl FnOnce(Code) + Send + 'static) {
        if let Some(record) = &self.0 {
            *lock(&record.at_end) = Some(Box::new(told));
        }
    }

    /// Records the end of a response whose body looks complete and is not.
    pub fn end(&self, end: End) {
        if let Some(record) = &self.0 {
            record.end.store(end as u8, Ordering::Relaxed);
        }
    }

    /// Counts messages from the caller.
    pub fn request_messages(&self, count: u64) {
        if let Some(call) = self.0.as_ref().and_then(|record| record.call.get()) {
            call.request_messages(count);
        }
    }

    /// Counts messages to the caller.
    pub fn response_messages(&self, count: u64) {
        if let Some(call) = self.0.as_ref().and_then(|record| record.call.get()) {
            call.response_messages(count);
        }
    }

    /// Keeps the record open after an answer of 101, as long as the upgraded connection.
    pub fn upgrade(&self) -> Option<UpgradeRecord> {
        let record = self.0.clone()?;
        record.is_upgraded.set(()).ok()?;
        Some(UpgradeRecord(record))
    }

    /// Counts bytes of an upgraded connection.
    pub fn bytes(&self, received: u64, sent: u64) {
        if let Some(record) = &self.0 {
            record.received(received);
            record.sent(sent);
        }
    }

    fn line(&self) -> Option<&Line> {
        self.0.as_ref()?.line.as_deref()
    }
}

// === impl Observer ===

impl Observer {
    /// Creates the shared parts: `known` are the paths of the server's methods, `sniff` tells
    /// protocols apart.
    pub fn new(
        metrics: Metrics,
        access_log: AccessLogSettings,
        known: HashSet<&'static str>,
        sniff: Sniff,
    ) -> Self {
        Self {
            metrics,
            access: AccessLog::new(access_log),
            known,
            sniff,
        }
    }
}

// === impl Record ===

impl Record {
    fn open<B>(observer: Arc<Observer>, request: &Request<B>) -> Self {
        let protocol = (observer.sniff)(request.headers());
        observer.metrics.active().inc();
        let span = server_span(request, protocol);
        let line = observer.access.line(request);
        let is_told = line.is_some() || !span.is_disabled();
        let path = is_told.then(|| cut(request.uri().path(), PATH_BYTES).into());
        Self {
            started: Instant::now(),
            method: request.method().clone(),
            protocol,
            span,
            line,
            path: Mutex::new(path),
            observer,
            call: OnceLock::new(),
            route: OnceLock::new(),
            code: AtomicU8::new(NO_CODE),
            end: AtomicU8::new(End::Complete as u8),
            is_upgraded: OnceLock::new(),
            at_end: Mutex::new(None),
            request_bytes: AtomicU64::new(0),
            response_bytes: AtomicU64::new(0),
        }
    }

    fn received(&self, bytes: u64) {
        self.request_bytes.fetch_add(bytes, Ordering::Relaxed);
        if let Some(call) = self.call.get() {
            call.request_bytes.inc_by(bytes);
        }
    }

    fn sent(&self, bytes: u64) {
        self.response_bytes.fetch_add(bytes, Ordering::Relaxed);
        if let Some(call) = self.call.get() {
            call.response_bytes.inc_by(bytes);
        }
    }

    /// Returns the recorded end, or the one inferred from the body.
    fn ended(&self, seen: End) -> End {
        match self.end.load(Ordering::Relaxed) {
            1 => End::ClientGone,
            2 => End::UpstreamFailed,
            3 => End::Drain,
            4 => End::Deadline,
            5 => End::CredentialEnded,
            _ => seen,
        }
    }

    /// Returns the code of a call; `None` for a request that is not one.
    fn code(&self, end: End) -> Option<Code> {
        let noted = self.code.load(Ordering::Relaxed);
        if noted != NO_CODE {
            return Some(Code::from_i32(i32::from(noted)));
        }
        let is_call = self.protocol.is_rpc() || self.call.get().is_some();
        is_call.then_some(match end {
            End::Complete => Code::Ok,
            End::ClientGone => Code::Cancelled,
            End::UpstreamFailed => Code::Unknown,
            End::Drain => Code::Unavailable,
            End::Deadline => Code::DeadlineExceeded,
            End::CredentialEnded => Code::Unauthenticated,
        })
    }
}
