//! Calls by `buf curl`: every service by each protocol of the tool.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use integration_tests::Mesh;
use serde_json::Value;

const PROTOCOLS: [&str; 3] = ["grpc", "grpcweb", "connect"];

/// A method of each service with a request that succeeds on any mesh.
const CALLS: [(&str, &str); 5] = [
    ("orders.v1.OrdersService/SummarizeOrders", "{}"),
    ("inventory.v1.InventoryService/SummarizeStock", "{}"),
    ("payments.v1.PaymentsService/SummarizeLedger", "{}"),
    ("shipping.v1.ShippingService/SummarizeParcels", "{}"),
    (
        "ingest.v1.IngestService/SummarizeSource",
        r#"{"source": "online-retail"}"#,
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn buf_curl_calls_every_service_by_every_protocol() -> Result<()> {
    let Some(buf) = crate::browser::tool("buf")? else {
        return Ok(());
    };
    let mesh = Mesh::reach().await?;
    let gateway = format!("http://{}", mesh.gateway()?);
    for protocol in PROTOCOLS {
        for (method, request) in CALLS {
            let url = format!("{gateway}/{method}");
            let answer = curl(&buf, protocol, request, &url)?;
            let answer = answer.with_context(|| format!("{protocol}: {method}"))?;
            serde_json::from_str::<Value>(&answer)?;
        }
        let url = format!("{gateway}/orders.v1.OrdersService/PlaceOrder");
        let refused = curl(&buf, protocol, "{}", &url)?.unwrap_err().to_string();
        let is_named = refused.contains("invalid_argument") && refused.contains("requestId");
        assert!(is_named, "{protocol}: {refused}");
    }
    Ok(())
}

/// Returns the response or the error.
fn curl(buf: &PathBuf, protocol: &str, request: &str, url: &str) -> Result<Result<String>> {
    let checkout = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let output = Command::new(buf)
        .args(["curl", "--schema", ".", "--http2-prior-knowledge"])
        .args(["--protocol", protocol, "--data", request, url])
        .current_dir(checkout)
        .output()
        .context("cannot run buf")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let answered = || -> Result<String> {
        ensure!(output.status.success(), "{said}");
        Ok(String::from_utf8(output.stdout)?)
    };
    Ok(answered())
}
