//! What becomes known of one request while it is served: its span, its metrics and its line in the access log.
//!
//! The server opens the record of a request before anything can refuse it and closes it with the last byte of the answer. Whoever
//! learns something on the way notes it in [`current`]: which method was matched, how the call ended, who answered it.

mod access;
mod body;
mod conventions;

use std::collections::HashSet;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use http::{HeaderMap, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use rpc::error::code_name;
use tonic::Code;
use tonic::body::Body;
use tracing::{Instrument, Span};

use crate::metrics::{Call, Metrics, Protocol, Route};

pub use access::{AccessLogSettings, LoggedRequests};

use access::{AccessLog, Line};
use body::{Counted, Watched};
use conventions::{OTHER, is_server_error, known_method, server_span};

/// nginx's status for a caller that went away before there was one.
const CLIENT_GONE: u16 = 499;

/// No code is noted.
const NO_CODE: u8 = u8::MAX;

tokio::task_local! {
    static CURRENT: Observed;
}

/// The record of one request; clones are the same. Outside of any request it takes notes that nobody reads.
#[derive(Clone, Debug, Default)]
pub struct Observed(Option<Arc<Record>>);

/// Closes a record that was taken over by a connection that speaks another protocol now.
#[derive(Debug)]
#[must_use = "the record is closed when this is dropped"]
pub struct Upgraded(Arc<Record>);

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It was whole.
    Complete = 0,
    /// The caller went away before the end.
    ClientGone = 1,
    /// Whoever produced it failed within.
    UpstreamFailed = 2,
    /// The process stops, and the answer had no end of its own.
    Drain = 3,
    /// The caller's time had run out.
    Deadline = 4,
}

/// What all requests of a server share.
#[derive(Debug)]
pub struct Observer {
    metrics: Metrics,
    access: AccessLog,
    /// Paths of the methods that gRPC requests are known by without being asked.
    known: HashSet<&'static str>,
    sniff: Sniff,
}

/// Returns the protocol of a request by its headers.
pub type Sniff = fn(&HeaderMap) -> Protocol;

#[derive(Debug)]
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
    request_bytes: AtomicU64,
    response_bytes: AtomicU64,
}

/// The record of a request that waits for its answer; one that is dropped was given up.
#[derive(Debug)]
#[must_use = "the request counts as given up when this is dropped"]
pub struct Opened {
    record: Arc<Record>,
    is_answered: bool,
}

/// The record of the request that is being served here, to be kept where a task or a body goes on with it.
pub fn current() -> Observed {
    CURRENT.try_with(Observed::clone).unwrap_or_default()
}

/// Counts the bytes of a request's body, from here on.
pub fn count_body(request: Request<Incoming>) -> Request<Body> {
    match current().0 {
        Some(record) => request.map(|body| Body::new(Counted::new(body, record))),
        None => request.map(Body::new),
    }
}

/// Opens the record of a request, whose answer goes into [`Opened::around`].
pub fn open<B>(observer: &Arc<Observer>, request: &Request<B>) -> Opened {
    let record = Arc::new(Record::open(observer.clone(), request));
    let path = request.uri().path();
    if record.protocol == Protocol::GRPC && observer.known.contains(path) {
        Observed(Some(record.clone())).call(path, Protocol::GRPC);
    }
    Opened {
        record,
        is_answered: false,
    }
}

// === impl Observed ===

impl Observed {
    /// The request is one of this method (`/package.Service/Method`). Only for methods of a schema, of which there are finitely many.
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

    /// The request of plain HTTP is one of this route. Only for templates, of which there are finitely many.
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

    /// The upstream that the call goes to.
    pub fn upstream(&self, address: &str) {
        if let Some(line) = self.line() {
            let _ = line.upstream.set(address.into());
        }
    }

    /// The client's own address, where it is not the one at the other end of the connection.
    pub fn client(&self, address: IpAddr) {
        if let Some(line) = self.line() {
            let _ = line.client.set(address);
        }
    }

    /// How the call ended, where trailers of gRPC do not say it. The last word counts.
    pub fn code(&self, code: Code) {
        if let Some(record) = &self.0 {
            record.code.store(code as u8, Ordering::Relaxed);
        }
    }

    /// Why the answer ends, where its body looks whole and is not.
    pub fn end(&self, end: End) {
        if let Some(record) = &self.0 {
            record.end.store(end as u8, Ordering::Relaxed);
        }
    }

