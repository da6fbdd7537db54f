//! Schemas of single values: scalars, and the well-known types that have a JSON form of their own
//! (ProtoJSON).

use descriptors::{Kind, Shape};

use crate::digits::{self, Range};
use crate::value::{Json, Object};

/// How a value looks in JSON, as far as rules for it need to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    /// A JSON number.
    Number,
    /// A number within a range that is a string: those of 64 bits, and in names of members.
    Digits(Range),
    Text,
    /// Base64.
    Bytes,
    Bool,
    Enum,
    Other,
}

const NOT_FINITE: [&str; 3] = ["NaN", "Infinity", "-Infinity"];
const SIGNED: &str = "^-?[0-9]+$";
const UNSIGNED: &str = "^[0-9]+$";

/// Base64 in one alphabet, padded or not.
const BASE64: &str = "(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}={0,2}|[A-Za-z0-9+/]{3}=?)?";

/// Paths in lowerCamelCase.
const FIELD_MASK: &str = "^(?:[A-Za-z0-9.*]+(?:,[A-Za-z0-9.*]+)*)?$";

/// The longest `google.protobuf.Duration`, in seconds.
const MAX_SECONDS: i128 = 315_576_000_000;

pub(crate) fn look(kind: Kind) -> Look {
    match kind {
        Kind::Int64 | Kind::Uint64 | Kind::Sint64 | Kind::Fixed64 | Kind::Sfixed64 => {
            digits::range(kind).map_or(Look::Other, Look::Digits)
        }
        Kind::Bool => Look::Bool,
        Kind::String => Look::Text,
        Kind::Bytes => Look::Bytes,
        Kind::Enum(_) => Look::Enum,
        Kind::Message(_) | Kind::Group(_) => Look::Other,
        _ => Look::Number,
    }
}

/// Returns the schema of a scalar. `is_finite`: a rule excludes NaN and infinity.
pub(crate) fn scalar(kind: Kind, is_finite: bool) -> Object {
    match kind {
        Kind::Double => float("double", is_finite),
        Kind::Float => float("float", is_finite),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            within(typed("integer").with("format", "int32"), kind)
        }
        Kind::Uint32 | Kind::Fixed32 => within(typed("integer").with("format", "uint32"), kind),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => in_text("int64", SIGNED),
        Kind::Uint64 | Kind::Fixed64 => in_text("uint64", UNSIGNED),
        Kind::Bool => typed("boolean"),
        Kind::String => typed("string"),
        Kind::Bytes => typed("string")
            .with("contentEncoding", "base64")
            .with("pattern", format!("^{BASE64}$")),
        Kind::Enum(_) | Kind::Message(_) | Kind::Group(_) => Object::new(),
    }
}

/// Returns what readers accept of a scalar besides what writers write.
pub(crate) fn readable(kind: Kind, schema: Object) -> Object {
    match (look(kind), digits::range(kind)) {
        (Look::Digits(_), Some(range)) => {
            // Readers take both; a pattern is about strings only.
            let schema = schema.with("type", Json::list(["string", "integer"]));
            within(schema.with("pattern", digits::pattern(range)), kind)
        }
        (Look::Bytes, _) => {
            let url_safe = BASE64.replace("+/", "_-");
            schema.with("pattern", format!("^(?:{BASE64}|{url_safe})$"))
        }
        _ => schema,
    }
}

/// Turns a list of the types string and integer into a choice: generators of code refuse the list.
pub(crate) fn choice_of_types(mut schema: Object) -> Object {
    let (mut text, mut number) = (typed("string"), typed("integer"));
    schema.remove("type");
    if let Some(format) = schema.remove("format") {
        text.set("format", format.clone());
        number.set("format", format);
    }
    if let Some(pattern) = schema.remove("pattern") {
        text.set("pattern", pattern);
    }
    for bound in ["minimum", "maximum"] {
        if let Some(limit) = schema.remove(bound) {
            number.set(bound, limit);
        }
    }
    schema.with("anyOf", Json::list([text, number]))
}

/// Returns all forms of `google.protobuf.NullValue`, which readers take.
pub(crate) fn null() -> Object {
    let name = typed("string").with("enum", Json::list(["NULL_VALUE"]));
    Object::new().with("anyOf", Json::list([typed("null"), name, number()]))
}

/// Returns the schema of an enum value without a name.
pub(crate) fn number() -> Object {
    scalar(Kind::Int32, true)
}

fn within(schema: Object, kind: Kind) -> Object {
    let Some((least, most)) = digits::range(kind) else {
        return schema;
    };
    schema.with("minimum", least).with("maximum", most)
}

/// Returns the schema of a well-known type; `None` for messages that are objects with fields, and
/// for Any.
pub(crate) fn well_known(shape: Shape) -> Option<Object> {
    Some(match shape {
        Shape::Timestamp => typed("string").with("format", "date-time"),
        Shape::Duration => {
            let seconds = digits::choices((0, MAX_SECONDS)).join("|");
            let pattern = format!("^-?(?:{seconds})(?:\\.[0-9]{{1,9}})?s$");
            typed("string").with("pattern", pattern)
        }
        Shape::FieldMask => typed("string")
            .with("format", "field-mask")
            .with("pattern", FIELD_MASK),
        Shape::Struct | Shape::Empty => typed("object"),
        Shape::ListValue => typed("array").with("items", Object::new()),
        Shape::Value => Object::new(),
        Shape::Object | Shape::Any | Shape::Wrapper => return None,
    })
}

/// Makes `null` a value too.
pub(crate) fn nullable(mut schema: Object) -> Object {
    let is_listed = ["enum", "const", "$ref", "allOf"]
        .iter()
        .any(|name| schema.get(name).is_some());
    match (is_listed, schema.get("type").cloned(), schema.get("anyOf")) {
        (false, Some(Json::Text(own)), None) if own != "null" => {
            let types = vec![Json::Text(own), "null".into()];
            schema.set("type", types);
        }
        (false, Some(Json::List(mut types)), None) => {
            let null = Json::from("null");
            if !types.contains(&null) {
                types.push(null);
            }
            schema.set("type", types);
        }
        // `null` itself.
        (false, Some(_), None) => {}
        (false, None, Some(_)) => {
            if let Some(Json::List(mut choices)) = schema.remove("anyOf") {
                let null = typed("null").into();
                if !choices.contains(&null) {
                    choices.push(null);
                }
                schema.set("anyOf", choices);
            }
        }
        (true, ..) | (false, Some(_), Some(_)) => return null_beside(schema),
        // Everything is allowed.
        (false, None, None) => {}
    }
    schema
}

/// A choice between the schema and `null`; what is said for readers stays outside.
fn null_beside(mut schema: Object) -> Object {
    let mut around = Object::new();
    for name in [
        "description",
        "deprecated",
        "readOnly",
        "writeOnly",
        "examples",
    ] {
        if let Some(value) = schema.remove(name) {
            around.set(name, value);
        }
    }
    around.with("anyOf", Json::list([schema, typed("null")]))
}

pub(crate) fn typed(name: &str) -> Object {
    Object::new().with("type", name)
}

fn float(format: &str, is_finite: bool) -> Object {
    let mut number = typed("number").with("format", format);
    if format == "float" {
        number = number.with("minimum", f32::MIN).with("maximum", f32::MAX);
    }
    if is_finite {
        return number;
    }
    let others = typed("string").with("enum", Json::list(NOT_FINITE));
    Object::new().with("anyOf", Json::list([number, others]))
}

fn in_text(format: &str, pattern: &str) -> Object {
    typed("string")
        .with("format", format)
        .with("pattern", pattern)
}
