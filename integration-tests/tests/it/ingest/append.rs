//! Rows that are appended call by call make the same import as a file that is uploaded.

use anyhow::{Result, ensure};
use chassis::error::reason;
use integration_tests::{Mesh, eventually};
use protos::ingest::v1::{AppendRowsRequest, Import, OrderRow};
use serde_json::json;

use super::{INVOICES, LINES, all_settled, announce, orders};

const ROWS: i64 = INVOICES * LINES;

/// Row `number` of the file that [`announce`] makes.
fn row(number: i64) -> OrderRow {
    OrderRow {
        number,
        invoice_number: (540_000 + (number - 1) / LINES).to_string(),
        sku: (20_000 + (number - 1) % LINES).to_string(),
        description: "LAMP, \"RED\"".to_owned(),
        quantity: 2,
        time: "2010-12-01T08:26:00".to_owned(),
        unit_price: "1.25".to_owned(),
        customer: "17850".to_owned(),
        others: vec!["United Kingdom".to_owned()],
    }
}

fn request(unit: &str, numbers: std::ops::RangeInclusive<i64>, ends: bool) -> AppendRowsRequest {
    AppendRowsRequest {
        source: "online-retail".to_owned(),
        unit: unit.to_owned(),
        rows: numbers.map(row).collect(),
        ends,
    }
}

async fn append(mesh: &Mesh, request: AppendRowsRequest) -> Result<Import, tonic::Status> {
    let mut ingest = mesh
        .ingest()
        .map_err(|error| tonic::Status::internal(error.to_string()))?;
    let appended = ingest.append_rows(request).await?.into_inner();
    Ok(appended.import.unwrap_or_default())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_appended_in_any_pieces_and_repeated_are_the_file() -> Result<()> {
    let mesh = Mesh::start().await?;
    let (file, uploaded) = announce(&mesh, "beside").await?;
    // Invoices go over the ends of the calls; calls repeat rows.
    for (first, last) in [(1, 7), (3, 60), (61, 61), (1, 400), (400, ROWS)] {
        append(&mesh, request("u", first..=last, false)).await?;
    }
    let open = append(&mesh, request("u", ROWS..=ROWS, false)).await?;
    assert_eq!((open.rows_read, open.state), (ROWS - LINES, 1), "{open:?}");
    let ended = append(&mesh, request("u", ROWS..=ROWS, true)).await?;
    all_settled(&mesh, &ended.import_id).await?;
    let again = append(&mesh, request("u", 1..=1000, true)).await?;
    assert_eq!((again.rows_read, again.rows_missing), (ROWS, 0));
    let beyond = append(&mesh, request("u", ROWS + 1..=ROWS + 1, false)).await;
    assert_eq!(
        reason(&beyond.unwrap_err()).as_deref(),
        Some("IMPORT_ENDED")
    );

    // The same rows by the other way: all are known.
    mesh.resume(&uploaded, &file).await?;
    assert_eq!(
        mesh.completed(&uploaded).await?["rejected"],
        json!([{"rule": "DUPLICATE_ROW", "rows": ROWS.to_string()}])
    );
    assert_eq!(orders(&mesh).await?, INVOICES);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_around_the_commit_of_appended_rows_loses_none_and_doubles_none() -> Result<()> {
    let mesh = Mesh::start().await?;
    announce(&mesh, "unused").await?;
    for (point, last) in [
        ("ingest.append.before_commit", 90),
        ("ingest.append.after_commit", ROWS),
    ] {
        mesh.crash_next_at("ingest", point).await?;
        let before = mesh.restarts("ingest")?;
        // The client repeats it when the process is back, or tells that it broke.
        drop(append(&mesh, request("u", 1..=last, last == ROWS)).await);
        eventually("the crash", async || {
            ensure!(mesh.restarts("ingest")? > before);
            Ok(())
        })
        .await?;
        eventually("the rows appended", async || {
            append(&mesh, request("u", 1..=last, last == ROWS)).await?;
            Ok(())
        })
        .await?;
    }
    let import = append(&mesh, request("u", ROWS..=ROWS, true)).await?;
    all_settled(&mesh, &import.import_id).await
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_left_out_are_missing_and_wrong_ones_are_rejected() -> Result<()> {
    let mesh = Mesh::start().await?;
    mesh.count("20000", 1_000).await?;
    let wrong = OrderRow {
        unit_price: "1.255".to_owned(),
        ..row(5)
    };
    let request = AppendRowsRequest {
        rows: vec![row(1), wrong, row(9)],
        ..request("gaps", 1..=1, true)
    };
    let import = append(&mesh, request.clone()).await?;
    assert_eq!((import.rows_read, import.rows_missing), (9, 6));
    assert_eq!(import.rows_accepted, 2);
    let rejected = &import.rejected[0];
    assert_eq!((rejected.rule.as_str(), rejected.rows), ("PRICE_SCALE", 1));

    let disordered = AppendRowsRequest {
        rows: vec![row(2), row(1)],
        ..request
    };
    let refused = append(&mesh, disordered).await.unwrap_err();
    assert_eq!(reason(&refused).as_deref(), Some("ROWS_OUT_OF_ORDER"));
    assert!(refused.message().starts_with("rows[1].number"), "{refused}");
    Ok(())
}
