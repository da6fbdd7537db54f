//! Chooses ports and remembers them.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, bail};
use rand::Rng;

use crate::home::{create_dir, try_lock};

const FILE: &str = "ports.json";
/// Below the ephemeral ports of Linux (from 32768) and macOS (from 49152): a port stays free while
/// its process restarts.
const RANGE: Range<u16> = 20_000..24_000;
/// Number of ports after a preferred one that are tried before any other.
const NEXT: u16 = 20;
/// Most tries; more fail only on a machine without free ports.
const TRIES: usize = 1_000;

/// Ports that are asked for, by process name.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Ports that have to be free.
    pub given: BTreeMap<String, u16>,
    /// Ports that give way to the next free ones.
    pub preferred: BTreeMap<String, u16>,
}

/// Ports of one mesh by process name. No other mesh of this checkout chooses them while this
/// exists.
#[derive(Debug)]
pub struct Ports {
    /// The port of each process.
    pub by_name: BTreeMap<String, u16>,
    _locks: Vec<File>,
}

impl Ports {
    /// Chooses a port for each name: the given one; else the preferred one or the next free one;
    /// else that of last time; else a free one.
    ///
    /// # Errors
    /// When a given port is in use, or none is free.
    pub fn reserve<'a>(
        locks: &Path,
        state_dir: &Path,
        names: impl Iterator<Item = &'a str>,
        wanted: &Wanted,
    ) -> Result<Self> {
        create_dir(locks, 0o755)?;
        let file = state_dir.join(FILE);
        let mut remembered: BTreeMap<String, u16> = std::fs::read(&file)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default();
        let mut by_name = BTreeMap::new();
        let mut held = Vec::new();
        for name in names {
            let (port, lock) = match wanted.given.get(name) {
                Some(&port) => (
                    port,
                    claim(locks, port)?
                        .with_context(|| format!("port {port}, given for {name}, is in use"))?,
                ),
                None => {
                    let first = wanted
                        .preferred
                        .get(name)
                        .map(|&port| port..=port.saturating_add(NEXT));
                    let first = first.into_iter().flatten();
                    choose(locks, first.chain(remembered.get(name).copied()))?
                }
            };
            by_name.insert(name.to_owned(), port);
            held.push(lock);
        }
        remembered.extend(by_name.clone());
        std::fs::write(&file, serde_json::to_vec_pretty(&remembered)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
        Ok(Self {
            by_name,
            _locks: held,
        })
    }
}

fn choose(locks: &Path, first: impl Iterator<Item = u16>) -> Result<(u16, File)> {
    let random = std::iter::repeat_with(|| rand::rng().random_range(RANGE)).take(TRIES);
    for port in first.chain(random) {
        if let Some(lock) = claim(locks, port)? {
            return Ok((port, lock));
        }
    }
    bail!("no free port between {} and {}", RANGE.start, RANGE.end)
}

/// The lock keeps other meshes away until the process listens; the bind finds ports that other
/// programs listen on.
fn claim(locks: &Path, port: u16) -> Result<Option<File>> {
    let lock = try_lock(&locks.join(port.to_string()))?;
    Ok(lock.filter(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_remembered_and_never_shared() {
        let dir = tempfile::tempdir().unwrap();
        let (locks, one, two) = (
            dir.path().join("ports"),
            dir.path().join("one"),
            dir.path().join("two"),
        );
        std::fs::create_dir(&one).unwrap();
        std::fs::create_dir(&two).unwrap();
        let names = || ["orders", "nats"].into_iter();

        let first = Ports::reserve(&locks, &one, names(), &Wanted::default()).unwrap();
        let ports = first.by_name.clone();
        let given = Wanted {
            given: ports.clone(),
            ..Wanted::default()
        };
        let taken = Ports::reserve(&locks, &two, ["orders"].into_iter(), &given).unwrap_err();
        assert_eq!(
            taken.to_string(),
            format!("port {}, given for orders, is in use", ports["orders"])
        );

        drop(first);
        assert_eq!(
            Ports::reserve(&locks, &one, names(), &Wanted::default())
                .unwrap()
                .by_name,
            ports
        );
    }

    #[test]
    fn a_preferred_port_that_is_in_use_gives_way_to_a_later_one() {
        let dir = tempfile::tempdir().unwrap();
        let stranger = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = stranger.local_addr().unwrap().port();
        let ports = Ports::reserve(
            &dir.path().join("ports"),
            dir.path(),
            ["gateway"].into_iter(),
            &Wanted {
                preferred: BTreeMap::from([("gateway".to_owned(), port)]),
                ..Wanted::default()
            },
        )
        .unwrap();
        assert_ne!(ports.by_name["gateway"], port);
    }

    #[test]
    fn a_remembered_port_that_a_stranger_has_taken_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let stranger = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = stranger.local_addr().unwrap().port();
        std::fs::write(dir.path().join(FILE), format!(r#"{{"orders": {port}}}"#)).unwrap();
        let ports = Ports::reserve(
            &dir.path().join("ports"),
            dir.path(),
            ["orders"].into_iter(),
            &Wanted::default(),
        )
        .unwrap();
        assert_ne!(ports.by_name["orders"], port);
    }
}
