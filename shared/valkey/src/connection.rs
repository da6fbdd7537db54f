//! Sends commands and scripts.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use chassis::Process;
use chassis::config::ConfigError;
use redis::{Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError, Script, ServerErrorKind};
use tokio::time::timeout;

use crate::connector::Connector;
use crate::error::Error;
use crate::link::{Link, Slot};
use crate::settings::Settings;

/// A connection that comes and goes; clones share it.
#[derive(Clone, Debug)]
pub struct Valkey {
    slot: Arc<Slot>,
    prefix: Arc<str>,
    response_timeout: Duration,
}

// === impl Valkey ===

impl Valkey {
    /// Opens the connection of a process, with its metrics. The first attempt is in the background:
    /// the process starts without the server.
    ///
    /// # Errors
    /// A setting that is not valid, or a file of one that can't be read.
    pub fn open(process: &Process, settings: &Settings) -> Result<Self, ConfigError> {
        let (valkey, connector) = Self::new(settings)?;
        let slot = valkey.slot.clone();
        process.metrics().extend(move |out| slot.write(out));
        let shutdown = process.shutdown();
        process.spawn("valkey", async move {
            connector.run(shutdown).await;
            Ok::<_, Infallible>(())
        });
        Ok(valkey)
    }

    /// Creates a connection, and the task that makes it.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn new(settings: &Settings) -> Result<(Self, Connector), ConfigError> {
        let (client, prefix) = settings.client()?;
        let slot = Arc::new(Slot::default());
        let connector = Connector {
            client,
            slot: slot.clone(),
            connect_timeout: settings.connect_timeout(),
            response_timeout: settings.response_timeout(),
        };
        let valkey = Self {
            slot,
            prefix: prefix.into(),
            response_timeout: settings.response_timeout(),
        };
        Ok((valkey, connector))
    }

    /// Returns a key: the prefix and the parts, joined by colons.
    pub fn key(&self, parts: &[&str]) -> String {
        let mut key = String::from(&*self.prefix);
        for part in parts {
            key.push(':');
            key.push_str(part);
        }
        key
    }

    /// Returns whether commands are sent now; otherwise they fail at once.
    pub fn is_available(&self) -> bool {
        self.slot.is_available()
    }

    /// Resolves when commands are sent.
    pub async fn available(&self) {
        self.slot.made().await;
    }

    /// Returns the longest time that a command takes.
    pub fn response_timeout(&self) -> Duration {
        self.response_timeout
    }

    /// Sends a command.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Error> {
        let link = self.link()?;
        let mut connection = link.connection.clone();
        let answer = timeout(self.response_timeout, command.query_async(&mut connection)).await;
        self.settle(&link, answer.ok())
    }

    /// Sends several commands at once; an atomic pipeline is a transaction.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn pipeline<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, Error> {
        let link = self.link()?;
        let mut connection = link.connection.clone();
        let answer = timeout(self.response_timeout, commands.query_async(&mut connection)).await;
        self.settle(&link, answer.ok())
    }

    /// Runs a script with keys and arguments, in one round trip; in two if the server does not know
    /// it.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn script<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[&str],
        arguments: &[&str],
    ) -> Result<T, Error> {
        let hash = script.get_hash();
        match self
            .query(&evaluate("EVALSHA", hash, keys, arguments))
            .await
        {
            Err(Error::Refused(error)) if is_unknown_script(&error) => {
                let link = self.link()?;
                let mut connection = link.connection.clone();
                let load = script.load_async(&mut connection);
                self.settle(&link, timeout(self.response_timeout, load).await.ok())?;
                self.query(&evaluate("EVALSHA", hash, keys, arguments))
                    .await
            }
            answer => answer,
        }
    }

    fn link(&self) -> Result<Arc<Link>, Error> {
        self.slot.link().ok_or_else(|| {
            self.slot.count("away");
            Error::Away
        })
    }

    fn settle<T>(
        &self,
        link: &Arc<Link>,
        answer: Option<Result<T, RedisError>>,
    ) -> Result<T, Error> {
        let Some(answer) = answer else {
            self.slot.count("late");
            self.slot.late(link);
            return Err(Error::Lost);
        };
        match answer {
            Err(error) if error.is_io_error() || error.is_unrecoverable_error() => {
                self.slot.count("late");
                self.slot.lose(link);
                Err(Error::Lost)
            }
            Err(error) => {
                self.slot.count("refused");
                self.slot.in_time(link);
                Err(Error::Refused(error))
            }
            Ok(value) => {
                self.slot.count("answered");
                self.slot.in_time(link);
                Ok(value)
            }
        }
    }
}

fn evaluate(command: &str, script: &str, keys: &[&str], arguments: &[&str]) -> Cmd {
    let mut command = redis::cmd(command);
    command.arg(script).arg(keys.len()).arg(keys).arg(arguments);
    command
}

fn is_unknown_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}
