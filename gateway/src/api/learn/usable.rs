//! Separates the services of one upstream that can be served from those whose descriptors do not
//! resolve.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use prost_types::FileDescriptorProto;
use transcoder::{InvalidBindings, Options, Schema};

use super::reflection::{Learned, qualified};

#[cfg(test)]
mod tests;

/// Field `file` of `google.protobuf.FileDescriptorSet`.
const FILE: u32 = 1;

/// Each faulty service costs a few attempts to compile the others without it.
const MAX_ATTEMPTS: usize = 512;

/// The search for the largest part of an API that compiles.
struct Search<'a> {
    files: &'a BTreeMap<String, Bytes>,
    attempts: usize,
    accepted: BTreeSet<String>,
    services: BTreeSet<String>,
    left_out: BTreeMap<String, String>,
}

/// Returns the part of an API whose descriptors resolve; the other services are listed with their
/// reasons in [`Learned::left_out`].
pub(crate) fn usable(mut learned: Learned) -> Learned {
    learned.files.extend(copies(&learned.files));
    let mut search = Search {
        files: &learned.files,
        attempts: 0,
        accepted: BTreeSet::new(),
        services: BTreeSet::new(),
        left_out: learned.left_out.clone(),
    };
    let services: Vec<&String> = learned.services.iter().collect();
    search.admit(&services);
    let Search {
        accepted,
        services,
        left_out,
        ..
    } = search;
    learned.files.retain(|name, _| accepted.contains(name));
    Learned {
        services,
        left_out,
        ..learned
    }
}

// === impl Search ===

impl Search<'_> {
    /// Accepts these services if they compile together with those accepted before, else each half.
    fn admit(&mut self, services: &[&String]) {
        if services.is_empty() {
            return;
        }
        let mut files = self.accepted.clone();
        self.add_imports(services, &mut files);
        let Err(reason) = self.compile(&files) else {
            self.accepted = files;
            let services = services.iter().map(|service| (*service).clone());
            self.services.extend(services);
            return;
        };
        if let [service] = services {
            self.left_out.insert((*service).clone(), reason);
            return;
        }
        let (first, second) = services.split_at(services.len() / 2);
        self.admit(first);
        self.admit(second);
    }

    fn add_imports(&self, services: &[&String], files: &mut BTreeSet<String>) {
        let declaring = self.files.iter().filter(|(_, raw)| {
            let declared = Declared::of(raw);
            let mut own = declared.services.iter();
            own.any(|service| services.contains(&service))
        });
        let mut pending: Vec<String> = declaring.map(|(name, _)| name.clone()).collect();
        while let Some(name) = pending.pop() {
            let Some(raw) = self.files.get(&name) else {
                continue;
            };
            if files.insert(name) {
                pending.extend(Declared::of(raw).imports);
            }
        }
    }

    fn compile(&mut self, files: &BTreeSet<String>) -> Result<(), String> {
        self.attempts += 1;
        if self.attempts > MAX_ATTEMPTS {
            return Err(format!("not tried: {MAX_ATTEMPTS} attempts have failed"));
        }
        let mut set = Vec::new();
        for raw in files.iter().filter_map(|name| self.files.get(name)) {
            encode_key(FILE, WireType::LengthDelimited, &mut set);
            encode_varint(raw.len() as u64, &mut set);
            set.extend_from_slice(raw);
        }
        let mut options = Options::default();
        options.routes.invalid_bindings = InvalidBindings::LeaveOut;
        let compiled = Schema::compile_with(&set, options);
        compiled.map(drop).map_err(|error| first_problem(&error))
    }
}

fn first_problem(error: &transcoder::CompileError) -> String {
    let first = error.problems.first();
    first.map_or_else(|| error.to_string(), ToString::to_string)
}

/// The names that a file declares at its top, and its imports.
#[derive(Default)]
struct Declared {
    symbols: BTreeSet<String>,
    services: BTreeSet<String>,
    imports: Vec<String>,
}

impl Declared {
    fn of(raw: &Bytes) -> Self {
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
pub(crate) fn copies(files: &BTreeMap<String, Bytes>) -> Vec<(String, Bytes)> {
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
