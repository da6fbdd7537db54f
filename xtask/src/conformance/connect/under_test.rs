//! The server under test: one gateway process, configured by the suite and stopped with this one.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mesh::cargo;
use mesh::commands::up::asked_to_stop;
use mesh::home::Home;
use mesh::project::GATEWAY;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

use super::compat::{self, ServerCompatRequest, ServerCompatResponse};

/// Longest wait until the gateway listens and knows its API.
const PATIENCE: Duration = Duration::from_secs(30);

/// Arguments for every gateway of a run.
#[derive(Debug, clap::Args)]
pub(in super::super::super) struct Args {
    /// The conformance service, as `http://host:port`
    #[arg(long)]
    upstream: String,
    /// Its encoded descriptor set
    #[arg(long)]
    descriptors: PathBuf,
}

/// The configuration file of the gateway.
#[derive(Debug, Serialize)]
struct Config<'a> {
    listen: &'a str,
    log: &'a str,
    log_format: &'a str,
    upstreams: [&'a str; 1],
    max_body_bytes: u32,
    errors: Errors,
    schema: Schema<'a>,
    tls: Option<Tls>,
}

#[derive(Debug, Serialize)]
struct Errors {
    reasons: bool,
}

#[derive(Debug, Serialize)]
struct Schema<'a> {
    descriptors: [&'a Path; 1],
    reflection: bool,
}

#[derive(Debug, Serialize)]
struct Tls {
    cert_file: PathBuf,
    key_file: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_ca_file: Option<PathBuf>,
    client_auth: &'static str,
}

/// The inspected fields of a log line of the gateway.
#[derive(Debug, Deserialize)]
struct Line {
    message: String,
    address: Option<SocketAddr>,
}

/// Serves the configuration on standard input until SIGTERM.
pub(super) async fn serve(args: &Args) -> Result<()> {
    let asked: ServerCompatRequest = compat::read(&mut tokio::io::stdin()).await?;
    let dir = tempfile::Builder::new().prefix("mesh-connect-").tempdir()?;
    let config = write_config(args, &asked, dir.path())?;
    let mut gateway = Command::new(
        cargo::binaries(&Home::find()?)?
            .dir
            .join(cargo::GATEWAY_PROGRAM),
    )
    .arg("--config")
    .arg(config)
    .stdin(Stdio::null())
    .stdout(Stdio::null())
    .stderr(Stdio::piped())
    .kill_on_drop(true)
    .spawn()
    .context("cannot start the gateway")?;
    let output = gateway.stderr.take().context("no output")?;
    let mut log = BufReader::new(output).lines();
    let address = tokio::time::timeout(PATIENCE, ready(&mut log))
        .await
        .context("the gateway is not ready")??;
    let answer = ServerCompatResponse {
        host: address.ip().to_string(),
        port: address.port().into(),
        pem_cert: asked
            .server_creds
            .map(|creds| creds.cert)
            .unwrap_or_default(),
    };
    compat::write(&answer, &mut tokio::io::stdout()).await?;
    until_stopped(&mut gateway, log).await
}

/// Reads the log, so that the gateway never blocks on it, until the gateway ends or shall stop.
async fn until_stopped(gateway: &mut Child, mut log: Lines<BufReader<ChildStderr>>) -> Result<()> {
    let drained = async {
        while let Ok(Some(line)) = log.next_line().await {
            eprintln!("{line}");
        }
    };
    tokio::select! {
        asked = asked_to_stop() => asked,
        ((), ended) = async { tokio::join!(drained, gateway.wait()) } => {
            bail!("the gateway ended ({})", ended?)
        }
    }
}

async fn ready(log: &mut Lines<BufReader<ChildStderr>>) -> Result<SocketAddr> {
    let (mut address, mut learned) = (None, false);
    let mut said = Vec::new();
    while let Some(line) = log.next_line().await? {
        if let Ok(Line {
            message,
            address: at,
        }) = serde_json::from_str(&line)
        {
            address = address.or(at.filter(|_| message == "listening"));
            learned |= message == "upstream learned";
        }
        if let (Some(address), true) = (address, learned) {
            return Ok(address);
        }
        said.push(line);
    }
    bail!(
        "the gateway ended before it was ready:\n{}",
        said.join("\n")
    )
}

fn write_config(args: &Args, asked: &ServerCompatRequest, dir: &Path) -> Result<PathBuf> {
    let keep = |name: &str, content: &[u8]| {
        let path = dir.join(name);
        std::fs::write(&path, content)
            .with_context(|| format!("cannot write {}", path.display()))?;
        anyhow::Ok(path)
    };
    let tls = match asked.server_creds.as_ref().filter(|_| asked.use_tls) {
        None => None,
        Some(creds) => {
            let asks_clients = !asked.client_tls_cert.is_empty();
            let client_ca = asks_clients.then(|| keep("clients.pem", &asked.client_tls_cert));
            Some(Tls {
                cert_file: keep("cert.pem", &creds.cert)?,
                key_file: keep("key.pem", &creds.key)?,
                client_ca_file: client_ca.transpose()?,
                client_auth: if asks_clients { "require" } else { "none" },
            })
        }
    };
    let config = Config {
        listen: "127.0.0.1:0",
        log: "info",
        log_format: "json",
        upstreams: [&args.upstream],
        max_body_bytes: asked.message_receive_limit,
        // The suite compares details and expects only those of its service.
        errors: Errors { reasons: false },
        schema: Schema {
            descriptors: [&args.descriptors],
            reflection: false,
        },
        tls,
    };
    keep("gateway.toml", toml::to_string(&config)?.as_bytes())
}
