//! Typed configuration in layers: defaults, file, environment, command line. The only reader of the
//! environment.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use client::ClientSettings;
use config::{Config, File, FileFormat, Value, ValueKind};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use server::{AdmissionSettings, IdentitySettings, ListenerSettings, TlsSettings};
use telemetry::observe::AccessLogSettings;

mod known;
mod library;
#[cfg(test)]
mod tests;

pub use rpc::config::{ConfigError, MAX_NUMBER, check_numbers};
pub use telemetry::{LogFormat, TraceWhen};

/// Prefix of every environment variable that sets a key.
const ENVIRONMENT_PREFIX: &str = "PROTOMESH_";

/// Environment variable that names the file when `--config` does not.
const FILE_VARIABLE: &str = "PROTOMESH_CONFIG";

const CHASSIS_DEFAULTS: &str = include_str!("config.default.toml");

/// The keys that every process has; `config.default.toml` documents them.
#[derive(Debug, Clone, Deserialize)]
pub struct Settings {
    /// Address to serve on.
    pub listen: SocketAddr,
    /// Log filter in the syntax of `tracing_subscriber::EnvFilter`.
    pub log: String,
    /// The format of log lines.
    pub log_format: LogFormat,
    /// OTLP/gRPC collector; empty for none.
    pub otlp_endpoint: String,
    /// When requests have a trace of their own.
    pub trace: TraceWhen,
    /// Limit of the drain, in milliseconds.
    pub drain_timeout_ms: u64,
    /// Largest request message, in bytes.
    pub max_message_bytes: usize,
    /// Connections served at once.
    pub max_connections: usize,
    /// Name of the crash point to abort at; empty for none.
    pub crash_at: String,
    /// Whether there is `GET /metrics`.
    pub metrics: bool,
    /// Address of the listener for operators; empty for none.
    pub admin_listen: String,
    /// File of the tokens of operators; empty for none.
    pub operator_tokens: String,
    /// Calls to other services.
    pub client: ClientSettings,
    /// The adaptive limit of concurrent calls.
    pub admission: AdmissionSettings,
    /// Limits of a connection and of a request.
    pub listener: ListenerSettings,
    /// TLS of the listener.
    pub tls: TlsSettings,
    /// The name of this process to others, and the others that it believes.
    pub identity: IdentitySettings,
    /// One line per request.
    pub access_log: AccessLogSettings,
}

/// The sources of the layers above the defaults.
#[derive(Debug, Default)]
pub struct Sources {
    /// TOML file.
    pub file: Option<PathBuf>,
    /// `(name, value)` of environment variables; names without our prefix are skipped.
    pub environment: Vec<(String, String)>,
    /// Values by key that command line flags set.
    pub flags: BTreeMap<String, Vec<String>>,
}

/// The merged layers.
#[derive(Debug)]
pub struct Layers {
    merged: Config,
}

// === impl Sources ===

impl Sources {
    /// Reads the environment of the process; a file named by a flag wins over `PROTOMESH_CONFIG`.
    pub fn from_environment(file: Option<PathBuf>, flags: BTreeMap<String, Vec<String>>) -> Self {
        let environment: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| name.starts_with(ENVIRONMENT_PREFIX))
            .collect();
        let named = environment.iter().find(|(name, _)| name == FILE_VARIABLE);
        let file = file.or_else(|| named.map(|(_, path)| PathBuf::from(path)));
        Self {
            file,
            environment,
            flags,
        }
    }
}

// === impl Layers ===

impl Layers {
    /// Merges the defaults of the chassis, those of the process, and the sources; later ones win.
    ///
    /// # Errors
    /// A file that can't be read or parsed; a key or a variable without a default.
    pub fn load(defaults: &str, sources: &Sources) -> Result<Self, ConfigError> {
        let documented = build(
            Config::builder()
                .add_source(File::from_str(CHASSIS_DEFAULTS, FileFormat::Toml))
                .add_source(File::from_str(defaults, FileFormat::Toml)),
        )?;
        let mut layers = Config::builder().add_source(documented.clone());
        if let Some(path) = &sources.file {
            known::find_file(path)?;
            let file = File::from(path.as_path()).format(FileFormat::Toml);
            let content = build(Config::builder().add_source(file.clone()))?;
            known::check_file(&content.cache, &documented.cache, path)?;
            layers = layers.add_source(file);
        }
        known::check_variables(&sources.environment, &documented.cache)?;
        for (key, value) in overrides(sources, &documented) {
            layers = layers
                .set_override(&key, value)
                .map_err(|error| library::error(error, None))?;
        }
        Ok(Self {
            merged: build(layers)?,
        })
    }

