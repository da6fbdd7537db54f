//! Processes of a run that write a log.

use std::fs::File;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mesh::probe::Probe;
use mesh::project::GATEWAY;
use tokio::process::{Child, Command};
use tokio::time::Instant;

/// Longest wait until a gateway is ready.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

/// Starts a process whose output goes to a new file; dropping it kills it.
///
/// # Errors
/// When the file cannot be written or the program not be started.
pub(crate) fn spawn(mut command: Command, log: &Path) -> Result<Child> {
    let output = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .kill_on_drop(true);
    let program = command.as_std().get_program().display().to_string();
    command
        .spawn()
        .with_context(|| format!("cannot start {program}"))
}

/// Waits until the gateway at `address` is ready. Each of the processes, by its name, must run for
/// as long; its log is `NAME.log` in `dir`.
///
/// # Errors
/// With the log: a process ended, or the gateway is not ready in time.
pub(crate) async fn until_ready(
    address: SocketAddr,
    processes: &mut [(&str, &mut Child)],
    dir: &Path,
) -> Result<()> {
    let log_of = |name: &str| log(&dir.join(format!("{name}.log")));
    let probe = Probe::Ready(address);
    let deadline = Instant::now() + PATIENCE;
    while let Err(why) = probe.check().await {
        for (name, process) in &mut *processes {
            if let Some(status) = process.try_wait()? {
                bail!("{name} ended ({status})\n{}", log_of(name));
            }
        }
        if Instant::now() > deadline {
            let seconds = PATIENCE.as_secs();
            let log = log_of(GATEWAY);
            bail!("the gateway is not ready after {seconds} s: {why}\n{log}");
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Returns the log of a process; empty if there is none.
pub(crate) fn log(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
