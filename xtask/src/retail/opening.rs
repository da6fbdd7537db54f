//! Counts the opening stock in, once per SKU.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use mesh::client::Client;
use mesh::ui::Ui;
use serde::{Deserialize, Serialize};

use super::json::int64;
use super::retry::retrying;
use super::{OrderFile, Settings};

/// Most counts in one request (contract, `CountStockRequest.counts`).
const BATCH: usize = 1000;

#[derive(Serialize)]
struct CountStock<'a> {
    counts: &'a [StockCount<'a>],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StockCount<'a> {
    request_id: String,
    sku: &'a str,
    quantity: String,
}

#[derive(Deserialize)]
struct CountStockResponse {
    #[serde(default, deserialize_with = "int64")]
    recorded: i64,
}

/// Counts in the opening stock of every SKU that `files` sell.
pub(crate) async fn count(
    client: &Client,
    files: &[OrderFile],
    settings: &Settings,
    ui: Ui,
) -> Result<()> {
    let skus: BTreeSet<&str> = files
        .iter()
        .flat_map(|file| &file.skus)
        .map(String::as_str)
        .collect();
    let step = ui.step(format!(
        "counting in the opening stock of {} SKUs",
        skus.len()
    ));
    let counts: Vec<StockCount<'_>> = skus
        .into_iter()
        .map(|sku| StockCount {
            request_id: format!("opening-{sku}"),
            sku,
            quantity: pieces(settings, sku).to_string(),
        })
        .collect();
    let mut recorded = 0;
    for counts in counts.chunks(BATCH) {
        let message = CountStock { counts };
        let counted: CountStockResponse =
            retrying(async || client.post("/v1/stock:count", &message).await)
                .await
                .context("cannot count in the opening stock")?;
        recorded += counted.recorded;
    }
    step.done();
    if recorded == 0 && !counts.is_empty() {
        ui.note("the opening stock was recorded earlier");
    }
    Ok(())
}

fn pieces(settings: &Settings, sku: &str) -> i64 {
    if settings.out_of_stock.contains(sku) {
        0
    } else {
        settings.opening_stock
    }
}
