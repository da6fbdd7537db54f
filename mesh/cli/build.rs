//! Makes the archive of crates that the command carries.

#[path = "build/pack.rs"]
mod pack;

use std::error::Error;
use std::path::Path;

/// Most bytes of the archive: what every download of the command pays for.
const MAX_BYTES: usize = 4 * 1024 * 1024;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    #[allow(
        clippy::disallowed_methods,
        reason = "Cargo tells build scripts by variables"
    )]
    let out = std::env::var("OUT_DIR")?;
    let packed = Path::new("crates.zip");
    // In a checkout, or in the crates that another command has carried, the sources are at hand.
    let root = Path::new("../..");
    let archive = if root.join("shared/protomesh/Cargo.toml").is_file() {
        let packed = pack::workspace(root)?;
        for input in packed.inputs {
            println!("cargo::rerun-if-changed={}", input.display());
        }
        packed.archive
    } else if packed.is_file() {
        // Only if it is there: a missing file would make Cargo run this at each build.
        println!("cargo::rerun-if-changed=crates.zip");
        std::fs::read(packed)?
    } else {
        return Err(
            "no crates to carry: neither a checkout nor crates.zip, which `cargo xtask \
                    package` writes"
                .into(),
        );
    };
    if archive.len() > MAX_BYTES {
        let bytes = archive.len();
        return Err(
            format!("the crates take {bytes} bytes, at most {MAX_BYTES} are carried").into(),
        );
    }
    std::fs::write(Path::new(&out).join("crates.zip"), archive)?;
    Ok(())
}
