//! Query parameters: keys are field paths, values are scalars as text.

use crate::{
    error::{Failure, RequestError, Rule},
    limits::{MAX_DEPTH, MAX_QUERY_KEY_BYTES, MAX_QUERY_PAIRS, MAX_QUERY_VALUE_BYTES},
    percent,
    plan::{Label, MessageId, Types},
    request::{put_leaf, put_nested},
    route::Body,
};

/// Parameters that steer the answer or the caller's account (Google system parameters); they never bind to fields.
const SYSTEM_PARAMETERS: [&str; 10] = [
    "$alt",
    "alt",
    "$fields",
    "fields",
    "$prettyPrint",
    "prettyPrint",
    "key",
    "access_token",
    "quotaUser",
    "$.xgafv",
];

/// What is bound so far, and to what more may be bound.
pub(crate) struct Bindings<'a> {
    types: &'a Types,
    input: MessageId,
    body: Body,
    bound: Vec<Binding>,
}

struct Binding {
    fields: Vec<usize>,
    is_path: bool,
    is_repeated: bool,
}

impl<'a> Bindings<'a> {
    pub(crate) fn new(types: &'a Types, input: MessageId, body: Body) -> Self {
        Bindings {
            types,
            input,
            body,
            bound: Vec::new(),
        }
    }

    pub(crate) fn add_path(&mut self, fields: &[usize]) {
        self.bound.push(Binding {
            fields: fields.to_vec(),
            is_path: true,
            is_repeated: false,
        });
    }

    /// Whether the top-level field `index` is bound, as a whole or in part.
    pub(crate) fn touches(&self, index: usize) -> bool {
        self.bound.iter().any(|b| b.fields[0] == index)
    }

    /// Resolves a dotted key, by JSON names or proto names.
    fn resolve(&self, key: &str) -> Result<Binding, Failure> {
        let unknown = |reason| RequestError::new(Rule::UnknownField, reason);
        let mut fields = Vec::new();
        let mut message = Some(self.input);
        let mut label = Label::Explicit;
        for name in key.split('.') {
            let Some(plan) = message.map(|id| self.types.message(id)) else {
                return Err(unknown("only messages have fields"));
            };
            if matches!(label, Label::Repeated | Label::Packed | Label::Map) {
                return Err(unknown(
                    "elements of lists and maps can't be set by the query",
                ));
            }
            let index = plan.by_name(name, usize::MAX);
            let index = index.ok_or_else(|| unknown("no field has this name"))?;
            if fields.len() == MAX_DEPTH {
                return Err(RequestError::new(Rule::LimitExceeded, "nested too deeply"));
            }
            fields.push(index);
            label = plan.fields[index].label;
            message = plan.fields[index].message();
        }
        let is_repeated = label == Label::Repeated || label == Label::Packed;
        if label == Label::Map || (is_repeated && message.is_some()) {
            return Err(unknown(
                "messages in lists and maps can't be set by the query",
            ));
        }
        Ok(Binding {
            fields,
            is_path: false,
            is_repeated,
        })
    }

    fn check(&self, new: &Binding) -> Result<(), Failure> {
        if self.body == Body::Whole {
            let reason = "the body holds all fields that the path doesn't";
            return Err(RequestError::new(Rule::UnknownField, reason));
        }
        if self.body == Body::Field(new.fields[0]) {
            return Err(RequestError::new(
                Rule::UnknownField,
                "the field is the body",
            ));
        }
        for old in &self.bound {
            self.check_pair(old, new)?;
        }
        Ok(())
    }

    fn check_pair(&self, old: &Binding, new: &Binding) -> Result<(), Failure> {
        let common = old
            .fields
            .iter()
            .zip(&new.fields)
            .take_while(|(a, b)| a == b)
            .count();
        let rule = if old.is_path {
            Rule::PathConflict
        } else {
            Rule::Duplicate
        };
        let (Some(a), Some(b)) = (old.fields.get(common), new.fields.get(common)) else {
            let is_list = old.is_repeated && new.fields.len() == old.fields.len();
            return match (is_list, old.is_path) {
                (true, _) => Ok(()),
                (false, true) => Err(RequestError::new(rule, "the path sets this field")),
                (false, false) => Err(RequestError::new(rule, "the parameter comes twice")),
            };
        };
        let mut parent = self.input;
        for index in &new.fields[..common] {
            let field = &self.types.message(parent).fields[*index];
            parent = field.message().unwrap_or(parent);
        }
        let fields = &self.types.message(parent).fields;
        if fields[*a].oneof.is_some() && fields[*a].oneof == fields[*b].oneof {
            return Err(RequestError::new(
                rule,
                "another field of the same oneof is set",
            ));
        }
        Ok(())
    }
}

/// Appends every parameter that binds to a field.
pub(crate) fn encode(
    bindings: &mut Bindings<'_>,
    query: &str,
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    for (count, pair) in query.split('&').filter(|pair| !pair.is_empty()).enumerate() {
        if count == MAX_QUERY_PAIRS {
            let reason = format!("more than {MAX_QUERY_PAIRS} query parameters");
            return Err(RequestError::new(Rule::LimitExceeded, reason));
        }
        // A key without '=' has an empty value.
        let (raw_key, raw_value) = pair.split_once('=').unwrap_or((pair, ""));
        if raw_key.len() > MAX_QUERY_KEY_BYTES || raw_value.len() > MAX_QUERY_VALUE_BYTES {
            let reason = "a query parameter is too long";
            return Err(RequestError::new(Rule::LimitExceeded, reason));
        }
        let invalid = |reason| RequestError::new(Rule::InvalidValue, reason);
        let key = percent::decode_query(raw_key).map_err(invalid)?;
        if SYSTEM_PARAMETERS.contains(&&*key) {
            continue;
        }
        let value = percent::decode_query(raw_value).map_err(invalid);
        value
            .and_then(|value| encode_pair(bindings, &key, &value, out))
            .map_err(|failure| failure.in_field(&key))?;
    }
    Ok(())
}

fn encode_pair(
    bindings: &mut Bindings<'_>,
    key: &str,
    value: &str,
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let binding = bindings.resolve(key)?;
    bindings.check(&binding)?;
    let mut leaf = Vec::new();
    put_leaf(
        bindings.types,
        bindings.input,
        &binding.fields,
        value,
        &mut leaf,
    )
    .map_err(|reason| RequestError::new(Rule::InvalidValue, reason))?;
    put_nested(bindings.types, bindings.input, &binding.fields, &leaf, out);
    bindings.bound.push(binding);
    Ok(())
}
