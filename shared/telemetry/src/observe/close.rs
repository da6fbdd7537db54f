//! The end of a record: what is counted, told and written then.

use std::fmt;
use std::time::Duration;

use http::StatusCode;
use rpc::error::code_name;
use rpc::lock::lock;
use tonic::Code;

use super::conventions::{OTHER, is_server_error, known_method};
use super::{End, Record};

impl Record {
    pub(super) fn close(&self, status: StatusCode, seen: End) {
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
        let at_end = lock(&self.at_end).take();
        if let Some(told) = at_end {
            told(code.unwrap_or(Code::Ok));
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
        span.record("url.path", lock(&self.path).as_deref());
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

impl fmt::Debug for Record {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Record")
            .field("method", &self.method)
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}
