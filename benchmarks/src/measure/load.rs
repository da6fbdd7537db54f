//! Time and memory to load a schema.

use std::fmt::Write;

use anyhow::{Context, Result, ensure};
use protox::{
    Compiler, Error,
    file::{ChainFileResolver, File, FileResolver, GoogleFileResolver},
};
use serde::Serialize;
use transcoder::Schema;

use super::{contest::median, rounded};
use crate::{clock::cpu_time, counting};

/// Number of loads; the median counts.
const LOADS: usize = 3;
/// Messages per service.
const MESSAGES_PER_SERVICE: usize = 10;

const SOURCE: &str = "source.proto";

/// Cost of compiling one schema.
#[derive(Debug, Clone, Serialize)]
pub struct Loaded {
    /// Always `load`.
    pub measure: &'static str,
    /// Messages of the schema, of ten fields each.
    pub messages: usize,
    /// Length of its encoded descriptors.
    pub descriptor_bytes: usize,
    /// Milliseconds from descriptors to plans.
    pub ms: f64,
    /// Heap of the compiled schema.
    pub heap_bytes: i64,
    /// Most heap during the compilation.
    pub peak_bytes: i64,
}

/// Loads a schema of so many messages; the program must run with [`counting::Counting`].
///
/// # Errors
/// When the schema doesn't compile.
pub fn load(messages: usize) -> Result<Loaded> {
    let descriptors = compile(&proto(messages)?)?;
    let mut times = Vec::new();
    for _ in 0..LOADS {
        let start = cpu_time();
        let schema = Schema::compile(&descriptors)?;
        times.push((cpu_time() - start).as_secs_f64() * 1000.0);
        ensure!(
            schema.methods().count() == messages.div_ceil(MESSAGES_PER_SERVICE),
            "methods are missing"
        );
    }
    let (schema, counted) = counting::count(|| Schema::compile(&descriptors));
    drop(schema?);
    Ok(Loaded {
        measure: "load",
        messages,
        descriptor_bytes: descriptors.len(),
        ms: rounded(median(times), 2),
        heap_bytes: counted.live_bytes,
        peak_bytes: counted.peak_bytes,
    })
}

/// Returns messages with usual fields that refer to each other.
fn proto(messages: usize) -> Result<String> {
    let mut proto = String::from(
        "syntax = \"proto3\"; package load; import \"google/api/annotations.proto\"; \
         import \"google/protobuf/timestamp.proto\";\n",
    );
    for n in 0..messages {
        let (other, third) = ((n + 1) % messages, n * 31 % messages);
        writeln!(
            proto,
            "message Message{n} {{ string name = 1; int64 size_bytes = 2; double ratio = 3; bool enabled = 4; \
             enum Kind {{ KIND_{n}_UNSPECIFIED = 0; KIND_{n}_SOME = 1; }} Kind kind = 5; repeated string tags = 6; \
             map<string, string> labels = 7; Message{other} next = 8; repeated Message{third} children = 9; \
             google.protobuf.Timestamp create_time = 10; }}"
        )?;
    }
    for n in (0..messages).step_by(MESSAGES_PER_SERVICE) {
        writeln!(
            proto,
            "service Service{n} {{ rpc Create(Message{n}) returns (Message{n}) {{ \
             option (google.api.http) = {{ post: \"/v1/messages{n}/{{name}}\" body: \"*\" }}; }} }}"
        )?;
    }
    Ok(proto)
}

/// Compiles the descriptors of one file, which may import Google's files and the rules.
pub(super) fn compile(proto: &str) -> Result<Vec<u8>> {
    let mut resolver = ChainFileResolver::new();
    resolver.add(BundledProtos(proto.to_owned()));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler
        .include_imports(true)
        .open_file(SOURCE)
        .context("cannot compile the proto")?;
    Ok(compiler.encode_file_descriptor_set())
}

/// The file to compile and imports that not every compiler includes.
struct BundledProtos(String);

impl FileResolver for BundledProtos {
    fn open_file(&self, name: &str) -> Result<File, Error> {
        let source = match name {
            SOURCE => &*self.0,
            "google/api/annotations.proto" => {
                include_str!("../../../shared/compiler/third_party/google/api/annotations.proto")
            }
            "google/api/http.proto" => {
                include_str!("../../../shared/compiler/third_party/google/api/http.proto")
            }
            "buf/validate/validate.proto" => {
                include_str!("../../../shared/compiler/third_party/buf/validate/validate.proto")
            }
            _ => return Err(Error::file_not_found(name)),
        };
        File::from_source(name, source)
    }
}
