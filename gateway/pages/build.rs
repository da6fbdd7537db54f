//! Unpacks the files of Swagger UI that the explorer serves.

use std::error::Error;
use std::io::{Cursor, Read};
use std::path::Path;

/// Files that `src/explorer/index.html` refers to.
const FILES: [&str; 3] = [
    "swagger-ui.css",
    "swagger-ui-bundle.js",
    "favicon-32x32.png",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    #[allow(
        clippy::disallowed_methods,
        reason = "Cargo tells build scripts by variables"
    )]
    let target = std::env::var("OUT_DIR")?;
    let archive = Cursor::new(utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED);
    let mut archive = zip::ZipArchive::new(archive)?;
    let mut unpacked = 0;
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index)?;
        let name = entry.name()?.into_owned();
        let is_wanted = |file: &&&str| name.ends_with(&format!("/dist/{file}"));
        let Some(file) = FILES.iter().find(is_wanted) else {
            continue;
        };
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        std::fs::write(Path::new(&target).join(file), content)?;
        unpacked += 1;
    }
    if unpacked == FILES.len() {
        return Ok(());
    }
    Err("the archive of Swagger UI is laid out in another way".into())
}
