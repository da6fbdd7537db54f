//! The retail demo: counts opening stock in, uploads order files to the gateway, and reads the
//! books.

pub(crate) mod books;
pub(crate) mod file;
pub(crate) mod json;
pub(crate) mod opening;
pub(crate) mod progress;
pub(crate) mod retry;
mod row;
mod upload;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mesh::client::Client;
use mesh::ui::Ui;
use tokio::sync::watch;

use books::Books;
use file::OrderFile;
use progress::{Follower, Progress};
use retry::retrying;

/// Defaults for the example's files.
pub(crate) const SOURCE: &str = "online-retail";
pub(crate) const OPENING_STOCK: i64 = 1_000_000;
pub(crate) const OUT_OF_STOCK: &str = "21843";

/// The choices for one run.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Name of the declared source of the files.
    pub(crate) source: String,
    /// Opening stock of each SKU, in pieces.
    pub(crate) opening_stock: i64,
    /// SKUs without opening stock.
    pub(crate) out_of_stock: BTreeSet<String>,
    /// Most uploaded bytes per second; `None` for no limit.
    pub(crate) rate: Option<NonZeroU64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            source: SOURCE.to_owned(),
            opening_stock: OPENING_STOCK,
            out_of_stock: BTreeSet::from([OUT_OF_STOCK.to_owned()]),
            rate: None,
        }
    }
}

/// Result of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// All books of the mesh, earlier runs included.
    pub(crate) books: Books,
    /// Throughput of this run.
    pub(crate) speed: Speed,
    /// Number of resumed uploads.
    pub(crate) resumed: u32,
}

/// Throughput of a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Speed {
    /// Rows that this run sent.
    rows: i64,
    /// Time until all rows were durable.
    receiving: Duration,
    /// Orders that this run settled.
    orders: i64,
    /// Time from the first byte to the last settled order.
    settling: Duration,
}

/// Uploads `files` in order and returns once every order and return is settled.
///
/// `progress` receives every observation of the imports.
pub(crate) async fn run(
    gateway: SocketAddr,
    files: &[OrderFile],
    settings: &Settings,
    ui: Ui,
    progress: &watch::Sender<Progress>,
) -> Result<Outcome> {
    let client = Client::new(gateway);
    opening::count(&client, files, settings, ui).await?;
    let before = books::read(&client, &settings.source).await?;
    let mut imports = Vec::new();
    for file in files {
        let create = async || upload::create(&client, file, &settings.source).await;
        let import = retrying(create)
            .await
            .with_context(|| format!("cannot import {}", file.path.display()))?;
        imports.push(import);
    }
    let ids = imports
        .iter()
        .map(|import| import.import_id.clone())
        .collect();
    let started = Instant::now();
    let send = async {
        let mut resumed = 0;
        for (file, import) in files.iter().zip(&imports) {
            resumed += upload::send(&client, file, import, settings.rate)
                .await
                .with_context(|| format!("cannot upload {}", file.path.display()))?;
        }
        Ok((started.elapsed(), resumed))
    };
    let follow = Follower::new(&client, ids, progress, ui).run();
    let ((receiving, resumed), ()) = tokio::try_join!(send, follow)?;
    let settling = started.elapsed();
    books::delivered(&client).await?;
    let books = books::read(&client, &settings.source).await?;
    let speed = Speed {
        rows: books.rows.read - before.rows.read,
        receiving,
        orders: books.orders_ended() - before.orders_ended(),
        settling,
    };
    Ok(Outcome {
        books,
        speed,
        resumed,
    })
}

impl Speed {
    /// Rows that became durable per second.
    pub(crate) fn rows_per_s(&self) -> f64 {
        self.rows as f64 / self.receiving.as_secs_f64()
    }

    /// Orders that were settled per second.
    pub(crate) fn orders_per_s(&self) -> f64 {
        self.orders as f64 / self.settling.as_secs_f64()
    }
}

impl std::fmt::Display for Speed {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.rows == 0 && self.orders == 0 {
            return write!(out, "no new rows: these files were imported before");
        }
        write!(
            out,
            "{} rows in {:.1} s ({:.0} rows/s), {} orders in {:.1} s ({:.1} orders/s)",
            books::grouped(self.rows),
            self.receiving.as_secs_f64(),
            self.rows_per_s(),
            books::grouped(self.orders),
            self.settling.as_secs_f64(),
            self.orders_per_s(),
        )
    }
}
