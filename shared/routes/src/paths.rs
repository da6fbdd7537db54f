//! Paths of fields through a request message, and the names that a query may not use for them.

use descriptors::{FieldPlan, Kind, MessageId, Shape, Types};

/// Parameters that steer the answer or the caller's account (Google system parameters). Each may
/// also be written with a `$` before it.
const SYSTEM_PARAMETERS: [&str; 6] = [
    "alt",
    "fields",
    "prettyPrint",
    "key",
    "access_token",
    "quotaUser",
];

/// The version of errors that Google's clients ask for.
const ERROR_FORMAT: &str = "$.xgafv";

/// Returns whether a query parameter of this name is about the response or the caller. Where the
/// request declares a field of the name, the parameter is the field, unless it begins with a `$`.
pub fn is_system_parameter(name: &str) -> bool {
    SYSTEM_PARAMETERS.contains(&name.strip_prefix('$').unwrap_or(name)) || name == ERROR_FORMAT
}

/// Scalars, and the messages whose JSON form is one string, number or boolean: what a segment of a
/// path can carry.
pub fn has_text_form(types: &Types, kind: Kind) -> bool {
    match kind {
        Kind::Message(id) | Kind::Group(id) => matches!(
            types.message(id).shape,
            Shape::Timestamp | Shape::Duration | Shape::FieldMask | Shape::Wrapper
        ),
        _ => true,
    }
}

/// Returns the fields that indices lead through.
pub fn chain<'t>(
    types: &'t Types,
    input: MessageId,
    fields: &[usize],
) -> impl Iterator<Item = &'t FieldPlan> {
    let mut message = Some(input);
    fields.iter().map_while(move |index| {
        let field = types.message(message?).fields.get(*index)?;
        message = field.message();
        Some(field)
    })
}

/// Returns the dotted names of a field path, as JSON shows them.
pub fn path_text(types: &Types, input: MessageId, fields: &[usize]) -> String {
    let names: Vec<&str> = chain(types, input, fields)
        .map(|field| &*field.shown_name)
        .collect();
    names.join(".")
}

/// How two field paths get into each other's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overlap {
    /// One is the other, or contains it.
    Field,
    /// They lead to different fields of one oneof.
    Oneof,
}

/// Returns how two field paths from one message exclude each other.
pub fn overlap(types: &Types, input: MessageId, a: &[usize], b: &[usize]) -> Option<Overlap> {
    let common = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    let (Some(own), Some(other)) = (a.get(common), b.get(common)) else {
        return Some(Overlap::Field);
    };
    let parent = chain(types, input, &a[..common]).last();
    let parent = parent.map_or(Some(input), FieldPlan::message)?;
    let fields = &types.message(parent).fields;
    let is_shared = fields[*own].oneof.is_some() && fields[*own].oneof == fields[*other].oneof;
    is_shared.then_some(Overlap::Oneof)
}
