//! Sources of data end to end: files of a directory and files that are sent become counts of stock,
//! each record once, whatever is killed when.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use integration_tests::{Mesh, eventually};
use protos::inventory::v1::{GetStockRequest, SummarizeStockRequest};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// Rows of the file that is read while processes are killed.
const ROWS: usize = 20_000;
/// Every such row is wrong.
const BAD: usize = 100;

/// A mesh with one source, `counts`.
struct Sources {
    mesh: Mesh,
    dir: TempDir,
}

// === impl Sources ===

impl Sources {
    async fn start(more: &str) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let inbox = dir.path().join("inbox");
        std::fs::create_dir(&inbox)?;
        let sources = dir.path().join("sources");
        std::fs::create_dir(&sources)?;
        let text = format!(
            r#"
            [from]
            kind = "directory"
            path = "{}"
            pattern = "*.csv"
            settle = "0s"

            [format]
            kind = "csv"

            [into]
            method = "inventory.v1.InventoryService/CountStock"
            batch = {{ field = "counts", size = 50 }}

            [map]
            request_id = "id"
            sku = "row.sku"
            quantity = "int(row.quantity)"
            {more}
            "#,
            inbox.display()
        );
        std::fs::write(sources.join("counts.toml"), text)?;
        let options = Mesh::options()?
            .only(["inventory", "connect", "gateway"])?
            .env(
                "connect",
                "PROTOMESH_SOURCES",
                &sources.display().to_string(),
            )
            .env("connect", "PROTOMESH_LEASE_MS", "2000")
            .env("connect", "PROTOMESH_POLL_MS", "50");
        let mesh = Mesh::start_with(options).await?;
        let sources = Self { mesh, dir };
        eventually("the sources behind the gateway", async || {
            sources.source().await.map(|_| ())
        })
        .await?;
        Ok(sources)
    }

    fn inbox(&self) -> PathBuf {
        self.dir.path().join("inbox")
    }

    /// Brings a file as a careful writer does: whole, by a rename.
    fn bring(&self, name: &str, content: &str) -> Result<()> {
        let whole = self.dir.path().join(name);
        std::fs::write(&whole, content)?;
        Ok(std::fs::rename(whole, self.inbox().join(name))?)
    }

    /// Waits for the report of a file.
    async fn report(&self, name: &str) -> Result<Value> {
        let inbox = self.inbox();
        eventually(&format!("the report of {name}"), async || {
            for outcome in ["done", "failed"] {
                let report = inbox.join(outcome).join(format!("{name}.report.json"));
                if let Ok(text) = std::fs::read(&report)
                    && inbox.join(outcome).join(name).exists()
                {
                    return Ok(serde_json::from_slice(&text)?);
                }
            }
            Err(anyhow::anyhow!("{:?}", self.source().await))
        })
        .await
    }

    async fn get(&self, path: &str) -> Result<Value> {
        let answer = self.mesh.http()?.get(path, "application/json").await?;
        ensure!(answer.status == 200, "{path}: {}", answer.text());
        answer.json()
    }

    async fn post(&self, path: &str, body: Value) -> Result<Value> {
        let answer = self.mesh.http()?.post(path, &body).await?;
        ensure!(answer.status == 200, "{path}: {}", answer.text());
        answer.json()
    }

    async fn source(&self) -> Result<Value> {
        Ok(self.get("/v1/sources/counts").await?["source"].clone())
    }

    /// Returns all pieces that inventory has counted.
    async fn counted(&self) -> Result<i64> {
        let mut inventory = self.mesh.inventory()?;
        let totals = inventory.summarize_stock(SummarizeStockRequest {}).await?;
        Ok(totals.into_inner().counted)
    }

    async fn stock(&self, sku: &str) -> Result<i64> {
        let request = GetStockRequest {
            sku: sku.to_owned(),
        };
        let stock = self.mesh.inventory()?.get_stock(request).await?;
        Ok(stock.into_inner().stock.context("stock")?.on_hand)
    }

    /// Runs `mesh sources` against the gateway.
    fn run(&self, arguments: &[&str]) -> Result<Output> {
        let programs = std::env::current_exe()?;
        let programs = programs.parent().and_then(Path::parent);
        let mut command = Command::new(programs.context("no directory of programs")?.join("mesh"));
        command.args(["sources", "--gateway", &self.mesh.gateway()?.to_string()]);
        Ok(command.args(arguments).output()?)
    }
}

