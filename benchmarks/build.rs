//! Generates code of the peers from the protos: prost structs with pbjson's serde impls, buffa's
//! structs, and descriptors.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;
use prost_types::FileDescriptorSet;

const PROTO: &str = "bench/v1/bench.proto";
const PACKAGE: &str = "bench.v1";
/// Include paths of our options and Google's HTTP ones.
const INCLUDES: [&str; 2] = ["proto", "../shared/compiler/third_party"];

#[allow(
    clippy::disallowed_methods,
    reason = "Cargo tells build scripts by variables"
)]
fn main() -> Result<(), Box<dyn Error>> {
    for include in INCLUDES {
        println!("cargo:rerun-if-changed={include}");
    }
    let mut compiler = protox::Compiler::new(INCLUDES)?;
    compiler.include_imports(true).open_file(PROTO)?;
    // Not `file_descriptor_set()`, which loses the options that are extensions: the routes.
    let descriptors = compiler.encode_file_descriptor_set();
    let path = PathBuf::from(env::var("OUT_DIR")?).join("descriptors.bin");
    fs::write(&path, &descriptors)?;
    generate_prost(&descriptors)?;
    generate_buffa(path)
}

fn generate_prost(descriptors: &[u8]) -> Result<(), Box<dyn Error>> {
    let set = FileDescriptorSet::decode(descriptors)?;
    prost_build::Config::new()
        .compile_well_known_types()
        .extern_path(".google.protobuf", "::pbjson_types")
        .compile_fds(set)?;
    pbjson_build::Builder::new()
        .register_descriptors(descriptors)?
        .build(&[format!(".{PACKAGE}")])?;
    Ok(())
}

#[allow(
    clippy::disallowed_methods,
    reason = "Cargo tells build scripts by variables"
)]
fn generate_buffa(descriptors: PathBuf) -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?).join("buffa");
    fs::create_dir_all(&out)?;
    buffa_build::Config::new()
        .descriptor_set(descriptors)
        .files(&[PROTO])
        .generate_json(true)
        .generate_views(true)
        .out_dir(out)
        .include_file("mod.rs")
        .compile()
}
