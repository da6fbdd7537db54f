//! The spans of a gateway, as a collector gets them: names and attributes of the OpenTelemetry
//! semantic conventions.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Response, Status};

use crate::support::eventually;
use crate::support::process::GatewayProcess;
use crate::support::stranger::Upstream;

struct Collector(watch::Sender<Vec<Span>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans.into_iter();
        let scopes = resources.flat_map(|resource| resource.scope_spans);
        let spans = scopes.flat_map(|scope| scope.spans);
        self.0.send_modify(|known| known.extend(spans));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// A collector, its URL and what it has got.
async fn collector() -> (String, watch::Receiver<Vec<Span>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, spans) = watch::channel(Vec::new());
    let service = TraceServiceServer::new(Collector(sender));
    let server = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    (url, spans)
}

fn attributes(span: &Span) -> BTreeMap<&str, String> {
    let text = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    let known = span.attributes.iter().filter_map(|attribute| {
        let value = attribute.value.as_ref()?.value.as_ref()?;
        Some((attribute.key.as_str(), text(value)))
    });
    known.collect()
}

async fn server_span(spans: &watch::Receiver<Vec<Span>>, name: &str) -> Span {
    eventually(name, async || {
        let spans = spans.borrow();
        let is_it = |span: &&Span| span.name == name && span.kind == SpanKind::Server as i32;
        let names = spans.iter().map(|span| (span.name.clone(), span.kind));
        let found = spans.iter().find(is_it).cloned();
        found.ok_or_else(|| names.collect::<Vec<_>>())
    })
    .await
}

#[tokio::test]
async fn spans_say_route_method_protocol_and_fault() {
    let upstream = Upstream::start().await;
    let (url, spans) = collector().await;
    let keys = [("OTLP_ENDPOINT", &*url)];
    let mut gateway = GatewayProcess::start(&upstream, &keys).await;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = Request::get("/v1/greetings/a").header("traceparent", parent);
    gateway
        .send(request.body(Full::<Bytes>::default()).unwrap())
        .await;
    let grpc = Request::post("/stranger.v1.StrangerService/Made")
        .header("content-type", "application/grpc")
        .body(Full::<Bytes>::default());
    gateway.send(grpc.unwrap()).await;
    // Spans leave in batches, and the last one with the process.
    gateway.terminate();

    let span = server_span(&spans, "GET /v1/greetings/{name}").await;
    let told = attributes(&span);
    for (name, expected) in [
        ("http.request.method", "GET"),
        ("http.route", "/v1/greetings/{name}"),
        ("http.response.status_code", "200"),
        ("rpc.system.name", "grpc"),
        ("rpc.method", "stranger.v1.StrangerService/Greet"),
        ("rpc.response.status_code", "OK"),
        ("protocol", "rest"),
    ] {
        assert_eq!(
            told.get(name).map(String::as_str),
            Some(expected),
            "{name}: {told:?}"
        );
    }
    assert_eq!(told.get("error.type"), None);
    assert_eq!(span.trace_id[..2], [0x4b, 0xf9]);

    let span = server_span(&spans, "POST").await;
    let told = attributes(&span);
    assert_eq!(told.get("protocol").map(String::as_str), Some("grpc"));
    assert_eq!(
        told.get("error.type").map(String::as_str),
        Some("UNIMPLEMENTED"),
        "{told:?}"
    );
    assert_eq!(span.status.unwrap().code, 2, "the span is no error");
}
