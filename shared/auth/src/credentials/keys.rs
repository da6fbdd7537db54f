//! API keys: digests in the configuration or in a file that is read again when it changes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rpc::config::ConfigError;
use serde::Deserialize;

use crate::clock::Clock;
use crate::identity::{Credential, Identity, is_of_processes};
use crate::rejection::Rejection;
use crate::settings::{AuthenticationSettings, KeySettings, refuse};
use crate::verified::{Digest, Verified};

/// The authority of keys.
const ISSUER: &str = "keys";

/// Most bytes of the file.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// The keys that are known.
pub(crate) struct ApiKeys {
    configured: Vec<KeySettings>,
    file: Option<PathBuf>,
    interval: Duration,
    clock: Clock,
    known: ArcSwap<HashMap<Digest, ApiKey>>,
}

struct ApiKey {
    prefix: String,
    verified: Arc<Verified>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    keys: Vec<KeySettings>,
}

// === impl ApiKeys ===

impl ApiKeys {
    /// # Errors
    /// A key that does not fit, or a file that can't be read.
    pub(crate) fn new(
        settings: &AuthenticationSettings,
        clock: &Clock,
    ) -> Result<Self, ConfigError> {
        let keys = Self {
            configured: settings.keys.clone(),
            file: Some(settings.keys_file.clone()).filter(|file| !file.as_os_str().is_empty()),
            interval: Duration::from_millis(settings.keys_reload_ms),
            clock: clock.clone(),
            known: ArcSwap::default(),
        };
        let known = index(&keys.configured).map_err(|problem| refuse("keys", &problem))?;
        keys.known.store(Arc::new(known));
        if let Some(file) = &keys.file {
            let content = read(file).map_err(|problem| refuse("keys_file", &problem))?;
            let loaded = keys.load(&content);
            loaded.map_err(|problem| refuse("keys_file", &problem))?;
        }
        Ok(keys)
    }

    /// Returns the caller that a key names; `None` if it is unknown.
    ///
    /// # Errors
    /// A key that has expired.
    pub(crate) fn find(
        &self,
        key: &str,
        digest: &Digest,
    ) -> Option<Result<Arc<Verified>, Rejection>> {
        let known = self.known.load();
        let found = known.get(digest)?;
        // Its digest is right, so this only holds people to the prefix that they were shown.
        if !key.starts_with(&found.prefix) {
            return None;
        }
        let expires = found.verified.identity.expires;
        Some(
            match expires.is_some_and(|expires| self.clock.now() >= expires) {
                true => Err(Rejection::Expired),
                false => Ok(found.verified.clone()),
            },
        )
    }

    /// Returns whether a key is still known.
    pub(crate) fn has(&self, digest: &Digest) -> bool {
        self.known.load().contains_key(digest)
    }

    /// Reads the file again whenever it has changed.
    pub(crate) async fn follow(&self) {
        let Some(file) = &self.file else {
            return std::future::pending().await;
        };
        let mut seen = None;
        loop {
            self.clock.wait(self.interval).await;
            let path = file.clone();
            let content = tokio::task::spawn_blocking(move || read(&path)).await;
            let content = content.unwrap_or_else(|error| Err(error.to_string()));
            if seen.as_ref() == Some(&content) {
                continue;
            }
            let loaded = content.as_ref().map_err(String::clone);
            match loaded.and_then(|content| self.load(content)) {
                Ok(()) => tracing::info!(file = %file.display(), "keys read"),
                Err(problem) => {
                    tracing::error!(file = %file.display(), problem, "keys not read, the old ones stay");
                }
            }
            seen = Some(content);
        }
    }

    fn load(&self, content: &str) -> Result<(), String> {
        let file: File = toml::from_str(content).map_err(|error| error.to_string())?;
        let all: Vec<_> = self.configured.iter().chain(&file.keys).cloned().collect();
        self.known.store(Arc::new(index(&all)?));
        Ok(())
    }
}

fn read(file: &Path) -> Result<String, String> {
    let describe = |error: std::io::Error| format!("{}: {error}", file.display());
    let length = std::fs::metadata(file).map_err(describe)?.len();
    if length > MAX_BYTES {
        return Err(format!("{length} bytes are more than {MAX_BYTES}"));
    }
    std::fs::read_to_string(file).map_err(describe)
}

fn index(all: &[KeySettings]) -> Result<HashMap<Digest, ApiKey>, String> {
    let mut known: HashMap<Digest, ApiKey> = HashMap::new();
    for key in all {
        let (digest, expires) = key.parse()?;
        let prefix = key.prefix.clone();
        if known.values().any(|other| other.prefix == prefix) {
            return Err(format!("two keys have the prefix `{prefix}`"));
        }
        let verified = Arc::new(Verified::new(identity(key, expires), None, None));
        if known.insert(digest, ApiKey { prefix, verified }).is_some() {
            return Err(format!("the key `{}` is there twice", key.prefix));
        }
    }
    Ok(known)
}

fn identity(key: &KeySettings, expires: Option<SystemTime>) -> Identity {
    Identity {
        issuer: ISSUER.to_owned(),
        subject: key.subject.clone(),
        tenant: key.tenant.clone(),
        roles: key.roles.iter().cloned().collect(),
        scopes: key.scopes.iter().cloned().collect(),
        credential: Credential::Key,
        credential_id: Some(key.prefix.clone()),
        expires,
    }
}

// === impl KeySettings ===

impl KeySettings {
    /// Returns the digest and the expiry.
    fn parse(&self) -> Result<(Digest, Option<SystemTime>), String> {
        let Self { prefix, .. } = self;
        if prefix.len() < 4 || prefix.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err(format!(
                "the prefix `{prefix}` has not 4 or more printable characters"
            ));
        }
        if self.subject.is_empty() {
            return Err(format!("the key `{prefix}` has no subject"));
        }
        if let Some(role) = self.roles.iter().find(|role| is_of_processes(role)) {
            return Err(format!(
                "the key `{prefix}` has the role `{role}`, which only processes of the mesh have"
            ));
        }
        let digest = Digest::from_hex(&self.sha256);
        let digest = digest.ok_or_else(|| format!("`sha256` of the key `{prefix}` is not one"))?;
        let expires = self.expires.as_ref().map(|text| {
            let time = text.parse::<prost_types::Timestamp>().ok();
            let time = time.and_then(|time| SystemTime::try_from(time).ok());
            time.ok_or_else(|| format!("`expires` of the key `{prefix}` is not a time (RFC 3339)"))
        });
        Ok((digest, expires.transpose()?))
    }
}
