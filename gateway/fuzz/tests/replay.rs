//! Replays the seeds, and everything that fuzzing ever found.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::Path;

use gateway_fuzz::TARGETS;

#[test]
fn seeds_and_findings_of_the_past_pass() {
    for (name, run) in TARGETS {
        let mut count = 0;
        for collection in ["corpus", "regressions"] {
            let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join(collection)
                .join(name);
            let Ok(entries) = fs::read_dir(directory) else {
                continue;
            };
            for entry in entries {
                let file = entry.unwrap().path();
                let data = fs::read(&file).unwrap();
                let outcome = std::panic::catch_unwind(|| run(&data));
                assert!(outcome.is_ok(), "{name} fails on {}", file.display());
                count += 1;
            }
        }
        assert!(count >= 10, "{name} has only {count} seeds");
    }
}
