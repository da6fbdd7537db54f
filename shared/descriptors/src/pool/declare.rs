//! The first pass: every definition gets its index, its full name and its features, so that the
//! second can refer to it.

use super::features::{EnumOptions, FeatureSet, Features, MessageOptions};
use super::load::LoadedFile;
use super::proto::{self, RawOptions, path};
use super::report::{At, Report};
use super::source::{FileId, Locations, Source};
use super::symbols::{First, Symbol, Symbols, join};
use crate::error::MAX_PACKAGE_BYTES;

/// The declarations of all files, in their order.
#[derive(Debug, Default)]
pub(super) struct Declared<'a> {
    pub(super) symbols: Symbols,
    pub(super) messages: Vec<Message<'a>>,
    pub(super) enums: Vec<Enum<'a>>,
    pub(super) extensions: Vec<Extension<'a>>,
    pub(super) services: Vec<DeclaredService<'a>>,
}

/// An element with what lies around and above its members.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    pub(super) file: FileId,
    /// Full name; the package for a file.
    pub(super) name: String,
    /// As in `SourceCodeInfo`.
    pub(super) path: Vec<i32>,
    pub(super) features: Features,
}

#[derive(Debug)]
pub(super) struct Message<'a> {
    pub(super) proto: &'a proto::MessageType,
    pub(super) scope: Scope,
    pub(super) source: Source,
    pub(super) raw: RawOptions,
    pub(super) options: MessageOptions,
}

#[derive(Debug)]
pub(super) struct Enum<'a> {
    pub(super) proto: &'a proto::EnumType,
    pub(super) scope: Scope,
    pub(super) source: Source,
    pub(super) raw: RawOptions,
}

/// An extension inside the scope that declares it.
#[derive(Debug)]
pub(super) struct Extension<'a> {
    pub(super) proto: &'a proto::Field,
    pub(super) scope: Scope,
    pub(super) path: Vec<i32>,
}

#[derive(Debug)]
pub(super) struct DeclaredService<'a> {
    pub(super) proto: &'a proto::Service,
    pub(super) scope: Scope,
    pub(super) source: Source,
}

/// The pass over one file.
pub(super) struct Declarer<'d, 'a> {
    pub(super) declared: &'d mut Declared<'a>,
    pub(super) report: &'d mut Report,
    pub(super) file: FileId,
    pub(super) locations: &'d Locations<'a>,
}

// === impl Scope ===

impl Scope {
    /// Returns the path of the member at `index` of the list that is field `tag`.
    pub(super) fn path_of(&self, tag: i32, index: usize) -> Vec<i32> {
        // A list of more elements than `i32` counts does not fit into memory.
        [
            &self.path[..],
            &[tag, i32::try_from(index).unwrap_or(i32::MAX)],
        ]
        .concat()
    }
}

// === impl Declarer ===

