//! The processes of the order-to-cash mesh and their environment variables.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;

/// Name of the gateway.
pub const GATEWAY: &str = "gateway";
/// Name of the database server.
pub const POSTGRES: &str = "postgres";
/// Name of the broker.
pub const NATS: &str = "nats";

/// A service: its name is also that of its package, program, database and role.
#[derive(Debug)]
pub struct Service {
    /// The name, in lower case.
    pub name: &'static str,
    /// Services that it calls, each after the variable that holds its URL.
    pub calls: &'static [(&'static str, &'static str)],
}

/// All services; a service follows the ones that it calls.
pub const SERVICES: &[Service] = &[
    Service {
        name: "inventory",
        calls: &[],
    },
    Service {
        name: "payments",
        calls: &[],
    },
    Service {
        name: "shipping",
        calls: &[],
    },
    Service {
        name: "orders",
        calls: &[
            ("PROTOMESH_INVENTORY_URL", "inventory"),
            ("PROTOMESH_PAYMENTS_URL", "payments"),
        ],
    },
    Service {
        name: "ingest",
        calls: &[],
    },
];

/// Commands to try first; `{gateway}` stands for the gateway's host:port.
pub(crate) const FIRST_STEPS: &[&str] = &[
    "curl -s http://{gateway}/v1/orders",
    "grpcurl -plaintext {gateway} list",
    "cargo mesh demo examples/orders.csv",
];

/// Returns the names of all programs of this repository in the order of starting.
pub fn names() -> impl Iterator<Item = &'static str> {
    SERVICES.iter().map(|service| service.name).chain([GATEWAY])
}

/// Returns the Cargo package of a program.
pub fn package(name: &str) -> &str {
    if name == GATEWAY {
        "protomesh-gateway"
    } else {
        name
    }
}

/// Addresses and settings that become environment variables.
#[derive(Debug)]
pub(crate) struct Wiring<'a> {
    pub(crate) addresses: &'a BTreeMap<String, SocketAddr>,
    pub(crate) database_urls: &'a BTreeMap<String, String>,
    pub(crate) broker_urls: &'a BTreeMap<String, String>,
    /// Services behind the gateway.
    pub(crate) upstreams: &'a [&'a str],
    pub(crate) otlp: Option<&'a str>,
    /// File of the operator's token.
    pub(crate) operators: &'a Path,
}

impl Wiring<'_> {
    /// Returns the environment variables of a process.
    pub(crate) fn environment(&self, name: &str) -> BTreeMap<String, String> {
        let mut variables = BTreeMap::new();
        let mut set = |key: &str, value: String| variables.insert(key.to_owned(), value);
        if let Some(address) = self.addresses.get(name) {
            set("PROTOMESH_LISTEN", address.to_string());
        }
        set(
            "PROTOMESH_OPERATOR_TOKENS",
            self.operators.display().to_string(),
        );
        if let Some(otlp) = self.otlp {
            set("PROTOMESH_OTLP_ENDPOINT", otlp.to_owned());
        }
        // Without a service, the caller configures the gateway's upstreams.
        if name == GATEWAY && !self.upstreams.is_empty() {
            let urls: Vec<String> = self
                .upstreams
                .iter()
                .filter_map(|service| self.url("http", service))
                .collect();
            set("PROTOMESH_UPSTREAMS", urls.join(","));
            for service in self.upstreams {
                if let Some(url) = self.url("http", service) {
                    let name = service.to_ascii_uppercase();
                    set(&format!("PROTOMESH_PROCESSES__{name}"), url);
                }
            }
        }
        let Some(service) = SERVICES.iter().find(|service| service.name == name) else {
            return variables;
        };
        if let Some(url) = self.database_urls.get(name) {
            set("PROTOMESH_DATABASE_URL", url.clone());
        }
        if let Some(url) = self.broker_urls.get(name) {
            set("PROTOMESH_EVENTS__NATS_URL", url.clone());
        }
        for (variable, callee) in service.calls {
            if let Some(url) = self.url("http", callee) {
                set(variable, url);
            }
        }
        variables
    }

    fn url(&self, scheme: &str, name: &str) -> Option<String> {
        self.addresses
            .get(name)
            .map(|address| format!("{scheme}://{address}"))
    }
}
