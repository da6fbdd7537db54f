//! The keys of `[valkey]` in a process's configuration, with their defaults and bounds.

use std::path::PathBuf;
use std::time::Duration;

use chassis::config::{ConfigError, check_numbers};
use redis::{Client, ConnectionInfo, IntoConnectionInfo, TlsCertificates};
use serde::Deserialize;

/// Longest timeout, in milliseconds.
const MAX_TIMEOUT_MS: u64 = 60_000;
/// Longest prefix of keys, in bytes.
const MAX_PREFIX: usize = 64;
/// The prefix of keys for a URL without a user.
const PREFIX: &str = "protomesh";

/// Settings of the connection; every key has a default.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// `redis://user:password@host:port/database`, or `rediss://` for TLS; empty for no store.
    pub url: String,
    /// File with the password, in place of the URL's; empty for none.
    pub password_file: PathBuf,
    /// PEM file of the trust anchors for `rediss://`; empty for those of the system.
    pub ca_file: PathBuf,
    /// Beginning of every key; empty for the URL's user, or `protomesh` without one. A colon
    /// follows.
    pub prefix: String,
    /// How long an attempt to connect may take, in milliseconds.
    pub connect_timeout_ms: u64,
    /// How long a caller waits for an answer, in milliseconds.
    pub response_timeout_ms: u64,
}

// === impl Settings ===

impl Default for Settings {
    fn default() -> Self {
        Self {
            url: String::new(),
            password_file: PathBuf::new(),
            ca_file: PathBuf::new(),
            prefix: String::new(),
            connect_timeout_ms: 1000,
            response_timeout_ms: 50,
        }
    }
}

impl Settings {
    /// Returns whether a store is configured.
    pub fn is_set(&self) -> bool {
        !self.url.is_empty()
    }

    /// Returns the client and the prefix of its keys.
    pub(crate) fn client(&self) -> Result<(Client, String), ConfigError> {
        let numbers = [
            (
                "connect_timeout_ms",
                self.connect_timeout_ms,
                MAX_TIMEOUT_MS,
            ),
            (
                "response_timeout_ms",
                self.response_timeout_ms,
                MAX_TIMEOUT_MS,
            ),
        ];
        check_numbers("valkey.", &numbers)?;
        let info = self.connection_info()?;
        let user = info.redis_settings().username().unwrap_or(PREFIX);
        let prefix = match self.prefix.is_empty() {
            true => user.to_owned(),
            false => self.prefix.clone(),
        };
        if prefix.len() > MAX_PREFIX || !prefix.bytes().all(|c| c.is_ascii_graphic()) {
            let problem = format!("expected at most {MAX_PREFIX} printable characters");
            return Err(invalid("prefix", problem));
        }
        let client = match self.ca_file.as_os_str().is_empty() {
            true => Client::open(info),
            false => {
                let anchors = std::fs::read(&self.ca_file).map_err(|error| {
                    let file = self.ca_file.display();
                    invalid("ca_file", format!("cannot read {file}: {error}"))
                })?;
                let certificates = TlsCertificates {
                    client_tls: None,
                    root_cert: Some(anchors),
                };
                Client::build_with_tls(info, certificates)
            }
        };
        let client = client.map_err(|error| invalid("url", error.to_string()))?;
        Ok((client, prefix))
    }

    /// The error has no part of the URL: it may hold a password.
    fn connection_info(&self) -> Result<ConnectionInfo, ConfigError> {
        let info = self.url.as_str().into_connection_info().map_err(|_| {
            let expected = "expected a URL such as `redis://user:password@host:6379`";
            invalid("url", expected.to_owned())
        })?;
        if self.password_file.as_os_str().is_empty() {
            return Ok(info);
        }
        let password = std::fs::read_to_string(&self.password_file).map_err(|error| {
            let file = self.password_file.display();
            invalid("password_file", format!("cannot read {file}: {error}"))
        })?;
        let settings = info.redis_settings().clone().set_password(password.trim());
        Ok(info.set_redis_settings(settings))
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    pub(crate) fn response_timeout(&self) -> Duration {
        Duration::from_millis(self.response_timeout_ms)
    }
}

fn invalid(key: &str, problem: String) -> ConfigError {
    ConfigError::effective(format!("valkey.{key}"), problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str) -> Settings {
        Settings {
            url: url.to_owned(),
            ..Settings::default()
        }
    }

    #[test]
    fn keys_begin_with_the_user_of_the_url() {
        for (url, prefix) in [
            ("redis://gateway:secret@127.0.0.1:1", "gateway"),
            ("redis://127.0.0.1:1", "protomesh"),
        ] {
            assert_eq!(of(url).client().unwrap().1, prefix);
        }
    }

    #[test]
    fn a_bad_setting_is_named_without_its_secrets() {
        let late = Settings {
            response_timeout_ms: 0,
            ..of("redis://127.0.0.1")
        };
        let missing = Settings {
            password_file: "/nowhere/password".into(),
            ..of("redis://127.0.0.1")
        };
        for (settings, key) in [
            (of("gateway:secret@127.0.0.1"), "valkey.url"),
            (late, "valkey.response_timeout_ms"),
            (missing, "valkey.password_file"),
        ] {
            let error = settings.client().map(|_| ()).unwrap_err();
            assert_eq!(error.key, key);
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
