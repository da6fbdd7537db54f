//! The use that orders makes of other services is recorded, and services that run keep to it.

use std::path::Path;

use anyhow::{Result, ensure};
use expectations::{Contract, Expectations};
use integration_tests::{Mesh, eventually, order};
use protomesh_testing::Recorder;
use protos::orders::v1::{CancelOrderRequest, OrderState};

/// Total in minor units above the limit of payments.
const TOO_MUCH: i64 = 1_000_001;

#[tokio::test(flavor = "multi_thread")]
async fn what_orders_uses_of_others_is_in_its_expectations() -> Result<()> {
    let mesh = Mesh::start_with(Mesh::options()?.defer("orders")).await?;
    let mut recorder = Recorder::new("orders", protos::FILE_DESCRIPTOR_SET)?;
    mesh.record("orders", &mut recorder).await?;
    mesh.count("A", 10).await?;
    for (name, lines, end) in [
        ("paid", [("A", 1, 100)], OrderState::Paid),
        ("short", [("A", 11, 100)], OrderState::OutOfStock),
        (
            "declined",
            [("A", 1, TOO_MUCH)],
            OrderState::PaymentDeclined,
        ),
    ] {
        let placed = mesh.place(order::request(name, &lines)).await?;
        mesh.order_in(&placed.order_id, end).await?;
    }
    // One that is cancelled while payments is away: its payment is voided.
    mesh.stack().stop("payments").await?;
    let placed = mesh
        .place(order::request("cancelled", &[("A", 1, 100)]))
        .await?;
    let order_id = placed.order_id.clone();
    mesh.orders()?
        .cancel_order(CancelOrderRequest { order_id })
        .await?;
    mesh.stack().start("payments").await?;
    mesh.order_in(&placed.order_id, OrderState::Cancelled)
        .await?;

    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../expectations/orders.toml");
    recorder.compare(&file)?;

    // The contract keeps them, and one without a field that they name does not.
    let known = Expectations::parse(&std::fs::read_to_string(&file)?)?;
    let contract = Contract::load(protos::FILE_DESCRIPTOR_SET)?;
    assert_eq!(known.verify(&contract), []);
    let methods: Vec<&str> = known.methods.keys().map(String::as_str).collect();
    for service in [
        "inventory.v1.InventoryService/",
        "payments.v1.PaymentsService/",
    ] {
        assert!(
            methods.iter().any(|name| name.starts_with(service)),
            "{methods:?}"
        );
    }
    live(&mesh).await
}

/// Compares them with the services that run, by the command.
async fn live(mesh: &Mesh) -> Result<()> {
    let gateway = mesh.gateway()?.to_string();
    let program = super::upgrades::program("mesh")?;
    eventually("all APIs behind the gateway", async || {
        let mut command = tokio::process::Command::new(&program);
        command.args(["expectations", "verify", "--gateway", &gateway]);
        let output = command.kill_on_drop(true).output().await?;
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "{told}{errors}");
        ensure!(told.contains(": 0 differences"), "{told}");
        Ok(())
    })
    .await
}