    /// Reads a part of the configuration; keys that `C` does not have are skipped.
    ///
    /// # Errors
    /// A missing key or a value of the wrong type, named with its source.
    pub fn parse<C: DeserializeOwned>(&self) -> Result<C, ConfigError> {
        self.merged
            .clone()
            .try_deserialize()
            .map_err(|error| library::error(error, Some(&self.merged)))
    }

    /// Reads the keys of the chassis and checks their ranges.
    ///
    /// # Errors
    /// See [`Layers::parse`].
    pub fn settings(&self) -> Result<Settings, ConfigError> {
        let settings: Settings = self.parse()?;
        let positive = [
            ("max_message_bytes", settings.max_message_bytes),
            ("max_connections", settings.max_connections),
        ];
        for (key, value) in positive {
            if value == 0 {
                let problem = "expected a number above 0, got 0";
                return Err(ConfigError::new(key, problem, self.origin(key)));
            }
        }
        settings.admission.validate("admission")?;
        settings.listener.validate()?;
        settings.tls.validate()?;
        settings.identity.validate()?;
        settings.access_log.validate()?;
        if settings.server().admin_address().is_err() {
            let problem = format!(
                "expected host:port or nothing, got `{}`",
                settings.admin_listen
            );
            return Err(ConfigError::new(
                "admin_listen",
                problem,
                self.origin("admin_listen"),
            ));
        }
        Ok(settings)
    }

    /// Writes the merged configuration as TOML, passwords in URLs blanked.
    ///
    /// # Errors
    /// A value that TOML can't hold.
    pub fn dump(&self) -> Result<String, ConfigError> {
        let mut table: toml::Table = self.parse()?;
        for (_, value) in table.iter_mut() {
            blank_passwords(value);
        }
        toml::to_string(&table)
            .map_err(|error| ConfigError::new("*", error.to_string(), "merged configuration"))
    }

    /// Returns the dotted paths of the keys whose values differ, sorted. An array is one value.
    pub fn changed_keys(&self, before: &Self) -> Vec<String> {
        let (mut old, mut new) = (BTreeMap::new(), BTreeMap::new());
        leaves(&before.merged.cache, "", &mut old);
        leaves(&self.merged.cache, "", &mut new);
        let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        let differs = |key: &&&String| old.get(**key) != new.get(**key);
        keys.iter()
            .filter(differs)
            .map(|key| (**key).clone())
            .collect()
    }

    /// Returns whether a key is one of [`Settings`], which are read at the start of a process only.
    pub(crate) fn is_fixed(key: &str) -> bool {
        let first = key.split('.').next().unwrap_or_default();
        let own = toml::from_str::<toml::Table>(CHASSIS_DEFAULTS);
        own.is_ok_and(|own| own.contains_key(first))
    }

    /// Returns the file, variable or flag that sets a key.
    pub(crate) fn origin(&self, key: &str) -> String {
        origin(Some(&self.merged), key)
    }

    /// Returns whether nothing but the built-in defaults sets a key.
    pub(crate) fn is_default(&self, key: &str) -> bool {
        self.origin(key) == built_in()
    }

    /// Returns the environment variables that set the keys of a process, sorted.
    pub(crate) fn variables(&self) -> Vec<String> {
        let mut keys = BTreeMap::new();
        leaves(&self.merged.cache, "", &mut keys);
        keys.keys().map(|key| known::variable(key)).collect()
    }
}

// === impl Settings ===

impl Settings {
    /// Returns the limit of the drain.
    pub fn drain_timeout(&self) -> Duration {
        Duration::from_millis(self.drain_timeout_ms)
    }

