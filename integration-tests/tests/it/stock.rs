//! Concurrent orders for the same stock neither deadlock nor get it twice.

use anyhow::{Context, Result};
use futures::future::try_join_all;
use integration_tests::{Mesh, order};
use protos::inventory::v1::{
    CountStockRequest, CreateReservationRequest, ReservationState, ReturnStockRequest, StockCount,
    StockLine, SummarizeStockRequest,
};
use protos::{orders::v1::OrderState, payments::v1::SummarizeLedgerRequest};

const ORDERS: i64 = 64;
const LINES: usize = 600;
/// Number of orders that the stock suffices for.
const FITTING: i64 = 40;
/// Prices of a piece in minor units, within the limit of payments and above it.
const CHEAP: i64 = 100;
const DEAR: i64 = 2000;

#[tokio::test(flavor = "multi_thread")]
async fn large_orders_over_the_same_skus_neither_deadlock_nor_oversell() -> Result<()> {
    let mesh = Mesh::start_with(Mesh::options()?.only(["inventory"])?).await?;
    let skus = counted(&mesh).await?;

    let states = try_join_all((0..ORDERS).map(|n| reserve(&mesh, n, &skus))).await?;

    let held = states
        .iter()
        .filter(|&&state| state == ReservationState::Reserved)
        .count();
    assert_eq!(held as i64, FITTING, "{states:?}");
    assert!(states.iter().all(|state| matches!(
        state,
        ReservationState::Reserved | ReservationState::Refused
    )));
    let totals = mesh
        .inventory()?
        .summarize_stock(SummarizeStockRequest {})
        .await?
        .into_inner();
    assert_eq!(totals.reserved, FITTING * LINES as i64);
    assert_eq!(totals.on_hand, totals.counted);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn large_orders_placed_at_once_all_end_and_take_no_more_than_there_is() -> Result<()> {
    let mesh = Mesh::start().await?;
    let skus = counted(&mesh).await?;

    // Every other order is above the limit: its reservation is released while others reserve.
    let placed = (0..ORDERS).map(|n| place(&mesh, n, &skus));
    let orders = try_join_all(placed).await?;
    let mut paid = 0;
    for order in &orders {
        let end = mesh.order_at_end(order).await?;
        paid += i64::from(end.state() == OrderState::Paid);
    }

    let totals = mesh
        .inventory()?
        .summarize_stock(SummarizeStockRequest {})
        .await?
        .into_inner();
    assert_eq!((totals.shipped, totals.reserved), (paid * LINES as i64, 0));
    assert_eq!(totals.on_hand, totals.counted - totals.shipped);
    let ledger = mesh
        .payments()?
        .summarize_ledger(SummarizeLedgerRequest {})
        .await?
        .into_inner();
    assert_eq!(ledger.captured_minor, paid * LINES as i64 * CHEAP);
    assert!(paid > 0 && paid <= FITTING, "{paid} paid");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_return_counts_once_and_can_not_change() -> Result<()> {
    let mesh = Mesh::start_with(Mesh::options()?.only(["inventory"])?).await?;
    mesh.count("A", 10).await?;
    let back = |quantity| ReturnStockRequest {
        return_id: "back".into(),
        lines: vec![StockLine {
            sku: "A".into(),
            quantity,
        }],
    };
    let mut inventory = mesh.inventory()?;
    assert!(inventory.return_stock(back(3)).await?.into_inner().recorded);
    assert!(!inventory.return_stock(back(3)).await?.into_inner().recorded);
    let changed = inventory.return_stock(back(4)).await.unwrap_err();
    assert_eq!(
        chassis::error::reason(&changed).as_deref(),
        Some("RETURN_CHANGED")
    );
    assert_eq!(mesh.stock("A").await?.on_hand, 13);
    Ok(())
}

async fn place(mesh: &Mesh, n: i64, skus: &[String]) -> Result<String> {
    let price = if n % 2 == 0 { CHEAP } else { DEAR };
    let mut lines: Vec<_> = skus.iter().map(|sku| (sku.as_str(), 1, price)).collect();
    lines.rotate_left((n as usize * 37) % LINES);
    let order = mesh
        .place(order::request(&format!("order-{n}"), &lines))
        .await?;
    Ok(order.order_id)
}

/// Counts in enough of every SKU for [`FITTING`] orders.
async fn counted(mesh: &Mesh) -> Result<Vec<String>> {
    let skus: Vec<String> = (0..LINES).map(|n| format!("SKU{n:03}")).collect();
    let counts = skus.iter().map(|sku| StockCount {
        request_id: format!("opening-{sku}"),
        sku: sku.clone(),
        quantity: FITTING,
    });
    mesh.inventory()?
        .count_stock(CountStockRequest {
            counts: counts.collect(),
        })
        .await?;
    Ok(skus)
}

/// Reserves one piece of every SKU; each order names them in another order.
async fn reserve(mesh: &Mesh, n: i64, skus: &[String]) -> Result<ReservationState> {
    let mut lines: Vec<_> = skus
        .iter()
        .map(|sku| StockLine {
            sku: sku.clone(),
            quantity: 1,
        })
        .collect();
    lines.rotate_left((n as usize * 37) % LINES);
    if n % 2 == 1 {
        lines.reverse();
    }
    let request = CreateReservationRequest {
        reservation_id: format!("order-{n}"),
        lines,
    };
    let response = mesh
        .inventory()?
        .create_reservation(request)
        .await?
        .into_inner();
    Ok(response.reservation.context("a reservation")?.state())
}
