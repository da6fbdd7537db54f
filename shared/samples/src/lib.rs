#![doc = include_str!("../README.md")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a source of a test that does not compile is to fail the test"
)]

use prost::Message;
use protox::Compiler;
use protox::file::{
    ChainFileResolver, File, FileResolver, GoogleFileResolver, IncludeFileResolver,
};

/// Sources by their names, held in memory.
struct Inline<'a>(&'a [(&'a str, &'a str)]);

impl FileResolver for Inline<'_> {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match self.0.iter().find(|(own, _)| *own == name) {
            Some((_, source)) => File::from_source(name, source),
            None => Err(protox::Error::file_not_found(name)),
        }
    }
}

/// Returns an encoded descriptor set of the named sources, which may import the files under `proto`
/// `buf/validate` and `mesh/v1`.
pub fn descriptor_set(sources: &[(&'static str, &'static str)]) -> Vec<u8> {
    encoded(sources, false)
}

/// Returns a [`descriptor_set`] with lines and comments.
pub fn descriptor_set_with_lines(sources: &[(&'static str, &'static str)]) -> Vec<u8> {
    encoded(sources, true)
}

fn encoded(sources: &[(&'static str, &'static str)], with_lines: bool) -> Vec<u8> {
    let sources: &'static [(&str, &str)] = Box::leak(sources.to_vec().into());
    let protos = concat!(env!("CARGO_MANIFEST_DIR"), "/proto");
    // The copy of `buf/validate/validate.proto` that `compiler` ships.
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/../compiler/third_party");
    let mut resolver = ChainFileResolver::new();
    resolver.add(Inline(sources));
    resolver.add(IncludeFileResolver::new(protos.into()));
    resolver.add(IncludeFileResolver::new(rules.into()));
    let options = concat!(env!("CARGO_MANIFEST_DIR"), "/../compiler/proto");
    resolver.add(IncludeFileResolver::new(options.into()));
    resolver.add(GoogleFileResolver::new());
    let mut compiler = Compiler::with_file_resolver(resolver);
    compiler.include_imports(true);
    compiler.include_source_info(with_lines);
    for (name, _) in sources {
        compiler.open_file(name).unwrap();
    }
    compiler.encode_file_descriptor_set()
}

/// Returns a proto3 file of package `t` that can use routes, raw bodies and the well-known types.
pub fn source(body: &str) -> &'static str {
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

/// Returns a [`source`] that can also use the rules of `buf.validate`.
pub fn ruled(body: &str) -> &'static str {
    let import = "import \"buf/validate/validate.proto\";\n";
    let whole = source(body);
    let (head, tail) = whole.split_at(whole.find("import").unwrap());
    format!("{head}{import}{tail}").leak()
}

/// Returns the descriptor set of one [`source`], named `t.proto`.
pub fn set_of(body: &str) -> Vec<u8> {
    descriptor_set(&[("t.proto", source(body))])
}

/// Returns [`set_of`] for a file of proto2.
pub fn proto2_set_of(body: &str) -> Vec<u8> {
    let source = source(body).replacen("proto3", "proto2", 1).leak();
    descriptor_set(&[("t.proto", source)])
}

/// Returns [`set_of`] for a file of edition 2023 whose messages are all groups on the wire
/// (`DELIMITED`).
pub fn delimited_set_of(body: &str) -> Vec<u8> {
    #[derive(Clone, PartialEq, Message)]
    struct Set {
        #[prost(bytes = "vec", repeated, tag = "1")]
        files: Vec<Vec<u8>>,
    }
    let mut set = Set::decode(&*set_of(body)).unwrap();
    let file = set.files.last_mut().unwrap();
    // The last occurrence counts: `syntax`, `edition`, and `options.features` with implicit
    // presence.
    file.extend(b"\x62\x08editions\x70\xe8\x07\x42\x07\x92\x03\x04\x08\x02\x28\x02");
    set.encode_to_vec()
}
