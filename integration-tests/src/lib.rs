//! The harness of the end-to-end tests: a private mesh of real engines and real processes, and
//! clients for it.

pub mod http;
pub mod import;
pub mod order;
mod wait;

use anyhow::{Context, Result};
use chassis::client::{ClientSettings, Upstream};
use mesh::{Home, Stack, StackOptions, StateDir, Ui};
use protos::{
    ingest::v1::ingest_service_client::IngestServiceClient,
    inventory::v1::inventory_service_client::InventoryServiceClient,
    orders::v1::orders_service_client::OrdersServiceClient,
    payments::v1::payments_service_client::PaymentsServiceClient,
    shipping::v1::shipping_service_client::ShippingServiceClient,
};
use sqlx::{PgPool, postgres::PgPoolOptions};

pub use wait::{PATIENCE, eventually};

/// Variable that makes a process abort at a named point.
const CRASH_AT: &str = "PROTOMESH_CRASH_AT";

/// A private mesh; dropping it kills its processes and removes its data.
#[derive(Debug)]
pub struct Mesh {
    stack: Stack,
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

    /// Starts a mesh with these options.
    ///
    /// # Errors
    /// See [`start`](Self::start).
    pub async fn start_with(options: StackOptions) -> Result<Self> {
        let home = Home::find()?;
        let stack = Stack::launch(&home, StateDir::scratch(&home)?, options, Ui::Quiet).await?;
        Ok(Self { stack })
    }

    /// Returns the processes: addresses, kills and restarts.
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// Returns a gRPC connection to a service or the gateway.
    ///
    /// # Errors
    /// When this mesh has no such process.
    pub fn upstream(&self, name: &str) -> Result<Upstream> {
        Ok(Upstream::connect_lazy(
            &self.stack.url(name)?,
            &ClientSettings::default(),
            protos::METHODS,
        )?)
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

    /// Connects to a service's database with the service's role.
    ///
    /// # Errors
    /// When it can't be reached.
    pub async fn database(&self, service: &str) -> Result<PgPool> {
        let url = self.stack.database_url(service)?;
        PgPoolOptions::new()
            .max_connections(2)
            .connect(&url)
            .await
            .with_context(|| format!("database of {service}"))
    }

    /// Restarts a process so that it aborts at `point` once.
    ///
    /// # Errors
    /// When it does not become healthy again.
    pub async fn crash_next_at(&self, name: &str, point: &str) -> Result<()> {
        self.stack.stop(name).await?;
        self.stack.set_env_once(name, CRASH_AT, point)?;
        self.stack.start(name).await
    }

    /// Returns the number of restarts of a process.
    ///
    /// # Errors
    /// When this mesh has no such process.
    pub fn restarts(&self, name: &str) -> Result<u32> {
        Ok(self.stack.process(name)?.restarts)
    }
}
