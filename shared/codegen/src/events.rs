//! Reads `option (mesh.v1.event)` and checks what it promises.

use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value,
};

use crate::error::Problem;

const EVENT_OPTION: &str = "mesh.v1.event";

/// A message that may be published.
pub(crate) struct Event {
    pub(crate) message: MessageDescriptor,
    pub(crate) context: String,
    pub(crate) aggregate: String,
    pub(crate) key: FieldDescriptor,
}

/// Returns the events of the contracts, sorted by name, or everything that is wrong with them.
pub(crate) fn declared(pool: &DescriptorPool) -> Result<Vec<Event>, Vec<Problem>> {
    let Some(extension) = pool.get_extension_by_name(EVENT_OPTION) else {
        return Ok(Vec::new());
    };
    let (mut events, mut problems) = (Vec::new(), Vec::new());
    for message in pool.all_messages() {
        let options = message.options();
        if !options.has_extension(&extension) {
            continue;
        }
        let value = options.get_extension(&extension);
        match value
            .as_message()
            .ok_or_else(|| format!("({EVENT_OPTION}) must be a message"))
        {
            Ok(option) => match check(&message, option) {
                Ok(event) => events.push(event),
                Err(rule) => problems.push(problem(&message, rule)),
            },
            Err(rule) => problems.push(problem(&message, rule)),
        }
    }
    if !problems.is_empty() {
        problems.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        return Err(problems);
    }
    events.sort_by(|a, b| a.message.full_name().cmp(b.message.full_name()));
    Ok(events)
}

fn check(message: &MessageDescriptor, option: &DynamicMessage) -> Result<Event, String> {
    Ok(Event {
        context: context(message.package_name())?,
        aggregate: aggregate(&text(option, "aggregate"))?,
        key: key(message, &text(option, "key"))?,
        message: message.clone(),
    })
}

fn text(option: &DynamicMessage, field: &str) -> String {
    let value = option.get_field_by_name(field);
    value
        .as_deref()
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

/// Returns the segment before the version names the context that owns the fact, in every version of
/// it.
fn context(package: &str) -> Result<String, String> {
    let mut segments = package.rsplit('.');
    let (version, context) = (segments.next().unwrap_or_default(), segments.next());
    let versioned = version
        .strip_prefix('v')
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    match context {
        Some(context) if versioned => Ok(context.to_owned()),
        _ => Err(format!(
            "the package of an event must end in a name and a version, as `orders.v1` does, not `{package}`"
        )),
    }
}

/// Checks the aggregate, which is one token of a NATS subject and part of names in tools.
fn aggregate(name: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(allowed) {
        Ok(name.to_owned())
    } else {
        Err(format!(
            "({EVENT_OPTION}).aggregate must be lower case letters, digits and `_`, not `{name}`"
        ))
    }
}

/// Checks the key field: a key that could be absent or repeated would not name one aggregate.
fn key(message: &MessageDescriptor, name: &str) -> Result<FieldDescriptor, String> {
    let Some(field) = message.get_field_by_name(name) else {
        return Err(format!(
            "({EVENT_OPTION}).key must name a field of the message, and there is no `{name}`"
        ));
    };
    let found = match field.kind() {
        _ if field.is_list() || field.is_map() => "repeated",
        Kind::String
            if field
                .containing_oneof()
                .is_some_and(|oneof| !oneof.is_synthetic()) =>
        {
            "a member of a oneof"
        }
        Kind::String if field.supports_presence() => "optional",
        Kind::String => return Ok(field),
        _ => "not a string",
    };
    Err(format!(
        "({EVENT_OPTION}).key must name a plain string field, and `{name}` is {found}"
    ))
}

fn problem(message: &MessageDescriptor, rule: String) -> Problem {
    let file = message.parent_file_descriptor_proto();
    let locations = file.source_code_info.iter().flat_map(|info| &info.location);
    let start = locations
        .filter(|location| location.path == message.path())
        .find_map(|location| location.span.first());
    Problem {
        file: file.name().to_owned(),
        // Spans count from 0 (`google.protobuf.SourceCodeInfo.Location`).
        line: start
            .and_then(|line| usize::try_from(*line).ok())
            .map_or(1, |line| line + 1),
        element: message.full_name().to_owned(),
        rule,
    }
}
