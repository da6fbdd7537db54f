//! Calls by grpcurl: list, describe and call every service, directly and through the gateway.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use integration_tests::{Mesh, order::PLACED_AT};
use serde_json::{Value, json};

/// Services, each with its process and a method with its response on an empty mesh.
const SERVICES: &[(&str, &str, &str, &str)] = &[
    ("orders.v1.OrdersService", "orders", "SummarizeOrders", "{}"),
    (
        "inventory.v1.InventoryService",
        "inventory",
        "SummarizeStock",
        "{}",
    ),
    (
        "payments.v1.PaymentsService",
        "payments",
        "SummarizeLedger",
        "{}",
    ),
    (
        "shipping.v1.ShippingService",
        "shipping",
        "SummarizeParcels",
        "{}",
    ),
    (
        "ingest.v1.IngestService",
        "ingest",
        "SummarizeSource",
        r#"{"source": "online-retail"}"#,
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn grpcurl_lists_describes_and_calls_every_service() -> Result<()> {
    if !is_installed()? {
        return Ok(());
    }
    let mesh = Mesh::start().await?;
    for &(service, process, method, request) in SERVICES {
        for through in [process, "gateway"] {
            let address = mesh.stack().address(through)?.to_string();
            let listed = grpcurl(&[&address, "list"])?;
            assert!(
                listed.lines().any(|line| line == service),
                "{through}: {listed}"
            );
            let described = grpcurl(&[&address, "describe", service])?;
            assert!(
                described.contains(&format!("rpc {method} ")),
                "{through}: {described}"
            );
            assert!(
                described.contains("google.api.http"),
                "{through} keeps options: {described}"
            );
            grpcurl(&["-d", request, &address, &format!("{service}/{method}")])
                .with_context(|| format!("{method} at {through}"))?;
        }
    }
    let address = mesh.stack().address("gateway")?.to_string();
    let refused = grpcurl(&["-d", "{}", &address, "orders.v1.OrdersService/PlaceOrder"])
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("InvalidArgument") && refused.contains("requestId"),
        "{refused}"
    );
    let order = json!({
        "request_id": "536365", "account_id": "17850", "placed_at": PLACED_AT, "currency_code": "GBP",
        "lines": [{"sku": "POST", "description": "POSTAGE", "quantity": 1, "unit_price_minor": 1800, "charge": true}],
    });
    let placed = grpcurl(&[
        "-d",
        &order.to_string(),
        &address,
        "orders.v1.OrdersService/PlaceOrder",
    ])?;
    let placed: Value = serde_json::from_str(&placed)?;
    assert_eq!(placed["order"]["requestId"], "536365");
    Ok(())
}

/// CI installs it; without Go, the other tests still run.
pub(super) fn is_installed() -> Result<bool> {
    let found = Command::new("grpcurl").arg("--version").output().is_ok();
    ensure!(
        found || std::env::var_os("CI").is_none(),
        "grpcurl is not installed"
    );
    Ok(found)
}

pub(super) fn grpcurl(arguments: &[&str]) -> Result<String> {
    let output = Command::new("grpcurl")
        .arg("-plaintext")
        .args(arguments)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "grpcurl {arguments:?}: {said}");
    Ok(String::from_utf8(output.stdout)?)
}
