//! Passwords of the database roles, generated once per mesh, and of the broker's users, generated
//! at each start.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use rand::Rng;
use rand::distr::Alphanumeric;

use crate::home::SECRETS;

const LENGTH: usize = 32;

/// The password of each role.
#[derive(Clone, Debug, Default)]
pub(crate) struct Secrets(BTreeMap<String, String>);

impl Secrets {
    pub(crate) fn load(dir: &Path) -> Option<Self> {
        Self::read(&dir.join(SECRETS))
    }

    pub(super) fn read(file: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(file).ok()?;
        // host:port:database:role:password
        let entry = |line: &str| {
            line.splitn(5, ':')
                .skip(3)
                .map(str::to_owned)
                .collect::<Vec<_>>()
                .try_into()
                .ok()
        };
        Some(Self(
            text.lines()
                .filter_map(entry)
                .map(|[role, password]: [String; 2]| (role, password))
                .collect(),
        ))
    }

    /// Returns the passwords of a mesh, with new ones for new roles.
    ///
    /// For a new cluster older passwords are dropped.
    pub(crate) fn complete<'a>(
        dir: &Path,
        is_new: bool,
        roles: impl Iterator<Item = &'a str>,
    ) -> Result<Self> {
        let file = dir.join(SECRETS);
        let mut secrets = match is_new {
            true => Self::default(),
            false => Self::load(dir).with_context(|| {
                format!(
                    "{} with the passwords of the databases is missing: start with --fresh",
                    file.display()
                )
            })?,
        };
        for role in roles {
            secrets.0.entry(role.to_owned()).or_insert_with(password);
        }
        secrets.save(&file)?;
        Ok(secrets)
    }

    /// Returns the passwords in a file, with new ones for new names; the file is written again.
    pub(super) fn kept<'a>(file: &Path, names: impl Iterator<Item = &'a str>) -> Result<Self> {
        let mut secrets = Self::read(file).unwrap_or_default();
        for name in names {
            secrets.0.entry(name.to_owned()).or_insert_with(password);
        }
        secrets.save(file)?;
        Ok(secrets)
    }

    /// Makes a password for each role.
    pub(super) fn create<'a>(roles: impl Iterator<Item = &'a str>) -> Self {
        Self(roles.map(|role| (role.to_owned(), password())).collect())
    }

    pub(super) fn save(&self, file: &Path) -> Result<()> {
        let lines: String = self
            .0
            .iter()
            .map(|(role, password)| format!("127.0.0.1:*:*:{role}:{password}\n"))
            .collect();
        write_private(file, &lines)
    }

    pub(crate) fn of(&self, role: &str) -> Result<&str> {
        match self.0.get(role) {
            Some(password) => Ok(password),
            None => bail!("no password is known for the role {role}"),
        }
    }
}

/// Returns a random password that needs no escaping.
pub(crate) fn password() -> String {
    rand::rng()
        .sample_iter(Alphanumeric)
        .take(LENGTH)
        .map(char::from)
        .collect()
}

/// Writes a file that only its owner can read at any moment.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<()> {
    let write = || {
        // The mode applies to new files only.
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file: File = File::options()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(text.as_bytes())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
