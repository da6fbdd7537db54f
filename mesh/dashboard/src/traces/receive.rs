//! The receiver of OTLP/gRPC.

use std::sync::Arc;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use tokio::net::TcpListener;
use tonic::codegen::Service;
use tonic::{Request, Response, Status};

use super::hex;
use super::store::{KeptEvent, KeptSpan, TraceStore};
use crate::respond;

/// Most connections, and most exports of one connection, at a time.
const MAX_CONNECTIONS: usize = 64;
const MAX_STREAMS: u32 = 16;
/// Most attributes, events and links that are kept of a span.
const MAX_ATTRIBUTES: usize = 48;
const MAX_EVENTS: usize = 32;
const MAX_LINKS: usize = 1_000;
/// Longest kept text, in bytes.
const MAX_TEXT: usize = 1_024;

/// The service that exporters call.
#[derive(Debug)]
struct Receiver(Arc<TraceStore>);

/// Receives spans until it is dropped.
pub(crate) async fn serve(listener: TcpListener, store: Arc<TraceStore>) {
    let service = TraceServiceServer::new(Receiver(store));
    respond::each_connection(listener, MAX_CONNECTIONS, |stream| {
        let service = service.clone();
        async move {
            let answer = service_fn(move |request| {
                let mut service = service.clone();
                async move { service.call(request).await }
            });
            let mut server = http2::Builder::new(TokioExecutor::new());
            server.max_concurrent_streams(MAX_STREAMS);
            // An exporter that breaks off sends its spans again.
            let _ = server.serve_connection(TokioIo::new(stream), answer).await;
        }
    })
    .await;
}

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut rejected = 0;
        for of_resource in request.into_inner().resource_spans {
            let service = service_name(of_resource.resource.as_ref());
            let spans = of_resource.scope_spans.into_iter();
            for span in spans.flat_map(|scope| scope.spans) {
                let trace = span.trace_id.as_slice().try_into();
                match (trace, kept(&service, &span)) {
                    (Ok(trace), Some(span)) => self.0.lock().add(trace, span),
                    _ => rejected += 1,
                }
            }
        }
        let partial_success = (rejected > 0).then(|| ExportTracePartialSuccess {
            rejected_spans: rejected,
            error_message: "expected a trace_id of 16 bytes and a span_id of 8".to_owned(),
        });
        Ok(Response::new(ExportTraceServiceResponse {
            partial_success,
        }))
    }
}

/// Converts a span; `None` if its id is malformed.
fn kept(service: &Arc<str>, span: &Span) -> Option<KeptSpan> {
    let status = span.status.as_ref();
    let is_error = status.is_some_and(|status| status.code == StatusCode::Error as i32);
    let links = span.links.iter().filter_map(|link| {
        let trace = link.trace_id.as_slice().try_into().ok()?;
        Some((trace, link.span_id.as_slice().try_into().ok()?))
    });
    let events = span.events.iter().take(MAX_EVENTS).map(|event| KeptEvent {
        at: event.time_unix_nano,
        name: bounded(&event.name),
        attributes: attributes(&event.attributes),
    });
    Some(KeptSpan {
        id: span.span_id.as_slice().try_into().ok()?,
        parent: span.parent_span_id.as_slice().try_into().ok(),
        service: Arc::clone(service),
        name: bounded(&span.name),
        kind: span.kind,
        start: span.start_time_unix_nano,
        end: span.end_time_unix_nano.max(span.start_time_unix_nano),
        is_error,
        message: status.map_or_else(String::new, |status| bounded(&status.message)),
        attributes: attributes(&span.attributes),
        links: links.take(MAX_LINKS).collect(),
        events: events.collect(),
    })
}

fn service_name(resource: Option<&Resource>) -> Arc<str> {
    let attributes = resource.map_or(&[][..], |resource| &resource.attributes);
    let name = attributes.iter().find(|pair| pair.key == "service.name");
    let name = name.map(|pair| text(pair.value.as_ref()));
    name.filter(|name| !name.is_empty())
        .map_or_else(|| Arc::from("unknown"), Arc::from)
}

fn attributes(pairs: &[KeyValue]) -> Vec<(String, String)> {
    let pairs = pairs.iter().take(MAX_ATTRIBUTES);
    pairs
        .map(|pair| (bounded(&pair.key), text(pair.value.as_ref())))
        .collect()
}

fn text(value: Option<&AnyValue>) -> String {
    let Some(value) = value.and_then(|value| value.value.as_ref()) else {
        return String::new();
    };
    match value {
        Value::StringValue(text) => bounded(text),
        Value::BoolValue(value) => value.to_string(),
        Value::IntValue(value) => value.to_string(),
        Value::DoubleValue(value) => value.to_string(),
        Value::BytesValue(bytes) => hex(bytes.get(..MAX_TEXT / 2).unwrap_or(bytes)),
        other => bounded(&format!("{other:?}")),
    }
}

/// Returns the beginning of a text.
fn bounded(text: &str) -> String {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};

    use super::*;

    fn export(spans: Vec<Span>) -> Request<ExportTraceServiceRequest> {
        let service = AnyValue {
            value: Some(Value::StringValue("orders".to_owned())),
        };
        let attributes = vec![KeyValue {
            key: "service.name".to_owned(),
            value: Some(service),
            ..KeyValue::default()
        }];
        Request::new(ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(Resource {
                    attributes,
                    ..Resource::default()
                }),
                scope_spans: vec![ScopeSpans {
                    spans,
                    ..ScopeSpans::default()
                }],
                ..ResourceSpans::default()
            }],
        })
    }

    #[tokio::test]
    async fn a_malformed_span_is_rejected_and_the_others_are_kept() {
        let store = Arc::new(TraceStore::default());
        let good = Span {
            trace_id: vec![1; 16],
            span_id: vec![2; 8],
            name: "é".repeat(MAX_TEXT),
            ..Span::default()
        };
        let bad = Span {
            trace_id: vec![1; 15],
            ..good.clone()
        };
        let answer = Receiver(Arc::clone(&store))
            .export(export(vec![bad, good]))
            .await;
        let partial = answer.unwrap().into_inner().partial_success.unwrap();
        assert_eq!(partial.rejected_spans, 1);
        let kept = store.lock();
        let span = &kept.trace(&[1; 16]).unwrap().spans[0];
        assert_eq!((&*span.service, span.name.len()), ("orders", MAX_TEXT));
        assert_eq!(span.parent, None);
    }
}
