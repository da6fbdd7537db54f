//! A private mesh for one test.

use std::sync::Arc;

use anyhow::{Context, Result};
use auth::internal::Signer;
use client::{ClientSettings, Upstream};
use contract::Method;
use mesh::project::{Security, url_variable};
use mesh::{Home, Stack, StackOptions, StateDir, Ui};
use sqlx::{PgPool, postgres::PgPoolOptions};

use crate::recorder::Recorder;

/// Variable that makes a process abort at a named point.
const CRASH_AT: &str = "PROTOMESH_CRASH_AT";
/// The process whose calls every service believes.
const MESH: &str = "mesh";
/// Most connections of a test to a service's database.
const CONNECTIONS: u32 = 2;

/// A private mesh; dropping it kills its processes and removes its data.
#[derive(Debug)]
pub struct Mesh {
    stack: Stack,
}

/// The choices for a mesh.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    only: Option<Vec<String>>,
    deferred: Vec<String>,
    env: Vec<(String, String, String)>,
    security: Option<Security>,
}

// === impl Builder ===

impl Builder {
    /// Chooses only these services, and the engines that they need; `gateway` is one of the names.
    /// Without it, the whole project starts.
    #[must_use]
    pub fn only<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        self.only = Some(names.into_iter().map(str::to_owned).collect());
        self
    }

    /// Sets what processes have to prove to each other, in place of what the project says.
    #[must_use]
    pub fn security(mut self, security: Security) -> Self {
        self.security = Some(security);
        self
    }

    /// Reserves the address of a process, but leaves its start to the test: `mesh.stack().start`.
    #[must_use]
    pub fn defer(mut self, name: &str) -> Self {
        self.deferred.push(name.to_owned());
        self
    }

    /// Sets an environment variable of one process.
    #[must_use]
    pub fn env(mut self, name: &str, key: &str, value: &str) -> Self {
        self.env
            .push((name.to_owned(), key.to_owned(), value.to_owned()));
        self
    }

    /// Starts the mesh and waits until it is healthy.
    ///
    /// # Errors
    /// When the package has no `mesh.toml` in its directory or above, the project has no process of
    /// a chosen name, or one does not become healthy; its log is named.
    pub async fn start(self) -> Result<Mesh> {
        let home = Home::find()?;
        let mut options = StackOptions::new(&home)?;
        if let Some(only) = &self.only {
            options = options.only(only.iter().map(String::as_str))?;
        }
        for name in &self.deferred {
            options = options.defer(name);
        }
        for (name, key, value) in &self.env {
            options = options.env(name, key, value);
        }
        if let Some(security) = self.security {
            options = options.security(security);
        }
        Mesh::launch(&home, options).await
    }
}

// === impl Mesh ===

impl Mesh {
    /// Begins the choices for a mesh of the project that the test belongs to.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Starts a mesh with options of the library.
    ///
    /// # Errors
    /// When a process does not become healthy; its log is named.
    pub async fn launch(home: &Home, options: StackOptions) -> Result<Self> {
        let stack = Stack::launch(home, StateDir::scratch(home)?, options, Ui::Quiet).await?;
        Ok(Self { stack })
    }

    /// Returns the processes: addresses, kills and restarts.
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// Returns the URL of a service or the gateway, `http://127.0.0.1:PORT`.
    ///
    /// # Errors
    /// When this mesh has no such process.
    pub fn url(&self, name: &str) -> Result<String> {
        self.stack.url(name)
    }

    /// Returns a gRPC connection to a service or the gateway, with the identity of `mesh` itself
    /// where services ask for one, for generated clients; `methods` are
    /// those of the contract, `protos::METHODS`.
    ///
    /// # Errors
    /// When this mesh has no such process.
    pub fn upstream(&self, name: &str, methods: &'static [Method]) -> Result<Upstream> {
        let mut client = ClientSettings::default();
        if let Some((authority, certificate)) = self.stack.certificate_files() {
            client.tls.ca = authority;
            client.tls.certificate.clone_from(&certificate);
            client.tls.key = certificate;
        }
        let upstream = Upstream::connect_lazy(&self.stack.url(name)?, &client, methods)?;
        Ok(match self.stack.key_file() {
            Some(key) => upstream.signed(Arc::new(Signer::from_file(MESH, key)?)),
            None => upstream,
        })
    }

    /// Connects to a service's database with the service's role.
    ///
    /// # Errors
    /// When it can't be reached.
    pub async fn database(&self, service: &str) -> Result<PgPool> {
        let url = self.stack.database_url(service)?;
        PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .connect(&url)
            .await
            .with_context(|| format!("database of {service}"))
    }

    /// Restarts a process so that it aborts at the crash point `point` once; it is healthy when
    /// this returns, and comes back after the abort.
    ///
    /// # Errors
    /// When it does not become healthy again.
    pub async fn crash_next_at(&self, name: &str, point: &str) -> Result<()> {
        self.stack.stop(name).await?;
        self.stack.set_env_once(name, CRASH_AT, point)?;
        self.stack.start(name).await
    }

    /// Starts a deferred service, whose calls to others pass the recorder.
    ///
    /// # Errors
    /// When it does not become healthy, or calls by TLS.
    pub async fn record(&self, consumer: &str, recorder: &mut Recorder) -> Result<()> {
        let service = self.stack.project().service(consumer);
        let service = service.with_context(|| format!("the project has no service {consumer}"))?;
        for callee in &service.calls {
            let url = recorder.before(&self.stack.url(callee)?).await?;
            self.stack.set_env(consumer, &url_variable(callee), &url)?;
        }
        self.stack.start(consumer).await
    }

    /// Returns the number of restarts of a process.
    ///
    /// # Errors
    /// When this mesh has no such process.
    pub fn restarts(&self, name: &str) -> Result<u32> {
        Ok(self.stack.process(name)?.restarts)
    }
}
