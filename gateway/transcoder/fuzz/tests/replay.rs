//! Replays the seeds of every target, and everything that fuzzing ever found.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};

use transcoder_fuzz::TARGETS;

/// Returns the files of one target, sorted; none where the directory does not exist.
fn inputs(collection: &str, target: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let Ok(entries) = fs::read_dir(root.join(collection).join(target)) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn replay(collection: &str) {
    for (name, run) in TARGETS {
        for file in inputs(collection, name) {
            let data = fs::read(&file).unwrap();
            // The name of the file, as the message of the target can't know it.
            let outcome = std::panic::catch_unwind(|| run(&data));
            assert!(outcome.is_ok(), "{name} fails on {}", file.display());
        }
    }
}

#[test]
fn seeds_pass() {
    replay("corpus");
}

#[test]
fn findings_of_the_past_stay_mended() {
    replay("regressions");
}

#[test]
fn every_target_has_seeds_and_a_program() {
    let manifest = include_str!("../Cargo.toml");
    for (name, _) in TARGETS {
        assert!(
            inputs("corpus", name).len() >= 5,
            "{name} has hardly a seed"
        );
        let program = format!("path = \"fuzz_targets/{name}.rs\"");
        assert!(manifest.contains(&program), "{name} has no program");
    }
}

#[test]
fn every_directory_of_inputs_belongs_to_a_target() {
    for collection in ["corpus", "regressions"] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(collection);
        let Ok(entries) = fs::read_dir(root) else {
            continue;
        };
        for entry in entries {
            let name = entry.unwrap().file_name();
            let is_known = TARGETS
                .iter()
                .any(|(target, _)| name.to_str() == Some(*target));
            assert!(is_known, "{collection}/{} is nobody's", name.display());
        }
    }
}
