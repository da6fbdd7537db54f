//! Paid orders are shipped by events, and paid back if no carrier takes them.

use anyhow::{Result, ensure};
use integration_tests::{Mesh, eventually, order};
use protos::{
    orders::v1::{DeliveryState, OrderState},
    payments::v1::SummarizeLedgerRequest,
    shipping::v1::{GetParcelRequest, Parcel, ParcelState, SummarizeParcelsRequest},
};

/// More pieces than the carrier takes in one parcel.
const TOO_MANY: i64 = 100_001;

#[tokio::test(flavor = "multi_thread")]
async fn a_parcel_that_no_carrier_takes_is_refunded_and_its_pieces_are_free_again() -> Result<()> {
    let mesh = Mesh::start().await?;
    mesh.count("A", 200_000).await?;
    let order = mesh
        .place(order::request("large", &[("A", TOO_MANY, 1)]))
        .await?;
    let order = mesh
        .order_in(&order.order_id, OrderState::Paid)
        .await?
        .order_id;
    mesh.order_delivery(&order, DeliveryState::Failed).await?;
    let parcel = parcel(&mesh, &order).await?;
    assert_eq!(parcel.state(), ParcelState::Failed);
    assert_eq!(
        (&*parcel.reason, parcel.pieces),
        ("PARCEL_TOO_LARGE", TOO_MANY)
    );
    eventually("the refund", async || {
        let payment = mesh.payment(&order).await?;
        let refunded = (payment.captured_minor, payment.refunded_minor);
        ensure!(refunded == (TOO_MANY, TOO_MANY), "{refunded:?}");
        Ok(())
    })
    .await?;
    let stock = mesh.stock_at_rest("A").await?;
    assert_eq!(stock.on_hand, 200_000);
    let mut payments = mesh.payments()?;
    let ledger = payments.summarize_ledger(SummarizeLedgerRequest {}).await?;
    assert_eq!(ledger.into_inner().ledger_sum_minor, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_are_paid_while_shipping_is_down_and_shipped_once_after_it() -> Result<()> {
    let mesh = Mesh::start().await?;
    mesh.count("A", 10).await?;
    mesh.stack().stop("shipping").await?;
    let order = mesh.place(order::request("wait", &[("A", 3, 100)])).await?;
    let order = mesh.order_in(&order.order_id, OrderState::Paid).await?;
    assert_eq!(order.delivery(), DeliveryState::Pending);
    assert_eq!(mesh.stock("A").await?.reserved, 3);

    // It dies with the parcel written and its transaction open.
    let point = "shipping.parcel.before_commit";
    mesh.stack()
        .set_env_once("shipping", "PROTOMESH_CRASH_AT", point)?;
    let before = mesh.restarts("shipping")?;
    mesh.stack().start("shipping").await?;
    mesh.order_delivery(&order.order_id, DeliveryState::Shipped)
        .await?;
    ensure!(
        mesh.restarts("shipping")? > before,
        "shipping did not crash"
    );
    assert_eq!(mesh.stock_at_rest("A").await?.on_hand, 7);
    let mut shipping = mesh.shipping()?;
    let totals = shipping
        .summarize_parcels(SummarizeParcelsRequest {})
        .await?;
    let totals = totals.into_inner();
    assert_eq!((totals.shipped, totals.failed), (1, 0));
    Ok(())
}

async fn parcel(mesh: &Mesh, order_id: &str) -> Result<Parcel> {
    let request = GetParcelRequest {
        order_id: order_id.to_owned(),
    };
    let response = mesh.shipping()?.get_parcel(request).await?;
    Ok(response.into_inner().parcel.unwrap_or_default())
}
