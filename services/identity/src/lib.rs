//! The issuer of the mesh's access tokens and API keys.

#![allow(missing_docs, reason = "the module docs say what each module is for")]

pub mod convert;
pub mod error;
pub mod keys;
pub mod model;
pub mod rpc;
pub mod store;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ::store::Database;
use chassis::config::{ConfigError, MAX_NUMBER, check_numbers};
use desk::Desk;
use protos::identity::v1::identity_service_server::IdentityServiceServer;
use protos::identity::v1::o_auth_service_server::OAuthServiceServer;
use serde::Deserialize;
use sqlx::migrate::Migrator;

use crate::keys::Keys;
use crate::model::{Configured, Issuer, Rotation};

/// Every key of the configuration with its default.
pub const DEFAULTS: &str = include_str!("../config.default.toml");

static MIGRATIONS: Migrator = sqlx::migrate!();

/// Shortest and longest life of a token, in milliseconds.
const TOKEN_MS: std::ops::RangeInclusive<u64> = 10_000..=86_400_000;
/// Longest time for which others may keep the keys, in seconds.
const KEYS_MAX_AGE: i64 = 300;

/// The service's own configuration; `config.default.toml` documents the keys.
#[derive(Debug, Deserialize)]
pub struct Config {
    database_url: String,
    database_connections: u32,
    issuer: String,
    audiences: Vec<String>,
    token_ms: u64,
    clients_file: PathBuf,
    keys: KeyTimes,
    database: ::store::Settings,
}

/// The keys under `[keys]`.
#[derive(Debug, Deserialize)]
pub struct KeyTimes {
    rotation_ms: u64,
    lead_ms: u64,
    refresh_ms: u64,
}

/// Opens the database, reads or makes the keys of tokens, and returns the server.
pub async fn start(process: chassis::Process, config: Config) -> anyhow::Result<chassis::Server> {
    let (issuer, rotation) = (config.issuer()?, config.rotation()?);
    let configured = config.clients()?;
    let database = Database::open(
        &process,
        &config.database_url,
        config.database_connections,
        &config.database,
        &[&desk::MIGRATIONS, &MIGRATIONS],
    )
    .await?;
    let pool = database.pool().clone();
    let refresh = Duration::from_millis(config.keys.refresh_ms);
    let keys = Arc::new(Keys::open(pool.clone(), rotation, refresh).await?);
    let (followed, stop) = (keys.clone(), process.shutdown());
    process.spawn("keys", async move {
        followed.follow(stop).await;
        Ok::<_, anyhow::Error>(())
    });
    let identity = rpc::Identity {
        pool: pool.clone(),
        token_life: issuer.token_life,
    };
    let oauth = rpc::OAuth {
        pool,
        issuer,
        configured,
        keys,
        keys_max_age: (rotation.lead.num_seconds() / 2).min(KEYS_MAX_AGE),
    };
    let desk = Desk::new(database.clone(), protos::FILE_DESCRIPTOR_SET)?;
    let server = chassis::Server::new(protos::FILE_DESCRIPTOR_SET, protos::METHODS)
        .add_service(database.guard(IdentityServiceServer::new(identity)))
        // Without the guard: the keys are served while the database is away.
        .add_service(OAuthServiceServer::new(oauth))
        .ready_when(database.readiness());
    Ok(desk.serve_on(server))
}

// === impl Config ===

impl Config {
    fn issuer(&self) -> Result<Issuer, ConfigError> {
        let rest = self.issuer.strip_prefix("https://");
        let rest = rest.or_else(|| self.issuer.strip_prefix("http://"));
        let is_origin = rest.is_some_and(|it| !it.is_empty() && !it.contains(['/', '?', '#']));
        if !is_origin {
            let problem = format!(
                "expected the URL of the gateway without a path, such as https://api.example.com, got `{}`",
                self.issuer
            );
            return Err(invalid("issuer", problem));
        }
        if self.audiences.is_empty() || self.audiences.iter().any(String::is_empty) {
            let problem = "expected the API that tokens are for".to_owned();
            return Err(invalid("audiences", problem));
        }
        if !TOKEN_MS.contains(&self.token_ms) {
            let (least, most) = (TOKEN_MS.start(), TOKEN_MS.end());
            let problem = format!("expected {least} to {most}, got {}", self.token_ms);
            return Err(invalid("token_ms", problem));
        }
        Ok(Issuer {
            url: self.issuer.clone(),
            audiences: self.audiences.clone(),
            token_life: milliseconds(self.token_ms),
        })
    }

