//! Builds the peers in Go, after generating their code by the plugins of their module.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use prost::Message;

use crate::corpus::DESCRIPTORS;

const MODULE: &str = "protomesh.dev/benchmarks/peers";

/// Source files by their path in the module.
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

/// `google.protobuf.FileDescriptorSet`, with undecoded files: a decoder would drop unknown options.
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

/// Returns whether Go is installed.
pub(super) fn is_there() -> bool {
    let mut version = go();
    let said = version.arg("version").stdout(Stdio::null()).status();
    said.is_ok_and(|status| status.success())
}

/// Builds all peers in `dir` and returns the directory of the programs.
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
    // A plugin reads all input before it writes; the drop ends its input.
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

/// Writes changed files only, which saves a build.
fn write(path: &Path, content: &str) -> Result<()> {
    if std::fs::read(path).is_ok_and(|found| found == content.as_bytes()) {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}
