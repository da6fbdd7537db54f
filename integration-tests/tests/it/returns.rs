//! A return is refunded once, through aborts at every commit.

use anyhow::{Context, Result};
use bytes::Bytes;
use integration_tests::{Mesh, import::HEADER};
use protos::{orders::v1::ListOrdersRequest, payments::v1::SummarizeLedgerRequest};
use serde_json::Value;

/// Processes with the points at which they abort while a sale and its return are processed.
const CRASHES: &[(&str, &str)] = &[
    ("orders", "saga.return.allocate.before_commit"),
    ("orders", "saga.return.allocate.after_commit"),
    ("orders", "saga.return.restock.before_commit"),
    ("orders", "saga.return.restock.after_commit"),
    ("orders", "saga.return.refund.before_commit"),
    ("orders", "saga.return.refund.after_commit"),
    ("inventory", "inventory.return.before_commit"),
    ("inventory", "inventory.return.after_commit"),
    ("payments", "payments.refund.before_commit"),
    ("payments", "payments.refund.after_commit"),
    ("ingest", "events.relay.before_publish"),
    ("ingest", "events.relay.after_publish"),
    ("orders", "events.consumer.before_commit"),
    ("orders", "events.consumer.after_commit"),
    ("orders", "events.relay.after_publish"),
    ("ingest", "events.consumer.after_commit"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_return_is_paid_back_once_despite_a_crash_at_every_commit() -> Result<()> {
    let mesh = Mesh::start().await?;
    mesh.count("85123A", 1000).await?;
    for (n, &(process, point)) in (1..).zip(CRASHES) {
        mesh.crash_next_at(process, point).await?;
        let file = file(&[
            &format!(
                "{},85123A,LANTERN,6,2010-12-01 08:26:00,2.50,{n},UK",
                540_000 + n
            ),
            &format!(
                "{},POST,POSTAGE,1,2010-12-01 08:26:00,18.00,{n},UK",
                540_000 + n
            ),
            &format!(
                "C{},85123A,LANTERN,-4,2010-12-02 09:00:00,2.50,{n},UK",
                550_000 + n
            ),
            &format!(
                "C{},POST,POSTAGE,-1,2010-12-02 09:00:00,18.00,{n},UK",
                550_000 + n
            ),
        ]);
        let import = mesh.announce(&format!("{process} {point}"), &file).await?;
        mesh.resume(&import, &file).await?;
        let done = mesh.completed(&import).await.context(point)?;
        assert_eq!(done["rowsAccepted"], "4", "{point}");
        integration_tests::eventually(point, async || {
            anyhow::ensure!(mesh.restarts(process)? > 0);
            Ok(())
        })
        .await?;
        let ledger = mesh
            .payments()?
            .summarize_ledger(SummarizeLedgerRequest {})
            .await?
            .into_inner();
        assert_eq!(
            (ledger.captured_minor, ledger.refunded_minor),
            (3300 * n, 2800 * n),
            "{point}"
        );
        assert_eq!(ledger.ledger_sum_minor, 0);
        assert_eq!(
            mesh.stock_at_rest("85123A").await?.on_hand,
            1000 - 2 * n,
            "{point}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invoice_that_no_number_can_hold_is_refused_and_the_account_goes_on() -> Result<()> {
    let mesh = Mesh::start().await?;
    mesh.count("85123A", 1000).await?;
    let file = file(&[
        "540001,85123A,LANTERN,100000000,2010-12-01 08:26:00,999999999999.99,17850,UK",
        "540002,85123A,LANTERN,6,2010-12-01 08:27:00,2.50,17850,UK",
    ]);
    let import = mesh.announce("overflow", &file).await?;
    mesh.resume(&import, &file).await?;
    let done = mesh.completed(&import).await?;
    let refused = serde_json::json!([{"rule": "TOTAL_OVERFLOW", "rows": "1"}]);
    assert_eq!(
        (&done["rowsAccepted"], &done["rejected"]),
        (&"1".into(), &refused)
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_draw_on_nothing_are_refused_with_their_rule() -> Result<()> {
    let mesh = Mesh::start().await?;
    mesh.count("85123A", 1000).await?;
    // Returns come first in the file; a later sale is no order to return from.
    let file = file(&[
        "C550001,85123A,LANTERN,-4,2010-12-02 09:00:00,2.50,17850,UK",
        "C550001,85123A,LANTERN,-3,2010-12-02 09:00:00,2.50,17850,UK",
        "C550002,85123A,LANTERN,-1,2010-12-02 09:00:00,2.49,17850,UK",
        "C550003,85123A,LANTERN,-1,2010-12-02 09:00:00,2.50,,UK",
        "540001,85123A,LANTERN,6,2010-12-01 08:26:00,2.50,17850,UK",
        "540002,85123A,LANTERN,6,2010-12-03 08:26:00,2.50,17850,UK",
    ]);
    let import = mesh.announce("refused", &file).await?;
    mesh.resume(&import, &file).await?;
    mesh.completed(&import).await?;
    let path = format!("/v1/imports/{import}/rejectedRows");
    let rejected = mesh.http()?.get(&path, "application/json").await?.json()?;
    let rows = rejected["rejectedRows"].as_array().context("rows")?;
    let field = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let rows: Vec<_> = rows
        .iter()
        .map(|row| ["rowNumber", "column", "rule", "value"].map(|name| field(row, name)))
        .collect();
    assert_eq!(
        rows,
        [
            ["2", "Quantity", "RETURN_EXCEEDS_ORDER", "-3"],
            ["3", "StockCode", "RETURN_WITHOUT_ORDER", "85123A"],
            ["4", "CustomerID", "RETURN_WITHOUT_CUSTOMER", ""],
        ]
    );
    let listed = ListOrdersRequest {
        account_id: "17850".into(),
        ..Default::default()
    };
    assert_eq!(
        mesh.orders()?
            .list_orders(listed)
            .await?
            .into_inner()
            .orders
            .len(),
        2
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_return_again_is_not_paid_again_whatever_its_description_says() -> Result<()> {
    let mesh = Mesh::start().await?;
    mesh.count("85123A", 1000).await?;
    let sale = "540001,85123A,LANTERN,6,2010-12-01 08:26:00,2.50,17850,UK";
    let returned = |description: &str| {
        format!("C550001,85123A,{description},-1,2010-12-02 09:00:00,2.50,17850,UK")
    };
    // Two rows of one return that differ in their text are two.
    let first = file(&[sale, &returned("LANTERN"), &returned("LANTERN RED")]);
    let import = mesh.announce("first", &first).await?;
    mesh.resume(&import, &first).await?;
    assert_eq!(mesh.completed(&import).await?["rowsAccepted"], "3");

    let again = file(&[
        &returned("LAMP"),
        &returned("LAMP RED"),
        &returned("LAMP BLUE"),
    ]);
    let import = mesh.announce("again", &again).await?;
    mesh.resume(&import, &again).await?;
    let done = mesh.completed(&import).await?;
    let repeated = serde_json::json!([{"rule": "RETURN_REPEATED", "rows": "2"}]);
    assert_eq!(
        (&done["rowsAccepted"], &done["rejected"]),
        (&"1".into(), &repeated)
    );
    let ledger = mesh
        .payments()?
        .summarize_ledger(SummarizeLedgerRequest {})
        .await?
        .into_inner();
    assert_eq!(ledger.refunded_minor, 3 * 250);
    Ok(())
}

fn file(rows: &[&str]) -> Bytes {
    format!("{HEADER}{}\n", rows.join("\n")).into()
}
