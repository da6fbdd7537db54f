//! The gateway while a service is away.

use anyhow::Result;
use integration_tests::Mesh;

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_down_is_503_and_comes_back() -> Result<()> {
    let mesh = Mesh::start().await?;
    let http = mesh.http()?;
    mesh.stack().stop("payments").await?;
    let down = http.get("/v1/ledger:summarize", "*/*").await?;
    assert_eq!(down.status, 503, "{}", down.text());
    assert_eq!(down.json()?["code"], 14);
    mesh.stack().start("payments").await?;
    integration_tests::eventually("payments through the gateway", async || {
        let up = http.get("/v1/ledger:summarize", "*/*").await?;
        anyhow::ensure!(up.status == 200, "{}", up.text());
        Ok(())
    })
    .await
}
