//! The second pass: references find their definitions, and contradictions are found.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::declare::{self, Declared, is_identifier};
use super::features::{Features, JsonFormat, OneofOptions};
use super::fields::{Context, Home, unknown_type};
use super::proto::{self, ExtensionRange, RawOptions, path};
use super::report::{At, Report};
use super::source::{Locations, Source};
use super::symbols::{Symbol, join};
use super::{
    EnumDef, EnumValueDef, ExtensionDef, FieldDef, MessageDef, MethodDef, OneofDef, Pool, Reserved,
    ServiceDef,
};
use crate::kind::{Kind, Label, MessageId};

/// The oneofs of one message that a plan can number.
const MAX_ONEOFS: usize = u16::MAX as usize;

pub(super) struct Resolver<'r, 'a> {
    pub(super) declared: &'r Declared<'a>,
    pub(super) locations: &'r [Locations<'a>],
    pub(super) report: &'r mut Report,
}

// === impl Resolver ===

impl<'r, 'a> Resolver<'r, 'a> {
    pub(super) fn new(
        declared: &'r Declared<'a>,
        locations: &'r [Locations<'a>],
        report: &'r mut Report,
    ) -> Self {
        Resolver {
            declared,
            locations,
            report,
        }
    }

    pub(super) fn resolve(mut self) -> Pool {
        let declared = self.declared;
        let messages: Vec<_> = declared.messages.iter().map(|m| self.message(m)).collect();
        Pool {
            files: Vec::new(),
            enums: declared.enums.iter().map(|e| self.enumeration(e)).collect(),
            services: declared.services.iter().map(|s| self.service(s)).collect(),
            extensions: self.extensions(&messages),
            messages,
        }
    }

    fn message(&mut self, declared: &declare::Message<'_>) -> MessageDef {
        let declare::Message { proto, scope, .. } = declared;
        let oneofs = self.oneofs(declared);
        let home = match declared.options.map_entry {
            true => Home::MapEntry,
            false => Home::Message,
        };
        let mut fields = Vec::with_capacity(proto.fields.len());
        for (index, field) in proto.fields.iter().enumerate() {
            let path = scope.path_of(path::MESSAGE_FIELD, index);
            let Some(features) = self.surrounding(declared, &oneofs, field, &path) else {
                continue;
            };
            let context = Context {
                scope,
                features,
                path,
                home,
            };
            fields.extend(self.field(field, &context));
        }
        let mut extension_ranges = proto.extension_ranges.clone();
        extension_ranges.sort_by_key(|range| range.start);
        let message = MessageDef {
            name: scope.name.as_str().into(),
            source: declared.source.clone(),
            options: declared.raw.clone(),
            features: scope.features,
            fields,
            oneofs,
            extension_ranges,
            reserved: Reserved::of_message(proto),
            is_map_entry: declared.options.map_entry,
            is_message_set: declared.options.message_set_wire_format,
            tolerates_json_conflicts: declared.options.deprecated_legacy_json_field_conflicts,
        };
        self.check(&message);
        message
    }

    /// Returns the parent of a field's features: its oneof, or the message.
    fn surrounding(
        &mut self,
        message: &declare::Message<'_>,
        oneofs: &[OneofDef],
        field: &proto::Field,
        path: &[i32],
    ) -> Option<Features> {
        let Some(index) = field.oneof_index else {
            return Some(message.scope.features);
        };
        let oneof = usize::try_from(index).ok().and_then(|at| oneofs.get(at));
        if oneof.is_none() {
            let line = self.source(message.scope.file, path, None).line;
            let element = join(&message.scope.name, &field.name);
            let at = At {
                file: message.scope.file,
                line,
                element: &element,
            };
            let reason = format!("oneof {index} does not exist: there are {}", oneofs.len());
            self.report.problem(at, reason);
        }
        oneof.map(|oneof| oneof.features)
    }

    fn oneofs(&mut self, message: &declare::Message<'_>) -> Vec<OneofDef> {
        let declare::Message { proto, scope, .. } = message;
        let at = at(&message.source, &scope.name);
        if proto.oneofs.len() > MAX_ONEOFS {
            self.report
                .problem(at, format!("more than {MAX_ONEOFS} oneofs"));
        }
        // How many fields are in each, and whether one of them is `optional`.
        let mut members = vec![(0, false); proto.oneofs.len()];
        for field in &proto.fields {
            let index = field
                .oneof_index
                .and_then(|index| usize::try_from(index).ok());
            if let Some((count, is_optional)) = index.and_then(|index| members.get_mut(index)) {
                *count += 1;
                *is_optional |= field.proto3_optional;
            }
        }
        let mut oneofs = Vec::with_capacity(proto.oneofs.len());
        for (index, (oneof, members)) in proto.oneofs.iter().zip(members).enumerate() {
            let path = scope.path_of(path::MESSAGE_ONEOF, index);
            let source = self.source(scope.file, &path, Some(path::ONEOF_OPTIONS));
            let options = RawOptions::merged(&oneof.options);
            let read = options
                .decode::<OneofOptions>()
                .map_err(|error| error.to_string());
            let features = read.and_then(|own| scope.features.with(own.features));
            let features = features.unwrap_or_else(|reason| {
                let reason = format!("oneof {:?}: {reason}", oneof.name);
                self.report.problem(at, reason);
                scope.features
            });
            oneofs.push(OneofDef {
                name: oneof.name.as_str().into(),
                is_synthetic: members == (1, true),
                features,
                source,
                options,
            });
        }
        oneofs
    }

    fn enumeration(&mut self, declared: &declare::Enum<'_>) -> EnumDef {
        let scope = &declared.scope;
        let values = declared.proto.values.iter().enumerate();
        EnumDef {
            name: scope.name.as_str().into(),
            features: scope.features,
            source: declared.source.clone(),
            options: declared.raw.clone(),
            reserved: Reserved::of_enum(declared.proto),
            values: values
                .map(|(index, value)| EnumValueDef {
                    name: value.name.as_str().into(),
                    number: value.number,
                    source: self.source(
                        scope.file,
                        &scope.path_of(path::ENUM_VALUE, index),
                        Some(path::ENUM_VALUE_OPTIONS),
                    ),
                    options: RawOptions::merged(&value.options),
                })
                .collect(),
        }
    }

    fn service(&mut self, declared: &declare::DeclaredService<'_>) -> ServiceDef {
        let scope = &declared.scope;
        let mut methods = Vec::with_capacity(declared.proto.methods.len());
        let mut names = HashMap::new();
        for (index, method) in declared.proto.methods.iter().enumerate() {
            let path = scope.path_of(path::SERVICE_METHOD, index);
            let source = self.source(scope.file, &path, Some(path::METHOD_OPTIONS));
            let name = join(&scope.name, &method.name);
            let at = at(&source, &name);
            if !is_identifier(&method.name) {
                self.report
                    .problem(at, format!("{:?} is not a valid name", method.name));
            }
            if let Some(first) = names.insert(method.name.as_str(), source.line) {
                let place = self.report.place(scope.file, first);
                self.report
                    .problem(at, format!("the name is already used by {place}"));
            }
            let input = self.message_named(&method.input_type, &scope.name, at);
            let output = self.message_named(&method.output_type, &scope.name, at);
            let (Some(input), Some(output)) = (input, output) else {
                continue;
            };
            methods.push(MethodDef {
                name: name.as_str().into(),
                input,
                output,
                is_client_streaming: method.client_streaming,
                is_server_streaming: method.server_streaming,
                options: RawOptions::merged(&method.options),
                source,
            });
        }
        ServiceDef {
            name: scope.name.as_str().into(),
            source: declared.source.clone(),
            options: RawOptions::merged(&declared.proto.options),
            methods,
        }
    }

    fn message_named(&mut self, name: &str, scope: &str, at: At<'_>) -> Option<MessageId> {
        match self.declared.symbols.resolve(name, scope) {
            Some(Symbol::Message(id)) => return Some(id),
            Some(_) => self
                .report
                .problem(at, format!("\"{name}\" is not a message")),
            None => self.report.problem(at, unknown_type(name)),
        }
        None
    }

    fn extensions(&mut self, messages: &[MessageDef]) -> Vec<ExtensionDef> {
        let mut numbers = HashMap::new();
        let mut extensions = Vec::with_capacity(self.declared.extensions.len());
        for extension in &self.declared.extensions {
            let Some(found) = self.extension(extension, messages) else {
                continue;
            };
            let key = (found.extendee, found.field.number);
            match numbers.entry(key) {
                Entry::Vacant(vacant) => {
                    vacant.insert(extensions.len());
                }
                Entry::Occupied(first) => {
                    let first: Option<&ExtensionDef> = extensions.get(*first.get());
                    let first = first.map_or("", |first| &*first.field.name);
                    let reason =
                        format!("number {} is already used by {first}", found.field.number);
                    let at = at(&found.field.source, &found.field.name);
                    self.report.problem(at, reason);
                }
            }
            extensions.push(found);
        }
        extensions
    }

    fn extension(
        &mut self,
        declared: &declare::Extension<'_>,
        messages: &[MessageDef],
    ) -> Option<ExtensionDef> {
        let declare::Extension { proto, scope, path } = declared;
        let symbols = &self.declared.symbols;
        let found = symbols.resolve(&proto.extendee, &scope.name);
        // Options are read from their bytes, so that the set need not bring the definition of the
        // language along.
        if found.is_none() && is_language_option(&proto.extendee) {
            return None;
        }
        let name = join(&scope.name, &proto.name);
        let source = self.source(scope.file, path, None);
        let at = at(&source, &name);
        let extendee = self.message_named(&proto.extendee, &scope.name, at)?;
        let message = messages.get(extendee)?;
        if !is_in(&message.extension_ranges, proto.number) {
            let reason = format!("{} has no extension number {}", message.name, proto.number);
            self.report.problem(at, reason);
        }
        let context = Context {
            scope,
            features: scope.features,
            path: path.clone(),
            home: match message.is_message_set {
                true => Home::MessageSetExtension,
                false => Home::Extension,
            },
        };
        let field = self.field(proto, &context)?;
        Some(ExtensionDef { extendee, field })
    }

    fn check(&mut self, message: &MessageDef) {
        let mut names = HashMap::new();
        let mut numbers = HashMap::new();
        let mut json_names = HashMap::new();
        for field in &message.fields {
            let element = join(&message.name, &field.name);
            let at = at(&field.source, &element);
            if names.insert(&*field.name, field.source.line).is_some() {
                self.report
                    .problem(at, "the name is already used by another field");
            }
            if let Some(first) = numbers.insert(field.number, &*field.name) {
                let reason = format!("number {} is already used by '{first}'", field.number);
                self.report.problem(at, reason);
            } else if is_in(&message.extension_ranges, field.number.cast_signed()) {
                let reason = format!("number {} is one for extensions", field.number);
                self.report.problem(at, reason);
            }
            if let Some(first) = json_names.insert(&*field.json_name, &*field.name) {
                let reason = format!(
                    "the JSON name {:?} is already used by '{first}'",
                    field.json_name
                );
                let is_fault = message.features.json_format == JsonFormat::Allow
                    && !message.tolerates_json_conflicts;
                match is_fault {
                    true => self.report.problem(at, reason),
                    false => self.report.note(at, reason),
                }
            }
        }
        for oneof in &message.oneofs {
            if names.insert(&*oneof.name, oneof.source.line).is_some() {
                let reason = format!("oneof '{}': the name is already used", oneof.name);
                self.report
                    .problem(at(&message.source, &message.name), reason);
            }
        }
        if message.is_map_entry && !is_entry(&message.fields) {
            let reason = "a map entry has a key, number 1, that is not a float, bytes, enum or message, and a value, number 2";
            self.report
                .problem(at(&message.source, &message.name), reason);
        }
    }
}

fn at<'s>(source: &Source, element: &'s str) -> At<'s> {
    At {
        file: source.file,
        line: source.line,
        element,
    }
}

fn is_in(ranges: &[ExtensionRange], number: i32) -> bool {
    let after = ranges.partition_point(|range| range.start <= number);
    let last = after.checked_sub(1).and_then(|at| ranges.get(at));
    last.is_some_and(|range| number < range.end)
}

fn is_language_option(name: &str) -> bool {
    name.starts_with(".google.protobuf.") && name.ends_with("Options")
}

fn is_entry(fields: &[FieldDef]) -> bool {
    let [first, second] = fields else {
        return false;
    };
    let (key, value) = match first.number {
        1 => (first, second),
        _ => (second, first),
    };
    let is_single = |field: &FieldDef| matches!(field.label, Label::Implicit | Label::Explicit);
    let is_key = !matches!(
        key.kind,
        Kind::Double
            | Kind::Float
            | Kind::Bytes
            | Kind::Enum(_)
            | Kind::Message(_)
            | Kind::Group(_)
    );
    (key.number, value.number) == (1, 2) && is_single(key) && is_single(value) && is_key
}
