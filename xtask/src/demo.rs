//! `cargo mesh demo`: starts the mesh, feeds order files through the gateway, and prints the books.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use mesh::commands::up;
use mesh::project::GATEWAY;
use mesh::{
    Home, Snapshot,
    ui::{self, Ui},
};
use tokio::sync::watch;

use crate::retail::books::{Books, sheet};
use crate::retail::file::OrderFile;
use crate::retail::progress::Progress;
use crate::retail::{self, OPENING_STOCK, OUT_OF_STOCK, Outcome, SOURCE, Settings};

/// Exit code of an unusable command line, the same as that of clap.
const USAGE: u8 = 2;
/// Most pieces of one count (contract, `StockCount.quantity`).
const MAX_PIECES: i64 = 1_000_000_000;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Order files (CSV), in the order of their upload
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print the books as one JSON object
    #[arg(long)]
    json: bool,
    /// Opening stock of each SKU in pieces, counted in once
    #[arg(long, value_name = "PIECES", default_value_t = OPENING_STOCK, value_parser = clap::value_parser!(i64).range(0..=MAX_PIECES))]
    opening_stock: i64,
    /// SKUs without opening stock
    #[arg(long, value_name = "SKU", value_delimiter = ',', default_value = OUT_OF_STOCK)]
    out_of_stock: Vec<String>,
    /// The declared source of the files; the demo knows the columns of one
    #[arg(long, default_value = SOURCE, value_parser = [SOURCE])]
    source: String,
    /// Delete all data of the mesh first
    #[arg(long)]
    fresh: bool,
}

pub(super) async fn demo(args: Args) -> Result<ExitCode> {
    let files = match OrderFile::read_all(&args.files) {
        Ok(files) => files,
        Err(error) => {
            ui::print_error(&error);
            return Ok(ExitCode::from(USAGE));
        }
    };
    let ui = Ui::detect();
    let mesh = up::ensure(&Home::find()?, args.fresh, ui)?;
    let gateway = mesh
        .processes
        .get(GATEWAY)
        .context("the mesh that is up has no gateway: stop it with `cargo mesh down`")?;
    let (progress, _) = watch::channel(Progress::none());
    let outcome = retail::run(gateway.address, &files, &settings(&args), ui, &progress).await?;
    report(&outcome, &mesh, args.json, ui)?;
    let problems = outcome.books.problems();
    for problem in &problems {
        ui::print_error(&anyhow::anyhow!("the books do not balance: {problem}"));
    }
    Ok(if problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn settings(args: &Args) -> Settings {
    let skus = args
        .out_of_stock
        .iter()
        .map(|sku| sku.trim().to_uppercase());
    Settings {
        source: args.source.clone(),
        opening_stock: args.opening_stock,
        out_of_stock: skus.filter(|sku| !sku.is_empty()).collect::<BTreeSet<_>>(),
        rate: None,
    }
}

fn report(outcome: &Outcome, mesh: &Snapshot, json: bool, ui: Ui) -> Result<()> {
    let books: &Books = &outcome.books;
    if json {
        ui::print(serde_json::to_string_pretty(books)?);
    } else {
        ui::print(format!("\n{}\n", sheet(books)));
    }
    ui.note(outcome.speed);
    if outcome.resumed > 0 {
        ui.note(format!("uploads were resumed {} times", outcome.resumed));
    }
    if let Some(gateway) = mesh.processes.get(GATEWAY) {
        ui.note(format!(
            "the mesh stays up at http://{}; `cargo mesh status` shows it, `cargo mesh down` stops it",
            gateway.address
        ));
    }
    Ok(())
}