    fn rotation(&self) -> Result<Rotation, ConfigError> {
        let KeyTimes {
            rotation_ms,
            lead_ms,
            refresh_ms,
        } = self.keys;
        check_numbers(
            "keys.",
            &[
                ("rotation_ms", rotation_ms, MAX_NUMBER),
                ("lead_ms", lead_ms, MAX_NUMBER),
                ("refresh_ms", refresh_ms, MAX_NUMBER),
            ],
        )?;
        // Every process has to know a key before another one signs with it.
        if lead_ms < 2 * refresh_ms {
            let problem = format!("expected twice `refresh_ms` or more, got {lead_ms}");
            return Err(invalid("keys.lead_ms", problem));
        }
        if rotation_ms < 2 * lead_ms {
            let problem = format!("expected twice `lead_ms` or more, got {rotation_ms}");
            return Err(invalid("keys.rotation_ms", problem));
        }
        Ok(Rotation {
            interval: milliseconds(rotation_ms),
            lead: milliseconds(lead_ms),
            token_life: milliseconds(self.token_ms),
        })
    }

    fn clients(&self) -> Result<Configured, ConfigError> {
        if self.clients_file.as_os_str().is_empty() {
            return Ok(Configured::default());
        }
        let file = self.clients_file.display();
        let text = std::fs::read_to_string(&self.clients_file)
            .map_err(|error| invalid("clients_file", format!("{file}: {error}")))?;
        Configured::parse(&text)
            .map_err(|problem| invalid("clients_file", format!("{file}: {problem}")))
    }
}

fn milliseconds(number: u64) -> chrono::Duration {
    // Checked before; a number above this is none that was checked.
    chrono::Duration::milliseconds(i64::try_from(number).unwrap_or(i64::MAX / 1_000_000))
}

fn invalid(key: &str, problem: String) -> ConfigError {
    ConfigError::new(key, problem, "the configuration")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config {
            database_url: String::new(),
            database_connections: 1,
            issuer: "https://id.example".to_owned(),
            audiences: vec!["https://api.example".to_owned()],
            token_ms: 600_000,
            clients_file: PathBuf::new(),
            keys: KeyTimes {
                rotation_ms: 4_000,
                lead_ms: 2_000,
                refresh_ms: 1_000,
            },
            database: ::store::Settings::default(),
        }
    }

    #[test]
    fn a_configuration_that_can_not_work_is_rejected_with_its_key() {
        let good = config();
        assert!(good.issuer().is_ok() && good.rotation().is_ok() && good.clients().is_ok());
        let key = |change: &dyn Fn(&mut Config)| {
            let mut config = config();
            change(&mut config);
            let outcome = config.issuer().map(drop);
            let outcome = outcome.and_then(|()| config.rotation().map(drop));
            let outcome = outcome.and_then(|()| config.clients().map(drop));
            outcome.unwrap_err().key
        };
        for issuer in [
            "",
            "id.example",
            "https://",
            "https://id.example/",
            "ftp://x",
        ] {
            assert_eq!(key(&|config| config.issuer = issuer.to_owned()), "issuer");
        }
        assert_eq!(key(&|config| config.audiences.clear()), "audiences");
        assert_eq!(key(&|config| config.token_ms = 1), "token_ms");
        assert_eq!(key(&|config| config.keys.refresh_ms = 0), "keys.refresh_ms");
        assert_eq!(
            key(&|config| config.keys.refresh_ms = 1_001),
            "keys.lead_ms"
        );
        assert_eq!(
            key(&|config| config.keys.lead_ms = 2_001),
            "keys.rotation_ms"
        );
        let missing = PathBuf::from("/no/such/file");
        assert_eq!(
            key(&|config| config.clients_file.clone_from(&missing)),
            "clients_file"
        );
    }
}
