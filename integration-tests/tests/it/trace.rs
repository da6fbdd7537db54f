//! One order is one trace, from the upload at the gateway to the last step of its saga.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use anyhow::{Result, ensure};
use integration_tests::{Mesh, eventually};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::any_value::Value,
    trace::v1::ResourceSpans,
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

const FILE: &str = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n\
                    536365,85123A,LANTERN,6,2010-12-01 08:26:00,2.55,17850,United Kingdom\n";

/// Service and name of every received span by trace id.
type Spans = Arc<Mutex<Vec<(Vec<u8>, String, String)>>>;

#[derive(Clone, Default)]
struct Collector {
    spans: Spans,
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut spans = self.spans.lock().unwrap();
        for resource in request.into_inner().resource_spans {
            let service = service_name(&resource);
            let scopes = resource
                .scope_spans
                .into_iter()
                .flat_map(|scope| scope.spans);
            spans.extend(scopes.map(|span| (span.trace_id, service.clone(), span.name)));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    async fn start(&self) -> Result<SocketAddr> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let service = TraceServiceServer::new(self.clone());
        tokio::spawn(
            Server::builder()
                .add_service(service)
                .serve_with_incoming(TcpListenerStream::new(listener)),
        );
        Ok(address)
    }

    /// Returns the services in the trace of ingest's upload.
    fn services_of_the_upload(&self) -> BTreeSet<String> {
        let spans = self.spans.lock().unwrap();
        let upload = spans
            .iter()
            .find(|(_, service, name)| service == "ingest" && name.contains("UploadImport"));
        let trace = upload.map(|(trace, ..)| trace.clone()).unwrap_or_default();
        let of_trace = spans.iter().filter(|(id, ..)| *id == trace);
        of_trace
            .map(|(_, service, name)| format!("{service}: {name}"))
            .collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_imported_order_is_one_trace_over_all_services() -> Result<()> {
    let collector = Collector::default();
    let address = collector.start().await?;
    let mesh = Mesh::start_with(Mesh::options()?.otlp(format!("http://{address}"))).await?;
    mesh.count("85123A", 10).await?;
    let import = mesh.announce("trace", FILE.as_bytes()).await?;
    let uploaded = mesh.upload(&import, 0, FILE.into()).await?;
    assert_eq!(uploaded.status, 200, "{}", uploaded.text());

    eventually("the whole trace", async || {
        let seen = collector.services_of_the_upload();
        let has = |service: &str, part: &str| {
            seen.iter()
                .any(|span| span.starts_with(service) && span.contains(part))
        };
        ensure!(has("gateway", ""), "no gateway in {seen:#?}");
        ensure!(has("orders", "InvoiceAccepted"), "no consumer in {seen:#?}");
        ensure!(
            has("inventory", "BatchCreateReservations"),
            "no inventory in {seen:#?}"
        );
        ensure!(
            has("payments", "BatchCapturePayments"),
            "no payments in {seen:#?}"
        );
        Ok(())
    })
    .await
}

fn service_name(resource: &ResourceSpans) -> String {
    let attributes = resource
        .resource
        .iter()
        .flat_map(|resource| &resource.attributes);
    attributes
        .filter(|attribute| attribute.key == "service.name")
        .find_map(
            |attribute| match attribute.value.as_ref()?.value.as_ref()? {
                Value::StringValue(name) => Some(name.clone()),
                _ => None,
            },
        )
        .unwrap_or_default()
}
