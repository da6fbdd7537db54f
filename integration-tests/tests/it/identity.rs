//! The mesh with identity and TLS between its processes.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use chassis::client::{ClientSettings, Upstream};
use integration_tests::{Mesh, order};
use mesh::project::Security;
use protos::orders::v1::OrderState;
use protos::payments::v1::GetPaymentRequest;
use protos::payments::v1::payments_service_client::PaymentsServiceClient;
use serde_json::json;
use tonic::{Code, Status};
use tonic_types::StatusExt;

const BOTH: Security = Security {
    identity: true,
    tls: true,
    access: false,
    authentication: false,
};

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_paid_over_tls_by_processes_that_prove_who_they_are() -> Result<()> {
    let mesh = Mesh::start_with(Mesh::options()?.security(BOTH)).await?;
    mesh.count("A", 10).await?;
    let placed = json!({
        "requestId": "r-1", "accountId": "17850", "placedAt": order::PLACED_AT,
        "currencyCode": "GBP",
        "lines": [{"sku": "A", "description": "TEST", "quantity": 2, "unitPriceMinor": 150}],
    });
    let answer = mesh.http()?.post("/v1/orders", &placed).await?;
    ensure!(answer.status.is_success(), "{answer:?}");
    let answer: serde_json::Value = serde_json::from_slice(&answer.body)?;
    let order_id = answer["orderId"].as_str().context("an ID")?;
    // The saga calls inventory and payments, and shipping acts on its facts.
    mesh.order_in(order_id, OrderState::Paid).await?;
    let stock = mesh.stock_at_rest("A").await?;
    assert_eq!((stock.on_hand, stock.reserved), (8, 0));
    let payment = mesh.payment(order_id).await?;
    assert_eq!(payment.captured_minor, 300);
    let page = mesh.http()?.get("/-/jwks.json", "*/*").await?;
    let page: serde_json::Value = serde_json::from_slice(&page.body)?;
    assert_eq!(page["keys"][0]["crv"], "P-256");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_answers_only_processes_that_may_call_it() -> Result<()> {
    let options = Mesh::options()?.only(["payments"])?.security(BOTH);
    let mesh = Mesh::start_with(options).await?;
    let found = Some((Code::NotFound, "PAYMENT_NOT_FOUND"));
    for (certificate, key, expected) in [
        (Some("orders"), Some("orders"), found),
        (Some("gateway"), Some("gateway"), found),
        (Some("mesh"), Some("mesh"), found),
        // One that does not declare to call it.
        (
            Some("ingest"),
            Some("ingest"),
            Some((Code::Unauthenticated, "IDENTITY_REJECTED")),
        ),
        // A token that is another's.
        (
            Some("ingest"),
            Some("orders"),
            Some((Code::Unauthenticated, "IDENTITY_REJECTED")),
        ),
        (
            Some("orders"),
            None,
            Some((Code::Unauthenticated, "IDENTITY_REQUIRED")),
        ),
        // No handshake without a certificate.
        (None, Some("orders"), None),
    ] {
        let status = ask(&mesh, certificate, key).await?;
        let reason = status.get_details_error_info().map(|info| info.reason);
        match expected {
            Some((code, expected)) => {
                assert_eq!(status.code(), code, "{certificate:?} {key:?} {status:?}");
                assert_eq!(reason.as_deref(), Some(expected), "{status:?}");
            }
            None => assert_eq!(status.code(), Code::Unavailable, "{status:?}"),
        }
    }
    let plain = mesh.url("payments")?.replace("https:", "http:");
    let plain = Upstream::connect_lazy(&plain, &ClientSettings::default(), protos::METHODS)?;
    assert_eq!(refusal(plain).await?.code(), Code::Unavailable);
    Ok(())
}

/// Asks payments for a payment that it does not have, with credentials of these processes.
async fn ask(mesh: &Mesh, certificate: Option<&str>, key: Option<&str>) -> Result<Status> {
    let file = |name: String| -> PathBuf { mesh.stack().dir().join("credentials").join(name) };
    let mut client = ClientSettings::default();
    client.tls.ca = file("ca.pem".to_owned());
    if let Some(name) = certificate {
        client.tls.certificate = file(format!("{name}.tls.pem"));
        client.tls.key = file(format!("{name}.tls.pem"));
    }
    let url = mesh.url("payments")?;
    let mut upstream = Upstream::connect_lazy(&url, &client, protos::METHODS)?;
    if let Some(name) = key {
        let signer = auth::internal::Signer::from_file(name, file(format!("{name}.pem")))?;
        upstream = upstream.signed(Arc::new(signer));
    }
    refusal(upstream).await
}

async fn refusal(upstream: Upstream) -> Result<Status> {
    let request = GetPaymentRequest {
        payment_id: "none".to_owned(),
    };
    let answer = PaymentsServiceClient::new(upstream)
        .get_payment(request)
        .await;
    answer.err().context("a refusal")
}
