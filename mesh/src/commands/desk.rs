//! The desks of all services, by JSON through the gateway.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use http::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::{self, DeserializeOwned};
use serde::{Deserialize, Deserializer, Serialize};

use crate::client::{Client, Error};
use crate::commands::explain::resolve;
use crate::home::{Home, StateDir};
use crate::project::GATEWAY;
use crate::snapshot::Snapshot;
use crate::stack::{Stack, operator};
use crate::ui;

/// The mesh that is operated: that of this project, unless another one's gateway is named.
#[derive(Debug, clap::Args)]
pub(super) struct Place {
    /// Address of the gateway of another mesh, as host:port (with `admin_listen`, that)
    #[arg(long, value_name = "ADDR", requires = "token_file")]
    gateway: Option<String>,
    /// File with nothing but the operator's token for that mesh
    #[arg(long, value_name = "FILE", requires = "gateway")]
    token_file: Option<PathBuf>,
    /// Environment of mesh.toml that is operated
    #[arg(long = "env", value_name = "NAME", conflicts_with = "gateway")]
    environment: Option<String>,
}

/// The desks of the services of one mesh.
#[derive(Debug)]
pub struct Desk {
    client: Client,
}

/// The arguments of lists.
#[derive(Debug, clap::Args)]
pub(super) struct Listing {
    /// Print the list as JSON
    #[arg(long)]
    json: bool,
}

/// The names of processes, as the gateway lists them.
#[derive(Debug, Deserialize)]
struct Processes {
    processes: Vec<String>,
}

// === impl Place ===

impl Place {
    /// Returns the desks.
    ///
    /// # Errors
    /// When the mesh is not up, or has no gateway.
    pub(super) async fn desk(&self) -> Result<Desk> {
        if let Some(name) = &self.environment {
            let home = Home::find()?;
            let environment = home.project().environment(name)?;
            let token = environment.operator_token(home.root())?;
            return Ok(Desk::new(resolve(&environment.gateway).await?, &token));
        }
        let (Some(gateway), Some(file)) = (&self.gateway, &self.token_file) else {
            let home = Home::find()?;
            let gateway = running(&home)?.processes.remove(GATEWAY);
            let gateway =
                gateway.context("the mesh that is up has no gateway, which leads to the desks")?;
            return Ok(Desk::new(gateway.address, &operator::load(&home.mesh())?));
        };
        let token = std::fs::read_to_string(file);
        let token = token.with_context(|| format!("cannot read {}", file.display()))?;
        Ok(Desk::new(resolve(gateway).await?, token.trim()))
    }
}

// === impl Listing ===

impl Listing {
    pub(super) fn print<T: Serialize>(
        &self,
        entries: &[T],
        table: fn(&[T]) -> String,
    ) -> Result<()> {
        ui::print(match self.json {
            true => serde_json::to_string_pretty(entries)?,
            false => table(entries),
        });
        Ok(())
    }
}

// === impl Desk ===

impl Desk {
    /// Returns the desks of a mesh.
    ///
    /// # Errors
    /// When it has no gateway.
    pub fn of(stack: &Stack) -> Result<Self> {
        Ok(Self::new(stack.address(GATEWAY)?, &stack.operator_token()?))
    }

    fn new(gateway: SocketAddr, token: &str) -> Self {
        Self {
            client: Client::new(gateway).with_token(token),
        }
    }

    /// Returns what every service has under `list`: a path below `/-/`.
    pub(super) async fn of_all<T: DeserializeOwned>(&self, list: &str) -> Result<Vec<(String, T)>> {
        let mut all = Vec::new();
        for service in self.services().await? {
            if let Some(found) = self.find(&service, list).await? {
                all.push((service, found));
            }
        }
        Ok(all)
    }

    /// Returns the names of all processes with a gateway's address.
    pub(super) async fn services(&self) -> Result<Vec<String>> {
        let known = self.client.get("/-/processes").await;
        let Processes { processes } = known.context(
            "the gateway answers operators on its own machine or on its `admin_listen` only",
        )?;
        Ok(processes)
    }

    /// Returns what `service` has under `path`; `None` if it has no desk.
    pub(super) async fn find<T: DeserializeOwned>(
        &self,
        service: &str,
        path: &str,
    ) -> Result<Option<T>> {
        let path = format!("/-/processes/{service}/{path}");
        match self.client.get(&path).await {
            Ok(found) => Ok(Some(found)),
            Err(Error::Rejected { status, .. }) if status == StatusCode::NOT_FOUND => Ok(None),
            Err(error) => Err(error).context(format!("the desk of {service}")),
        }
    }

    pub(super) async fn get<T: DeserializeOwned>(&self, service: &str, path: &str) -> Result<T> {
        let path = format!("/-/processes/{service}/{path}");
        let answer = self.client.get(&path).await;
        answer.with_context(|| format!("the desk of {service}"))
    }

    pub(super) async fn post<T: DeserializeOwned>(
        &self,
        service: &str,
        path: &str,
        message: &impl Serialize,
    ) -> Result<T> {
        let path = format!("/-/processes/{service}/{path}");
        let answer = self.client.post(&path, message).await;
        answer.with_context(|| format!("the desk of {service}"))
    }
}

/// Returns an entry for each item that the desks of the services list.
pub(super) fn entries<L, T, E>(
    all: Vec<(String, L)>,
    items: impl Fn(L) -> Vec<T>,
    entry: impl Fn(String, T) -> E,
) -> Vec<E> {
    let of_service = |(service, list): (String, L)| {
        let items = items(list).into_iter();
        items
            .map(|item| entry(service.clone(), item))
            .collect::<Vec<_>>()
    };
    all.into_iter().flat_map(of_service).collect()
}

/// Lays entries out as a table with one line each; `none` if there are none.
pub(super) fn lay_out<T, const N: usize>(
    none: &str,
    header: [&str; N],
    entries: &[T],
    cells: impl Fn(&T) -> [String; N],
) -> String {
    if entries.is_empty() {
        return none.to_owned();
    }
    let one_line = |cell: String| cell.replace(['\n', '\r'], " ");
    let lines = entries
        .iter()
        .map(|entry| cells(entry).map(one_line).to_vec());
    let header = header.map(str::to_owned).to_vec();
    let rows: Vec<Vec<String>> = std::iter::once(header).chain(lines).collect();
    ui::table(&rows)
}

/// Returns the state of the mesh that is up.
pub(super) fn running(home: &Home) -> Result<Snapshot> {
    let snapshot = Snapshot::load(&home.mesh());
    let (Some(snapshot), None) = (snapshot, StateDir::of_up(home)?) else {
        bail!("the mesh is not up: `mesh up` starts it");
    };
    Ok(snapshot)
}

/// Returns a value as part of a query.
pub(super) fn quoted(value: &str) -> String {
    utf8_percent_encode(value, NON_ALPHANUMERIC).to_string()
}

/// Reads a 64-bit integer, which JSON of protobuf writes as a string.
pub(super) fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(de::Error::custom)
}
