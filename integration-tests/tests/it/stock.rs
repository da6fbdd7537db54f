//! Orders that want the same stock at once neither block each other for ever nor get it twice.

use anyhow::{Context, Result};
use contracts::inventory::v1::{
    CountStockRequest, CreateReservationRequest, ReservationState, StockCount, StockLine,
    SummarizeStockRequest,
};
use futures::future::try_join_all;
use integration_tests::Mesh;

const ORDERS: i64 = 64;
const LINES: usize = 600;
/// Enough for this many of the orders.
const FITTING: i64 = 40;

#[tokio::test(flavor = "multi_thread")]
async fn large_orders_over_the_same_skus_neither_deadlock_nor_oversell() -> Result<()> {
    let mesh = Mesh::start_with(Mesh::options()?.only(["inventory"])?).await?;
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