impl<'a> Declarer<'_, 'a> {
    pub(super) fn file(&mut self, file: &'a LoadedFile) {
        let proto = &file.proto;
        let scope = Scope {
            file: self.file,
            name: proto.package.clone(),
            path: Vec::new(),
            features: file.features,
        };
        self.package(&proto.package);
        self.messages(&scope, &proto.messages, path::FILE_MESSAGE);
        self.enums(&scope, &proto.enums, path::FILE_ENUM);
        self.extensions(&scope, &proto.extensions, path::FILE_EXTENSION);
        for (index, service) in proto.services.iter().enumerate() {
            self.service(&scope, service, scope.path_of(path::FILE_SERVICE, index));
        }
    }

    fn package(&mut self, name: &str) {
        if name.len() > MAX_PACKAGE_BYTES {
            self.problem(None, "", "the package name is too long");
        } else if !name.is_empty() && !name.split('.').all(is_identifier) {
            self.problem(None, "", format!("{name:?} is not a valid package name"));
        } else if let Err(first) = self.declared.symbols.add_package(name, self.file) {
            self.taken(None, name, first);
        }
    }

    /// Recursion ends: the decoder accepts messages 100 deep.
    fn messages(&mut self, outer: &Scope, list: &'a [proto::MessageType], tag: i32) {
        for (index, proto) in list.iter().enumerate() {
            let symbol = Symbol::Message(self.declared.messages.len());
            let raw = RawOptions::merged(&proto.options);
            let at = outer.path_of(tag, index);
            let source = self
                .locations
                .source(self.file, &at, Some(path::MESSAGE_OPTIONS));
            let mut scope = self.scope(outer, &proto.name, at);
            self.define(&scope, &proto.name, source.line, symbol);
            let options: MessageOptions = self.decode(&raw, &source, &scope.name);
            self.inherit(&mut scope, options.features, &source);
            self.declared.messages.push(Message {
                proto,
                scope: scope.clone(),
                source,
                raw,
                options,
            });
            self.messages(&scope, &proto.messages, path::MESSAGE_MESSAGE);
            self.enums(&scope, &proto.enums, path::MESSAGE_ENUM);
            self.extensions(&scope, &proto.extensions, path::MESSAGE_EXTENSION);
        }
    }

    fn enums(&mut self, outer: &Scope, list: &'a [proto::EnumType], tag: i32) {
        for (index, proto) in list.iter().enumerate() {
            let symbol = Symbol::Enum(self.declared.enums.len());
            let raw = RawOptions::merged(&proto.options);
            let at = outer.path_of(tag, index);
            let source = self
                .locations
                .source(self.file, &at, Some(path::ENUM_OPTIONS));
            let mut scope = self.scope(outer, &proto.name, at);
            self.define(&scope, &proto.name, source.line, symbol);
            let options: EnumOptions = self.decode(&raw, &source, &scope.name);
            self.inherit(&mut scope, options.features, &source);
            for (index, value) in proto.values.iter().enumerate() {
                let at = scope.path_of(path::ENUM_VALUE, index);
                let line = self.locations.line(&at);
                // Values are siblings of their enum, as in C++.
                let scope = self.scope(outer, &value.name, at);
                self.define(&scope, &value.name, line, Symbol::Other);
            }
            self.declared.enums.push(Enum {
                proto,
                scope,
                source,
                raw,
            });
        }
    }

    fn extensions(&mut self, outer: &Scope, list: &'a [proto::Field], tag: i32) {
        for (index, proto) in list.iter().enumerate() {
            let path = outer.path_of(tag, index);
            let scope = self.scope(outer, &proto.name, path.clone());
            self.define(
                &scope,
                &proto.name,
                self.locations.line(&path),
                Symbol::Other,
            );
            self.declared.extensions.push(Extension {
                proto,
                scope: outer.clone(),
                path,
            });
        }
    }

    fn service(&mut self, outer: &Scope, proto: &'a proto::Service, at: Vec<i32>) {
        let source = self
            .locations
            .source(self.file, &at, Some(path::SERVICE_OPTIONS));
        let scope = self.scope(outer, &proto.name, at);
        self.define(&scope, &proto.name, source.line, Symbol::Other);
        self.declared.services.push(DeclaredService {
            proto,
            scope,
            source,
        });
    }

    fn scope(&self, outer: &Scope, name: &str, path: Vec<i32>) -> Scope {
        Scope {
            file: self.file,
            name: join(&outer.name, name),
            path,
            features: outer.features,
        }
    }

    fn define(&mut self, scope: &Scope, name: &str, line: Option<u32>, symbol: Symbol) {
        if !is_identifier(name) {
            self.problem(line, &scope.name, format!("{name:?} is not a valid name"));
        }
        let new = First {
            symbol,
            file: self.file,
            line,
        };
        if let Err(first) = self.declared.symbols.add(&scope.name, new) {
            self.taken(line, &scope.name, first);
        }
    }

    fn taken(&mut self, line: Option<u32>, name: &str, first: First) {
        let place = self.report.place(first.file, first.line);
        self.problem(line, name, format!("the name is already used by {place}"));
    }

    fn inherit(&mut self, scope: &mut Scope, own: Option<FeatureSet>, source: &Source) {
        match scope.features.with(own) {
            Ok(features) => scope.features = features,
            Err(reason) => self.problem(source.line, &scope.name, reason),
        }
    }

    fn decode<M: prost::Message + Default>(
        &mut self,
        raw: &RawOptions,
        source: &Source,
        element: &str,
    ) -> M {
        raw.decode().unwrap_or_else(|error| {
            self.problem(source.line, element, format!("malformed options: {error}"));
            M::default()
        })
    }

    fn problem(&mut self, line: Option<u32>, element: &str, reason: impl Into<String>) {
        let at = At {
            file: self.file,
            line,
            element,
        };
        self.report.problem(at, reason);
    }
}

/// Returns whether a name is an `ident` of the language: only those can be quoted, put in a path or
/// shown unescaped.
pub fn is_identifier(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
