//! The history of an order, read through the gateway: complete for those who have its token.

use anyhow::{Context, Result, ensure};
use http::StatusCode;
use integration_tests::{Mesh, eventually, order};
use protos::orders::v1::{CancelOrderRequest, DeliveryState, ListOrderHistoryRequest, OrderState};
use serde_json::{Value, json};

const JSON: &str = "application/json";

async fn history(mesh: &Mesh, order: &str, query: &str) -> Result<(StatusCode, Value)> {
    let path = format!("/v1/orders/{order}/history?{query}");
    let response = mesh.http()?.get(&path, JSON).await?;
    Ok((response.status, response.json()?))
}

/// Returns the type and the state of each change.
fn changes(history: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let changes = history["changes"].as_array().cloned().unwrap_or_default();
    changes
        .iter()
        .map(|change| (text(&change["type"]), text(&change["state"])))
        .collect()
}

fn named(changes: &[(&str, &str)]) -> Vec<(String, String)> {
    let named = |(r#type, state): &(&str, &str)| {
        (
            format!("ORDER_CHANGE_TYPE_{type}"),
            format!("ORDER_STATE_{state}"),
        )
    };
    changes.iter().map(named).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_in_its_history_for_the_client_that_placed_it() -> Result<()> {
    let mesh = Mesh::start().await?;
    mesh.count("A", 100).await?;
    let placed = json!({
        "requestId": "history", "accountId": "17850", "placedAt": order::PLACED_AT, "currencyCode": "GBP",
        "lines": [{"sku": "A", "description": "TEST A", "quantity": "2", "unitPriceMinor": "150"}],
    });
    for _ in 0..20 {
        // A repeated call has the token of whatever has happened since.
        let order = mesh.http()?.post("/v1/orders", &placed).await?.json()?;
        let id = order["orderId"].as_str().context("an id")?;
        let token = order["historyToken"].as_str().context("a token")?;
        let (status, seen) = history(&mesh, id, &format!("historyToken={token}")).await?;
        assert_eq!(status, StatusCode::OK, "{seen}");
        let states = changes(&seen);
        let (_, state) = states.last().context("at least PLACED")?;
        assert_eq!(states[0], named(&[("PLACED", "PENDING")])[0]);
        let reached = |state: &str| {
            [
                "ORDER_STATE_PENDING",
                "ORDER_STATE_CONFIRMED",
                "ORDER_STATE_PAID",
            ]
            .iter()
            .position(|known| *known == state)
        };
        let known = order["state"].as_str().context("a state")?;
        ensure!(reached(state) >= reached(known), "{known} is not in {seen}");
    }

    let id = mesh
        .place(order::request("history", &[("A", 2, 150)]))
        .await?
        .order_id;
    mesh.order_delivery(&id, DeliveryState::Shipped).await?;
    let whole = eventually("all changes", async || {
        let (_, seen) = history(&mesh, &id, "").await?;
        ensure!(changes(&seen).len() == 5, "{seen}");
        Ok(seen)
    })
    .await?;
    let expected = named(&[
        ("PLACED", "PENDING"),
        ("STATE_CHANGED", "CONFIRMED"),
        ("STATE_CHANGED", "PAID"),
        ("DELIVERY_CHANGED", "PAID"),
        ("DELIVERY_CHANGED", "PAID"),
    ]);
    assert_eq!(changes(&whole), expected);
    assert_eq!(whole["changes"][4]["delivery"], "DELIVERY_STATE_SHIPPED");
    ensure!(whole["changes"][4]["recordedAt"].is_string(), "{whole}");

    // The same in pages.
    let (mut paged, mut token) = (Vec::new(), String::new());
    loop {
        let (_, page) = history(&mesh, &id, &format!("pageSize=2&pageToken={token}")).await?;
        paged.extend(changes(&page));
        match page["nextPageToken"].as_str() {
            Some(next) if !next.is_empty() => token = next.to_owned(),
            _ => break,
        }
    }
    assert_eq!(paged, expected);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_order_has_the_request_and_the_end_in_its_history() -> Result<()> {
    let mesh = Mesh::start().await?;
    mesh.count("A", 10).await?;
    // The order waits for its authorization until the cancellation is recorded.
    mesh.stack().stop("payments").await?;
    let placed = mesh
        .place(order::request("cancelled", &[("A", 1, 5)]))
        .await?;
    let request = CancelOrderRequest {
        order_id: placed.order_id.clone(),
    };
    let cancelled = mesh.orders()?.cancel_order(request).await?.into_inner();
    let token = cancelled.order.context("an order")?.history_token;
    let request = ListOrderHistoryRequest {
        order_id: placed.order_id.clone(),
        history_token: token,
        ..Default::default()
    };
    let seen = mesh
        .orders()?
        .list_order_history(request)
        .await?
        .into_inner();
    assert_eq!(seen.changes.last().context("changes")?.version, 2);
    mesh.stack().start("payments").await?;
    mesh.order_in(&placed.order_id, OrderState::Cancelled)
        .await?;
    eventually("the end", async || {
        let (_, seen) = history(&mesh, &placed.order_id, "").await?;
        let expected = [
            ("PLACED", "PENDING"),
            ("CANCEL_REQUESTED", "PENDING"),
            ("STATE_CHANGED", "CANCELLED"),
        ];
        ensure!(changes(&seen) == named(&expected), "{seen}");
        assert_eq!(seen["changes"][2]["reason"], "CANCEL_REQUESTED");
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_was_never_returned_is_refused_by_field_and_rule() -> Result<()> {
    let mesh = Mesh::start_with(Mesh::options()?.only(["gateway", "orders"])?).await?;
    let id = mesh
        .place(order::request("tokens", &[("A", 1, 5)]))
        .await?
        .order_id;
    for token in ["x", "-1", "1.5", "0", "9223372036854775808", "999999999"] {
        let (status, seen) = history(&mesh, &id, &format!("historyToken={token}")).await?;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{token}: {seen}");
        ensure!(
            seen.to_string().contains("INVALID_FIELD"),
            "{token}: {seen}"
        );
        ensure!(seen.to_string().contains("historyToken"), "{token}: {seen}");
    }
    let (status, seen) = history(&mesh, "00000000-0000-0000-0000-000000000000", "").await?;
    assert_eq!(status, StatusCode::NOT_FOUND, "{seen}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_can_not_catch_up_in_time_is_unavailable() -> Result<()> {
    let options = Mesh::options()?.only(["gateway", "orders"])?;
    let options = options.env("orders", "PROTOMESH_HISTORY_PATIENCE_MS", "300");
    let mesh = Mesh::start_with(options).await?;
    let database = mesh.database("orders").await?;
    // Whatever an open transaction may have written comes before what is written now.
    let mut open = database.begin().await?;
    sqlx::query("SELECT pg_current_xact_id()::text")
        .execute(&mut *open)
        .await?;
    let placed = mesh.place(order::request("late", &[("A", 1, 5)])).await?;
    let query = format!("historyToken={}", placed.history_token);
    let (status, seen) = history(&mesh, &placed.order_id, &query).await?;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{seen}");
    ensure!(seen.to_string().contains("HISTORY_BEHIND"), "{seen}");
    // Without a token the caller gets what there is.
    let (status, seen) = history(&mesh, &placed.order_id, "").await?;
    assert_eq!((status, changes(&seen)), (StatusCode::OK, Vec::new()));

    open.rollback().await?;
    let (status, seen) = history(&mesh, &placed.order_id, &query).await?;
    assert_eq!(status, StatusCode::OK, "{seen}");
    assert_eq!(changes(&seen)[0], named(&[("PLACED", "PENDING")])[0]);
    Ok(())
}
