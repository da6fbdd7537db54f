//! Compares books with those that a separate program computes from the files.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use mesh::home::Home;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::retail::Settings;
use crate::retail::books::Books;
use crate::retail::file::OrderFile;

/// Program without any code of the mesh.
const PROGRAM: &str = "integration-tests/reconcile.py";

/// Returns one line per difference.
///
/// # Errors
/// When the program fails.
pub(super) async fn differences(
    home: &Home,
    files: &[OrderFile],
    settings: &Settings,
    books: &Books,
) -> Result<Vec<String>> {
    let program = home.root().join(PROGRAM);
    let skus: Vec<_> = settings.out_of_stock.iter().map(String::as_str).collect();
    let mut command = Command::new("python3");
    command
        .arg(&program)
        .arg(format!("--opening-stock={}", settings.opening_stock))
        .arg(format!("--out-of-stock={}", skus.join(",")))
        .args(["--against", "-"])
        .args(files.iter().map(|file| file.path.as_path()));
    let output = run(command, &program, &serde_json::to_vec(books)?).await?;
    let said = String::from_utf8_lossy(&output.stdout);
    match output.status.code() {
        Some(0) => Ok(Vec::new()),
        // Python exits with 1 on failures too, but without output.
        Some(1) if !said.is_empty() => Ok(said.lines().map(str::to_owned).collect()),
        _ => bail!(
            "{} failed ({}): {}",
            program.display(),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        ),
    }
}

async fn run(mut command: Command, program: &Path, input: &[u8]) -> Result<std::process::Output> {
    let describe = || format!("cannot run {} with python3", program.display());
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().with_context(describe)?;
    let mut stdin = child.stdin.take().with_context(describe)?;
    // The program reads all input before it writes. If it ends early, its status says why.
    let _ = stdin.write_all(input).await;
    drop(stdin);
    child.wait_with_output().await.with_context(describe)
}
