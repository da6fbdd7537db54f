//! The dashboard in a real browser: a request is followed, a killed service is seen coming back,
//! and a parked key is replayed by its button.

use anyhow::{Context, Result, ensure};
use integration_tests::{Mesh, eventually, import::HEADER, order::PLACED_AT};
use serde_json::{Value, json};

use super::browser::browser;
use super::desk::{desk, operator};
use super::devtools::DrivenPage;

/// An account whose invoices orders refuses.
const BAD_ACCOUNT: &str = "90001";

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_followed_to_the_consumers_of_its_facts() -> Result<()> {
    let Some(program) = browser()? else {
        return Ok(());
    };
    let mesh = start().await?;
    mesh.count("A", 100).await?;
    let order = json!({
        "requestId": "536365", "accountId": "17850", "placedAt": PLACED_AT, "currencyCode": "GBP",
        "lines": [{"sku": "A", "description": "LANTERN", "quantity": 6, "unitPriceMinor": "255"}],
    });
    let placed = mesh.http()?.post("/v1/orders", &order).await?;
    ensure!(placed.status == 200, "{}", placed.text());

    let mut page = DrivenPage::open(&program, &url(&mesh, "traces")?).await?;
    page.fill("input[name=text]", "post /v1/orders").await?;
    page.shows("[data-trace] a", "POST /v1/orders").await?;
    page.click("[data-trace] a").await?;
    page.shows("h1", "POST /v1/orders").await?;
    for (service, kind, name) in [
        ("gateway", "server", "POST /v1/orders"),
        ("orders", "server", "PlaceOrder"),
        ("orders", "internal", "saga ORDER RESERVE"),
        ("inventory", "server", "BatchCreateReservations"),
        ("payments", "server", "BatchCapturePayments"),
        ("orders", "producer", "publish"),
        ("shipping", "consumer", "consume OrderPaid"),
        ("ingest", "consumer", "consume OrderSettled"),
    ] {
        let row = format!(".row[data-service={service}][data-kind={kind}]");
        page.shows(&row, name).await?;
    }
    page.click(".row[data-service=orders][data-kind=server]")
        .await?;
    page.shows(".detail dd", "orders.v1.OrdersService/PlaceOrder")
        .await?;

    page.value("location.hash = '#/facts'").await?;
    page.shows("[data-type='orders.v1.OrderPaid']", "OrderPaid")
        .await?;
    page.value("location.hash = '#/logs?process=ingest'")
        .await?;
    page.shows(".lines .who", "ingest").await?;
    page.value("location.hash = '#/metrics'").await?;
    page.shows("[data-process=gateway] .big", "requests/s")
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_service_is_seen_coming_back() -> Result<()> {
    let Some(program) = browser()? else {
        return Ok(());
    };
    let mesh = start().await?;
    let mut page = DrivenPage::open(&program, &url(&mesh, "processes")?).await?;
    page.shows("#health", "all 10 healthy").await?;
    // The page sees each state, however short.
    let record = "window.seen = new Set(); \
                  new MutationObserver(() => window.seen.add(document.querySelector(\
                  '[data-process=inventory]')?.dataset.state))\
                  .observe(document.body, {subtree: true, childList: true}); 0";
    page.value(record).await?;
    let killed = mesh.stack().kill("inventory")?;
    mesh.stack().revived("inventory", &killed).await?;
    let row = "[data-process=inventory][data-state=healthy][data-restarts='1']";
    page.shows(row, "last exit: signal: 9").await?;
    page.shows("#health", "all 10 healthy").await?;
    let seen = page.value("[...window.seen]").await?;
    let seen = seen.as_array().context("states")?;
    assert!(seen.contains(&json!("restarting")), "{seen:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_key_is_replayed_by_its_button() -> Result<()> {
    let Some(program) = browser()? else {
        return Ok(());
    };
    let mesh = start().await?;
    let orders = mesh.database("orders").await?;
    sqlx::query("ALTER TABLE orders ADD CONSTRAINT no_bad_account CHECK (account_id < '90000')")
        .execute(&orders)
        .await?;
    let row = "85123A,HOLDER,1,2010-12-01 08:26:00,2.55,90001,United Kingdom";
    let file = format!("{HEADER}600001,{row}\n600002,{row}\n");
    let import = mesh.announce("parked", file.as_bytes()).await?;
    mesh.resume(&import, &file.into()).await?;

    let mut page = DrivenPage::open(&program, &url(&mesh, "desk")?).await?;
    let key = format!("[data-key='{BAD_ACCOUNT}']");
    page.shows(&key, "no_bad_account").await?;
    page.shows(&key, "2 waiting").await?;
    page.lacks(".payload").await?;

    // Payloads are for operators, and that they were read is recorded.
    page.click(&format!("{key} [data-act='Show payloads']"))
        .await?;
    page.fill("dialog input[type=password]", "wrong").await?;
    page.click("dialog [data-use]").await?;
    page.shows("#notices", "The token is wrong").await?;
    page.lacks(".payload").await?;
    assert!(acts(&mesh, "read").await?.is_empty());
    page.click(&format!("{key} [data-act='Show payloads']"))
        .await?;
    page.fill(
        "dialog input[type=password]",
        &mesh.stack().operator_token()?,
    )
    .await?;
    page.click("dialog [data-use]").await?;
    page.shows(".payload", "\"invoiceNumber\": \"600001\"")
        .await?;
    let reads = acts(&mesh, "read").await?;
    assert_eq!(reads[0]["key"], BAD_ACCOUNT);
    assert_eq!(reads[0]["outcome"], "2 fact(s)");

    page.click(&format!("{key} [data-act=Replay]")).await?;
    page.click("dialog [data-try]").await?;
    page.shows("dialog .note", "0 applied; version 1 failed")
        .await?;
    sqlx::query("ALTER TABLE orders DROP CONSTRAINT no_bad_account")
        .execute(&orders)
        .await?;
    page.click("dialog [data-try]:not(:disabled)").await?;
    page.shows("dialog .note", "2 applied; nothing is left")
        .await?;
    page.click("dialog [data-go]:not(:disabled)").await?;
    page.lacks(&key).await?;
    let placed: i64 = sqlx::query_scalar("SELECT count(*) FROM orders WHERE account_id = $1")
        .bind(BAD_ACCOUNT)
        .fetch_one(&orders)
        .await?;
    assert_eq!(placed, 2);
    assert_eq!(acts(&mesh, "replay").await?[0]["outcome"], "applied 2");
    page.shows("td.name", "rehearse").await
}

async fn start() -> Result<Mesh> {
    Mesh::start_with(Mesh::options()?.dashboard()).await
}

fn url(mesh: &Mesh, page: &str) -> Result<String> {
    let address = mesh.stack().dashboard_address();
    Ok(format!(
        "http://{}/#/{page}",
        address.context("an address")?
    ))
}

/// Returns what operators have done of one kind at the desk of orders.
async fn acts(mesh: &Mesh, action: &str) -> Result<Vec<Value>> {
    let http = operator(mesh)?;
    let answer = eventually("the desk answers", async || {
        let answer = http.get(&desk("acts"), "*/*").await?;
        ensure!(answer.status == 200, "{}", answer.text());
        answer.json()
    });
    let answer = answer.await?;
    let acts = answer["acts"].as_array().cloned().unwrap_or_default();
    let acts = acts.into_iter().filter(|act| act["action"] == action);
    Ok(acts.collect())
}
