//! Sagas survive a kill before and after the commit of every step, and every compensation happens.

use anyhow::{Result, ensure};
use integration_tests::{Mesh, eventually, order};
use protos::{
    inventory::v1::{CreateReservationRequest, StockLine},
    orders::v1::{CancelOrderRequest, OrderState, PlaceOrderRequest},
    payments::v1::{PaymentState, VoidPaymentRequest},
};

/// Total in minor units above the limit of payments.
const TOO_MUCH: i64 = 1_000_001;

/// Processes, each with the name of a commit.
type Commit = (&'static str, &'static str);

const FORWARD: &[Commit] = &[
    ("orders", "saga.order.reserve"),
    ("orders", "saga.order.authorize"),
    ("orders", "saga.order.capture"),
    ("inventory", "inventory.reserve"),
    ("payments", "payments.authorize"),
    ("payments", "payments.capture"),
];

#[tokio::test(flavor = "multi_thread")]
async fn an_order_survives_a_crash_around_every_commit_on_its_way() -> Result<()> {
    let mesh = Mesh::start().await?;
    mesh.count("A", 1000).await?;
    let mut shipped = 0;
    for (process, point) in around(FORWARD) {
        mesh.crash_next_at(process, &point).await?;
        let before = mesh.restarts(process)?;
        let order = place_despite_crash(&mesh, order::request(&point, &[("A", 2, 150)])).await?;
        let order = mesh.order_in(&order, OrderState::Paid).await?;
        crashed(&mesh, process, before, &point).await?;
        shipped += 2;
        let stock = mesh.stock_at_rest("A").await?;
        assert_eq!(
            (stock.on_hand, stock.reserved),
            (1000 - shipped, 0),
            "{point}"
        );
        let payment = mesh.payment(&order.order_id).await?;
        assert_eq!(
            (payment.captured_minor, payment.refunded_minor),
            (300, 0),
            "{point}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declined_order_releases_its_stock_despite_a_crash_around_the_release() -> Result<()> {
    let mesh = Mesh::start().await?;
    mesh.count("A", 10).await?;
    for (process, point) in around(&[
        ("orders", "saga.order.release"),
        ("inventory", "inventory.release"),
    ]) {
        mesh.crash_next_at(process, &point).await?;
        let before = mesh.restarts(process)?;
        let order =
            place_despite_crash(&mesh, order::request(&point, &[("A", 1, TOO_MUCH)])).await?;
        mesh.order_in(&order, OrderState::PaymentDeclined).await?;
        crashed(&mesh, process, before, &point).await?;
        let stock = mesh.stock("A").await?;
        assert_eq!((stock.on_hand, stock.reserved), (10, 0), "{point}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_order_voids_its_payment_despite_a_crash_around_the_void() -> Result<()> {
    let mesh = Mesh::start().await?;
    mesh.count("A", 10).await?;
    for (process, point) in around(&[("orders", "saga.order.void"), ("payments", "payments.void")])
    {
        // The order waits before its authorization until the cancellation is recorded.
        mesh.stack().stop("payments").await?;
        let order = mesh
            .place(order::request(&point, &[("A", 1, 100)]))
            .await?
            .order_id;
        mesh.orders()?
            .cancel_order(CancelOrderRequest {
                order_id: order.clone(),
            })
            .await?;
        let before = start_payments_and_crash(&mesh, process, &point).await?;
        let cancelled = mesh.order_in(&order, OrderState::Cancelled).await?;
        assert_eq!(cancelled.reason, "CANCEL_REQUESTED");
        crashed(&mesh, process, before, &point).await?;
        assert_eq!(
            mesh.payment(&order).await?.state(),
            PaymentState::Voided,
            "{point}"
        );
        let stock = mesh.stock("A").await?;
        assert_eq!((stock.on_hand, stock.reserved), (10, 0), "{point}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_authorization_finds_the_payment_void() -> Result<()> {
    let mesh = Mesh::start().await?;
    mesh.count("A", 10).await?;
    mesh.stack().stop("payments").await?;
    let order = mesh
        .place(order::request("late", &[("A", 1, 100)]))
        .await?
        .order_id;
    reserved(&mesh, 1).await?;
    mesh.stack().stop("orders").await?;
    mesh.stack().start("payments").await?;
    mesh.payments()?
        .void_payment(VoidPaymentRequest {
            payment_id: order.clone(),
        })
        .await?;
    mesh.stack().start("orders").await?;
    let failed = mesh.order_in(&order, OrderState::Failed).await?;
    assert_eq!(failed.reason, "PAYMENT_STATE_VOIDED");
    assert_eq!(mesh.stock("A").await?.reserved, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_past_its_deadline_is_given_up_and_leaves_nothing_behind() -> Result<()> {
    let options = Mesh::options()?.env("orders", "PROTOMESH_SAGA_DEADLINE_MS", "1000");
    let mesh = Mesh::start_with(options).await?;
    mesh.count("A", 10).await?;
    mesh.stack().stop("payments").await?;
    let order = mesh
        .place(order::request("slow", &[("A", 1, 100)]))
        .await?
        .order_id;
    reserved(&mesh, 1).await?;
    step(&mesh, "VOID").await?;
    mesh.stack().start("payments").await?;
    let failed = mesh.order_in(&order, OrderState::Failed).await?;
    assert_eq!(failed.reason, "AUTHORIZE_TIMED_OUT");
    assert_eq!(mesh.payment(&order).await?.state(), PaymentState::Voided);
    assert_eq!(mesh.stock("A").await?.reserved, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capture_that_happened_after_all_is_refunded_despite_a_crash_around_it() -> Result<()> {
    let options = Mesh::options()?
        .env("orders", "PROTOMESH_SAGA_DEADLINE_MS", "2000")
        .env("orders", "PROTOMESH_SAGAS__STEP_TIMEOUT_MS", "1000");
    let mesh = Mesh::start_with(options).await?;
    mesh.count("A", 10).await?;
    for (process, point) in around(&[("orders", "saga.order.refund")]) {
        // The money is captured, the response is lost, and payments is down until the deadline has
        // passed.
        mesh.crash_next_at("orders", "saga.order.capture.before_commit")
            .await?;
        let before = mesh.restarts("orders")?;
        let request = order::request(&point, &[("A", 1, 100)]);
        let order = place_despite_crash(&mesh, request).await?;
        crashed(&mesh, "orders", before, "capture").await?;
        mesh.stack().stop("payments").await?;
        step(&mesh, "REFUND").await?;
        let before = start_payments_and_crash(&mesh, process, &point).await?;
        let failed = mesh.order_in(&order, OrderState::Failed).await?;
        assert_eq!(failed.reason, "CAPTURE_TIMED_OUT");
        crashed(&mesh, process, before, &point).await?;
        let payment = mesh.payment(&order).await?;
        assert_eq!(
            (payment.captured_minor, payment.refunded_minor),
            (100, 100),
            "{point}"
        );
        let stock = mesh.stock("A").await?;
        assert_eq!((stock.on_hand, stock.reserved), (10, 0), "{point}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_reserved_under_the_same_id_is_not_released() -> Result<()> {
    let mesh = Mesh::start().await?;
    mesh.count("A", 10).await?;
    mesh.stack().stop("inventory").await?;
    let order = mesh
        .place(order::request("foreign", &[("A", 1, 100)]))
        .await?
        .order_id;
    mesh.stack().stop("orders").await?;
    mesh.stack().start("inventory").await?;
    let line = StockLine {
        sku: "A".to_owned(),
        quantity: 4,
    };
    mesh.inventory()?
        .create_reservation(CreateReservationRequest {
            reservation_id: order.clone(),
            lines: vec![line],
        })
        .await?;
    mesh.stack().start("orders").await?;
    let failed = mesh.order_in(&order, OrderState::Failed).await?;
    assert_eq!(failed.reason, "RESERVATION_CHANGED");
    assert_eq!(mesh.stock("A").await?.reserved, 4);
    Ok(())
}

/// Waits until the only open saga is before that step.
async fn step(mesh: &Mesh, name: &str) -> Result<()> {
    let mut database = mesh.database("orders").await?.acquire().await?;
    eventually(name, async || {
        let step: String =
            sqlx::query_scalar("SELECT step FROM saga.instance WHERE status = 'OPEN'")
                .fetch_one(&mut *database)
                .await?;
        ensure!(step == name, "{step}");
        Ok(())
    })
    .await
}

/// Returns the points before and after each commit.
fn around(commits: &[Commit]) -> Vec<(&'static str, String)> {
    let sides = ["before_commit", "after_commit"];
    commits
        .iter()
        .flat_map(|&(process, name)| sides.map(|side| (process, format!("{name}.{side}"))))
        .collect()
}

/// Places an order through failures of a process; a repetition is safe.
async fn place_despite_crash(mesh: &Mesh, request: PlaceOrderRequest) -> Result<String> {
    eventually("the order placed", async || {
        Ok(mesh.place(request.clone()).await?.order_id)
    })
    .await
}

/// Checks that the process aborted at its point.
async fn crashed(mesh: &Mesh, process: &str, before: u32, point: &str) -> Result<()> {
    eventually(&format!("the crash at {point}"), async || {
        let restarts = mesh.restarts(process)?;
        ensure!(restarts > before, "{restarts} restarts of {process}");
        Ok(())
    })
    .await
}

/// Continues the order up to a step at which one of two processes aborts; returns the restarts of
/// that process before.
async fn start_payments_and_crash(mesh: &Mesh, process: &str, point: &str) -> Result<u32> {
    if process == "payments" {
        mesh.stack()
            .set_env_once(process, "PROTOMESH_CRASH_AT", point)?;
        mesh.stack().start(process).await?;
        return mesh.restarts(process);
    }
    mesh.crash_next_at(process, point).await?;
    // Before payments is back: the crash may follow at once.
    let before = mesh.restarts(process)?;
    mesh.stack().start("payments").await?;
    Ok(before)
}

async fn reserved(mesh: &Mesh, pieces: i64) -> Result<()> {
    eventually("the reservation", async || {
        let reserved = mesh.stock("A").await?.reserved;
        ensure!(reserved == pieces, "{reserved} reserved");
        Ok(())
    })
    .await
}