    /// Returns the settings of the server.
    pub fn server(&self) -> server::Settings {
        server::Settings {
            drain_timeout: self.drain_timeout(),
            max_message_bytes: self.max_message_bytes,
            max_connections: self.max_connections,
            metrics: self.metrics,
            admin_listen: self.admin_listen.clone(),
            operator_tokens: self.operator_tokens.clone(),
            admission: self.admission.clone(),
            listener: self.listener.clone(),
            tls: self.tls.clone(),
            identity: self.identity.clone(),
            access_log: self.access_log.clone(),
        }
    }

    /// Returns the settings of logs and traces.
    pub fn telemetry(&self) -> telemetry::Settings {
        telemetry::Settings {
            log: self.log.clone(),
            log_format: self.log_format,
            otlp_endpoint: self.otlp_endpoint.clone(),
            trace: self.trace,
        }
    }
}

fn build(
    builder: config::ConfigBuilder<config::builder::DefaultState>,
) -> Result<Config, ConfigError> {
    builder.build().map_err(|error| library::error(error, None))
}

fn overrides(sources: &Sources, documented: &Config) -> Vec<(String, Value)> {
    let variables = sources.environment.iter().filter_map(|(name, value)| {
        let key = variable_key(name)?;
        let origin = format!("environment variable {name}");
        let value = if is_list(documented, &key) {
            let items = value
                .split(',')
                .map(str::trim)
                .filter(|item| !item.is_empty());
            Value::new(Some(&origin), items.map(str::to_owned).collect::<Vec<_>>())
        } else {
            Value::new(Some(&origin), value.as_str())
        };
        Some((key, value))
    });
    let flags = sources.flags.iter().map(|(key, values)| {
        let origin = "the command line".to_owned();
        let value = match (is_list(documented, key), values.last()) {
            (false, Some(last)) => Value::new(Some(&origin), last.as_str()),
            _ => Value::new(Some(&origin), values.clone()),
        };
        (key.clone(), value)
    });
    variables.chain(flags).collect()
}

fn variable_key(name: &str) -> Option<String> {
    let key = name.strip_prefix(ENVIRONMENT_PREFIX)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let usable = name != FILE_VARIABLE && !key.is_empty() && key.bytes().all(plain);
    usable.then(|| key.to_ascii_lowercase().replace("__", "."))
}

fn is_list(documented: &Config, key: &str) -> bool {
    find(&documented.cache, key).is_some_and(|value| matches!(value.kind, ValueKind::Array(_)))
}

fn find<'a>(root: &'a Value, key: &str) -> Option<&'a Value> {
    key.split('.')
        .try_fold(root, |value, name| match &value.kind {
            ValueKind::Table(table) => table.get(name),
            _ => None,
        })
}

/// Collects the values that are not tables by dotted path, without their sources.
fn leaves(value: &Value, path: &str, found: &mut BTreeMap<String, String>) {
    let ValueKind::Table(table) = &value.kind else {
        found.insert(path.to_owned(), value.to_string());
        return;
    };
    for (name, value) in table {
        let dot = if path.is_empty() { "" } else { "." };
        leaves(value, &format!("{path}{dot}{name}"), found);
    }
}

fn origin(merged: Option<&Config>, key: &str) -> String {
    merged
        .and_then(|merged| find(&merged.cache, key))
        .and_then(Value::origin)
        .map_or_else(built_in, str::to_owned)
}

fn built_in() -> String {
    "the built-in defaults".to_owned()
}

fn blank_passwords(value: &mut toml::Value) {
    match value {
        toml::Value::String(text) => {
            if let Some(blanked) = without_password(text) {
                *text = blanked;
            }
        }
        toml::Value::Array(items) => items.iter_mut().for_each(blank_passwords),
        toml::Value::Table(table) => table
            .iter_mut()
            .for_each(|(_, value)| blank_passwords(value)),
        _ => {}
    }
}

fn without_password(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (credentials, _) = authority.rsplit_once('@')?;
    let (user, _) = credentials.split_once(':')?;
    Some(format!(
        "{scheme}://{user}:***{}",
        &rest[credentials.len()..]
    ))
}
