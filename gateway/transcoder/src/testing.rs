//! Compiles proto sources for the unit tests.

use protox::{
    Compiler,
    file::{ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver},
};

use crate::{CompileError, Options, Schema};

struct Inline<'a>(&'a [(&'a str, &'a str)]);

impl FileResolver for Inline<'_> {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match self.0.iter().find(|(own, _)| *own == name) {
            Some((_, source)) => File::from_source(name, source),
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}

/// An encoded descriptor set of the named sources, which may import the files under `tests/proto`.
pub(crate) fn descriptor_set(sources: &[(&'static str, &'static str)]) -> Vec<u8> {
    encoded(sources, false)
}

/// [`descriptor_set`] that knows the lines and comments.
pub(crate) fn descriptor_set_with_lines(sources: &[(&'static str, &'static str)]) -> Vec<u8> {
    encoded(sources, true)
}

fn encoded(sources: &[(&'static str, &'static str)], with_lines: bool) -> Vec<u8> {
    let sources: &'static [(&str, &str)] = Box::leak(sources.to_vec().into());
    let protos = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/proto");
    // The house's own copy of `buf/validate/validate.proto`.
    let rules = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../shared/codegen/third_party"
    );
    let mut resolver = ChainFileResolver::new();
    resolver.add(Inline(sources));
    resolver.add(IncludeFileResolver::new(protos.into()));
    resolver.add(IncludeFileResolver::new(rules.into()));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler.include_imports(true);
    compiler.include_source_info(with_lines);
    for (name, _) in sources {
        compiler.open_file(name).unwrap();
    }
    compiler.encode_file_descriptor_set()
}

/// A proto3 file of package `t` that can use routes, raw bodies and the well-known types.
pub(crate) fn source(body: &str) -> &'static str {
    let imports = [
        "google/api/annotations.proto",
        "google/api/httpbody.proto",
        "google/protobuf/any.proto",
        "google/protobuf/duration.proto",
        "google/protobuf/empty.proto",
        "google/protobuf/field_mask.proto",
        "google/protobuf/struct.proto",
        "google/protobuf/timestamp.proto",
        "google/protobuf/wrappers.proto",
    ];
    let imports: String = imports
        .iter()
        .map(|file| format!("import \"{file}\";\n"))
        .collect();
    format!("syntax = \"proto3\";\npackage t;\n{imports}{body}").leak()
}

/// As [`source`], with the rules of `buf.validate`.
pub(crate) fn ruled(body: &str) -> &'static str {
    let import = "import \"buf/validate/validate.proto\";\n";
    let whole = source(body);
    let (head, tail) = whole.split_at(whole.find("import").unwrap());
    format!("{head}{import}{tail}").leak()
}

pub(crate) fn compile(body: &str) -> Result<Schema, CompileError> {
    Schema::compile(&descriptor_set(&[("t.proto", source(body))]))
}

pub(crate) fn compile_with(body: &str, options: Options) -> Schema {
    let set = descriptor_set(&[("t.proto", source(body))]);
    Schema::compile_with(&set, options).unwrap()
}

/// As [`compile`], of a file of proto2.
pub(crate) fn compile_proto2(body: &str) -> Result<Schema, CompileError> {
    let source = source(body).replacen("proto3", "proto2", 1).leak();
    Schema::compile(&descriptor_set(&[("t.proto", source)]))
}

/// As [`compile_with`], of a file of edition 2023 whose messages are all groups on the wire (`DELIMITED`).
pub(crate) fn compile_delimited(body: &str, options: Options) -> Schema {
    #[derive(Clone, PartialEq, prost::Message)]
    struct Set {
        #[prost(bytes = "vec", repeated, tag = "1")]
        files: Vec<Vec<u8>>,
    }
    let set = descriptor_set(&[("t.proto", source(body))]);
    let mut set: Set = prost::Message::decode(&*set).unwrap();
    let file = set.files.last_mut().unwrap();
    // Of what comes twice, the last counts: `syntax`, `edition`, and `options.features` with implicit presence.
    file.extend(b"\x62\x08editions\x70\xe8\x07\x42\x07\x92\x03\x04\x08\x02\x28\x02");
    Schema::compile_with(&prost::Message::encode_to_vec(&set), options).unwrap()
}
