//! A file is imported completely and once, through interrupted uploads and failed processes.

mod append;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use integration_tests::{
    Mesh, eventually,
    import::{HEADER, received},
};
use protos::orders::v1::SummarizeOrdersRequest;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const INVOICES: i64 = 40;
const LINES: i64 = 25;

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_on_where_it_stopped() -> Result<()> {
    let mesh = Mesh::start().await?;
    let (file, import) = announce(&mesh, "stopped").await?;
    // Several cuts in the middle of a row; a whole number of invoices is durable each time.
    let mut offset = 0;
    for cut in [100, 5_000, 5_001, 20_000, file.len()] {
        let sent = mesh
            .upload(&import, offset, file.slice(offset..cut.max(offset)))
            .await?;
        assert_eq!(sent.status, 200, "{}", sent.text());
        offset = received(&sent.json()?)?;
        assert!(offset <= cut);
    }
    all_settled(&mesh, &import).await?;

    let beyond = mesh.upload(&import, 0, file.slice(..10)).await?;
    assert_eq!(
        (beyond.status.as_u16(), beyond.reason().as_deref()),
        (409, Some("OFFSET_MISMATCH"))
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_around_a_commit_loses_no_row_and_doubles_none() -> Result<()> {
    let mesh = Mesh::start().await?;
    let (file, import) = announce(&mesh, "crashed").await?;
    for point in ["ingest.upload.before_commit", "ingest.upload.after_commit"] {
        mesh.crash_next_at("ingest", point).await?;
        let before = mesh.restarts("ingest")?;
        let offset = received(&mesh.import(&import).await?)?;
        let broken = mesh.upload(&import, offset, file.slice(offset..)).await;
        assert!(
            broken
                .as_ref()
                .map_or(true, |answer| answer.status.is_server_error()),
            "{broken:?}"
        );
        eventually("the crash", async || {
            ensure!(mesh.restarts("ingest")? > before);
            Ok(())
        })
        .await?;
    }
    mesh.resume(&import, &file).await?;
    all_settled(&mesh, &import).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_goes_on_while_orders_is_down() -> Result<()> {
    let mesh = Mesh::start().await?;
    let (file, import) = announce(&mesh, "alone").await?;
    mesh.stack().stop("orders").await?;
    let sent = mesh.upload(&import, 0, file.clone()).await?;
    assert_eq!(sent.status, 200, "{}", sent.text());
    let sent = sent.json()?;
    assert_eq!(
        (received(&sent)?, sent["state"].as_str()),
        (file.len(), Some("IMPORT_STATE_SETTLING"))
    );
    assert_eq!(sent["rowsRead"], (INVOICES * LINES).to_string());
    mesh.stack().start("orders").await?;
    all_settled(&mesh, &import).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_order_settles_without_a_relay_and_all_do_with_one() -> Result<()> {
    let mesh = Mesh::start().await?;
    let (file, import) = announce(&mesh, "unrelayed").await?;
    mesh.stack().stop("ingest").await?;
    // Nobody can take the lease, and the relay in ingest waits for it.
    let mut lease = mesh.database("ingest").await?.begin().await?;
    sqlx::query("LOCK TABLE events.lease")
        .execute(&mut *lease)
        .await?;
    mesh.stack().start("ingest").await?;
    mesh.resume(&import, &file).await?;
    let waiting: i64 = sqlx::query_scalar("SELECT count(*) FROM events.outbox")
        .fetch_one(&mut *lease)
        .await?;
    assert_eq!(waiting, INVOICES);
    assert_eq!(orders(&mesh).await?, 0);
    assert_eq!(
        mesh.import(&import).await?["state"],
        "IMPORT_STATE_SETTLING"
    );
    lease.rollback().await?;
    all_settled(&mesh, &import).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_file_again_changes_nothing() -> Result<()> {
    let mesh = Mesh::start().await?;
    let (file, import) = announce(&mesh, "again").await?;
    mesh.upload(&import, 0, file.clone()).await?;
    all_settled(&mesh, &import).await?;
    let (_, known) = announce(&mesh, "again").await?;
    assert_eq!(known, import);

    // Another import of equal content: every row is a duplicate, and there is no new order.
    let (_, copy) = announce(&mesh, "copy").await?;
    mesh.upload(&copy, 0, file).await?;
    let copied = mesh.import(&copy).await?;
    assert_eq!(copied["state"], "IMPORT_STATE_COMPLETED");
    assert_eq!(
        copied["rejected"],
        json!([{"rule": "DUPLICATE_ROW", "rows": (INVOICES * LINES).to_string()}])
    );
    let row = mesh
        .http()?
        .get(
            &format!("/v1/imports/{copy}/rejectedRows?page_size=1"),
            "*/*",
        )
        .await?
        .json()?;
    assert_eq!(row["rejectedRows"][0]["rowNumber"], "1");
    assert_eq!(orders(&mesh).await?, INVOICES);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_file_under_the_same_request_is_refused() -> Result<()> {
    let mesh = Mesh::start().await?;
    let row = "540001,20000,LAMP,2,2010-12-01 08:26:00,1.25,17850,UK\n";
    let file = format!("{HEADER}{row}");
    let other = file.replace("LAMP", "MAPS");
    let create = |sha256: String| json!({"requestId": "r", "source": "online-retail", "sizeBytes": file.len().to_string(), "sha256": sha256});
    let digest = |text: &str| format!("{:x}", Sha256::digest(text));
    let created = mesh
        .http()?
        .post("/v1/imports", &create(digest(&file)))
        .await?
        .json()?;
    let import = created["importId"].as_str().context("importId")?;
    let refused = mesh
        .http()?
        .post("/v1/imports", &create(digest(&other)))
        .await?;
    assert_eq!(
        (refused.status.as_u16(), refused.reason().as_deref()),
        (409, Some("IMPORT_CHANGED"))
    );
    let refused = mesh.upload(import, 0, other.into()).await?;
    assert_eq!(
        (refused.status.as_u16(), refused.reason().as_deref()),
        (400, Some("CONTENT_MISMATCH"))
    );
    assert_eq!(received(&mesh.import(import).await?)?, 0);
    mesh.count("20000", 10).await?;
    mesh.resume(import, &Bytes::from(file)).await?;
    assert_eq!(mesh.completed(import).await?["rowsAccepted"], "1");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_an_invoice_that_is_too_large_becomes_an_order() -> Result<()> {
    let mesh = Mesh::start().await?;
    mesh.count("20000", 1_000_000).await?;
    let mut file = HEADER.to_owned();
    let rows = 5_001;
    for row in 0..rows {
        let time = format!(
            "2010-12-01 {:02}:{:02}:{:02}",
            row / 3600,
            row / 60 % 60,
            row % 60
        );
        file.push_str(&format!("540001,20000,LAMP,1,{time},1.25,17850,UK\n"));
    }
    file.push_str("540002,20000,LAMP,1,2010-12-01 08:26:00,1.25,17850,UK\n");
    let import = mesh.announce("large", file.as_bytes()).await?;
    mesh.resume(&import, &Bytes::from(file)).await?;
    let done = mesh.completed(&import).await?;
    assert_eq!(done["rowsAccepted"], "1");
    assert_eq!(
        done["rejected"],
        json!([{"rule": "INVOICE_TOO_LARGE", "rows": rows.to_string()}])
    );
    assert_eq!(orders(&mesh).await?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_rows_that_arrive_by_two_uploads_at_once_are_accepted_once() -> Result<()> {
    let mesh = Mesh::start().await?;
    let (file, left) = announce(&mesh, "left").await?;
    let (_, right) = announce(&mesh, "right").await?;
    tokio::try_join!(mesh.resume(&left, &file), mesh.resume(&right, &file))?;
    let (left, right) = (mesh.completed(&left).await?, mesh.completed(&right).await?);
    let accepted = |import: &Value| {
        import["rowsAccepted"]
            .as_str()
            .unwrap_or("0")
            .parse::<i64>()
    };
    assert_eq!(accepted(&left)? + accepted(&right)?, INVOICES * LINES);
    assert_eq!(orders(&mesh).await?, INVOICES);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_can_not_take_the_number_of_an_invoice() -> Result<()> {
    let mesh = Mesh::start().await?;
    mesh.count("20000", 1_000_000).await?;
    let taken = integration_tests::order::request("540000", &[("20000", 1, 100)]);
    mesh.orders()?.place_order(taken).await?;
    let (file, import) = announce(&mesh, "squatted").await?;
    mesh.resume(&import, &file).await?;
    let done = mesh.completed(&import).await?;
    assert_eq!(done["rowsAccepted"], (INVOICES * LINES).to_string());
    assert_eq!(orders(&mesh).await?, INVOICES + 1);
    Ok(())
}

/// Creates a file of invoices and an import for it.
async fn announce(mesh: &Mesh, request_id: &str) -> Result<(Bytes, String)> {
    let mut file = HEADER.to_owned();
    for invoice in 540_000..540_000 + INVOICES {
        for sku in 20_000..20_000 + LINES {
            let row = format!(
                "{invoice},{sku},\"LAMP, \"\"RED\"\"\",2,2010-12-01 08:26:00,1.25,17850,United Kingdom\n"
            );
            file.push_str(&row);
        }
    }
    for sku in 20_000..20_000 + LINES {
        mesh.count(&sku.to_string(), 1_000_000).await?;
    }
    let import = mesh.announce(request_id, file.as_bytes()).await?;
    Ok((file.into(), import))
}

/// Waits until the import is complete and checks that every row and invoice counted once.
async fn all_settled(mesh: &Mesh, import: &str) -> Result<()> {
    let done = mesh.completed(import).await?;
    assert_eq!(done["rowsRead"], (INVOICES * LINES).to_string());
    assert_eq!(done["rowsAccepted"], (INVOICES * LINES).to_string());
    assert_eq!(done["invoicesSettled"], INVOICES.to_string());
    assert_eq!(orders(mesh).await?, INVOICES);
    assert_eq!(
        mesh.stock_at_rest("20000").await?.on_hand,
        1_000_000 - 2 * INVOICES
    );
    Ok(())
}

async fn orders(mesh: &Mesh) -> Result<i64> {
    let totals = mesh
        .orders()?
        .summarize_orders(SummarizeOrdersRequest {})
        .await?
        .into_inner();
    Ok(totals.orders.iter().map(|count| count.orders).sum())
}