fn sha256(content: &str) -> String {
    format!("{:x}", Sha256::digest(content))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_a_directory_becomes_messages_once() -> Result<()> {
    let sources = Sources::start("").await?;
    let file = "sku,quantity\nA,6\nB,7\nC,-1\nA,4\nD,1,2\nE,x\n";
    sources.bring("a.csv", file)?;
    let report = sources.report("a.csv").await?;
    assert_eq!(report["state"], "DONE", "{report}");
    assert_eq!(report["unit"], sha256(file));
    assert_eq!(
        (&report["records"], &report["accepted"]),
        (&json!(6), &json!(3))
    );
    assert_eq!(report["rules"]["int64.gte_lte"], 1, "{report}");
    assert_eq!(report["rules"]["WIDTH"], 1, "{report}");
    assert_eq!(sources.counted().await?, 17);

    // The same bytes under another name.
    sources.bring("again.csv", file)?;
    let report = sources.report("again.csv").await?;
    assert_eq!(report["repeated"], true, "{report}");
    assert_eq!(sources.counted().await?, 17);

    // Records that are wrong are there with their places, and are replayed with their identity.
    let held = sources
        .get("/v1/sources/counts/quarantine?pageSize=2")
        .await?;
    let records = held["records"].as_array().context("records")?;
    assert_eq!(records.len(), 2, "{held}");
    assert_eq!(
        (&records[0]["number"], &records[0]["column"]),
        (&json!("3"), &json!("quantity"))
    );
    let next = held["nextPageToken"].as_str().context("a second page")?;
    let next = next.replace('/', "%2F");
    let rest = format!("/v1/sources/counts/quarantine?pageToken={next}");
    let rest = sources.get(&rest).await?;
    assert_eq!(rest["records"].as_array().map(Vec::len), Some(1), "{rest}");
    let unit = sha256(file);
    let shown = sources
        .get(&format!("/v1/sources/counts/quarantine/{unit}/3"))
        .await?;
    assert_eq!(shown["record"], r#"{"sku":"C","quantity":"-1"}"#);
    let replay = "/v1/sources/counts/quarantine:replay";
    for _ in 0..2 {
        // Nothing has changed: it stays.
        let replayed = sources.post(replay, json!({})).await?;
        assert_eq!(replayed["refusedRecords"], "3", "{replayed}");
    }
    let corrected = json!({"unit": unit, "number": "3", "record": r#"{"sku":"C","quantity":"5"}"#});
    let replayed = sources.post(replay, corrected.clone()).await?;
    assert_eq!(replayed["replayed"], "1", "{replayed}");
    assert_eq!(sources.stock("C").await?, 5);
    // It has left the quarantine.
    let again = sources.mesh.http()?.post(replay, &corrected).await?;
    assert_eq!(
        again.reason().as_deref(),
        Some("RECORD_NOT_FOUND"),
        "{}",
        again.text()
    );
    let discarded = sources.run(&["discard", "counts", "--all", "--reason", "a test"])?;
    assert!(discarded.status.success(), "{discarded:?}");
    let source = sources.source().await?;
    assert_eq!(
        (&source["accepted"], &source["quarantined"]),
        (&json!("4"), &json!("3"))
    );
    assert!(
        source["held"].is_null() || source["held"] == "0",
        "{source}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_file_says_why_and_a_trial_sends_nothing() -> Result<()> {
    let sources = Sources::start("").await?;
    sources.bring("bad.csv", "article,quantity\nA,6\n")?;
    let report = sources.report("bad.csv").await?;
    assert_eq!(report["state"], "FAILED", "{report}");
    let refusal = report["refusal"].as_str().context("refusal")?;
    assert!(
        refusal.contains("COLUMN_MISSING") && refusal.contains("sku"),
        "{refusal}"
    );

    let file = sources.dir.path().join("try.csv");
    std::fs::write(&file, "sku,quantity\nA,6\nB,-1\n")?;
    let tried = sources.run(&["try", "counts", &file.display().to_string()])?;
    let said = String::from_utf8(tried.stdout)?;
    assert_eq!(tried.status.code(), Some(1), "{said}");
    assert!(said.contains(r#""sku":"A","quantity":"6""#), "{said}");
    assert!(said.contains("quantity int64.gte_lte"), "{said}");
    assert_eq!(sources.counted().await?, 0);
    let listed = sources.run(&["list", "--json"])?;
    let listed: Value = serde_json::from_slice(&listed.stdout)?;
    assert_eq!(listed[0]["name"], "counts", "{listed}");
    assert_eq!(listed[0]["records"], 0, "{listed}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sent_file_resumes_and_is_read_once() -> Result<()> {
    let sources = Sources::start("").await?;
    let file = "sku,quantity\nA,6\nB,7\n";
    let (sha256, size) = (sha256(file), file.len());
    let path = |sha256: &str, offset: usize| {
        format!(
            "/v1/sources/counts:send?name=a.csv&sizeBytes={size}&sha256={sha256}&offset={offset}"
        )
    };
    let http = sources.mesh.http()?;
    let half = Bytes::copy_from_slice(&file.as_bytes()[..10]);
    let sent = http.upload(&path(&sha256, 0), half.clone()).await?;
    assert_eq!(sent.json()?["receivedBytes"], "10", "{}", sent.text());
    // Another start tells where to go on.
    let refused = http.upload(&path(&sha256, 0), half.clone()).await?;
    assert_eq!(
        refused.reason().as_deref(),
        Some("OFFSET_MISMATCH"),
        "{}",
        refused.text()
    );
    // Other bytes than those of the digest are dropped.
    let wrong = Bytes::from(vec![b'x'; size]);
    let other = "0".repeat(64);
    let refused = http.upload(&path(&other, 0), wrong).await?;
    assert_eq!(
        refused.reason().as_deref(),
        Some("CONTENT_MISMATCH"),
        "{}",
        refused.text()
    );

    // The command finds the durable bytes, and goes on from there.
    let place = sources.dir.path().join("a.csv");
    std::fs::write(&place, file)?;
    for expected in ["bytes sent", "read these bytes before"] {
        let sent = sources.run(&["send", "counts", &place.display().to_string()])?;
        let said = String::from_utf8(sent.stdout)?;
        assert!(
            said.contains(expected),
            "{said} {:?}",
            String::from_utf8(sent.stderr)
        );
        eventually("the file is read", async || {
            let counted = sources.counted().await?;
            ensure!(counted == 13, "{counted}");
            let units = sources.get("/v1/sources/counts").await?;
            ensure!(units["units"][0]["state"] == "UNIT_STATE_DONE", "{units}");
            Ok(())
        })
        .await?;
    }
    // A directory's file with the same bytes is the same unit.
    sources.bring("b.csv", file)?;
    assert_eq!(sources.report("b.csv").await?["repeated"], true);
    assert_eq!(sources.counted().await?, 13);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_stops_above_its_error_ratio() -> Result<()> {
    let more = "[quarantine]\nstop_above = { ratio = 0.5, of = 100 }";
    let sources = Sources::start(more).await?;
    let rows: String = (0..200).fold(String::new(), |mut rows, row| {
        let _ = writeln!(rows, "S{row},{}", if row < 100 { -1 } else { 1 });
        rows
    });
    sources.bring("a.csv", &format!("sku,quantity\n{rows}"))?;
    let state = |state: &'static str| {
        let sources = &sources;
        async move {
            eventually(state, async || {
                let source = sources.source().await?;
                ensure!(source["state"] == state, "{source}");
                Ok(source)
            })
            .await
        }
    };
    let source = state("SOURCE_STATE_STOPPED").await?;
    let reason = source["reason"].as_str().context("reason")?;
    assert!(reason.contains("more than 0.5 of 100"), "{reason}");
    // At the end of the batch that broke the bound.
    assert_eq!(source["records"], "100", "{source}");
    assert!(sources.inbox().join(".taken/a.csv").exists());
    let resumed = sources.run(&["resume", "counts"])?;
    assert!(resumed.status.success(), "{resumed:?}");
    let report = sources.report("a.csv").await?;
    assert_eq!(
        (&report["accepted"], &report["quarantined"]),
        (&json!(100), &json!(100))
    );
    // A paused one takes no file.
    let paused = sources.run(&["pause", "counts"])?;
    assert!(paused.status.success(), "{paused:?}");
    state("SOURCE_STATE_PAUSED").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_in_the_middle_of_a_file_have_no_effect() -> Result<()> {
    let sources = Sources::start("").await?;
    let stack = sources.mesh.stack();
    let mut expected = 0;
    // At each step between the service's answer and the end of a file.
    let points = ["connect.delivered", "connect.committed", "connect.ended"];
    for (point, length) in points.into_iter().zip([170, 180, 190]) {
        // Other bytes than those of the file before, which would not be read again.
        let (file, pieces) = rows(length);
        expected += pieces;
        stack.stop("connect").await?;
        stack.set_env_once("connect", "PROTOMESH_CRASH_AT", point)?;
        let name = format!("{point}.csv");
        sources.bring(&name, &file)?;
        let restarts = sources.mesh.restarts("connect")?;
        // Healthy before the crash or after it.
        stack.start("connect").await?;
        eventually(point, async || {
            let now = sources.mesh.restarts("connect")?;
            ensure!(now > restarts, "{now} restarts");
            Ok(())
        })
        .await?;
        let report = sources.report(&name).await?;
        assert_eq!(report["state"], "DONE", "{report}");
        assert_eq!(sources.counted().await?, expected, "{point}");
    }
    let (file, pieces) = rows(ROWS);
    expected += pieces;
    let mut read = records(&sources.source().await?)?;
    sources.bring("large.csv", &file)?;
    for victim in ["inventory", "connect", "postgres", "connect", "inventory"] {
        read = eventually("the position moves", async || {
            let now = records(&sources.source().await?)?;
            ensure!(now > read, "{now} records");
            Ok(now)
        })
        .await?;
        stack.kill(victim)?;
    }
    let report = sources.report("large.csv").await?;
    assert_eq!(report["accepted"], (ROWS - ROWS / BAD) as i64, "{report}");
    assert_eq!(report["quarantined"], (ROWS / BAD) as i64, "{report}");
    assert_eq!(sources.counted().await?, expected);
    // And again, with nothing left to do.
    sources.bring("again.csv", &file)?;
    assert_eq!(sources.report("again.csv").await?["repeated"], true);
    assert_eq!(sources.counted().await?, expected);
    Ok(())
}

/// Returns a file of so many rows, of which some are wrong, and the pieces in the others.
fn rows(rows: usize) -> (String, i64) {
    let (mut file, mut pieces) = ("sku,quantity\n".to_owned(), 0);
    for row in 0..rows {
        let is_bad = row % BAD == BAD - 1;
        let quantity = if is_bad { -1 } else { row as i64 };
        pieces += quantity.max(0);
        let _ = writeln!(file, "S{},{quantity}", row % 97);
    }
    (file, pieces)
}

fn records(source: &Value) -> Result<i64> {
    Ok(source["records"].as_str().unwrap_or("0").parse()?)
}
