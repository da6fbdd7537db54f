//! The clients of a mesh's issuer: secrets made at each start, readable by the mesh's user only.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest as _, Sha256};

use super::secrets::{password, write_private};
use crate::home::create_dir;
use crate::project::{GATEWAY, Issuer, Service};

/// The directory of the secrets, in that of the mesh.
const DIRECTORY: &str = "clients";
/// The file that the issuer reads, with the digests of the secrets.
const DIGESTS: &str = "clients.toml";
/// The client whose tokens `mesh token` prints.
pub(crate) const DEVELOPER: &str = "developer";
/// The scope of a client that may ask about the credentials of others.
const INTROSPECT: &str = "introspect";

/// Places of the files.
#[derive(Clone, Debug)]
pub(crate) struct Clients(PathBuf);

// === impl Clients ===

impl Clients {
    /// Returns the places of the clients of the mesh in `dir`, which may have none.
    pub(crate) fn of(dir: &Path) -> Self {
        Self(dir.join(DIRECTORY))
    }

    /// Makes the clients: the gateway, which asks about credentials, and the developer. Those of an
    /// earlier mesh are dropped.
    pub(crate) fn create(&self, issuer: &Issuer) -> Result<()> {
        if self.0.exists() {
            let cleared = fs::remove_dir_all(&self.0);
            cleared.with_context(|| format!("cannot remove {}", self.0.display()))?;
        }
        create_dir(&self.0, 0o700)?;
        let introspect = [INTROSPECT.to_owned()];
        let mut file = String::new();
        for (id, roles, scopes, tenant) in [
            (GATEWAY, &[][..], &introspect[..], ""),
            (DEVELOPER, &issuer.roles, &issuer.scopes, &*issuer.tenant),
        ] {
            // Alphanumeric: 190 random bits.
            let secret = password();
            write_private(&self.secret_file(id), &secret)?;
            let digest = Sha256::digest(&secret);
            // Writing to a text can't fail.
            let _ = writeln!(file, "[[client]]\nid = {id:?}\nsha256 = \"{digest:x}\"");
            let _ = writeln!(
                file,
                "roles = {roles:?}\nscopes = {scopes:?}\ntenant = {tenant:?}"
            );
        }
        write_private(&self.0.join(DIGESTS), &file)
    }

    /// Returns the file of a client's secret.
    pub(crate) fn secret_file(&self, id: &str) -> PathBuf {
        self.0.join(format!("{id}.secret"))
    }

    /// Reads the secret of a client.
    pub(crate) fn secret(&self, id: &str) -> Result<String> {
        let file = self.secret_file(id);
        let text = fs::read_to_string(&file);
        let text = text.with_context(|| format!("cannot read {}", file.display()))?;
        Ok(text.trim().to_owned())
    }

    /// Returns the variables of a service, or of the gateway without one; `url` is the gateway's,
    /// at which clients find the issuer.
    pub(crate) fn environment(
        &self,
        issuer: &Issuer,
        url: &str,
        service: Option<&Service>,
    ) -> Vec<(String, String)> {
        let mut variables = Vec::new();
        let mut set = |key: &str, value: &str| {
            variables.push((format!("PROTOMESH_{key}"), value.to_owned()));
        };
        match service {
            Some(service) if service.name == issuer.service => {
                set("ISSUER", url);
                set("AUDIENCES", url);
                let file = self.0.join(DIGESTS).display().to_string();
                set("CLIENTS_FILE", &file);
            }
            Some(_) => {}
            None => {
                set("AUTHENTICATION__AUDIENCES", url);
                set("AUTHENTICATION__RESOURCE", url);
                for (key, value) in [
                    ("URL", url),
                    ("ALGORITHMS", "ES256"),
                    ("TOKEN_TYPE", "at+jwt"),
                    ("TENANT_CLAIM", "tenant"),
                ] {
                    set(&format!("AUTHENTICATION__ISSUER__MESH__{key}"), value);
                }
                let secret = self.secret_file(GATEWAY).display().to_string();
                for (table, key, path) in [
                    ("INTROSPECTION", "URL", "introspect"),
                    ("REVOCATIONS", "LIST", "revocations"),
                ] {
                    let place = format!("{url}/oauth/{path}");
                    set(&format!("AUTHENTICATION__{table}__{key}"), &place);
                    set(&format!("AUTHENTICATION__{table}__CLIENT_ID"), GATEWAY);
                    let key = format!("AUTHENTICATION__{table}__CLIENT_SECRET_FILE");
                    set(&key, &secret);
                }
                set("AUTHENTICATION__INTROSPECTION__ISSUER", url);
                set("AUTHENTICATION__INTROSPECTION__TENANT_CLAIM", "tenant");
            }
        }
        variables
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_issuer_gets_digests_and_only_clients_get_secrets() {
        let dir = tempfile::tempdir().unwrap();
        let clients = Clients::of(dir.path());
        let issuer = Issuer {
            service: "identity".to_owned(),
            roles: vec!["admin".to_owned()],
            scopes: Vec::new(),
            tenant: String::new(),
        };
        clients.create(&issuer).unwrap();
        let file = fs::read_to_string(clients.0.join(DIGESTS)).unwrap();
        let file: toml::Table = file.parse().unwrap();
        let listed = file["client"].as_array().unwrap();
        for (client, id) in listed.iter().zip([GATEWAY, DEVELOPER]) {
            let secret = clients.secret(id).unwrap();
            assert_eq!(client["id"].as_str(), Some(id));
            let digest = format!("{:x}", Sha256::digest(&secret));
            assert_eq!(client["sha256"].as_str(), Some(&*digest));
        }
        assert_eq!(listed[1]["roles"][0].as_str(), Some("admin"));
        let before = clients.secret(DEVELOPER).unwrap();
        clients.create(&issuer).unwrap();
        assert_ne!(clients.secret(DEVELOPER).unwrap(), before);
    }
}
