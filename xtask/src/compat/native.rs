//! The server's own client: the same commands against the server and through the gateway.

use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use tokio::process::Command;

use super::processes::{Side, Sides};
use super::server::{Built, Product};

/// Longest duration of one command.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Serialize)]
pub(super) struct ScriptResult {
    commands: usize,
    pub(super) same: bool,
    differences: Vec<String>,
}

/// Runs the script on both sides.
///
/// # Errors
/// When a command cannot start.
pub(super) async fn run(
    product: &Product,
    built: &Built,
    processes: &Sides,
) -> Result<ScriptResult> {
    let mut differences = Vec::new();
    for command in product.script {
        let theirs = end(product, built, processes, Side::Theirs, command).await?;
        let ours = end(product, built, processes, Side::Ours, command).await?;
        if theirs != ours {
            let command = command.join(" ");
            differences.push(format!(
                "{command}\n    theirs  {theirs}\n    ours    {ours}"
            ));
        }
    }
    Ok(ScriptResult {
        commands: product.script.len(),
        same: differences.is_empty(),
        differences,
    })
}

/// Runs one command; returns its exit status and output.
///
/// # Errors
/// When it cannot start.
pub(super) async fn end(
    product: &Product,
    built: &Built,
    processes: &Sides,
    side: Side,
    command: &[&str],
) -> Result<String> {
    let address = match product.client_speaks_http {
        true => processes.http(side),
        false => processes.grpc(side),
    };
    let address = address.to_string();
    let (program, arguments) = command.split_first().context("an empty command")?;
    let mut client = Command::new(built.program(program));
    client
        .args(
            arguments
                .iter()
                .map(|argument| argument.replace("ENDPOINT", &address)),
        )
        .env_clear()
        .kill_on_drop(true);
    let output = match tokio::time::timeout(PATIENCE, client.output()).await {
        Ok(output) => output.with_context(|| format!("cannot start {program}"))?,
        Err(_) => return Ok(format!("no end within {} s", PATIENCE.as_secs())),
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(&address, "ENDPOINT");
    Ok(format!(
        "{}: {}{}",
        output.status,
        text(&output.stdout).trim_end(),
        errors(&text(&output.stderr))
    ))
}

/// Returns the errors of a program: of a line of a log in JSON, only the error.
fn errors(text: &str) -> String {
    let error = |line: &str| {
        let log: Option<serde_json::Value> = serde_json::from_str(line).ok();
        match log.as_ref().and_then(|log| log.get("error")) {
            Some(error) => error.to_string(),
            None => line.to_owned(),
        }
    };
    text.lines()
        .map(|line| format!("\n{}", error(line)))
        .collect()
}

impl fmt::Display for ScriptResult {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for difference in &self.differences {
            writeln!(formatter, "client: {difference}")?;
        }
        let failed = self.differences.len();
        let same = self.commands - failed;
        write!(
            formatter,
            "client: {same} of {} commands end the same",
            self.commands
        )
    }
}
