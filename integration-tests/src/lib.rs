//! The harness of the end-to-end tests: a private mesh of real engines and real processes, and
//! clients for it.

pub mod contracts;
pub mod http;
pub mod import;
pub mod order;

use std::net::{SocketAddr, ToSocketAddrs};
use std::ops::Deref;

use anyhow::{Context, Result, ensure};
use chassis::client::{ClientSettings, Upstream};
use mesh::client::Client;
use mesh::project::Security;
use mesh::{Home, StackOptions};
use protos::{
    ingest::v1::ingest_service_client::IngestServiceClient,
    inventory::v1::inventory_service_client::InventoryServiceClient,
    orders::v1::orders_service_client::OrdersServiceClient,
    payments::v1::payments_service_client::PaymentsServiceClient,
    shipping::v1::shipping_service_client::ShippingServiceClient,
};

use serde_json::Value;

pub use protomesh_testing::{PATIENCE, eventually};

/// Variable with the URL of the gateway, `http://HOST:PORT`, for tests that use a mesh which
/// someone else has started.
pub const AGAINST: &str = "MESH_AGAINST";

/// A mesh of order-to-cash, with clients of its services.
#[derive(Debug)]
pub struct Mesh(Place);

/// Returns a name that no other test, and no other run, has.
pub fn unique(prefix: &str) -> String {
    format!("{prefix}-{}", uuid::Uuid::new_v4().simple())
}

#[derive(Debug)]
enum Place {
    /// A private one, with its processes.
    Private(Box<protomesh_testing::Mesh>),
    /// One that is known by the address of its gateway only.
    Elsewhere(SocketAddr),
}

impl Mesh {
    /// Returns the options of the whole mesh, with the programs of this workspace.
    ///
    /// # Errors
    /// When the directory of this program is unknown.
    pub fn options() -> Result<StackOptions> {
        StackOptions::new(&Home::find()?)
    }

    /// Starts the whole mesh and waits until it is healthy.
    ///
    /// # Errors
    /// When a process does not become healthy; its log is named.
    pub async fn start() -> Result<Self> {
        Self::start_with(Self::options()?).await
    }

