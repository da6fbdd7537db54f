//! The store of a mesh: Valkey, with a user for each process that needs it, which sees only keys of
//! its own.

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::secrets::{Secrets, write_private};
use crate::engines::Engines;
use crate::home::{StateDir, create_dir};
use crate::os::Signal;
use crate::probe::Probe;
use crate::project::VALKEY;
use crate::supervise::Program;

/// The user that may do everything, such as to delete all keys.
pub(super) const OPERATOR: &str = "operator";
/// The passwords, in the format of the other engines.
const PASSWORDS: &str = "valkeypass";
/// Memory of the data, in bytes. Beyond it writes fail: a store that evicts would forget counters
/// and stored answers without a word.
const MAX_MEMORY: usize = 256 * 1024 * 1024;

/// Returns the URL of a user's connection.
pub(crate) fn url(address: impl Display, passwords: &Secrets, user: &str) -> Result<String> {
    Ok(format!("redis://{user}:{}@{address}", passwords.of(user)?))
}

/// Makes new passwords for the operator and the users.
pub(super) fn passwords<'a>(dir: &Path, users: impl Iterator<Item = &'a str>) -> Result<Secrets> {
    let passwords = Secrets::create([OPERATOR].into_iter().chain(users));
    passwords.save(&dir.join(PASSWORDS))?;
    Ok(passwords)
}

pub(super) fn program(
    engines: &Engines,
    state_dir: &StateDir,
    address: SocketAddr,
    log: &Path,
    passwords: &Secrets,
    users: &[&str],
) -> Result<Program> {
    let data = state_dir.data().join(VALKEY);
    create_dir(&data, 0o700)?;
    let file = state_dir.path().join("valkey.conf");
    write_private(&file, &configuration(address, passwords, users)?)?;
    let binary = engines.valkey.clone();
    Ok(Program {
        name: VALKEY.to_owned(),
        binary: binary.context("Valkey was not fetched")?,
        args: vec![file.into()],
        env: std::collections::BTreeMap::new(),
        account: None,
        // The data is written into the current directory.
        directory: Some(data),
        address,
        log: log.to_owned(),
        stop: Signal::TERM,
        probe: Probe::Valkey(address),
    })
}

/// Returns the configuration. Every write is in the append-only file before it is answered, so that
/// a killed server loses nothing; the disk gets it once a second, which is what a power cut may
/// cost. A sync for each write would cost more than counters and caches are worth.
pub(super) fn configuration(
    address: SocketAddr,
    passwords: &Secrets,
    users: &[&str],
) -> Result<String> {
    let (ip, port) = (address.ip(), address.port());
    let mut lines = vec![
        format!("bind {ip}"),
        format!("port {port}"),
        "daemonize no".to_owned(),
        "appendonly yes".to_owned(),
        "appendfsync everysec".to_owned(),
        "save \"\"".to_owned(),
        // The access list below decides, wherever a client is.
        "protected-mode no".to_owned(),
        format!("maxmemory {MAX_MEMORY}"),
        "maxmemory-policy noeviction".to_owned(),
        // Without a password: for probes.
        "user default on nopass resetkeys resetchannels -@all +ping".to_owned(),
        format!(
            "user {OPERATOR} on #{} allkeys allchannels +@all",
            digest(passwords.of(OPERATOR)?)
        ),
    ];
    for user in users {
        let password = digest(passwords.of(user)?);
        lines.push(format!(
            "user {user} on #{password} resetkeys ~{user}:* resetchannels &{user}:* +@all -@admin \
             -@dangerous"
        ));
    }
    lines.push(String::new());
    Ok(lines.join("\n"))
}

/// Returns the SHA-256 of a password in hexadecimal, as access lists have it.
fn digest(password: &str) -> String {
    let digest = Sha256::digest(password);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_sees_the_keys_of_its_name_and_no_password_is_in_the_file() {
        let users = ["stock"];
        let passwords = Secrets::create([OPERATOR].into_iter().chain(users));
        let address = "127.0.0.1:6379".parse().unwrap();
        let text = configuration(address, &passwords, &users).unwrap();
        assert!(text.contains("~stock:*"), "{text}");
        for user in [OPERATOR, "stock"] {
            let password = passwords.of(user).unwrap();
            assert!(!text.contains(password), "{text}");
            assert!(text.contains(&digest(password)), "{text}");
        }
    }
}
