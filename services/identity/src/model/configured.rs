//! Clients of the configuration: the first operator, and gateways that introspect.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::client::{Rights, check_roles};
use super::secret::Digest;

/// The clients of the file, by ID.
#[derive(Debug, Default)]
pub struct Configured(BTreeMap<String, ConfiguredClient>);

/// A client of the file.
#[derive(Clone, Debug)]
pub struct ConfiguredClient {
    /// The digest of its secret.
    pub digest: Digest,
    /// The most that its tokens may do.
    pub rights: Rights,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    client: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
    sha256: String,
    #[serde(default)]
    roles: Vec<String>,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    tenant: String,
}

// === impl Configured ===

impl Configured {
    /// Reads the file.
    ///
    /// # Errors
    /// The problem: malformed TOML, an unknown key, an ID twice, a digest that is not one, a role
    /// of processes.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        let mut clients = BTreeMap::new();
        for entry in file.client {
            let id = entry.id;
            let digest = Digest::from_hex(&entry.sha256)
                .ok_or_else(|| format!("client `{id}`: sha256: expected 64 hexadecimal digits"))?;
            if let Err(role) = check_roles(&entry.roles) {
                return Err(format!("client `{id}`: the role `{role}` is reserved"));
            }
            let rights = Rights {
                roles: entry.roles,
                scopes: entry.scopes,
                tenant: entry.tenant,
            };
            let client = ConfiguredClient { digest, rights };
            if id.is_empty() || clients.insert(id.clone(), client).is_some() {
                return Err(format!(
                    "client `{id}`: expected an ID that no other client has"
                ));
            }
        }
        Ok(Self(clients))
    }

    /// Returns a client.
    pub fn get(&self, id: &str) -> Option<&ConfiguredClient> {
        self.0.get(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_in_the_file_is_named() {
        let digest = "ab".repeat(32);
        let good = format!("[[client]]\nid = \"gateway\"\nsha256 = \"{digest}\"\n");
        let clients = Configured::parse(&format!("{good}scopes = [\"introspect\"]")).unwrap();
        assert!(
            clients
                .get("gateway")
                .unwrap()
                .rights
                .has_scope("introspect")
        );
        assert!(clients.get("other").is_none());
        for (text, expected) in [
            (format!("{good}{good}"), "no other client has"),
            (good.replace(&digest, "ab"), "64 hexadecimal digits"),
            (format!("{good}roles = [\"mesh.process\"]"), "reserved"),
            (format!("{good}secret = \"x\""), "unknown field"),
        ] {
            let problem = Configured::parse(&text).unwrap_err();
            assert!(problem.contains(expected), "{problem}");
        }
    }
}
