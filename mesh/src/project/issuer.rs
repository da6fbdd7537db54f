//! The service that issues the tokens of callers.

use anyhow::{Result, ensure};
use serde::Deserialize;

use super::manifest::Service;
use super::suggest;

/// The service that issues the tokens of callers by OAuth 2.0, through the gateway. It runs where
/// `security.authentication` is on.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    /// The service.
    pub service: String,
    /// Roles of the client `developer`, whose tokens `mesh token` prints.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Its scopes.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Its tenant; empty for none.
    #[serde(default)]
    pub tenant: String,
}

// === impl Issuer ===

impl Issuer {
    /// Checks that the service exists.
    pub(super) fn check(&self, services: &[Service]) -> Result<()> {
        let names: Vec<&str> = services.iter().map(|it| it.name.as_str()).collect();
        ensure!(
            names.contains(&self.service.as_str()),
            "issuer.service: no service is named `{}`{}",
            self.service,
            suggest::hint(&self.service, &names)
        );
        Ok(())
    }
}
