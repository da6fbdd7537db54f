//! The books: read from the services that own their parts, and checked.

mod sheet;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mesh::client::Client;
use serde::{Deserialize, Serialize};

use super::json::int64;
use super::retry::retrying;
pub(crate) use sheet::{grouped, sheet};

/// Longest wait for parcels, restarts of processes included.
const DELIVERY: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(150);

/// All books of the mesh. Amounts are minor units; reasons and states without a count are left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Books {
    pub(crate) rows: Rows,
    pub(crate) orders: BTreeMap<String, i64>,
    pub(crate) returns: Returns,
    pub(crate) money: Money,
    pub(crate) stock: Stock,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Rows {
    pub(crate) read: i64,
    pub(crate) accepted: i64,
    pub(crate) rejected: BTreeMap<String, i64>,
    /// Rows that a source could not read: they are in its quarantine.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) missing: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Returns {
    pub(crate) invoices: i64,
    pub(crate) rows: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Money {
    pub(crate) currency: String,
    pub(crate) captured_minor: i64,
    pub(crate) refunded_minor: i64,
    pub(crate) ledger_sum_minor: i64,
    pub(crate) days: Vec<Day>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "camelCase"), default)]
pub(crate) struct Day {
    pub(crate) date: String,
    #[serde(deserialize_with = "int64")]
    pub(crate) captured_minor: i64,
    #[serde(deserialize_with = "int64")]
    pub(crate) refunded_minor: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "camelCase"), default)]
pub(crate) struct Stock {
    #[serde(deserialize_with = "int64")]
    pub(crate) counted: i64,
    #[serde(deserialize_with = "int64")]
    pub(crate) shipped: i64,
    #[serde(deserialize_with = "int64")]
    pub(crate) returned: i64,
    #[serde(deserialize_with = "int64")]
    pub(crate) reserved: i64,
    #[serde(deserialize_with = "int64")]
    pub(crate) on_hand: i64,
}

/// `ingest.v1.SummarizeSourceResponse`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SourceSummary {
    #[serde(deserialize_with = "int64")]
    rows_read: i64,
    #[serde(deserialize_with = "int64")]
    rows_accepted: i64,
    #[serde(deserialize_with = "int64")]
    rows_missing: i64,
    rejected: Vec<Rejected>,
}

#[derive(Deserialize)]
struct Rejected {
    rule: String,
    #[serde(deserialize_with = "int64")]
    rows: i64,
}

/// `orders.v1.SummarizeOrdersResponse`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Orders {
    orders: Vec<OrderCount>,
    #[serde(deserialize_with = "int64")]
    return_invoices: i64,
    #[serde(deserialize_with = "int64")]
    return_rows: i64,
}

#[derive(Deserialize)]
struct OrderCount {
    state: String,
    #[serde(deserialize_with = "int64")]
    orders: i64,
}

/// `payments.v1.SummarizeLedgerResponse`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Ledger {
    currency_code: String,
    #[serde(deserialize_with = "int64")]
    captured_minor: i64,
    #[serde(deserialize_with = "int64")]
    refunded_minor: i64,
    #[serde(deserialize_with = "int64")]
    ledger_sum_minor: i64,
    days: Vec<Day>,
}

/// States of orders that are not settled.
const UNDER_WAY: [&str; 2] = ["PENDING", "CONFIRMED"];

/// Waits until no piece is reserved: the parcels of paid orders are shipped by events, after the
/// orders are settled. Returns after [`DELIVERY`] whatever is left, for the books to show it.
pub(crate) async fn delivered(client: &Client) -> Result<()> {
    let deadline = Instant::now() + DELIVERY;
    loop {
        let stock: Stock = retrying(async || client.get("/v1/stock:summarize").await)
            .await
            .context("cannot read the books of inventory")?;
        if stock.reserved == 0 || Instant::now() > deadline {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Reads each part from its service.
pub(crate) async fn read(client: &Client, source: &str) -> Result<Books> {
    let path = format!("/v1/sources/{source}:summarize");
    let imports: SourceSummary = retrying(async || client.get(&path).await)
        .await
        .context("cannot read the books of ingest")?;
    let orders: Orders = retrying(async || client.get("/v1/orders:summarize").await)
        .await
        .context("cannot read the books of orders")?;
    let ledger: Ledger = retrying(async || client.get("/v1/ledger:summarize").await)
        .await
        .context("cannot read the books of payments")?;
    let stock: Stock = retrying(async || client.get("/v1/stock:summarize").await)
        .await
        .context("cannot read the books of inventory")?;
    Ok(compile(imports, orders, ledger, stock))
}

fn compile(imports: SourceSummary, orders: Orders, ledger: Ledger, stock: Stock) -> Books {
    let reasons = imports.rejected.into_iter();
    let rows = Rows {
        read: imports.rows_read,
        accepted: imports.rows_accepted,
        rejected: counts(reasons.map(|rejected| (rejected.rule, rejected.rows))),
        missing: imports.rows_missing,
    };
    let states = orders.orders.into_iter();
    let state = |name: &str| name.strip_prefix("ORDER_STATE_").unwrap_or(name).to_owned();
    Books {
        rows,
        orders: counts(states.map(|count| (state(&count.state), count.orders))),
        returns: Returns {
            invoices: orders.return_invoices,
            rows: orders.return_rows,
        },
        money: Money {
            currency: ledger.currency_code,
            captured_minor: ledger.captured_minor,
            refunded_minor: ledger.refunded_minor,
            ledger_sum_minor: ledger.ledger_sum_minor,
            days: ledger.days,
        },
        stock,
    }
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "the form that serde calls"
)]
fn is_zero(count: &i64) -> bool {
    *count == 0
}

fn counts(all: impl Iterator<Item = (String, i64)>) -> BTreeMap<String, i64> {
    all.filter(|(_, count)| *count != 0).collect()
}

impl Books {
    /// Returns the number of settled orders.
    pub(crate) fn orders_ended(&self) -> i64 {
        let ended = self
            .orders
            .iter()
            .filter(|(state, _)| !UNDER_WAY.contains(&state.as_str()));
        ended.map(|(_, orders)| orders).sum()
    }

    /// Returns contradictions in words; none if the books balance.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut equal = |what: &str, left: i64, right: i64| {
            if left != right {
                problems.push(format!("{what}: {} and {}", grouped(left), grouped(right)));
            }
        };
        let (rows, stock, money) = (&self.rows, &self.stock, &self.money);
        let rejected: i64 = rows.rejected.values().sum();
        equal(
            "rows read differ from accepted plus rejected plus missing",
            rows.read,
            rows.accepted + rejected + rows.missing,
        );
        equal(
            "the ledger's postings do not sum to zero",
            money.ledger_sum_minor,
            0,
        );
        let (captured, refunded) = money.days.iter().fold((0, 0), |(captured, refunded), day| {
            (captured + day.captured_minor, refunded + day.refunded_minor)
        });
        equal(
            "captured is not the sum of its days",
            money.captured_minor,
            captured,
        );
        equal(
            "refunded is not the sum of its days",
            money.refunded_minor,
            refunded,
        );
        equal("pieces are still reserved", stock.reserved, 0);
        equal(
            "pieces on hand differ from counted minus shipped plus returned",
            stock.on_hand,
            stock.counted - stock.shipped + stock.returned,
        );
        let under_way = self.orders.values().sum::<i64>() - self.orders_ended();
        equal("orders are not settled", under_way, 0);
        problems
    }
}

#[cfg(test)]
mod tests;
