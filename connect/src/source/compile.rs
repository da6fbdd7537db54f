//! Compiles a source against the contract of its target.

use std::collections::BTreeMap;
use std::sync::Arc;

use chassis::client::{Safety, Upstream};
use chassis::config::ConfigError;
use contract::{Idempotency, MethodKind};
use descriptors::{Label, MethodPlan, Types, nearest};
use mapping::{CompileError, Entry, Mapping, Scope};
use transcoder::Schema;

use super::Source;
use super::request::{Request, field};
use crate::settings::{Batch, SourceSettings};

/// Prefix of the keys of expressions.
const MAP: &str = "map.";
const REQUEST: &str = "into.request.";

// === impl Source ===

impl Source {
    /// Compiles a source.
    ///
    /// # Errors
    /// The key that is wrong, with its file.
    pub(crate) fn compile(
        settings: SourceSettings,
        upstream: Upstream,
        schema: Arc<Schema>,
    ) -> Result<Self, ConfigError> {
        let path = format!("/{}", settings.into.method);
        let Some(method) = schema.method(&path) else {
            return Err(settings.error("into.method", "the target has no such method"));
        };
        check(&settings, method)?;
        let input = method.input().to_owned();
        let safety = Safety::new(method.kind(), method.idempotency());
        let types = schema.types().clone();
        let (message, request) = match &settings.into.batch {
            None => (input, None),
            Some(batch) => {
                let (message, request) = batched(&settings, batch, &schema, &input)?;
                (message, Some(request))
            }
        };
        let mut map = settings.map.clone();
        if request.is_none() {
            merge(&settings, &mut map.map)?;
        }
        let fields = fields(&types, &message, &map.map);
        let format = &settings.format;
        let mapping = Mapping::compile(&map, Scope::Record, format, schema.validation(), &message);
        let mapping = mapping.map_err(|error| {
            let own = error
                .key
                .strip_prefix(MAP)
                .and_then(|name| name.split('.').next());
            let of_request = request.is_none()
                && own.is_some_and(|name| settings.into.request.contains_key(name));
            refuse(&settings, error, if of_request { REQUEST } else { MAP })
        })?;
        Ok(Self {
            upstream,
            path,
            safety,
            message,
            mapping,
            request,
            fields,
            schema,
            settings,
        })
    }
}

/// A method that may not be called twice could have two effects of one record.
fn check(settings: &SourceSettings, method: &MethodPlan) -> Result<(), ConfigError> {
    let refuse = |problem: &str| Err(settings.error("into.method", problem));
    if method.kind() != MethodKind::Unary {
        return refuse("expected a unary method");
    }
    match method.idempotency() {
        Idempotency::Idempotent => Ok(()),
        Idempotency::NoSideEffects => {
            refuse("the method has no side effects: nothing would be kept")
        }
        Idempotency::Unknown => refuse(
            "records are delivered at least once: expected a method with `option idempotency_level = IDEMPOTENT`",
        ),
    }
}

/// Returns the message of a record, and the request around it.
fn batched(
    settings: &SourceSettings,
    batch: &Batch,
    schema: &Schema,
    input: &str,
) -> Result<(String, Request), ConfigError> {
    let types = schema.types();
    let refuse = |problem: String| settings.error("into.batch.field", problem);
    let Some(found) = field(types, input, &batch.field) else {
        let known = types.by_name.get(input).map(|id| types.message(*id));
        let names = known.iter().flat_map(|plan| &plan.fields);
        let meant = nearest(&batch.field, names.map(|field| &*field.name));
        let hint = meant.map(|name| format!("; did you mean `{name}`?"));
        let hint = hint.unwrap_or_default();
        return Err(refuse(format!(
            "`{input}` has no field `{}`{hint}",
            batch.field
        )));
    };
    let is_list = found.label == Label::Repeated;
    let Some(id) = found.message().filter(|_| is_list) else {
        return Err(refuse(format!("`{}` is no list of messages", batch.field)));
    };
    if settings.into.request.contains_key(&batch.field) {
        let key = format!("{REQUEST}{}", batch.field);
        return Err(settings.error(&key, "the records are in this field"));
    }
    let message = types.message(id).name.to_string();
    let map = mapping::Settings {
        map: settings.into.request.clone(),
        ..mapping::Settings::default()
    };
    let mapping = Mapping::compile(
        &map,
        Scope::Batch,
        &settings.format,
        schema.validation(),
        input,
    );
    let mapping = mapping.map_err(|error| refuse_request(settings, error))?;
    let mut expressions = Vec::new();
    collect(&settings.into.request, &mut expressions);
    Ok((message, Request::new(mapping, found, &expressions)))
}

/// Adds the fields of the request to those of the record, which is all of it.
fn merge(settings: &SourceSettings, map: &mut BTreeMap<String, Entry>) -> Result<(), ConfigError> {
    for (name, entry) in &settings.into.request {
        if map.insert(name.clone(), entry.clone()).is_some() {
            let key = format!("{REQUEST}{name}");
            return Err(settings.error(&key, "the field is in `map` too"));
        }
    }
    Ok(())
}

fn refuse_request(settings: &SourceSettings, error: CompileError) -> ConfigError {
    refuse(settings, error, REQUEST)
}

/// Returns the error of an expression with its key in the file of the source.
fn refuse(settings: &SourceSettings, error: CompileError, prefix: &str) -> ConfigError {
    let key = match error.key.strip_prefix(MAP) {
        Some(name) => format!("{prefix}{name}"),
        None => error.key,
    };
    let place = error.column.map(|column| format!("column {column}: "));
    settings.error(&key, place.unwrap_or_default() + &error.reason)
}

/// Collects all expressions.
fn collect(map: &BTreeMap<String, Entry>, out: &mut Vec<String>) {
    for entry in map.values() {
        match entry {
            Entry::Expression(text) => out.push(text.clone()),
            Entry::Fields(fields) => collect(fields, out),
        }
    }
}

/// Returns numbers and names of the fields of a message that a mapping sets.
fn fields(types: &Types, message: &str, map: &BTreeMap<String, Entry>) -> Vec<(u32, String)> {
    let mut fields: Vec<(u32, String)> = map
        .keys()
        .filter_map(|path| {
            let name = path.split('.').next().unwrap_or_default();
            let found = field(types, message, name)?;
            Some((found.number, found.name.to_string()))
        })
        .collect();
    fields.sort_unstable();
    fields.dedup();
    fields
}
