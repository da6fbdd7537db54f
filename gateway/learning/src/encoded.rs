//! Encoded descriptor files, kept as the bytes that were read: decoding would drop the options of
//! extensions.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use prost_types::FileDescriptorProto;

/// An API larger than this is a mistake or an attack: the largest public ones are a tenth of it.
pub(crate) const MAX_TOTAL_BYTES: usize = 64 * 1024 * 1024;

/// Field `file` of `google.protobuf.FileDescriptorSet`.
const FILE: u32 = 1;

/// Returns the encoded `google.protobuf.FileDescriptorSet` of these encoded files, in their order.
pub fn descriptor_set<'a>(files: impl IntoIterator<Item = &'a Bytes>) -> Vec<u8> {
    let mut set = Vec::new();
    for raw in files {
        encode_key(FILE, WireType::LengthDelimited, &mut set);
        encode_varint(raw.len() as u64, &mut set);
        set.extend_from_slice(raw);
    }
    set
}

/// Returns the full name of something that a file declares at its top.
pub fn qualified(package: &str, name: &str) -> String {
    if package.is_empty() {
        name.to_owned()
    } else {
        format!("{package}.{name}")
    }
}

/// The names that a file declares at its top, and its imports.
#[derive(Default)]
pub(crate) struct Declared {
    pub(crate) symbols: BTreeSet<String>,
    pub(crate) services: BTreeSet<String>,
    pub(crate) imports: Vec<String>,
}

impl Declared {
    pub(crate) fn of(raw: &Bytes) -> Self {
        let file = FileDescriptorProto::decode(raw.clone()).unwrap_or_default();
        let name = |own: &str| qualified(file.package(), own);
        let services: BTreeSet<String> = file.service.iter().map(|own| name(own.name())).collect();
        let messages = file.message_type.iter().map(|own| name(own.name()));
        let enums = file.enum_type.iter().map(|own| name(own.name()));
        let extensions = file.extension.iter().map(|own| name(own.name()));
        let symbols = messages.chain(enums).chain(extensions);
        Self {
            symbols: symbols.chain(services.iter().cloned()).collect(),
            services,
            imports: file.dependency,
        }
    }
}

/// Returns a replacement for every file that declares nothing but what another file declares, such
/// as the second path of `gogo.proto`: it only imports that file. The standard paths are kept.
pub fn copies(files: &BTreeMap<String, Bytes>) -> Vec<(String, Bytes)> {
    let mut names: Vec<&String> = files.keys().collect();
    names.sort_by_key(|name| (!name.starts_with("google/"), *name));
    let mut owners: BTreeMap<String, &String> = BTreeMap::new();
    let mut replaced = Vec::new();
    for name in names {
        let symbols = Declared::of(&files[name]).symbols;
        let first = symbols.first().and_then(|symbol| owners.get(symbol));
        let owner = first.filter(|owner| symbols.iter().all(|own| owners.get(own) == Some(owner)));
        match owner {
            Some(owner) => replaced.push((name.clone(), stand_in(name, Some(owner)))),
            None => owners.extend(symbols.into_iter().map(|symbol| (symbol, name))),
        }
    }
    replaced
}

/// An encoded file that declares nothing, for an import that no one has. `meant` is the file that
/// declares its types under another name.
pub(crate) fn stand_in(name: &str, meant: Option<&str>) -> Bytes {
    let file = FileDescriptorProto {
        name: Some(name.to_owned()),
        dependency: meant.into_iter().map(str::to_owned).collect(),
        public_dependency: meant.map(|_| 0).into_iter().collect(),
        syntax: Some("proto3".to_owned()),
        ..FileDescriptorProto::default()
    };
    file.encode_to_vec().into()
}
