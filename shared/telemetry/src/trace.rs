//! W3C trace context across process boundaries, and the outcome of a call in its span.

use std::sync::LazyLock;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{TraceContextExt, TraceId};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use rpc::error::{GRPC_STATUS, code_name};
use tonic::Code;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

#[cfg(test)]
mod tests;

/// Header of the W3C Trace Context recommendation, §3.2.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

// Stateless, so it needs no global registration.
static PROPAGATOR: LazyLock<TraceContextPropagator> = LazyLock::new(TraceContextPropagator::new);

struct Carrier<'a>(&'a HeaderMap);

struct CarrierMut<'a>(&'a mut HeaderMap);

/// Returns the W3C `traceparent` of the current span; `None` outside of any.
pub fn current_traceparent() -> Option<String> {
    let mut headers = HeaderMap::new();
    inject(&Span::current(), &mut headers);
    let value = headers.get(TRACEPARENT)?;
    value.to_str().ok().map(str::to_owned)
}

/// Makes `span` a child of the span that `traceparent` names; ignores a malformed value, as §3.2.2
/// demands.
pub fn set_parent(span: &Span, traceparent: &str) {
    let Ok(value) = HeaderValue::from_str(traceparent) else {
        return;
    };
    let headers = HeaderMap::from_iter([(TRACEPARENT, value)]);
    extract(span, &headers);
}

/// Links `span` to the span that `traceparent` names; ignores a malformed value.
pub fn link(span: &Span, traceparent: &str) {
    let Ok(value) = HeaderValue::from_str(traceparent) else {
        return;
    };
    let headers = HeaderMap::from_iter([(TRACEPARENT, value)]);
    let origin = PROPAGATOR.extract(&Carrier(&headers));
    span.add_link(origin.span().span_context().clone());
}

/// Makes `span` a child of the remote span in the headers, if there is one.
pub(crate) fn extract(span: &Span, headers: &HeaderMap) {
    if headers.contains_key(TRACEPARENT) {
        // Fails only for a span that has begun its own trace, and callers have just created it.
        let _ = span.set_parent(PROPAGATOR.extract(&Carrier(headers)));
    }
}

/// Returns the id of a span's trace in hexadecimal; `None` without tracing.
pub(crate) fn trace_id(span: &Span) -> Option<String> {
    let context = span.context();
    let id = context.span().span_context().trace_id();
    (id != TraceId::INVALID).then(|| id.to_string())
}

/// Returns the trace id of a `traceparent`.
pub(crate) fn trace_id_of(traceparent: &str) -> Option<String> {
    let value = HeaderValue::from_str(traceparent).ok()?;
    let headers = HeaderMap::from_iter([(TRACEPARENT, value)]);
    let context = PROPAGATOR.extract(&Carrier(&headers));
    let id = context.span().span_context().trace_id();
    (id != TraceId::INVALID).then(|| id.to_string())
}

/// Writes the context of `span` into the headers. A disabled span has none and leaves the headers
/// as they are.
pub fn inject(span: &Span, headers: &mut HeaderMap) {
    if span.is_disabled() {
        return;
    }
    PROPAGATOR.inject_context(&span.context(), &mut CarrierMut(headers));
}

/// Records the status of a call in its span, if headers or trailers hold one.
pub fn record_status(span: &Span, headers: &HeaderMap) {
    let Some(code) = headers.get(GRPC_STATUS) else {
        return;
    };
    let code = Code::from_bytes(code.as_bytes());
    span.record("rpc.response.status_code", code_name(code));
    if code != Code::Ok {
        span.record("otel.status_code", "ERROR");
        span.record("error.type", code_name(code));
    }
}

impl Extractor for Carrier<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

impl Injector for CarrierMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(key.as_bytes()),
            HeaderValue::from_str(&value),
        ) {
            self.0.insert(name, value);
        }
    }
}
