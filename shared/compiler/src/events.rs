//! Checks what `option (mesh.v1.event)` promises.

use descriptors::{EventOption, FieldDef, Kind, Label, MessageDef, Pool, Problem, did_you_mean};

const EVENT_OPTION: &str = "mesh.v1.event";

/// A message that may be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Full name of the message.
    pub message: String,
    /// The segment of the package before its version: who owns the event, in every version of it.
    pub context: String,
    /// Kind of entity that the event is about.
    pub aggregate: String,
    /// Name of the field that identifies the entity.
    pub key: String,
}

/// Returns the events of the contracts, sorted by name. What is wrong with one is added to
/// `problems`.
pub(crate) fn declared(pool: &Pool, problems: &mut Vec<Problem>) -> Vec<Event> {
    let mut events = Vec::new();
    for (message, option) in pool.events() {
        let place =
            pool.place_of_option(&message.source, message.name.clone(), EventOption::NUMBER);
        let package = package(pool, message);
        let (context, aggregate) = (context(package), aggregate(&option.aggregate));
        let key = key(message, &option.key);
        match (context, aggregate, key) {
            (Ok(context), Ok(()), Ok(())) => events.push(Event {
                message: message.name.to_string(),
                context: context.to_owned(),
                aggregate: option.aggregate,
                key: option.key,
            }),
            (context, aggregate, key) => {
                let reasons = [context.err(), aggregate.err(), key.err()];
                problems.extend(reasons.into_iter().flatten().map(|why| place.problem(why)));
            }
        }
    }
    events.sort_by(|one, other| one.message.cmp(&other.message));
    events
}

/// Returns the package of a message: its full name without its own and those of messages around it.
fn package<'m>(pool: &Pool, message: &'m MessageDef) -> &'m str {
    let mut scope: &str = &message.name;
    while let Some((outer, _)) = scope.rsplit_once('.') {
        scope = outer;
        if !pool.messages.iter().any(|other| *other.name == *scope) {
            return scope;
        }
    }
    ""
}

fn context(package: &str) -> Result<&str, String> {
    let mut segments = package.rsplit('.');
    let (version, context) = (segments.next().unwrap_or_default(), segments.next());
    let versioned = version
        .strip_prefix('v')
        .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    context.filter(|_| versioned).ok_or_else(|| {
        format!(
            "the package of an event must end in a name and a version, as `orders.v1` does, not `{package}`"
        )
    })
}

/// Checks the aggregate, which is one token of a NATS subject and part of names in tools.
fn aggregate(name: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if name.is_empty() {
        return Err(format!(
            "({EVENT_OPTION}).aggregate is missing; write the kind of thing that the event is about, as \
             `aggregate: \"order\"`"
        ));
    }
    if name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(allowed) {
        return Ok(());
    }
    let lower: String = name.chars().map(|c| c.to_ascii_lowercase()).collect();
    let advice = match aggregate(&lower) {
        Ok(()) if lower != name => format!("; write `{lower}`"),
        _ => String::new(),
    };
    Err(format!(
        "({EVENT_OPTION}).aggregate must be lower case letters, digits and `_`, not `{name}`{advice}"
    ))
}

/// Checks the key field: a key that could be absent or repeated would not name one aggregate.
fn key(message: &MessageDef, name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err(format!(
            "({EVENT_OPTION}).key is missing; write the name of the string field that identifies the \
             aggregate, as `key: \"order_id\"`"
        ));
    }
    let Some(field) = message.fields.iter().find(|field| *field.name == *name) else {
        let meant = did_you_mean(name, message.fields.iter().map(|field| &*field.name));
        return Err(format!(
            "({EVENT_OPTION}).key must name a field of the message, and there is no `{name}`{meant}"
        ));
    };
    match unfit(message, field) {
        None => Ok(()),
        Some(found) => Err(format!(
            "({EVENT_OPTION}).key must name a plain string field, and `{name}` is {found}"
        )),
    }
}

fn unfit(message: &MessageDef, field: &FieldDef) -> Option<&'static str> {
    let is_oneof = |index: usize| {
        let oneof = message.oneofs.get(index);
        oneof.is_some_and(|oneof| !oneof.is_synthetic)
    };
    match (field.label, field.kind) {
        (Label::Repeated | Label::Packed | Label::Map, _) => Some("repeated"),
        (_, Kind::String) if field.oneof.is_some_and(is_oneof) => Some("a member of a oneof"),
        (Label::Explicit, Kind::String) => Some("optional"),
        (Label::Implicit, Kind::String) => None,
        _ => Some("not a string"),
    }
}
