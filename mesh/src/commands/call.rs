//! `mesh call`: a method by its name, through the gateway.

use std::io::Read as _;
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt as _;
use serde_json::Value;

use super::explain;
use crate::client::{Client, Error};
use crate::ui;

pub(super) mod list;

/// Largest request that is read from a file or standard input, in bytes.
const MAX_REQUEST_BYTES: u64 = 64 * 1024 * 1024;
/// Largest message of a response, in bytes.
const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// The arguments of `call`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Method, as orders.v1.OrdersService/GetOrder; or with --list, the beginning of names
    #[arg(required_unless_present = "list")]
    method: Option<String>,
    /// Request as JSON; @FILE reads a file, - standard input
    #[arg(default_value = "{}")]
    request: String,
    /// List the methods instead, with the kinds of their streams
    #[arg(long)]
    list: bool,
    /// Address of a gateway, as host:port; without it, the mesh's own
    #[arg(long, value_name = "ADDR")]
    gateway: Option<String>,
    /// Environment of mesh.toml whose gateway is called
    #[arg(long = "env", value_name = "NAME", conflicts_with = "gateway")]
    environment: Option<String>,
}

pub(super) async fn call(args: Args) -> Result<ExitCode> {
    let gateway = explain::gateway(args.gateway.as_deref(), args.environment.as_deref()).await?;
    let method = args.method.unwrap_or_default();
    if args.list {
        return list(gateway, &method).await;
    }
    let Some((service, name)) = method.split_once('/').or_else(|| method.rsplit_once('.')) else {
        bail!("`{method}` is not a method such as orders.v1.OrdersService/GetOrder");
    };
    let path = format!("/{service}/{name}");
    let response = match Client::new(gateway)
        .open(&path, request(&args.request)?)
        .await
    {
        Ok(response) => response,
        Err(error) => {
            tell_details(&error)?;
            return Err(error.into());
        }
    };
    let is_one = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|media| media.as_bytes().starts_with(b"application/json"));
    let mut body = response.into_body();
    let mut pending = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.context("the response broke off")?.into_data() else {
            continue;
        };
        pending.extend_from_slice(&data);
        // The messages of a stream are shown as they come.
        while let Some(end) = pending
            .iter()
            .position(|byte| *byte == b'\n')
            .filter(|_| !is_one)
        {
            let line = pending.split_to(end + 1);
            ui::print(String::from_utf8_lossy(line.trim_ascii_end()));
        }
        if pending.len() > MAX_MESSAGE_BYTES {
            bail!("a message of the response is larger than {MAX_MESSAGE_BYTES} bytes");
        }
    }
    match serde_json::from_slice::<Value>(&pending) {
        Ok(message) => ui::print(serde_json::to_string_pretty(&message)?),
        Err(_) if pending.is_empty() => {}
        Err(_) => ui::print(String::from_utf8_lossy(&pending)),
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints what a rejection says beside its message.
fn tell_details(error: &Error) -> Result<()> {
    if let Error::Rejected { details, .. } = error {
        for detail in details {
            // The Connect protocol shows a detail as bytes, and as JSON in `debug`.
            let shown = detail.get("debug").unwrap_or(detail);
            eprintln!("{}", serde_json::to_string_pretty(shown)?);
        }
    }
    Ok(())
}

async fn list(gateway: SocketAddr, prefix: &str) -> Result<ExitCode> {
    let methods = list::methods(gateway).await?;
    let mut rows = vec![
        ["method", "request", "response"]
            .map(str::to_owned)
            .to_vec(),
    ];
    let chosen = methods
        .into_iter()
        .filter(|method| method.name.starts_with(prefix));
    rows.extend(chosen.map(|method| vec![method.name, method.request, method.response]));
    ui::print(ui::table(&rows));
    Ok(ExitCode::SUCCESS)
}

fn request(given: &str) -> Result<Bytes> {
    let mut text = Vec::new();
    match given.strip_prefix('@') {
        Some(path) => {
            let file = std::fs::File::open(path);
            let file = file.with_context(|| format!("cannot open {path}"))?;
            file.take(MAX_REQUEST_BYTES).read_to_end(&mut text)?;
        }
        None if given == "-" => {
            std::io::stdin()
                .lock()
                .take(MAX_REQUEST_BYTES)
                .read_to_end(&mut text)?;
        }
        None => text.extend_from_slice(given.as_bytes()),
    }
    // A slip is told before anything is sent.
    serde_json::from_slice::<serde::de::IgnoredAny>(&text).context("the request is not JSON")?;
    Ok(text.into())
}