    /// Counts messages that the caller has sent.
    pub fn request_messages(&self, count: u64) {
        if let Some(call) = self.0.as_ref().and_then(|record| record.call.get()) {
            call.request_messages(count);
        }
    }

    /// Counts messages that the caller is sent.
    pub fn response_messages(&self, count: u64) {
        if let Some(call) = self.0.as_ref().and_then(|record| record.call.get()) {
            call.response_messages(count);
        }
    }

    /// Keeps the record open beyond an answer of 101: the request goes on for as long as what its connection has become.
    pub fn upgrade(&self) -> Option<Upgraded> {
        let record = self.0.clone()?;
        record.is_upgraded.set(()).ok()?;
        Some(Upgraded(record))
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
    /// Creates what the requests of a server share: `known` are the paths of its methods, `sniff` tells protocols apart.
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
        Self {
            started: Instant::now(),
            method: request.method().clone(),
            protocol,
            span: server_span(request, protocol),
            line: observer.access.line(request),
            observer,
            call: OnceLock::new(),
            route: OnceLock::new(),
            code: AtomicU8::new(NO_CODE),
            end: AtomicU8::new(End::Complete as u8),
            is_upgraded: OnceLock::new(),
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

    /// The word of whoever knew better, else what the body looked like.
    fn ended(&self, seen: End) -> End {
        match self.end.load(Ordering::Relaxed) {
            1 => End::ClientGone,
            2 => End::UpstreamFailed,
            3 => End::Drain,
            4 => End::Deadline,
            _ => seen,
        }
    }

    /// The code of a call; `None` where there was none.
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
        })
    }

    fn close(&self, status: StatusCode, seen: End) {
        let duration = self.started.elapsed();
        let end = self.ended(seen);
        let code = self.code(end);
        self.observer.metrics.active().dec();
        self.count(status, code, duration);
        if !self.span.is_disabled() {
            self.mark(status, code);
        }
        if let Some(line) = &self.line {
            line.write(self, status, code, end, duration);
        }
    }

    fn count(&self, status: StatusCode, code: Option<Code>, duration: Duration) {
        let metrics = &self.observer.metrics;
        if let Some(call) = self.call.get() {
            call.active.dec();
            call.ended(code.unwrap_or(Code::Ok), duration);
        } else if self.protocol.is_rpc() {
            let call = metrics.call(OTHER, self.protocol);
            call.ended(code.unwrap_or(Code::Unknown), duration);
        }
        if let Some(route) = self.route.get() {
            route.ended(status, duration);
        } else if !self.protocol.is_rpc() {
            let route = metrics.route(&known_method(&self.method), "");
            route.ended(status, duration);
        }
    }

    fn mark(&self, status: StatusCode, code: Option<Code>) {
        let span = &self.span;
        span.record("http.response.status_code", status.as_u16());
        let mut fault = None;
        if status.is_server_error() {
            fault = Some(status.as_str());
        }
        if let Some(code) = code {
            span.record("rpc.response.status_code", code_name(code));
            if is_server_error(code) {
                fault = Some(code_name(code));
            }
        }
        if let Some(fault) = fault {
            span.record("otel.status_code", "ERROR");
            span.record("error.type", fault);
        }
    }
}

// === impl Opened ===

impl Opened {
    /// Answers the request under its record and, where somebody wants it, in a span that continues the caller's trace.
    pub async fn around<F>(mut self, answer: F) -> Result<Response<Body>, Infallible>
    where
        F: Future<Output = Result<Response<Body>, Infallible>>,
    {
        let record = self.record.clone();
        let answer = CURRENT.scope(Observed(Some(record.clone())), answer);
        // A span that nobody wants is not worth being entered at each poll.
        let response = if record.span.is_disabled() {
            answer.await?
        } else {
            answer.instrument(record.span.clone()).await?
        };
        self.is_answered = true;
        Ok(Watched::wrap(response, record))
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if !self.is_answered {
            let status = StatusCode::from_u16(CLIENT_GONE).unwrap_or(StatusCode::BAD_REQUEST);
            self.record.close(status, End::ClientGone);
        }
    }
}

// === impl Upgraded ===

impl Drop for Upgraded {
    fn drop(&mut self) {
        self.0.close(StatusCode::SWITCHING_PROTOCOLS, End::Complete);
    }
}
