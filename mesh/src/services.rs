//! Which processes the order-to-cash mesh has, and what each is told in its environment.

use std::collections::BTreeMap;
use std::net::SocketAddr;

/// The process in front of all services.
pub const GATEWAY: &str = "gateway";
/// The database server.
pub const POSTGRES: &str = "postgres";
/// The broker.
pub const NATS: &str = "nats";

/// A service of the mesh: the name is that of its package, its binary, its database and its role.
#[derive(Debug)]
pub struct Service {
    /// The name, in lower case.
    pub name: &'static str,
    /// The services that it calls: environment variable and name of the service.
    pub calls: &'static [(&'static str, &'static str)],
}

/// Every service, called before caller.
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

/// The names of everything that is built from this repository, in the order of starting.
pub fn names() -> impl Iterator<Item = &'static str> {
    SERVICES.iter().map(|service| service.name).chain([GATEWAY])
}

/// The Cargo package that builds a process.
pub fn package(name: &str) -> &str {
    if name == GATEWAY {
        "protomesh-gateway"
    } else {
        name
    }
}

/// What the processes of one mesh have to know about it.
#[derive(Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) addresses: &'a BTreeMap<String, SocketAddr>,
    pub(crate) database_urls: &'a BTreeMap<String, String>,
    /// The services that the gateway fronts.
    pub(crate) upstreams: &'a [&'a str],
    pub(crate) otlp: Option<&'a str>,
}

impl Surroundings<'_> {
    /// The environment of the process `name`.
    pub(crate) fn environment(&self, name: &str) -> BTreeMap<String, String> {
        let mut variables = BTreeMap::new();
        let mut set = |key: &str, value: String| variables.insert(key.to_owned(), value);
        if let Some(address) = self.addresses.get(name) {
            set("PROTOMESH_LISTEN", address.to_string());
        }
        if let Some(otlp) = self.otlp {
            set("PROTOMESH_OTLP_ENDPOINT", otlp.to_owned());
        }
        // Without a service, what the gateway fronts is left to whoever starts it.
        if name == GATEWAY && !self.upstreams.is_empty() {
            let urls: Vec<String> = self
                .upstreams
                .iter()
                .filter_map(|service| self.url("http", service))
                .collect();
            set("PROTOMESH_UPSTREAMS", urls.join(","));
        }
        let Some(service) = SERVICES.iter().find(|service| service.name == name) else {
            return variables;
        };
        if let Some(url) = self.database_urls.get(name) {
            set("PROTOMESH_DATABASE_URL", url.clone());
        }
        if let Some(url) = self.url("nats", NATS) {
            set("PROTOMESH_NATS_URL", url.clone());
            set("PROTOMESH_EVENTS__NATS_URL", url);
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
