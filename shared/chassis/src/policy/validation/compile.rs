//! From `buf.validate` options to checks, once at the start; a rule that nothing would check is refused.

use anyhow::{Context, bail, ensure};
use prost_reflect::{
    DynamicMessage, ExtensionDescriptor, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage,
    Value,
};
use regex::Regex;

use super::plan::{
    Bounds, Check, Elements, FieldRules, Ignore, MessageRules, Test, Unit, ValueRules,
};

/// RFC 9562 §4, in the only spelling that protovalidate accepts.
const UUID: &str = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$";

/// "Valid e-mail address" of the HTML standard, as protovalidate has it.
const EMAIL: &str = r"^[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(\.[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$";

/// The extensions of `buf/validate/validate.proto`, as far as the contract imports them.
pub(super) struct Options {
    field: Option<ExtensionDescriptor>,
    message: Option<ExtensionDescriptor>,
    oneof: Option<ExtensionDescriptor>,
}

// === impl Options ===

impl Options {
    pub(super) fn find(pool: &prost_reflect::DescriptorPool) -> Self {
        Self {
            field: pool.get_extension_by_name("buf.validate.field"),
            message: pool.get_extension_by_name("buf.validate.message"),
            oneof: pool.get_extension_by_name("buf.validate.oneof"),
        }
    }

    /// Compiles the options of a message and its fields.
    ///
    /// # Errors
    /// A rule that is not supported or does not fit its field, both named.
    pub(super) fn compile(&self, message: &MessageDescriptor) -> anyhow::Result<MessageRules> {
        if read(&self.message, &message.options()).is_some() {
            bail!(
                "{}: option buf.validate.message is not supported",
                message.full_name()
            );
        }
        let mut fields = Vec::new();
        for field in message.fields() {
            if let Some(rules) = read(&self.field, &field.options()) {
                let compiled = field_rules(&field, &rules)
                    .with_context(|| format!("validation of {}", field.full_name()))?;
                fields.push(compiled);
            }
        }
        let mut required_oneofs = Vec::new();
        for oneof in message.oneofs() {
            if let Some(rules) = read(&self.oneof, &oneof.options()) {
                refuse_unknown(&rules).with_context(|| oneof.full_name().to_owned())?;
                if flag(&rules, "required") {
                    required_oneofs.push(oneof);
                }
            }
        }
        Ok(MessageRules {
            fields,
            required_oneofs,
        })
    }
}

fn read(option: &Option<ExtensionDescriptor>, options: &DynamicMessage) -> Option<DynamicMessage> {
    let option = option.as_ref()?;
    let set = options.has_extension(option);
    set.then(|| options.get_extension(option).as_message().cloned())?
}

fn flag(rules: &DynamicMessage, name: &str) -> bool {
    rules
        .get_field_by_name(name)
        .is_some_and(|value| value.as_bool() == Some(true))
}

// Rules that our copy of validate.proto does not know, and predefined ones, would otherwise be skipped in silence.
fn refuse_unknown(rules: &DynamicMessage) -> anyhow::Result<()> {
    if let Some(unknown) = rules.unknown_fields().next() {
        bail!("rule number {} is not supported", unknown.number());
    }
    if let Some((extension, _)) = rules.extensions().next() {
        bail!("rule {} is not supported", extension.full_name());
    }
    Ok(())
}

fn field_rules(field: &FieldDescriptor, rules: &DynamicMessage) -> anyhow::Result<FieldRules> {
    let kind = match (field.is_map(), field.is_list()) {
        (true, _) => "map".to_owned(),
        (_, true) => "repeated".to_owned(),
        _ => kind_name(&field.kind()),
    };
    let elements = match (rules.get_field_by_name(&kind), field.kind()) {
        (Some(list), kind) if field.is_list() => Elements::Items(nested(&list, "items", &kind)?),
        (Some(map), Kind::Message(entry)) if field.is_map() => Elements::Pairs {
            keys: nested(&map, "keys", &entry.map_entry_key_field().kind())?,
            values: nested(&map, "values", &entry.map_entry_value_field().kind())?,
        },
        _ => Elements::None,
    };
    Ok(FieldRules {
        field: field.clone(),
        required: flag(rules, "required"),
        value: value_rules(rules, &kind, &field.kind())?,
        elements,
    })
}

