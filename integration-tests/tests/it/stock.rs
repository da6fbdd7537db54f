//! Concurrent orders for the same stock neither deadlock nor get it twice.

use anyhow::{Context, Result};
use futures::future::try_join_all;
use integration_tests::{Mesh, order};
use protos::inventory::v1::{
    BatchCreateReservationsRequest, BatchShipReservationsRequest, CountStockRequest,
    CreateReservationRequest, ReservationResult, ReservationState, ReturnStockRequest,
    ShipReservationRequest, StockCount, StockLine, SummarizeStockRequest,
    reservation_result::Result as Of,
};
use protos::{orders::v1::OrderState, payments::v1::SummarizeLedgerRequest};
use tonic::{Code, Status};

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
async fn each_request_of_a_batch_has_its_own_result() -> Result<()> {
    let mesh = Mesh::start_with(Mesh::options()?.only(["inventory"])?).await?;
    mesh.count("A", 5).await?;
    let request = |id: &str, quantity| CreateReservationRequest {
        reservation_id: id.to_owned(),
        lines: vec![StockLine {
            sku: "A".to_owned(),
            quantity,
        }],
    };
    let requests = vec![
        request("one", 3),
        request("two", 3),
        request("three", 2),
        request("one", 4),
        request("one", 3),
    ];
    let batch = BatchCreateReservationsRequest { requests };
    let mut inventory = mesh.inventory()?;
    let created = inventory.batch_create_reservations(batch.clone()).await?;
    let said = results(created.into_inner().results);
    let reserved = Ok(ReservationState::Reserved);
    let expected = [
        reserved.clone(),
        Ok(ReservationState::Refused),
        reserved.clone(),
        Err((Code::AlreadyExists, "RESERVATION_CHANGED".to_owned())),
        reserved,
    ];
    assert_eq!(said, expected);
    // A repetition has the same results and no further effect.
    let again = inventory.batch_create_reservations(batch).await?;
    assert_eq!(results(again.into_inner().results), expected);
    assert_eq!(mesh.stock("A").await?.reserved, 5);

    let ship = |id: &str| ShipReservationRequest {
        reservation_id: id.to_owned(),
    };
    let requests = ["one", "two", "none", "one"].map(ship).into();
    let shipped = inventory
        .batch_ship_reservations(BatchShipReservationsRequest { requests })
        .await?;
    let shipped_one = Ok(ReservationState::Shipped);
    let expected = [
        shipped_one.clone(),
        Err((Code::FailedPrecondition, "RESERVATION_NOT_HELD".to_owned())),
        Err((Code::NotFound, "RESERVATION_NOT_FOUND".to_owned())),
        shipped_one,
    ];
    assert_eq!(results(shipped.into_inner().results), expected);
    let stock = mesh.stock("A").await?;
    assert_eq!((stock.on_hand, stock.reserved), (2, 2));
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

/// Returns the state, or code and reason, of each result.
fn results(
    results: Vec<ReservationResult>,
) -> Vec<std::result::Result<ReservationState, (Code, String)>> {
    let said = |result: ReservationResult| match result.result {
        Some(Of::Reservation(reservation)) => Ok(reservation.state()),
        Some(Of::Error(error)) => {
            let status = Status::from(error);
            let reason = chassis::error::reason(&status).unwrap_or_default();
            Err((status.code(), reason))
        }
        None => panic!("a result without content"),
    };
    results.into_iter().map(said).collect()
}
