//! Every mistake of the directory `mistakes`, and the sentence at its top.

#![allow(
    clippy::unwrap_used,
    reason = "a test that panics is a test that fails"
)]

use std::fs;
use std::path::{Path, PathBuf};

use compiler::Sources;

fn mistakes() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes");
    let mut files: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

#[test]
fn each_mistake_is_told_with_its_line_and_what_to_write() {
    let mut wrong = Vec::new();
    for file in mistakes() {
        let text = fs::read_to_string(&file).unwrap();
        let expected = text.lines().next().unwrap().trim_start_matches("// ");
        let checked = Sources::new([&file]).compile().unwrap().check();
        let told: Vec<String> = checked.mistakes.iter().map(ToString::to_string).collect();
        let path = file.parent().unwrap().display();
        let told = told.join(" AND ").replace(&format!("{path}"), "DIR");
        let name = file.file_name().unwrap().to_str().unwrap();
        if told != format!("DIR/{name}:{expected}") {
            wrong.push(told);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
