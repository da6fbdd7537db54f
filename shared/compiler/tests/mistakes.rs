//! Every mistake of the directory `mistakes`, with the sentence in its first line.

#![allow(
    clippy::unwrap_used,
    reason = "a test that panics is a test that fails"
)]

use std::fs;
use std::path::{Path, PathBuf};

use compiler::Sources;

fn mistakes() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes");
    let entries = fs::read_dir(dir).unwrap();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn each_mistake_is_told_with_its_line_and_what_to_write() {
    for file in mistakes() {
        let text = fs::read_to_string(&file).unwrap();
        let expected = text.lines().next().unwrap().trim_start_matches("// ");
        let sources = Sources::new([&file]).import_hint("HINT");
        let checked = sources.compile().unwrap().check();
        let dir = file.parent().unwrap().display().to_string();
        let told: Vec<String> = checked.mistakes.iter().map(ToString::to_string).collect();
        let name = file.file_name().unwrap().to_str().unwrap();
        assert_eq!(
            told.join("\n").replace(&dir, "DIR"),
            format!("DIR/{name}:{expected}")
        );
    }
}
