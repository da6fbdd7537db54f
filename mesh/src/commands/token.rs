//! `mesh token`: an access token of the issuer of the mesh.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::explain;
use crate::client::Client;
use crate::home::Home;
use crate::snapshot::Snapshot;
use crate::stack::clients::{Clients, DEVELOPER};
use crate::ui;

/// The endpoint at the gateway.
const ENDPOINT: &str = "/oauth/token";

/// The arguments of `token`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Client that gets the token
    #[arg(long, value_name = "ID", default_value = DEVELOPER)]
    client: String,
    /// File with the secret of the client; not needed for clients that the mesh has made
    #[arg(long, value_name = "FILE")]
    secret_file: Option<PathBuf>,
    /// Role of the token; several with several options; all of the client without one
    #[arg(long = "role", value_name = "ROLE")]
    roles: Vec<String>,
    /// Scope of the token; several with several options; all of the client without one
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// Address of a gateway, as host:port; without it, the mesh's own
    #[arg(long, value_name = "ADDR", requires = "secret_file")]
    gateway: Option<String>,
}

#[derive(Deserialize)]
struct Issued {
    access_token: String,
}

pub(super) async fn token(args: Args) -> Result<ExitCode> {
    let gateway = explain::gateway(args.gateway.as_deref(), None).await?;
    let secret = match &args.secret_file {
        Some(file) => {
            let text = std::fs::read_to_string(file);
            let text = text.with_context(|| format!("cannot read {}", file.display()))?;
            text.trim().to_owned()
        }
        None => Clients::of(&Home::find()?.mesh())
            .secret(&args.client)
            .context("the mesh has no such client; `security.authentication` makes `developer`")?,
    };
    let client = Client::new(gateway).with_client(&args.client, &secret);
    ui::print(issue(&client, &args.roles, &args.scopes).await?);
    Ok(ExitCode::SUCCESS)
}

/// Returns a token of the running mesh with all roles of its developer, for calls by hand; `None`
/// if the mesh asks callers for none.
///
/// # Errors
/// When the issuer does not answer.
pub(super) async fn of_mesh(home: &Home, gateway: SocketAddr) -> Result<Option<String>> {
    let snapshot = Snapshot::load(&home.mesh());
    let issuer = home.project().issuer();
    let runs = snapshot.zip(issuer).is_some_and(|(mesh, issuer)| {
        mesh.supervisor.is_alive() && mesh.processes.contains_key(&issuer.service)
    });
    if !runs {
        return Ok(None);
    }
    // A mesh without authentication may run the issuer too, and has no clients.
    let Ok(secret) = Clients::of(&home.mesh()).secret(DEVELOPER) else {
        return Ok(None);
    };
    let client = Client::new(gateway).with_client(DEVELOPER, &secret);
    issue(&client, &[], &[]).await.map(Some)
}

async fn issue(client: &Client, roles: &[String], scopes: &[String]) -> Result<String> {
    let (roles, scopes) = (roles.join(" "), scopes.join(" "));
    let mut form = vec![("grant_type", "client_credentials")];
    form.extend((!roles.is_empty()).then_some(("roles", roles.as_str())));
    form.extend((!scopes.is_empty()).then_some(("scope", scopes.as_str())));
    let issued: Issued = client.submit(ENDPOINT, &form).await?;
    Ok(issued.access_token)
}
