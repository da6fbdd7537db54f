//! Tells what to write in place of a name that the compiler does not know.

use descriptors::did_you_mean;
use prost_reflect::{DescriptorPool, EnumDescriptor, FieldDescriptor, MessageDescriptor};
use prost_types::{DescriptorProto, FileDescriptorProto};

use crate::standard;

/// The text of a cycle of imports begins so, as `protox` writes it.
const CYCLE: &str = "import cycle detected: ";
/// Number of `google.protobuf.FileDescriptorProto.dependency`.
const IMPORTS: i32 = 3;

/// The types of the language.
const SCALARS: [&str; 15] = [
    "double", "float", "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32",
    "fixed64", "sfixed32", "sfixed64", "bool", "string", "bytes",
];

/// The names that a file can see.
pub(crate) struct Names<'a> {
    /// The files compiled so far: imports, as they come first.
    pub(crate) pool: &'a DescriptorPool,
    /// The file with the mistake.
    pub(crate) own: Option<&'a FileDescriptorProto>,
}

/// Returns the reason that the compiler gives, with what to write.
pub(crate) fn advised(reason: String, names: &Names<'_>) -> String {
    let advice = if let Some(name) = between(&reason, "name '", "' is not defined") {
        names.of_type(name)
    } else if let Some(option) = between(&reason, "option field '", "' is not defined") {
        names.of_option(option)
    } else if between(&reason, "field number '", "' is already used").is_some() {
        "; write a number that no field of the message has or had".to_owned()
    } else if reason == "the first value for proto3 enums must be 0" {
        "; write `NAME_UNSPECIFIED = 0;` before the others".to_owned()
    } else if let Some(name) = between(&reason, "name '", "' is defined twice") {
        format!("; rename one of the two `{}`", last_segment(name))
    } else if reason.starts_with(CYCLE) {
        "; move what both need to a file of its own".to_owned()
    } else if reason.ends_with("' is not valid utf-8") {
        "; save it as UTF-8".to_owned()
    } else if let Some((_, unknown)) = reason.split_once(": field '") {
        names.of_field(unknown)
    } else {
        String::new()
    };
    reason + &advice
}

/// Returns line and column of the import with which a cycle begins: the compiler tells neither.
pub(crate) fn cycle_place(reason: &str, own: &FileDescriptorProto) -> Option<(u32, u32)> {
    let import = reason.strip_prefix(CYCLE)?.split(" -> ").nth(1)?;
    let index = own.dependency.iter().position(|name| name == import)?;
    let path = [IMPORTS, i32::try_from(index).ok()?];
    let mut locations = own.source_code_info.iter().flat_map(|info| &info.location);
    let found = locations.find(|location| location.path == path)?;
    let from_one = |at: usize| u32::try_from(*found.span.get(at)?).ok()?.checked_add(1);
    Some((from_one(0)?, from_one(1)?))
}

fn between<'t>(text: &'t str, start: &str, end: &str) -> Option<&'t str> {
    text.strip_prefix(start)?.strip_suffix(end)
}

fn last_segment(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

// === impl Names ===

impl Names<'_> {
    fn of_type(&self, written: &str) -> String {
        if let Some(file) = standard::declaring(written) {
            return format!("; write `import \"{file}\";`");
        }
        let own = self.own.map(declared).unwrap_or_default();
        let messages: Vec<MessageDescriptor> = self.pool.all_messages().collect();
        let enums: Vec<_> = self.pool.all_enums().collect();
        let imported = messages.iter().map(MessageDescriptor::name);
        let imported = imported.chain(enums.iter().map(EnumDescriptor::name));
        let declared = own.iter().map(String::as_str).chain(imported);
        let candidates = declared.chain(SCALARS);
        match did_you_mean(last_segment(written), candidates) {
            none if none.is_empty() => {
                "; declare it, or import the file that declares it".to_owned()
            }
            meant => meant,
        }
    }

    /// Reads `field' not found for message 'name'`, of an option that is written in braces.
    fn of_field(&self, text: &str) -> String {
        let Some((field, message)) = text.split_once("' not found for message '") else {
            return String::new();
        };
        let message = self
            .pool
            .get_message_by_name(message.trim_end_matches('\''));
        let fields: Vec<_> = message.iter().flat_map(MessageDescriptor::fields).collect();
        did_you_mean(field, fields.iter().map(FieldDescriptor::name))
    }

    /// Looks for the last name of an option's path, such as
    /// `(buf.validate.field).string.min_length`, among those that the ones before it lead to.
    fn of_option(&self, written: &str) -> String {
        let unknown = || "; import the file that declares it, or correct the name".to_owned();
        let Some((extension, rest)) = written
            .strip_prefix('(')
            .and_then(|path| path.split_once(')'))
        else {
            return unknown();
        };
        let extensions = self.pool.all_extensions();
        let names: Vec<String> = extensions.map(|own| own.full_name().to_owned()).collect();
        let extension = extension.trim_start_matches('.');
        let Some(found) = self.pool.get_extension_by_name(extension) else {
            return match did_you_mean(extension, names.iter().map(String::as_str)) {
                none if none.is_empty() => unknown(),
                meant => meant,
            };
        };
        let mut message = found.kind().as_message().cloned();
        let mut path: Vec<&str> = rest.split('.').filter(|name| !name.is_empty()).collect();
        let last = path.pop().unwrap_or_default();
        for name in path {
            let field = message.and_then(|own| own.get_field_by_name(name));
            message = field.and_then(|field| field.kind().as_message().cloned());
        }
        let fields: Vec<_> = message.iter().flat_map(MessageDescriptor::fields).collect();
        match did_you_mean(last, fields.iter().map(FieldDescriptor::name)) {
            none if none.is_empty() => unknown(),
            meant => meant,
        }
    }
}

/// Returns the names of messages and enums of a file.
fn declared(file: &FileDescriptorProto) -> Vec<String> {
    let mut names: Vec<String> = file
        .enum_type
        .iter()
        .map(|own| own.name().to_owned())
        .collect();
    let mut pending: Vec<&DescriptorProto> = file.message_type.iter().collect();
    while let Some(message) = pending.pop() {
        names.push(message.name().to_owned());
        names.extend(message.enum_type.iter().map(|own| own.name().to_owned()));
        pending.extend(&message.nested_type);
    }
    names
}
