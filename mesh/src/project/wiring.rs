//! The environment variables of a mesh's processes.

use std::collections::BTreeMap;
use std::path::Path;

use super::{GATEWAY, Project, Security, Service};

/// Addresses and settings that become environment variables.
pub(crate) struct Wiring<'a> {
    pub(crate) project: &'a Project,
    /// The host:port of each process, by name.
    pub(crate) addresses: &'a BTreeMap<String, String>,
    /// The host:port at which the gateway finds the operators' side of each process, if it is not
    /// that of its calls.
    pub(crate) operator_addresses: &'a BTreeMap<String, String>,
    pub(crate) database_urls: &'a BTreeMap<String, String>,
    pub(crate) broker_urls: &'a BTreeMap<String, String>,
    pub(crate) valkey_urls: &'a BTreeMap<String, String>,
    /// Services behind the gateway.
    pub(crate) upstreams: &'a [&'a str],
    pub(crate) otlp: Option<&'a str>,
    /// File of the operator's token.
    pub(crate) operators: &'a Path,
    pub(crate) security: Security,
    /// Keys and certificates of a process, by the service; the gateway's without one.
    pub(crate) credentials: &'a CredentialsOf<'a>,
}

/// Returns environment variables with the credentials of a service's process.
type CredentialsOf<'a> = dyn Fn(Option<&Service>) -> Vec<(String, String)> + 'a;

// === impl Wiring ===

impl Wiring<'_> {
    /// Returns the environment variables of a process; those of `mesh.toml` win.
    pub(crate) fn environment(&self, name: &str) -> BTreeMap<String, String> {
        let mut variables = BTreeMap::new();
        let mut set = |key: String, value: String| variables.insert(key, value);
        if let Some(address) = self.addresses.get(name) {
            set("PROTOMESH_LISTEN".into(), address.clone());
        }
        set(
            "PROTOMESH_OPERATOR_TOKENS".into(),
            self.operators.display().to_string(),
        );
        if let Some(otlp) = self.otlp {
            set("PROTOMESH_OTLP_ENDPOINT".into(), otlp.to_owned());
        }
        if let Some(url) = self.valkey_urls.get(name) {
            set("PROTOMESH_VALKEY__URL".into(), url.clone());
        }
        for (key, value) in (self.credentials)(self.project.service(name)) {
            set(key, value);
        }
        let declared = if name == GATEWAY {
            self.set_upstreams(&mut set);
            if let Some(url) = self.broker_urls.get(name) {
                set("PROTOMESH_AUDIT__NATS".into(), url.clone());
            }
            &self.project.gateway().env
        } else {
            let Some(service) = self.project.service(name) else {
                return variables;
            };
            if let Some(url) = self.database_urls.get(name) {
                set("PROTOMESH_DATABASE_URL".into(), url.clone());
            }
            if let Some(url) = self.broker_urls.get(name) {
                set("PROTOMESH_EVENTS__NATS_URL".into(), url.clone());
            }
            for callee in &service.calls {
                if let Some(url) = self.url(callee) {
                    set(url_variable(callee), url);
                }
            }
            &service.env
        };
        variables.extend(declared.clone());
        variables
    }

    /// Without a service, the caller configures the gateway's upstreams.
    fn set_upstreams(&self, set: &mut impl FnMut(String, String) -> Option<String>) {
        if self.upstreams.is_empty() {
            return;
        }
        let behind = self.upstreams.iter().filter(|name| {
            let service = self.project.service(name);
            service.is_some_and(|service| service.gateway)
        });
        let urls: Vec<String> = behind.filter_map(|name| self.url(name)).collect();
        set("PROTOMESH_UPSTREAMS".into(), urls.join(","));
        for name in self.upstreams {
            let operators = self.operator_addresses.get(*name);
            let url = operators.map(|address| format!("http://{address}"));
            if let Some(url) = url.or_else(|| self.url(name)) {
                set(format!("PROTOMESH_PROCESSES__{}", upper(name)), url);
            }
        }
    }

    fn url(&self, name: &str) -> Option<String> {
        let address = self.addresses.get(name)?;
        let scheme = scheme(self.project, self.security, name);
        Some(format!("{scheme}://{address}"))
    }
}

/// Returns the scheme of a process's URL: https of services, where TLS is on.
pub(crate) fn scheme(project: &Project, security: Security, name: &str) -> &'static str {
    let service = project.service(name);
    match security.tls && service.is_some_and(Service::has_tls) {
        true => "https",
        false => "http",
    }
}

/// Returns the variable that holds the URL of a process: `PROTOMESH_STOCK_URL`.
pub fn url_variable(name: &str) -> String {
    format!("PROTOMESH_{}_URL", upper(name))
}

fn upper(name: &str) -> String {
    name.to_ascii_uppercase().replace('-', "_")
}
