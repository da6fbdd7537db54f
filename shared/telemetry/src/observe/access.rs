//! The access log: one line per request, written at the end of its response.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use http::{Request, StatusCode, header};
use rpc::config::ConfigError;
use rpc::error::code_name;
use rpc::lock::lock;
use serde::Deserialize;
use tonic::Code;
use tonic::transport::server::TcpConnectInfo;

use super::{End, Record};
use crate::trace;

/// Longer user agents are cut: a caller must not choose the size of the log.
const USER_AGENT_BYTES: usize = 200;

/// The same for paths.
pub(super) const PATH_BYTES: usize = 2000;

/// The keys under `[access_log]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct AccessLogSettings {
    /// The requests that are logged.
    pub requests: LoggedRequests,
    /// The sampled part of the successful ones, from 0 to 1.
    pub sample: f64,
}

/// The requests in the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LoggedRequests {
    /// None.
    Off,
    /// Failed ones: an HTTP status from 400 on, a gRPC code other than OK, a truncated response.
    Errors,
    /// All.
    All,
}

#[derive(Debug)]
pub(super) struct AccessLog {
    settings: AccessLogSettings,
}

/// The parts of a line that are known at the beginning only.
#[derive(Debug)]
pub(super) struct Line {
    settings: AccessLogSettings,
    peer: Option<SocketAddr>,
    user_agent: Box<str>,
    traceparent: Option<Box<str>>,
    pub(super) client: OnceLock<IpAddr>,
    pub(super) upstream: OnceLock<Box<str>>,
    pub(super) caller: OnceLock<Box<str>>,
    pub(super) decision: Mutex<Option<&'static str>>,
}

// === impl AccessLogSettings ===

impl AccessLogSettings {
    /// Checks ranges.
    ///
    /// # Errors
    /// The invalid key.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if (0.0..=1.0).contains(&self.sample) {
            return Ok(());
        }
        let problem = format!("expected 0 to 1, got {}", self.sample);
        Err(ConfigError::effective("access_log.sample", problem))
    }
}

// === impl AccessLog ===

impl AccessLog {
    pub(super) fn new(settings: AccessLogSettings) -> Self {
        Self { settings }
    }

    /// Begins a line, if one may be written.
    pub(super) fn line<B>(&self, request: &Request<B>) -> Option<Box<Line>> {
        let is_wanted = self.settings.requests != LoggedRequests::Off
            && tracing::enabled!(target: "access", tracing::Level::INFO);
        is_wanted.then(|| Box::new(Line::new(self.settings.clone(), request)))
    }
}

// === impl Line ===

impl Line {
    fn new<B>(settings: AccessLogSettings, request: &Request<B>) -> Self {
        let header = |name| {
            request
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        let connection = request.extensions().get::<TcpConnectInfo>();
        Self {
            settings,
            peer: connection.and_then(TcpConnectInfo::remote_addr),
            user_agent: cut(
                header(header::USER_AGENT).unwrap_or_default(),
                USER_AGENT_BYTES,
            )
            .into(),
            traceparent: header(trace::TRACEPARENT).map(|value| cut(value, 64).into()),
            client: OnceLock::new(),
            upstream: OnceLock::new(),
            caller: OnceLock::new(),
            decision: Mutex::new(None),
        }
    }

    pub(super) fn write(
        &self,
        record: &Record,
        status: StatusCode,
        code: Option<Code>,
        end: End,
        duration: Duration,
    ) {
        let is_well = end == End::Complete
            && status.as_u16() < 400
            && code.is_none_or(|code| code == Code::Ok);
        let is_shown = match self.settings.requests {
            LoggedRequests::Off => false,
            LoggedRequests::Errors => !is_well,
            LoggedRequests::All => !is_well || self.is_sampled(),
        };
        if !is_shown {
            return;
        }
        let protocol = record
            .call
            .get()
            .map_or(record.protocol, |call| call.protocol());
        let peer = self.peer.as_ref().map(|peer| peer as &dyn Display);
        let client = self.client.get().map(|client| client as &dyn Display);
        let client = client.or(peer);
        tracing::info!(
            target: "access",
            parent: None,
            client = client.map(tracing::field::display),
            caller = self.caller.get().map(|caller| &**caller),
            decision = *lock(&self.decision),
            method = record.method.as_str(),
            route = record.route.get().map(|route| route.template()),
            path = lock(&record.path).as_deref(),
            protocol = protocol.as_str(),
            rpc_method = record.call.get().map(|call| call.method()),
            status = status.as_u16(),
            code = code.map(code_name),
            duration_ms = duration.as_secs_f64() * 1e3,
            request_bytes = record.request_bytes.load(std::sync::atomic::Ordering::Relaxed),
            response_bytes = record.response_bytes.load(std::sync::atomic::Ordering::Relaxed),
            upstream = self.upstream.get().map(|upstream| &**upstream),
            trace_id = self.trace_id(record),
            user_agent = &*self.user_agent,
            end = end.as_str(),
            "served"
        );
    }

    fn is_sampled(&self) -> bool {
        self.settings.sample >= 1.0 || rand::random::<f64>() < self.settings.sample
    }

    /// Returns the id of the request's span, or of the caller's trace.
    fn trace_id(&self, record: &Record) -> Option<String> {
        let own = trace::trace_id(&record.span);
        own.or_else(|| trace::trace_id_of(self.traceparent.as_deref()?))
    }
}

// === impl End ===

impl End {
    /// Returns the word in the log.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::ClientGone => "client_gone",
            Self::UpstreamFailed => "upstream_failed",
            Self::Drain => "drain",
            Self::Deadline => "deadline",
            Self::CredentialEnded => "credential_ended",
        }
    }
}

pub(super) fn cut(text: &str, max_bytes: usize) -> &str {
    &text[..text.floor_char_boundary(max_bytes)]
}
