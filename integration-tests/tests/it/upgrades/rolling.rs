//! Two processes of orders are replaced by the next release and by the present one again, one after
//! the other, with a migration and its rollback between, while everything runs.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use integration_tests::http::Http;
use integration_tests::import::{HEADER, received};
use integration_tests::{Mesh, eventually};
use mesh::os::{Signal, send};
use tempfile::TempDir;
use tokio::process::Child;

use super::programs::{command, migrate, next, program};
use super::traffic::{PRICE, Rate, SKU, Traffic};

/// Stock at the beginning.
const STOCK: i64 = 1_000_000;
/// Invoices of the imported file, each with one piece.
const INVOICES: usize = 400;
/// The piece that invoices have.
const IMPORTED: &str = "20000";
/// Connections of each process: both and the test share those of the role.
const CONNECTIONS: &str = "8";
/// Rows that a backfill changes at once.
const BATCH: i64 = 100;

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_upgrade_and_a_rollback_fail_no_request_and_keep_the_books() -> Result<()> {
    roll(Rate {
        reads: 50,
        orders: 5,
    })
    .await
}

/// `cargo test --release --test it at_the_full_rate -- --ignored --nocapture`, after
/// `cargo build --release`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a machine of its own, and programs of the profile release"]
async fn a_rolling_upgrade_and_a_rollback_at_the_full_rate() -> Result<()> {
    roll(Rate {
        reads: 500,
        orders: 50,
    })
    .await
}

#[allow(
    clippy::print_stdout,
    reason = "the figures of a run, for those who ask for them by --nocapture"
)]
async fn roll(rate: Rate) -> Result<()> {
    let files = TempDir::new()?;
    let present = program("orders")?;
    let mesh = start(&files).await?;
    migrate(&mesh, "orders", &present, "up").await?;
    let addresses = gateway(&mesh, &files).await?;
    let mut processes = Vec::new();
    for address in addresses {
        processes.push(Process::start(&mesh, &present, address, &files).await?);
    }
    mesh.stack().start("gateway").await?;
    mesh.count(SKU, STOCK).await?;
    mesh.count(IMPORTED, STOCK).await?;

    let traffic = Traffic::start(mesh.http()?, rate).await?;
    let (file, import) = announce(&mesh).await?;
    upload(&mesh, &import, &file, 0.25).await?;
    settled(&traffic, rate).await?;

    // Forward: first the schema, then the processes.
    let address = free()?.local_addr()?;
    let early = Process::start(&mesh, &next(), address, &files).await;
    let early = early
        .err()
        .map(|error| format!("{error:#}"))
        .unwrap_or_default();
    assert!(early.contains("lacks migration 7 (channel)"), "{early}");
    migrate(&mesh, "orders", &next(), "up").await?;
    settled(&traffic, rate).await?;
    for process in &mut processes {
        process.replace(&mesh, &next(), &files).await?;
        settled(&traffic, rate).await?;
    }
    backfill(&mesh).await?;
    upload(&mesh, &import, &file, 0.6).await?;

    // Back: first the processes, then the schema.
    for process in &mut processes {
        process.replace(&mesh, &present, &files).await?;
        settled(&traffic, rate).await?;
    }
    let filled = without_channel(&mesh).await?;
    assert_eq!(filled, 0, "orders of the present release have no channel");
    migrate(&mesh, "orders", &next(), "down --to 6").await?;
    upload(&mesh, &import, &file, 1.0).await?;
    settled(&traffic, rate).await?;

    let outcome = traffic.stop().await?;
    println!(
        "{} reads and {} orders, {} failures; the slowest took {:?}",
        outcome.reads,
        outcome.orders,
        outcome.failures.len(),
        outcome.slowest
    );
    assert_eq!(outcome.failures, Vec::<String>::new());
    let done = mesh.completed(&import).await?;
    assert_eq!(done["invoicesSettled"], INVOICES.to_string());
    books(&mesh, i64::try_from(outcome.orders)?).await?;
    let status = migrate(&mesh, "orders", &present, "status").await?;
    assert!(!status.contains("unknown"), "{status}");
    for process in processes {
        process.stop().await?;
    }
    Ok(())
}

/// Starts everything but orders and the gateway.
async fn start(files: &TempDir) -> Result<Mesh> {
    let file = files.path().join("gateway.toml").display().to_string();
    let options = Mesh::options()?.defer("orders").defer("gateway");
    Mesh::start_with(options.env("gateway", "PROTOMESH_CONFIG", &file)).await
}

/// Chooses the addresses of two processes, and tells the gateway.
async fn gateway(mesh: &Mesh, files: &TempDir) -> Result<[SocketAddr; 2]> {
    let holders = [free()?, free()?];
    let addresses = [holders[0].local_addr()?, holders[1].local_addr()?];
    let [one, other] = addresses;
    let endpoints =
        format!("[upstream.orders]\nendpoints = [\"http://{one}\", \"http://{other}\"]\n");
    std::fs::write(files.path().join("gateway.toml"), endpoints)?;
    let others = ["ingest", "inventory", "payments", "shipping"];
    let others = others.map(|name| mesh.stack().url(name));
    let others = others.into_iter().collect::<Result<Vec<_>>>()?.join(",");
    mesh.stack()
        .set_env("gateway", "PROTOMESH_UPSTREAMS", &others)?;
    Ok(addresses)
}

fn free() -> Result<TcpListener> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?)
}

/// A process of orders.
struct Process {
    child: Child,
    address: SocketAddr,
}

// === impl Process ===

