//! Logs and traces: tracing to stderr and OTLP, W3C trace context across every boundary.

use std::io::IsTerminal;
use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider};
use rpc::config::ConfigError;
use serde::Deserialize;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

/// Spans that wait for the collector; further ones are dropped, so a dead collector costs memory once (about 4 MB).
const EXPORT_QUEUE_SPANS_MAX: usize = 4096;

/// How long the stop of a process waits for its last spans to leave.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

/// The settings of logs and traces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Log filter in the syntax of `tracing_subscriber::EnvFilter`.
    pub log: String,
    /// The format of log lines.
    pub log_format: LogFormat,
    /// OTLP/gRPC collector; empty for none.
    pub otlp_endpoint: String,
    /// When requests have a trace of their own.
    pub trace: TraceWhen,
}

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// When requests have a trace of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TraceWhen {
    /// With and without a collector: its ids link logs, events and other services.
    Always,
    /// With a collector. Without one the trace context of the caller is passed on unchanged.
    Exported,
}

/// The tracing pipeline of the process.
#[derive(Debug)]
pub struct Telemetry {
    provider: SdkTracerProvider,
}

/// Starts logs and traces for the life of the process; needs a tokio runtime around it when it exports.
///
/// # Errors
/// A [`ConfigError`] that names `log` or `otlp_endpoint`.
pub fn init(name: &str, settings: &Settings) -> Result<Telemetry, ConfigError> {
    let provider = tracer_provider(name, settings)?;
    // For libraries that carry trace context in envelopes of their own, such as events.
    opentelemetry::global::set_text_map_propagator(TraceContextPropagator::new());
    let filter = EnvFilter::try_new(&settings.log)
        .map_err(|error| ConfigError::new("log", error.to_string(), "the configuration"))?;
    let log = log_layer(settings.log_format).with_filter(filter).boxed();
    // As a list, in which each layer has a filter: a layer that is `None` has none, and would want every span.
    let mut layers = vec![log];
    if settings.trace == TraceWhen::Always || !settings.otlp_endpoint.is_empty() {
        layers.push(trace_layer(&provider, name));
    }
    let started = tracing_subscriber::registry().with(layers).try_init();
    if let Err(error) = started {
        // A program that embeds a service has its own subscriber, which then stays.
        tracing::warn!(%error, "telemetry not started");
    }
    Ok(Telemetry { provider })
}

// === impl Telemetry ===

impl Telemetry {
    /// Sends the spans that are still queued, within a bound.
    pub fn flush(self) {
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

fn trace_layer(provider: &SdkTracerProvider, name: &str) -> Box<dyn Layer<Registry> + Send + Sync> {
    tracing_opentelemetry::layer()
        // A span that begins when it is entered has its name before anybody knows the route.
        .with_context_activation(false)
        .with_tracer(provider.tracer(name.to_owned()))
        // The log filter does not apply to spans: with fewer logs, traces must not lose their links.
        .with_filter(LevelFilter::INFO)
        .boxed()
}

fn log_layer(format: LogFormat) -> Box<dyn Layer<Registry> + Send + Sync> {
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    match format {
        LogFormat::Text => layer.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wrong_filter_or_endpoint_names_its_key() {
        let mut settings = Settings {
            log: "info,=".to_owned(),
            log_format: LogFormat::Text,
            otlp_endpoint: String::new(),
            trace: TraceWhen::Always,
        };
        assert_eq!(init("test", &settings).err().unwrap().key, "log");
        settings.otlp_endpoint = "http://[".to_owned();
        assert_eq!(init("test", &settings).err().unwrap().key, "otlp_endpoint");
    }
}