// The rules of items, keys or values. What "required" would mean for those nobody has defined.
fn nested(container: &Value, name: &str, kind: &Kind) -> anyhow::Result<ValueRules> {
    let container = container.as_message().context("rules are no message")?;
    let Some(rules) = set_field(container, name) else {
        return Ok(ValueRules::default());
    };
    let rules = rules
        .as_message()
        .cloned()
        .context("rules are no message")?;
    ensure!(
        !flag(&rules, "required"),
        "rule `required` does not apply to {name}"
    );
    value_rules(&rules, &kind_name(kind), kind).with_context(|| name.to_owned())
}

fn value_rules(rules: &DynamicMessage, expected: &str, kind: &Kind) -> anyhow::Result<ValueRules> {
    refuse_unknown(rules)?;
    let mut compiled = ValueRules::default();
    for (rule, value) in rules.fields() {
        match rule.name() {
            "required" => {}
            "ignore" => compiled.ignore = ignore(value)?,
            name if name == expected => {
                let typed = value.as_message().context("rules are no message")?;
                compiled.checks = checks(name, typed, kind)?;
            }
            name @ ("cel" | "cel_expression") => bail!("rule `{name}` is not supported"),
            name => bail!("rules `{name}` do not fit a field of type {expected}"),
        }
    }
    Ok(compiled)
}

fn ignore(value: &Value) -> anyhow::Result<Ignore> {
    match value.as_enum_number() {
        Some(0) => Ok(Ignore::Never),
        Some(1) => Ok(Ignore::IfZero),
        Some(3) => Ok(Ignore::Always),
        other => bail!("rule `ignore` has the unknown value {other:?}"),
    }
}

fn checks(kind_name: &str, rules: &DynamicMessage, kind: &Kind) -> anyhow::Result<Vec<Check>> {
    refuse_unknown(rules)?;
    let mut checks: Vec<Check> = range(kind_name, rules).into_iter().collect();
    for (rule, value) in rules.fields() {
        let name = rule.name();
        let elsewhere = [
            "gt", "gte", "lt", "lte", "example", "items", "keys", "values",
        ];
        if elsewhere.contains(&name) || value.as_bool() == Some(false) && name != "const" {
            continue;
        }
        let id = format!("{kind_name}.{name}");
        let (test, text) = test(kind_name, name, value, kind)
            .with_context(|| format!("rule `{id}`"))?
            .with_context(|| format!("rule `{id}` is not supported"))?;
        checks.push(Check { id, text, test });
    }
    Ok(checks)
}

type Compiled = Option<(Test, String)>;

fn test(kind_name: &str, name: &str, value: &Value, kind: &Kind) -> anyhow::Result<Compiled> {
    let compiled = match (kind_name, name) {
        (_, "const") => Some((
            Test::In(values(value, kind)),
            format!("must equal {}", show(value)),
        )),
        (_, "in") => Some((
            Test::In(values(value, kind)),
            format!("must be one of {}", show(value)),
        )),
        (_, "not_in") => Some((
            Test::NotIn(values(value, kind)),
            format!("must not be one of {}", show(value)),
        )),
        ("float" | "double", "finite") => Some((Test::Finite, "must be finite".to_owned())),
        ("enum", "defined_only") => kind.as_enum().map(|known| {
            (
                Test::Defined(known.clone()),
                "must be one of the defined enum values".to_owned(),
            )
        }),
        ("repeated", "unique") => Some((Test::Unique, "must contain unique items".to_owned())),
        ("string", _) => match text_test(name, value)? {
            None => length(kind_name, name, value),
            compiled => compiled,
        },
        _ => length(kind_name, name, value),
    };
    Ok(compiled)
}

fn text_test(name: &str, value: &Value) -> anyhow::Result<Compiled> {
    let text = value.as_str().unwrap_or_default();
    let bytes = || text.as_bytes().to_vec();
    Ok(Some(match name {
        "pattern" => (
            Test::Matches(Regex::new(text)?),
            format!("must match the pattern `{text}`"),
        ),
        "uuid" => (
            Test::Matches(Regex::new(UUID)?),
            "must be a UUID".to_owned(),
        ),
        "email" => (
            Test::Matches(Regex::new(EMAIL)?),
            "must be an e-mail address".to_owned(),
        ),
        "prefix" => (Test::Prefix(bytes()), format!("must start with `{text}`")),
        "suffix" => (Test::Suffix(bytes()), format!("must end with `{text}`")),
        "contains" => (Test::Contains(bytes()), format!("must contain `{text}`")),
        "not_contains" => (
            Test::NotContains(bytes()),
            format!("must not contain `{text}`"),
        ),
        _ => return Ok(None),
    }))
}

