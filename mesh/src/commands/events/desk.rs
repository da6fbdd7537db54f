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
use crate::services::GATEWAY;
use crate::snapshot::Snapshot;
use crate::stack::{Stack, operator};

/// The mesh that is operated: that of this checkout, unless another one's gateway is named.
#[derive(Debug, clap::Args)]
pub(super) struct Place {
    /// Address of the gateway of another mesh, as host:port (with `admin_listen`, that)
    #[arg(long, value_name = "ADDR", requires = "token_file")]
    gateway: Option<String>,
    /// File with nothing but the operator's token for that mesh
    #[arg(long, value_name = "FILE", requires = "gateway")]
    token_file: Option<PathBuf>,
}

/// The desks of the services of one mesh.
#[derive(Debug)]
pub struct Desk {
    client: Client,
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
        let (Some(gateway), Some(file)) = (&self.gateway, &self.token_file) else {
            let home = Home::of_checkout()?;
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
        let known = self.client.get("/-/processes").await;
        let Processes { processes } = known.context(
            "the gateway answers operators on its own machine or on its `admin_listen` only",
        )?;
        let mut all = Vec::new();
        for service in processes {
            let path = format!("/-/processes/{service}/{list}");
            match self.client.get(&path).await {
                Ok(found) => all.push((service, found)),
                // A service without a desk.
                Err(Error::Rejected { status, .. }) if status == StatusCode::NOT_FOUND => {}
                Err(error) => return Err(error).context(format!("the desk of {service}")),
            }
        }
        Ok(all)
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

/// Returns the state of the mesh that is up.
pub(super) fn running(home: &Home) -> Result<Snapshot> {
    let snapshot = Snapshot::load(&home.mesh());
    let (Some(snapshot), None) = (snapshot, StateDir::checkout(home)?) else {
        bail!("the mesh is not up");
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
