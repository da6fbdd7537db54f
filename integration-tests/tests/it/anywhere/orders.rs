//! The mesh for a front end: JSON over HTTP, streams included.

use anyhow::{Context, Result};
use integration_tests::{Mesh, http::Response, order::PLACED_AT, unique};
use serde_json::{Value, json};

fn order(request_id: &str, sku: &str, quantity: i64) -> Value {
    json!({
        "requestId": request_id,
        "accountId": "17850",
        "placedAt": PLACED_AT,
        "currencyCode": "GBP",
        "lines": [{"sku": sku, "description": "LANTERN", "quantity": quantity, "unitPriceMinor": "255"}],
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_placed_read_and_listed_as_json() -> Result<()> {
    let mesh = Mesh::reach().await?;
    let (sku, request_id) = (unique("A"), unique("order"));
    mesh.count(&sku, 100).await?;
    let http = mesh.http()?;
    let order = order(&request_id, &sku, 6);

    let placed = http.post("/v1/orders", &order).await?;
    assert_eq!(placed.status, 200, "{}", placed.text());
    let order_id = text(&placed.json()?, "orderId")?;
    let again = http.post("/v1/orders", &order).await?;
    assert_eq!(text(&again.json()?, "orderId")?, order_id);

    let paid = watch(&mesh, &order_id, "application/x-ndjson").await?;
    let last: Value = serde_json::from_str(paid.text().lines().last().context("a line")?)?;
    assert_eq!(
        (last["state"].as_str(), last["totalMinor"].as_str()),
        (Some("ORDER_STATE_PAID"), Some("1530"))
    );

    let listed = http
        .get(
            "/v1/orders?account_id=17850&state=ORDER_STATE_PAID",
            "application/json",
        )
        .await?
        .json()?;
    let listed = listed["orders"].as_array().context("orders")?;
    assert!(
        listed
            .iter()
            .any(|order| order["orderId"] == order_id.as_str())
    );
    let totals = http
        .get("/v1/orders:summarize", "application/json")
        .await?
        .json()?;
    let totals = totals["orders"].as_array().context("totals")?;
    assert!(totals.iter().any(|row| row["state"] == "ORDER_STATE_PAID"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watched_order_comes_in_every_framing() -> Result<()> {
    let mesh = Mesh::reach().await?;
    let (sku, request_id) = (unique("A"), unique("order"));
    mesh.count(&sku, 100).await?;
    let placed = mesh
        .http()?
        .post("/v1/orders", &order(&request_id, &sku, 1))
        .await?;
    let order_id = text(&placed.json()?, "orderId")?;

    let sse = watch(&mesh, &order_id, "text/event-stream").await?;
    assert_eq!(sse.headers["content-type"], "text/event-stream");
    let data: Vec<&str> = sse
        .body
        .split(|&b| b == b'\n')
        .filter_map(|l| std::str::from_utf8(l).ok())
        .collect();
    assert!(
        data.iter()
            .any(|line| line.starts_with("data:") && line.contains("ORDER_STATE_PAID")),
        "{data:?}"
    );
    assert!(
        data.iter()
            .any(|line| line.starts_with("event:") && line.contains("end")),
        "{data:?}"
    );

    let array = watch(&mesh, &order_id, "application/json").await?.json()?;
    let states: Vec<_> = array
        .as_array()
        .context("an array")?
        .iter()
        .map(|order| &order["state"])
        .collect();
    assert_eq!(states, ["ORDER_STATE_PAID"]);

    let lines = watch(&mesh, &order_id, "*/*").await?;
    assert_eq!(lines.headers["content-type"], "application/x-ndjson");
    assert_eq!(lines.text().lines().count(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_names_the_field_and_the_rule() -> Result<()> {
    let mesh = Mesh::reach().await?;
    let http = mesh.http()?;

    let refused = http
        .post("/v1/orders", &order(&unique("order"), "A", 0))
        .await?;
    assert_eq!(refused.status, 400, "{}", refused.text());
    let violation = violation(&refused)?;
    assert_eq!(violation["field"], "lines[0].quantity");
    assert_eq!(violation["reason"], "int64.gt_lte");

    let unread = http
        .post("/v1/orders", &json!({"lines": [{"quantity": "six"}]}))
        .await?;
    assert_eq!(unread.status, 400, "{}", unread.text());
    assert!(
        unread.text().contains("lines[0].quantity"),
        "{}",
        unread.text()
    );

    let mut no_day = order(&unique("order"), "A", 1);
    no_day["placedAt"] = json!("2010-02-30T08:26:00");
    let impossible = http.post("/v1/orders", &no_day).await?;
    assert_eq!(impossible.status, 400, "{}", impossible.text());
    assert_eq!(self::violation(&impossible)?["field"], "placedAt");

    let missing = http
        .get("/v1/orders/00000000-0000-0000-0000-000000000000", "*/*")
        .await?;
    assert_eq!(
        (missing.status.as_u16(), missing.reason().as_deref()),
        (404, Some("ORDER_NOT_FOUND"))
    );

    let (sku, request_id) = (unique("A"), unique("order"));
    mesh.count(&sku, 100).await?;
    http.post("/v1/orders", &order(&request_id, &sku, 1))
        .await?;
    let changed = http
        .post("/v1/orders", &order(&request_id, &sku, 2))
        .await?;
    assert_eq!(
        (changed.status.as_u16(), changed.reason().as_deref()),
        (409, Some("ORDER_CHANGED"))
    );
    Ok(())
}

async fn watch(mesh: &Mesh, order_id: &str, accept: &str) -> Result<Response> {
    mesh.http()?
        .get(&format!("/v1/orders/{order_id}:watch"), accept)
        .await
}

fn text(json: &Value, field: &str) -> Result<String> {
    Ok(json[field]
        .as_str()
        .with_context(|| format!("{field} in {json}"))?
        .to_owned())
}

fn violation(answer: &Response) -> Result<Value> {
    let status = answer.json()?;
    let details = status["details"].as_array().context("details")?;
    let violation = details
        .iter()
        .find_map(|detail| detail["fieldViolations"].get(0))
        .cloned();
    violation.with_context(|| format!("a violation in {status}"))
}
