//! Payments of orders, and the customers' ledger.

#![allow(missing_docs, reason = "the module docs say what each module is for")]

pub mod convert;
pub mod error;
pub mod events;
pub mod model;
pub mod rpc;
pub mod store;

use ::store::Database;
use anyhow::Context;
use chassis::config::ConfigError;
use desk::Desk;
use protos::payments::v1::payments_service_server::PaymentsServiceServer;
use serde::Deserialize;
use sqlx::migrate::Migrator;

use crate::model::Policy;

/// Every key of the configuration with its default.
pub const DEFAULTS: &str = include_str!("../config.default.toml");

static MIGRATIONS: Migrator = sqlx::migrate!();

/// The service's own configuration; `config.default.toml` documents the keys.
#[derive(Debug, Deserialize)]
pub struct Config {
    database_url: String,
    database_connections: u32,
    database: ::store::Settings,
    limit_minor: i64,
    currency_code: String,
    events: ::events::Settings,
}

/// Opens the database, starts the consumer and returns the server.
pub async fn start(process: chassis::Process, config: Config) -> anyhow::Result<chassis::Server> {
    let policy = policy(config.limit_minor, config.currency_code)?;
    let database = Database::open(
        &process,
        &config.database_url,
        config.database_connections,
        &config.database,
        &[
            &::events::MIGRATIONS,
            &eventsourcing::MIGRATIONS,
            &desk::MIGRATIONS,
            &MIGRATIONS,
        ],
    )
    .await?;
    let pool = database.pool().clone();
    let consumers = [events::consumer(policy.clone())];
    let bus = ::events::serve(&process, &config.events, pool.clone(), consumers.clone())
        .await
        .context("events.nats_url: can't connect")?;
    let desk =
        Desk::new(database.clone(), protos::FILE_DESCRIPTOR_SET)?.with_events(bus, consumers);
    let payments = rpc::Payments { pool, policy };
    let server = chassis::Server::new(protos::FILE_DESCRIPTOR_SET, protos::METHODS)
        .add_service(database.guard(PaymentsServiceServer::new(payments)))
        .ready_when(database.readiness());
    Ok(desk.serve_on(server))
}

fn policy(limit_minor: i64, currency_code: String) -> Result<Policy, ConfigError> {
    let refuse = |key, problem| Err(ConfigError::effective(key, problem));
    let policy = Policy {
        limit_minor,
        currency_code,
    };
    if policy.limit_minor < 0 {
        return refuse("limit_minor", "less than 0");
    }
    if !policy.has_currency() {
        return refuse("currency_code", "not three capital letters");
    }
    Ok(policy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_that_can_not_be_meant_names_its_key() {
        let key = |limit_minor, currency: &str| {
            policy(limit_minor, currency.into())
                .err()
                .map(|error| error.key)
        };
        assert_eq!(key(0, "GBP"), None);
        assert_eq!(key(-1, "GBP").as_deref(), Some("limit_minor"));
        assert_eq!(key(0, "gbp").as_deref(), Some("currency_code"));
    }
}
