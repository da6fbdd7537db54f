//! Builds the peers that are written in Go: what they need of the schema is generated first, by the plugins that their module names.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use prost::Message;

use crate::corpus::DESCRIPTORS;

const MODULE: &str = "protomesh.dev/benchmarks/peers";

/// The sources, by their path in the module.
const SOURCES: [(&str, &str); 4] = [
    ("go.mod", include_str!("../../peers/go.mod")),
    ("go.sum", include_str!("../../peers/go.sum")),
    (
        "grpc-gateway/main.go",
        include_str!("../../peers/grpc-gateway/main.go"),
    ),
    (
        "vanguard/main.go",
        include_str!("../../peers/vanguard/main.go"),
    ),
];

const PLUGINS: [&str; 3] = [
    "protoc-gen-go",
    "protoc-gen-go-grpc",
    "protoc-gen-grpc-gateway",
];

/// `google.protobuf.FileDescriptorSet`, its files left as they are: their options would not survive a decoder that does not know
/// them.
#[derive(Clone, PartialEq, Message)]
struct Files {
    #[prost(bytes = "vec", repeated, tag = "1")]
    files: Vec<Vec<u8>>,
}

/// `google.protobuf.compiler.CodeGeneratorRequest`.
#[derive(Clone, PartialEq, Message)]
struct Order {
    #[prost(string, repeated, tag = "1")]
    files_to_generate: Vec<String>,
    #[prost(string, tag = "2")]
    parameter: String,
    #[prost(bytes = "vec", repeated, tag = "15")]
    files: Vec<Vec<u8>>,
}

/// `google.protobuf.compiler.CodeGeneratorResponse`.
#[derive(Clone, PartialEq, Message)]
struct Generated {
    #[prost(string, tag = "1")]
    error: String,
    #[prost(message, repeated, tag = "15")]
    files: Vec<File>,
}

#[derive(Clone, PartialEq, Message)]
struct File {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "15")]
    content: String,
}

/// Whether Go is at hand.
pub(super) fn is_there() -> bool {
    let mut version = go();
    let said = version.arg("version").stdout(Stdio::null()).status();
    said.is_ok_and(|status| status.success())
}

/// Builds all of them in `dir`, and returns the directory of the binaries.
pub(super) fn build(dir: &Path) -> Result<PathBuf> {
    for (name, content) in SOURCES {
        write(&dir.join(name), content)?;
    }
    for plugin in PLUGINS {
        generate(dir, plugin).with_context(|| format!("{plugin} failed"))?;
    }
    let binaries = dir.join("bin");
    std::fs::create_dir_all(&binaries)?;
    let mut build = go();
    build.current_dir(dir).args(["build", "-o"]).arg(&binaries);
    let status = build
        .args(["./grpc-gateway", "./vanguard"])
        .status()
        .context("cannot run go")?;
    ensure!(status.success(), "go build failed");
    Ok(binaries)
}

fn go() -> Command {
    Command::new("go")
}

fn generate(dir: &Path, plugin: &str) -> Result<()> {
    let file = "bench/v1/bench.proto";
    let api = "google.golang.org/genproto/googleapis/api/annotations";
    let order = Order {
        files_to_generate: vec![file.to_owned()],
        parameter: format!(
            "module={MODULE},M{file}={MODULE}/bench,\
             Mgoogle/api/annotations.proto={api},Mgoogle/api/http.proto={api}"
        ),
        files: Files::decode(DESCRIPTORS)?.files,
    };
    let mut child = go()
        .current_dir(dir)
        .args(["tool", plugin])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot run go")?;
    // A plugin reads all before it writes. Dropped at the end, which tells it that this is all.
    child
        .stdin
        .take()
        .context("no way in")?
        .write_all(&order.encode_to_vec())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{}", output.status);
    let generated = Generated::decode(&*output.stdout)?;
    ensure!(generated.error.is_empty(), "{}", generated.error);
    for file in generated.files {
        write(&dir.join(file.name), &file.content)?;
    }
    Ok(())
}

/// Only what has changed, which spares a build.
fn write(path: &Path, content: &str) -> Result<()> {
    if std::fs::read(path).is_ok_and(|found| found == content.as_bytes()) {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}
