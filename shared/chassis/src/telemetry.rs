//! Logs and traces: tracing to stderr and OTLP, W3C trace context across every boundary.

use std::io::IsTerminal;
use std::sync::LazyLock;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::propagation::{Extractor, Injector, TextMapPropagator};
use opentelemetry::trace::{TraceContextExt, TraceId, TracerProvider};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::filter::{FilterExt, LevelFilter, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::config::{ConfigError, LogFormat, Settings, Traces};

#[cfg(test)]
mod tests;

/// Spans that wait for the collector; further ones are dropped, so a dead collector costs memory once (about 4 MB).
const EXPORT_QUEUE_SPANS_MAX: usize = 4096;

/// How long the stop of a process waits for its last spans to leave.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// Header of the W3C Trace Context recommendation, §3.2.
pub(crate) const TRACEPARENT: &str = "traceparent";

// Stateless, so no global registration that a test or a library could forget.
static PROPAGATOR: LazyLock<TraceContextPropagator> = LazyLock::new(TraceContextPropagator::new);

/// The tracing pipeline of the process.
pub(crate) struct Telemetry {
    provider: SdkTracerProvider,
}

struct Carrier<'a>(&'a HeaderMap);

struct CarrierMut<'a>(&'a mut HeaderMap);

/// Returns the W3C `traceparent` of the current span; `None` outside of any.
pub fn current_traceparent() -> Option<String> {
    let mut headers = HeaderMap::new();
    inject(&Span::current(), &mut headers);
    let value = headers.get(TRACEPARENT)?;
    value.to_str().ok().map(str::to_owned)
}

/// Makes `span` a child of the span that `traceparent` names; a malformed value is ignored, as §3.2.2 demands.
pub fn set_parent(span: &Span, traceparent: &str) {
    let Ok(value) = HeaderValue::from_str(traceparent) else {
        return;
    };
    let headers = HeaderMap::from_iter([(HeaderName::from_static(TRACEPARENT), value)]);
    extract(span, &headers);
}

/// Makes `span` a child of the remote span that the headers name, if they name one.
pub(crate) fn extract(span: &Span, headers: &HeaderMap) {
    if headers.contains_key(TRACEPARENT) {
        // Fails only if the span has begun its own trace, and callers have just created it.
        let _ = span.set_parent(PROPAGATOR.extract(&Carrier(headers)));
    }
}

/// Id of the trace that a span is part of, in hexadecimal; `None` where nobody traces.
pub(crate) fn trace_id(span: &Span) -> Option<String> {
    let context = span.context();
    let id = context.span().span_context().trace_id();
    (id != TraceId::INVALID).then(|| id.to_string())
}

/// Id of the trace that a `traceparent` names.
pub(crate) fn trace_id_of(traceparent: &str) -> Option<String> {
    let value = HeaderValue::from_str(traceparent).ok()?;
    let headers = HeaderMap::from_iter([(HeaderName::from_static(TRACEPARENT), value)]);
    let context = PROPAGATOR.extract(&Carrier(&headers));
    let id = context.span().span_context().trace_id();
    (id != TraceId::INVALID).then(|| id.to_string())
}

/// Writes the context of `span` into the headers. A span that nobody wants has none: what the headers say already stays.
pub(crate) fn inject(span: &Span, headers: &mut HeaderMap) {
    if span.is_disabled() {
        return;
    }
    PROPAGATOR.inject_context(&span.context(), &mut CarrierMut(headers));
}

/// Starts logs and traces for the life of the process; needs a tokio runtime around it when it exports.
///
/// # Errors
/// A [`ConfigError`] that names `log` or `otlp_endpoint`.
pub(crate) fn init(name: &str, settings: &Settings) -> Result<Telemetry, ConfigError> {
    let provider = tracer_provider(name, settings)?;
    // For libraries that carry trace context in envelopes of their own, such as events.
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    let filter = EnvFilter::try_new(&settings.log)
        .map_err(|error| ConfigError::new("log", error.to_string(), "the configuration"))?;
    // The log filter does not apply to spans: with fewer logs, traces must not lose their links.
    let is_traced = settings.traces == Traces::Always || !settings.otlp_endpoint.is_empty();
    let spans = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer(name.to_owned()))
        .with_filter(if is_traced {
            LevelFilter::INFO
        } else {
            LevelFilter::OFF
        });
    // A span costs as much as the rest of a request, so that one that nobody asks for must not be there for the log either.
    let wanted = filter_fn(move |metadata| is_traced || metadata.is_event())
        // Without a hint everything would be asked of the filters each time, the traces of libraries included.
        .with_max_level_hint(LevelFilter::TRACE);
    let started = tracing_subscriber::registry()
        .with(log_layer(settings.log_format).with_filter(filter.and(wanted)))
        .with(spans)
        .try_init();
    if let Err(error) = started {
        // A program that embeds a service has its own subscriber, which then stays.
        tracing::warn!(%error, "telemetry not started");
    }
    Ok(Telemetry { provider })
}

// === impl Telemetry ===

impl Telemetry {
    /// Sends the spans that are still queued, within a bound.
    pub(crate) fn flush(self) {
        if let Err(error) = self.provider.shutdown_with_timeout(FLUSH_TIMEOUT) {
            tracing::warn!(%error, "last traces not sent");
        }
    }
}

fn tracer_provider(name: &str, settings: &Settings) -> Result<SdkTracerProvider, ConfigError> {
    let resource = Resource::builder()
        .with_service_name(name.to_owned())
        .build();
    let builder = SdkTracerProvider::builder().with_resource(resource);
    if settings.otlp_endpoint.is_empty() {
        // Still a real tracer: its ids are what links our logs, events and neighbours.
        return Ok(builder.build());
    }
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(&settings.otlp_endpoint)
        .build()
        .map_err(|error| {
            ConfigError::new("otlp_endpoint", error.to_string(), "the configuration")
        })?;
    let bounds = BatchConfigBuilder::default()
        .with_max_queue_size(EXPORT_QUEUE_SPANS_MAX)
        .build();
    let processor = BatchSpanProcessor::builder(exporter)
        .with_batch_config(bounds)
        .build();
    Ok(builder.with_span_processor(processor).build())
}

fn log_layer(format: LogFormat) -> Box<dyn Layer<Registry> + Send + Sync> {
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Text => layer.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
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
