//! The retail demo: stock is counted in, order files go in at the gateway, and the books come out.

pub(crate) mod books;
pub(crate) mod file;
mod json;
mod opening;
pub(crate) mod progress;
mod retry;
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

/// What a retailer without files of his own would set.
pub(crate) const SOURCE: &str = "online-retail";
pub(crate) const OPENING_STOCK: i64 = 1_000_000;
pub(crate) const OUT_OF_STOCK: &str = "21843";

/// The choices for one run.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Name of the source whose mapping reads the files.
    pub(crate) source: String,
    /// Pieces that are counted in of each SKU.
    pub(crate) opening_stock: i64,
    /// SKUs of which none are counted in.
    pub(crate) out_of_stock: BTreeSet<String>,
    /// Most bytes per second that are sent; `None` sends as fast as they are taken.
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

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Everything that the mesh has booked, earlier runs included.
    pub(crate) books: Books,
    /// What this run added, and how long that took.
    pub(crate) speed: Speed,
    /// How often an upload had to go on after it broke.
    pub(crate) resumed: u32,
}

/// How fast a run was.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Speed {
    /// Rows that this run sent.
    rows: i64,
    /// Until all rows were durable.
    receiving: Duration,
    /// Orders that this run brought to an end.
    orders: i64,
    /// From the first byte to the last end.
    settling: Duration,
}

/// Feeds `files` in order to the mesh behind `gateway`, and returns once every order and return is at its end.
///
/// `progress` gets every observation of the imports.
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

impl std::fmt::Display for Speed {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.rows == 0 && self.orders == 0 {
            return write!(out, "nothing new: these files were imported before");
        }
        let per_second = |count: i64, time: Duration| count as f64 / time.as_secs_f64();
        write!(
            out,
            "{} rows in {:.1} s ({:.0} rows/s), {} orders in {:.1} s ({:.1} orders/s)",
            books::grouped(self.rows),
            self.receiving.as_secs_f64(),
            per_second(self.rows, self.receiving),
            books::grouped(self.orders),
            self.settling.as_secs_f64(),
            per_second(self.orders, self.settling),
        )
    }
}
