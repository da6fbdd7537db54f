//! The fields of a message that a mapping sets, as a tree in the order of the wire.

use cel::Type;
use descriptors::{FieldPlan, Kind, Label, MessageId, Shape, Types, did_you_mean};

use crate::error::CompileError;

/// A message, and those of its fields that are set.
#[derive(Debug)]
pub(crate) struct Target<E> {
    pub(crate) message: MessageId,
    /// Sorted by number.
    pub(crate) fields: Vec<Field<E>>,
}

/// A field that is set.
#[derive(Debug)]
pub(crate) struct Field<E> {
    /// Index in the plan of the message.
    pub(crate) index: usize,
    /// Whole path.
    pub(crate) path: String,
    pub(crate) content: Content<E>,
}

/// The value of a field.
#[derive(Debug)]
pub(crate) enum Content<E> {
    /// An expression has the value.
    Expression(E),
    /// A message whose fields are set one by one.
    Fields(Target<E>),
}

// === impl Target ===

impl<E> Target<E> {
    pub(crate) fn new(message: MessageId) -> Self {
        Target {
            message,
            fields: Vec::new(),
        }
    }

    /// Adds an expression for the field at this path.
    pub(crate) fn add(
        &mut self,
        types: &Types,
        path: &str,
        expression: E,
    ) -> Result<(), CompileError> {
        let key = format!("map.{path}");
        let wrong = |reason: String| CompileError {
            field: path.to_owned(),
            ..CompileError::new(key.clone(), reason)
        };
        let mut target = self;
        let mut steps = path.split('.').peekable();
        let mut expression = Some(expression);
        let mut done = String::new();
        while let Some(step) = steps.next() {
            let index = index_of(types, target.message, step).map_err(&wrong)?;
            let field = &types.message(target.message).fields[index];
            if !done.is_empty() {
                done.push('.');
            }
            done.push_str(step);
            let at = target
                .fields
                .binary_search_by_key(&field.number, |own| types.message(target.message).fields[own.index].number);
            let is_last = steps.peek().is_none();
            let at = match (at, is_last) {
                (Ok(_), true) => return Err(wrong("the field is set twice".to_owned())),
                (Ok(at), false) => at,
                (Err(at), _) => {
                    let content = match (is_last, expression.take()) {
                        (true, Some(own)) => Content::Expression(own),
                        (_, own) => {
                            expression = own;
                            Content::Fields(Target::new(inner(types, field).map_err(&wrong)?))
                        }
                    };
                    let path = done.clone();
                    target.fields.insert(at, Field { index, path, content });
                    at
                }
            };
            if is_last {
                return Ok(());
            }
            match &mut target.fields[at].content {
                Content::Fields(fields) => target = fields,
                Content::Expression(_) => {
                    let reason = format!("`{done}` is set as a whole");
                    return Err(wrong(reason));
                }
            }
        }
        Ok(())
    }
}

/// Finds a field by its name in the proto file or in JSON.
fn index_of(types: &Types, message: MessageId, name: &str) -> Result<usize, String> {
    let plan = types.message(message);
    plan.by_name(name).ok_or_else(|| {
        let meant = did_you_mean(name, plan.fields.iter().map(|field| &*field.name));
        format!("message `{}` has no field `{name}`{meant}", plan.name)
    })
}

/// Returns the message of a field whose fields can be set one by one.
fn inner(types: &Types, field: &FieldPlan) -> Result<MessageId, String> {
    let name = &field.name;
    match field.kind {
        Kind::Message(id) if field.is_singular() && types.message(id).shape == Shape::Object => Ok(id),
        _ => Err(format!("`{name}` is not a single message with fields")),
    }
}

/// Checks that an expression of this type may have the value of a field.
pub(crate) fn check(types: &Types, field: &FieldPlan, found: &Type) -> Result<(), String> {
    let wanted = wanted(types, field)?;
    if *found == Type::Null {
        return Err("its result is always null".to_owned());
    }
    if fits(types, field, found) {
        return Ok(());
    }
    let found_name = found.shown(types).to_string();
    let help = match (&wanted[..], found) {
        ("string", _) => "; `text(…)` makes one",
        (_, Type::String) if is_integer(field.kind) => "; `whole(…)` or `decimal(…, scale)` makes one",
        (_, Type::String) if is_float(field.kind) => "; `number(…)` makes one",
        ("timestamp", Type::String) => "; `time(…, format, zone)` makes one",
        _ => "",
    };
    let name = &field.name;
    Err(format!("the field `{name}` needs {wanted}, and its result is of type {found_name}{help}"))
}

/// Returns the type that a field needs, for a person; an error for fields that can't be mapped.
fn wanted(types: &Types, field: &FieldPlan) -> Result<String, String> {
    if let (Kind::Message(id), true) = (field.kind, field.label != Label::Map) {
        let message = types.message(id);
        let name = &message.name;
        if matches!(message.shape, Shape::Any | Shape::FieldMask | Shape::Empty) {
            return Err(format!("a field of type `{name}` can't be mapped"));
        }
    }
    if let Kind::Group(_) = field.kind {
        return Err("a group can't be mapped".to_owned());
    }
    let single = match field.kind {
        Kind::Enum(_) => "a name of its enum".to_owned(),
        kind => Type::of_value(types, kind).shown(types).to_string(),
    };
    Ok(match field.label {
        Label::Repeated | Label::Packed => format!("list of {single}"),
        Label::Map => "map".to_owned(),
        _ => single,
    })
}

fn is_integer(kind: Kind) -> bool {
    use Kind::{Fixed32, Fixed64, Int32, Int64, Sfixed32, Sfixed64, Sint32, Sint64, Uint32, Uint64};
    matches!(
        kind,
        Int32 | Int64 | Uint32 | Uint64 | Sint32 | Sint64 | Fixed32 | Fixed64 | Sfixed32 | Sfixed64
    )
}

fn is_float(kind: Kind) -> bool {
    matches!(kind, Kind::Double | Kind::Float)
}

fn fits(types: &Types, field: &FieldPlan, found: &Type) -> bool {
    match (field.label, found) {
        (_, Type::Dyn) => true,
        (Label::Repeated | Label::Packed, Type::List(item)) => single(types, field.kind, item),
        (Label::Map, Type::Map(..)) => true,
        (Label::Repeated | Label::Packed | Label::Map, _) => false,
        _ => single(types, field.kind, found),
    }
}

fn single(types: &Types, kind: Kind, found: &Type) -> bool {
    match (kind, found) {
        (_, Type::Dyn) => true,
        (Kind::Enum(_), Type::String | Type::Int) => true,
        (Kind::Enum(_), _) => false,
        (kind, Type::Int | Type::Uint | Type::Decimal) if is_integer(kind) || is_float(kind) => true,
        (kind, Type::Double) => is_float(kind),
        (Kind::Bool, Type::Bool) | (Kind::String, Type::String) | (Kind::Bytes, Type::Bytes) => true,
        (Kind::Message(id), found) => match (types.message(id).shape, found) {
            (Shape::Timestamp, Type::Timestamp) | (Shape::Duration, Type::Duration) => true,
            (Shape::Object, Type::Map(..)) => true,
            (Shape::Wrapper, found) => {
                let inner = types.message(id).fields.first();
                inner.is_some_and(|inner| single(types, inner.kind, found))
            }
            (Shape::Value, _) => true,
            (Shape::Struct, Type::Map(..)) | (Shape::ListValue, Type::List(_)) => true,
            _ => false,
        },
        _ => false,
    }
}
