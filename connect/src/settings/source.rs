//! One source: the keys of `sources/NAME.toml`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chassis::config::ConfigError;
use serde::Deserialize;

use super::{duration, place};

/// Longest name of a source.
const MAX_NAME: usize = 64;

/// Most records of one call.
const MAX_BATCH: usize = 10_000;

/// How long a file has to be unchanged, unless the source says so.
const SETTLE: Duration = Duration::from_secs(2);

/// Records in quarantine at which a source stops, unless it says so.
const HELD_MAX: u64 = 100_000;

/// A declared source.
#[derive(Clone, Debug)]
pub(crate) struct SourceSettings {
    pub(crate) name: String,
    pub(crate) file: PathBuf,
    pub(crate) from: From,
    pub(crate) format: formats::Settings,
    pub(crate) into: Into,
    pub(crate) map: mapping::Settings,
    pub(crate) stop_above: StopAbove,
    /// Records in quarantine at which it stops.
    pub(crate) held_max: u64,
}

/// The way units come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, strum::IntoStaticStr)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum Kind {
    /// Files in a directory.
    Directory,
    /// Files that are sent by SendFile. All other kinds get these too.
    Upload,
}

/// Where units come from.
#[derive(Clone, Debug)]
pub(crate) struct From {
    pub(crate) kind: Kind,
    /// Directory; empty without one.
    pub(crate) path: PathBuf,
    /// Names of its files, with `*` for any text.
    pub(crate) pattern: String,
    pub(crate) settle: Duration,
}

/// The method that gets the records.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Into {
    pub(crate) method: String,
    /// `None` for a call per record.
    pub(crate) batch: Option<Batch>,
    /// Fields of the request beside those of the record, as expressions.
    #[serde(default)]
    pub(crate) request: BTreeMap<String, mapping::Entry>,
}

/// Records of one call.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Batch {
    /// Field of the request that holds them.
    pub(crate) field: String,
    pub(crate) size: usize,
}

/// The ratio of records in quarantine above which a source stops.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StopAbove {
    pub(crate) ratio: f64,
    /// Records in which it is counted.
    pub(crate) of: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    from: FromTable,
    format: formats::Settings,
    into: Into,
    map: BTreeMap<String, mapping::Entry>,
    #[serde(default)]
    tables: BTreeMap<String, mapping::TableSettings>,
    #[serde(default)]
    quarantine: QuarantineTable,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FromTable {
    kind: Kind,
    path: Option<PathBuf>,
    pattern: Option<String>,
    #[serde(default, deserialize_with = "duration::read")]
    settle: Option<Duration>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct QuarantineTable {
    #[serde(default)]
    stop_above: StopAbove,
    max_records: Option<u64>,
}

// === impl SourceSettings ===

impl SourceSettings {
    /// Reads one file.
    ///
    /// # Errors
    /// The key that is wrong.
    pub(crate) fn parse(file: &Path, text: &str) -> Result<Self, ConfigError> {
        let name = file.file_stem().and_then(|stem| stem.to_str());
        let name = name.filter(|name| is_name(name)).ok_or_else(|| {
            let problem = format!("expected a file name of at most {MAX_NAME} of a-z, 0-9 and -");
            ConfigError::new("sources", problem, file.display().to_string())
        })?;
        let table: Table =
            toml::from_str(text).map_err(|error| place::error(file, text, &error))?;
        let settings = Self {
            name: name.to_owned(),
            file: file.to_owned(),
            from: table.from.check(file)?,
            format: table.format,
            into: table.into,
            map: mapping::Settings {
                map: table.map,
                tables: table.tables,
                directory: file.parent().map(Path::to_owned).unwrap_or_default(),
            },
            stop_above: table.quarantine.stop_above,
            held_max: table.quarantine.max_records.unwrap_or(HELD_MAX),
        };
        settings.check()?;
        Ok(settings)
    }

    /// Returns the error of one of its keys.
    pub(crate) fn error(&self, key: &str, problem: impl std::convert::Into<String>) -> ConfigError {
        ConfigError::new(key, problem, self.file.display().to_string())
    }

    fn check(&self) -> Result<(), ConfigError> {
        if let Some(batch) = &self.into.batch
            && !(1..=MAX_BATCH).contains(&batch.size)
        {
            let problem = format!("expected 1 to {MAX_BATCH} records, got {}", batch.size);
            return Err(self.error("into.batch.size", problem));
        }
        let StopAbove { ratio, of } = self.stop_above;
        if !(0.0..=1.0).contains(&ratio) {
            let problem = format!("expected a ratio from 0 to 1, got {ratio}");
            return Err(self.error("quarantine.stop_above.ratio", problem));
        }
        if !(1..=1_000_000).contains(&of) {
            let problem = format!("expected 1 to 1000000 records, got {of}");
            return Err(self.error("quarantine.stop_above.of", problem));
        }
        if !(1..=10_000_000).contains(&self.held_max) {
            let problem = format!("expected 1 to 10000000 records, got {}", self.held_max);
            return Err(self.error("quarantine.max_records", problem));
        }
        Ok(())
    }
}

// === impl StopAbove ===

impl Default for StopAbove {
    fn default() -> Self {
        Self {
            ratio: 0.2,
            of: 1000,
        }
    }
}

// === impl FromTable ===

impl FromTable {
    fn check(self, file: &Path) -> Result<From, ConfigError> {
        let refuse = |key: &str, problem: &str| {
            let origin = file.display().to_string();
            Err(ConfigError::new(format!("from.{key}"), problem, origin))
        };
        match self.kind {
            Kind::Directory => {
                if self.path.is_none() {
                    return refuse("path", "not set: expected a directory");
                }
            }
            Kind::Upload => {
                let is_set = [
                    ("path", self.path.is_some()),
                    ("pattern", self.pattern.is_some()),
                    ("settle", self.settle.is_some()),
                ];
                if let Some((key, _)) = is_set.into_iter().find(|(_, is_set)| *is_set) {
                    return refuse(key, "files that are sent have none");
                }
            }
        }
        let pattern = self.pattern.unwrap_or_else(|| "*".to_owned());
        if pattern.is_empty() || pattern.contains('/') || pattern.len() > 255 {
            return refuse(
                "pattern",
                "expected the name of files in the directory, with `*`",
            );
        }
        Ok(From {
            kind: self.kind,
            path: self.path.unwrap_or_default(),
            pattern,
            settle: self.settle.unwrap_or(SETTLE),
        })
    }
}

fn is_name(name: &str) -> bool {
    let is_plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(is_plain)
}
