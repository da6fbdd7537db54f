//! The mistakes in contracts that `protomesh-compiler` lists, as a build script reports them.

#![allow(
    clippy::unwrap_used,
    reason = "a test that panics is a test that fails"
)]

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use codegen::Builder;

const INCLUDE: &str = "`.include(dir)` on the `codegen::Builder` of build.rs";

#[test]
fn each_mistake_ends_the_build_with_its_line_and_what_to_write() {
    let mistakes = Path::new(env!("CARGO_MANIFEST_DIR")).join("../compiler/tests/mistakes");
    let mut count = 0;
    for entry in fs::read_dir(mistakes).unwrap() {
        let file = entry.unwrap().path();
        let name = file.file_name().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&file).unwrap();
        let expected = text.lines().next().unwrap().trim_start_matches("// ");

        let root = TempDir::new().unwrap();
        fs::write(root.path().join(name), &text).unwrap();
        let builder = Builder::new(root.path()).out_dir(root.path());
        let error = builder.generate().unwrap_err();
        let told = format!("{error:?}").replace(&root.path().display().to_string(), "DIR");
        let told = told.replace(INCLUDE, "HINT");
        assert_eq!(told, format!("DIR/{name}:{expected}"));
        count += 1;
    }
    assert!(count >= 14, "{count} mistakes");
}