impl Process {
    async fn start(
        mesh: &Mesh,
        program: &PathBuf,
        address: SocketAddr,
        files: &TempDir,
    ) -> Result<Self> {
        let log = files.path().join(format!("orders-{}.log", address.port()));
        let output = File::options().create(true).append(true).open(&log)?;
        let mut command = command(mesh, "orders", program)?;
        command
            .env("PROTOMESH_LISTEN", address.to_string())
            .env("PROTOMESH_DATABASE_CONNECTIONS", CONNECTIONS)
            .env(
                "PROTOMESH_EVENTS__NATS_URL",
                mesh.stack().nats_url("orders")?,
            )
            .env("PROTOMESH_INVENTORY_URL", mesh.url("inventory")?)
            .env("PROTOMESH_PAYMENTS_URL", mesh.url("payments")?)
            .stderr(output);
        let child = command.spawn().context("cannot start orders")?;
        let mut process = Self { child, address };
        process.ready().await.with_context(|| tail(&log))?;
        Ok(process)
    }

    async fn ready(&mut self) -> Result<()> {
        let http = Http::of(self.address);
        let ended = eventually("readiness", async || {
            // A process that has ended does not become ready.
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            let answer = http.get("/readyz", "*/*").await?;
            ensure!(answer.status == 200, "{}", answer.text());
            Ok(None)
        });
        match ended.await? {
            None => Ok(()),
            Some(status) => bail!("orders ended: {status}"),
        }
    }

    /// Drains the process, and starts another program at its address.
    async fn replace(&mut self, mesh: &Mesh, program: &PathBuf, files: &TempDir) -> Result<()> {
        self.end().await?;
        *self = Self::start(mesh, program, self.address, files).await?;
        Ok(())
    }

    async fn stop(mut self) -> Result<()> {
        self.end().await
    }

    async fn end(&mut self) -> Result<()> {
        let pid = self.child.id().context("orders is not running")?;
        send(pid, Signal::TERM)?;
        let status = self.child.wait().await?;
        ensure!(status.success(), "orders ended with {status}");
        Ok(())
    }
}

fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(5).collect();
    lines.join("\n")
}

/// Lets traffic pass: as many orders as two seconds bring.
async fn settled(traffic: &Traffic, rate: Rate) -> Result<()> {
    let enough = traffic.placed() + 2 * rate.orders as usize;
    eventually("more orders", async || {
        let placed = traffic.placed();
        ensure!(placed >= enough, "{placed} of {enough}");
        Ok(())
    })
    .await
}

/// Fills the new column of older rows, a batch in each transaction.
async fn backfill(mesh: &Mesh) -> Result<()> {
    let pool = mesh.database("orders").await?;
    loop {
        let filled = sqlx::query(
            "UPDATE orders SET channel = CASE origin WHEN 'CALLER' THEN 'CALLER' ELSE 'IMPORT' END
             WHERE order_id IN (SELECT order_id FROM orders WHERE channel IS NULL LIMIT $1)",
        )
        .bind(BATCH)
        .execute(&pool)
        .await?;
        if filled.rows_affected() == 0 {
            return Ok(());
        }
    }
}

async fn without_channel(mesh: &Mesh) -> Result<i64> {
    let pool = mesh.database("orders").await?;
    let count = sqlx::query_scalar("SELECT count(*) FROM orders WHERE channel IS NULL");
    Ok(count.fetch_one(&pool).await?)
}

async fn announce(mesh: &Mesh) -> Result<(Bytes, String)> {
    let rows = (0..INVOICES).map(|at| {
        let invoice = 540_000 + at;
        format!("{invoice},{IMPORTED},LAMP,1,2010-12-01 08:26:00,1.25,17850,United Kingdom\n")
    });
    let file: String = std::iter::once(HEADER.to_owned()).chain(rows).collect();
    let import = mesh.announce("rolling", file.as_bytes()).await?;
    Ok((file.into(), import))
}

/// Uploads up to a share of the file.
async fn upload(mesh: &Mesh, import: &str, file: &Bytes, share: f64) -> Result<()> {
    let offset = received(&mesh.import(import).await?)?;
    let end = match share < 1.0 {
        true => (file.len() as f64 * share) as usize,
        false => file.len(),
    };
    let sent = mesh.upload(import, offset, file.slice(offset..end)).await?;
    ensure!(sent.status == 200, "{}", sent.text());
    Ok(())
}

/// Checks that each order and invoice was paid and shipped once.
async fn books(mesh: &Mesh, placed: i64) -> Result<()> {
    let invoices = i64::try_from(INVOICES)?;
    let all = placed + invoices;
    let orders = mesh.database("orders").await?;
    eventually("every order at its end", async || {
        let ends: Vec<(String, Option<String>, i64)> = sqlx::query_as(
            "SELECT state, delivery, count(*) FROM orders GROUP BY 1, 2 ORDER BY 1, 2",
        )
        .fetch_all(&orders)
        .await?;
        let expected = ("PAID".to_owned(), Some("SHIPPED".to_owned()), all);
        ensure!(ends == [expected], "{ends:?}, expected {all}");
        Ok(())
    })
    .await?;
    for (sku, sold) in [(SKU, placed), (IMPORTED, invoices)] {
        eventually("the stock", async || {
            let stock = mesh.stock_at_rest(sku).await?;
            ensure!(stock.on_hand == STOCK - sold, "{sku}: {stock:?}");
            Ok(())
        })
        .await?;
    }
    let payments = mesh.database("payments").await?;
    let money: (i64, i64, i64) = sqlx::query_as(
        "SELECT count(*), sum(captured_minor)::bigint, sum(refunded_minor)::bigint FROM payment WHERE state = 'CAPTURED'",
    )
    .fetch_one(&payments)
    .await?;
    assert_eq!(money, (all, placed * PRICE + invoices * 125, 0));
    Ok(())
}