    /// Returns the mesh that [`AGAINST`] names; without it, starts one as [`start`](Self::start)
    /// does. Only tests in `tests/it/anywhere` call this: they need no power over processes.
    ///
    /// # Errors
    /// When the variable has no URL, or see [`start`](Self::start).
    #[allow(
        clippy::disallowed_methods,
        reason = "a switch of the tests themselves, which have no configuration"
    )]
    pub async fn reach() -> Result<Self> {
        let Ok(url) = std::env::var(AGAINST) else {
            return Self::start().await;
        };
        let host = url
            .strip_prefix("http://")
            .map(|rest| rest.trim_end_matches('/'));
        let host =
            host.with_context(|| format!("{AGAINST}: expected http://HOST:PORT, got {url}"))?;
        let addresses = host.to_socket_addrs();
        let mut addresses = addresses.with_context(|| format!("{AGAINST}: {url}"))?;
        let address = addresses
            .next()
            .with_context(|| format!("{AGAINST}: {url} has no address"))?;
        Ok(Self(Place::Elsewhere(address)))
    }

    /// Returns the address of the gateway.
    ///
    /// # Errors
    /// When this mesh has none.
    pub fn gateway(&self) -> Result<SocketAddr> {
        match &self.0 {
            Place::Private(mesh) => mesh.stack().address("gateway"),
            Place::Elsewhere(address) => Ok(*address),
        }
    }

    /// Starts a mesh with these options.
    ///
    /// # Errors
    /// See [`start`](Self::start).
    pub async fn start_with(options: StackOptions) -> Result<Self> {
        let mesh = protomesh_testing::Mesh::launch(&Home::find()?, options).await?;
        Ok(Self(Place::Private(Box::new(mesh))))
    }

    /// Returns the options of a mesh whose gateway asks callers for tokens of its own issuer.
    ///
    /// # Errors
    /// See [`options`](Self::options).
    pub fn authenticated_options() -> Result<StackOptions> {
        Ok(Self::options()?.security(Security {
            authentication: true,
            ..Security::default()
        }))
    }

    /// Starts such a mesh, and waits until its gateway has the keys of tokens.
    ///
    /// # Errors
    /// See [`start`](Self::start).
    pub async fn authenticated() -> Result<Self> {
        Self::authenticated_with(Self::authenticated_options()?).await
    }

    /// Starts such a mesh with these options.
    ///
    /// # Errors
    /// See [`start`](Self::start).
    pub async fn authenticated_with(options: StackOptions) -> Result<Self> {
        let mesh = Self::start_with(options).await?;
        eventually("an accepted token", async || {
            let bearer = format!("Bearer {}", mesh.token(&["security"]).await?);
            let http = mesh.http()?.with("authorization", &bearer);
            let listed = http.get("/v1/identity/clients", "*/*").await?;
            ensure!(listed.status.is_success(), "{listed:?}");
            Ok(())
        })
        .await?;
        Ok(mesh)
    }

    /// Returns an access token with these roles.
    ///
    /// # Errors
    /// When the mesh has no issuer, or it does not answer.
    pub async fn token(&self, roles: &[&str]) -> Result<String> {
        let (id, secret) = self.stack().developer()?;
        let client = Client::new(self.stack().address("gateway")?).with_client(&id, &secret);
        let roles = roles.join(" ");
        let form = [("grant_type", "client_credentials"), ("roles", &*roles)];
        let answer: Value = client.submit("/oauth/token", &form).await?;
        let token = answer["access_token"].as_str().context("a token")?;
        Ok(token.to_owned())
    }

    /// Returns a gRPC connection to a service or the gateway; to the gateway, which serves all of
    /// them, where nothing else can be reached.
    ///
    /// # Errors
    /// When this mesh has no such process.
    pub fn upstream(&self, name: &str) -> Result<Upstream> {
        match &self.0 {
            Place::Private(mesh) => mesh.upstream(name, protos::METHODS),
            Place::Elsewhere(address) => {
                let (url, settings) = (format!("http://{address}"), ClientSettings::default());
                Ok(Upstream::connect_lazy(&url, &settings, protos::METHODS)?)
            }
        }
    }

    /// Returns a client of orders.
    ///
    /// # Errors
    /// When this mesh has no such service.
    pub fn orders(&self) -> Result<OrdersServiceClient<Upstream>> {
        Ok(OrdersServiceClient::new(self.upstream("orders")?))
    }

    /// Returns a client of inventory.
    ///
    /// # Errors
    /// See [`orders`](Self::orders).
    pub fn inventory(&self) -> Result<InventoryServiceClient<Upstream>> {
        Ok(InventoryServiceClient::new(self.upstream("inventory")?))
    }

    /// Returns a client of payments.
    ///
    /// # Errors
    /// See [`orders`](Self::orders).
    pub fn payments(&self) -> Result<PaymentsServiceClient<Upstream>> {
        Ok(PaymentsServiceClient::new(self.upstream("payments")?))
    }

    /// Returns a client of shipping.
    ///
    /// # Errors
    /// See [`orders`](Self::orders).
    pub fn shipping(&self) -> Result<ShippingServiceClient<Upstream>> {
        Ok(ShippingServiceClient::new(self.upstream("shipping")?))
    }

    /// Returns a client of ingest.
    ///
    /// # Errors
    /// See [`orders`](Self::orders).
    pub fn ingest(&self) -> Result<IngestServiceClient<Upstream>> {
        Ok(IngestServiceClient::new(self.upstream("ingest")?))
    }
}

impl Deref for Mesh {
    type Target = protomesh_testing::Mesh;

    #[allow(
        clippy::panic,
        reason = "a test that needs processes has to start them, by `start` or `start_with`"
    )]
    fn deref(&self) -> &Self::Target {
        match &self.0 {
            Place::Private(mesh) => mesh,
            Place::Elsewhere(_) => panic!("this mesh runs elsewhere: only its gateway is known"),
        }
    }
}