fn length(kind_name: &str, name: &str, value: &Value) -> Compiled {
    let limit = value.as_u64()?;
    let (unit, noun) = match (kind_name, name) {
        ("string", "len" | "min_len" | "max_len") => (Unit::Characters, "characters"),
        ("string", "len_bytes" | "min_bytes" | "max_bytes") => (Unit::Bytes, "bytes"),
        ("bytes", "len" | "min_len" | "max_len") => (Unit::Bytes, "bytes"),
        ("repeated", "min_items" | "max_items") => (Unit::Elements, "items"),
        ("map", "min_pairs" | "max_pairs") => (Unit::Elements, "pairs"),
        _ => return None,
    };
    let (range, quantity) = match name.get(..3) {
        Some("min") => (limit..=u64::MAX, "at least"),
        Some("max") => (0..=limit, "at most"),
        _ => (limit..=limit, "exactly"),
    };
    Some((
        Test::Length(unit, range),
        format!("must have {quantity} {limit} {noun}"),
    ))
}

// Both limits make one rule with an id of its own, for example `int32.gte_lte`.
fn range(kind_name: &str, rules: &DynamicMessage) -> Option<Check> {
    let limit = |exclusive: &'static str, inclusive: &'static str| {
        let strict = set_field(rules, exclusive).map(|value| (exclusive, value, false));
        strict.or_else(|| set_field(rules, inclusive).map(|value| (inclusive, value, true)))
    };
    let (lower, upper) = (limit("gt", "gte"), limit("lt", "lte"));
    let words = |limit: &(&str, Value, bool), strict: &str, or_equal: &str| {
        let relation = if limit.2 { or_equal } else { strict };
        format!("{relation} {}", show(&limit.1))
    };
    let low = lower
        .as_ref()
        .map(|limit| words(limit, "greater than", "at least"));
    let high = upper
        .as_ref()
        .map(|limit| words(limit, "less than", "at most"));
    let names = [
        lower.as_ref().map(|limit| limit.0),
        upper.as_ref().map(|limit| limit.0),
    ];
    let mut id = names.into_iter().flatten().collect::<Vec<_>>().join("_");
    if id.is_empty() {
        return None;
    }
    let bounds = Bounds {
        lower: lower.map(|(_, value, inclusive)| (value, inclusive)),
        upper: upper.map(|(_, value, inclusive)| (value, inclusive)),
    };
    let conjunction = if bounds.exclude_the_middle() {
        id.push_str("_exclusive");
        " or "
    } else {
        " and "
    };
    let text = [low, high]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(conjunction);
    Some(Check {
        id: format!("{kind_name}.{id}"),
        text: format!("must be {text}"),
        test: Test::Within(bounds),
    })
}

fn set_field(message: &DynamicMessage, name: &str) -> Option<Value> {
    let field = message.descriptor().get_field_by_name(name)?;
    message
        .has_field(&field)
        .then(|| message.get_field(&field).into_owned())
}

// Rules write enum values as plain numbers.
fn values(value: &Value, kind: &Kind) -> Vec<Value> {
    let list = value
        .as_list()
        .unwrap_or_else(|| std::slice::from_ref(value));
    let convert = |value: &Value| match (value, kind) {
        (Value::I32(number), Kind::Enum(_)) => Value::EnumNumber(*number),
        (other, _) => other.clone(),
    };
    list.iter().map(convert).collect()
}

fn kind_name(kind: &Kind) -> String {
    match kind {
        Kind::Enum(_) => "enum".to_owned(),
        Kind::Message(message) => message.full_name().to_owned(),
        // prost-reflect names scalars as the language and protovalidate do.
        scalar => format!("{scalar:?}").to_ascii_lowercase(),
    }
}

fn show(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{text}`"),
        Value::Bool(value) => value.to_string(),
        Value::I32(number) | Value::EnumNumber(number) => number.to_string(),
        Value::I64(number) => number.to_string(),
        Value::U32(number) => number.to_string(),
        Value::U64(number) => number.to_string(),
        Value::F32(number) => number.to_string(),
        Value::F64(number) => number.to_string(),
        Value::Bytes(bytes) => format!("{bytes:?}"),
        Value::List(list) => format!("[{}]", list.iter().map(show).collect::<Vec<_>>().join(", ")),
        other => format!("{other:?}"),
    }
}
