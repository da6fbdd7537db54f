//! Passwords of the database roles, generated once per mesh.

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
        let text = std::fs::read_to_string(dir.join(SECRETS)).ok()?;
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

    /// The secrets of a mesh, with a new password for each role that has none yet.
    ///
    /// A new cluster comes with the password of its owner, and nothing from before opens it.
    pub(crate) fn complete<'a>(
        dir: &Path,
        new_owner: Option<(&str, &str)>,
        roles: impl Iterator<Item = &'a str>,
    ) -> Result<Self> {
        let file = dir.join(SECRETS);
        let mut secrets = match new_owner {
            Some((owner, password)) => Self(BTreeMap::from([(owner.to_owned(), password.to_owned())])),
            None => Self::load(dir).with_context(|| format!("{} is gone, and it had the passwords of the databases: start anew with --fresh", file.display()))?,
        };
        for role in roles {
            secrets.0.entry(role.to_owned()).or_insert_with(password);
        }
        let lines: String = secrets
            .0
            .iter()
            .map(|(role, password)| format!("127.0.0.1:*:*:{role}:{password}\n"))
            .collect();
        write_private(&file, &lines)?;
        Ok(secrets)
    }

    pub(crate) fn of(&self, role: &str) -> Result<&str> {
        match self.0.get(role) {
            Some(password) => Ok(password),
            None => bail!("no password is known for the role {role}"),
        }
    }
}

/// A password that needs no escaping anywhere.
pub(crate) fn password() -> String {
    rand::rng()
        .sample_iter(Alphanumeric)
        .take(LENGTH)
        .map(char::from)
        .collect()
}

/// Writes a file that nobody else can read at any moment.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<()> {
    let write = || {
        // The mode counts only for a file that is created.
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
