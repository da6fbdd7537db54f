//! Compiled mappings: a record in, a validated message out.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use cel::engine::ExecutionError;
use cel::{Failure, Meter, Program, Type, Variables};
use descriptors::{MessageId, Types, did_you_mean};
use formats::{Kind, Record};
use sha2::{Digest, Sha256};
use validation::{Validation, Validator};

use crate::encode::{Encoder, is_null};
use crate::error::{CompileError, Unmapped, cut, rules};
use crate::functions;
use crate::scope::{Batch, Origin, RecordScope, Scope};
use crate::settings::Settings;
use crate::tables;
use crate::target::{Content, Target, check};
use crate::values::Fields;

/// A mapping, ready to run on any number of threads.
pub struct Mapping {
    types: Arc<Types>,
    validator: Validator,
    target: Target<Program>,
    columns: BTreeSet<String>,
    version: String,
}

// === impl Mapping ===

impl Mapping {
    /// Compiles a mapping of records of this format to messages of this type.
    ///
    /// # Errors
    /// The first mistake: an expression that is malformed, names something that doesn't exist, or
    /// has a type that its field doesn't accept; a table that can't be read.
    pub fn compile(
        settings: &Settings,
        scope: Scope,
        format: &formats::Settings,
        validation: &Validation,
        message: &str,
    ) -> Result<Self, CompileError> {
        format.check().map_err(|error| {
            CompileError::new(format!("format.{}", error.key), error.problem)
        })?;
        let types = validation.types().clone();
        let Some(id) = types.by_name.get(message).copied() else {
            let reason = format!("the contract has no message `{message}`");
            return Err(CompileError::new("into", reason));
        };
        let library = functions::library(&tables::load(settings)?);
        let column = match format.kind {
            Kind::Csv => Type::String,
            _ => Type::Dyn,
        };
        let variables = scope.variables(column);
        let mut target = Target::new(id);
        let (mut columns, mut optional) = (BTreeSet::new(), BTreeSet::new());
        for (path, source) in settings.expressions()? {
            let wrong = |reason: String| CompileError {
                key: format!("map.{path}"),
                field: path.clone(),
                column: column_of(source, &reason),
                reason,
            };
            let program = Program::compile(source, &types, &library, &variables);
            let program = program.map_err(|error| wrong(error.to_string()))?;
            for read in program.reads().iter().filter(|read| read.variable == "row") {
                check_column(format, &read.field).map_err(&wrong)?;
                let name = read.field.clone();
                match read.is_test {
                    true => optional.insert(name),
                    false => columns.insert(name),
                };
            }
            let result = program.result().clone();
            target.add(&types, &path, program)?;
            check_result(&types, id, &path, &result).map_err(&wrong)?;
        }
        Ok(Mapping {
            validator: validation.validator_of(id),
            columns: columns.difference(&optional).cloned().collect(),
            version: version(settings, format, message)?,
            target,
            types,
        })
    }

    /// Returns the version: a digest of the settings, 16 hexadecimal digits.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Returns the columns that records must have: all that expressions read, but for those that
    /// `has` asks for.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(String::as_str)
    }

    /// Maps a record to the wire bytes of a message that breaks no rule of its contract.
    ///
    /// # Errors
    /// The field, its column, and the rule that the value breaks.
    pub fn map(&self, record: &Record, origin: &Origin<'_>) -> Result<Vec<u8>, Unmapped> {
        let row = Fields(&record.value);
        let scope = RecordScope { row, record, origin };
        let mut out = Vec::new();
        self.put(&self.target, &scope, Some(record), &mut out)?;
        self.validate(&out, record)?;
        Ok(out)
    }

    /// Returns the wire bytes of a request without its records. They are not validated: the records
    /// are still to be added.
    ///
    /// # Errors
    /// As [`Mapping::map`].
    pub fn request(&self, batch: &Batch<'_>) -> Result<Vec<u8>, Unmapped> {
        let mut out = Vec::new();
        self.put(&self.target, batch, None, &mut out)?;
        Ok(out)
    }

    fn put(
        &self,
        target: &Target<Program>,
        scope: &dyn Variables,
        record: Option<&Record>,
        out: &mut Vec<u8>,
    ) -> Result<(), Unmapped> {
        let types = &*self.types;
        let plan = types.message(target.message);
        let mut oneofs = Vec::new();
        for own in &target.fields {
            let field = &plan.fields[own.index];
            let before = out.len();
            match &own.content {
                Content::Fields(inner) => {
                    let mut content = Vec::new();
                    self.put(inner, scope, record, &mut content)?;
                    // A message none of whose fields is set is not there.
                    if !content.is_empty() {
                        wire::put_delimited(out, field.tag, &content);
                    }
                }
                Content::Expression(program) => {
                    let encoder = Encoder { types };
                    let meter = Meter::default();
                    let run = program.evaluate(scope, &meter, |value| {
                        let written = encoder.field(field, value, out);
                        written.map(|()| !is_null(value))
                    });
                    let written = run.map_err(|failure| self.failed(&own.path, program, record, failure))?;
                    written.map_err(|fault| Unmapped {
                        field: joined(&own.path, &fault.path),
                        column: column_of_value(program, record, &fault.value),
                        rule: fault.rule.to_owned(),
                        value: fault.value,
                    })?;
                }
            }
            if let (Some(oneof), true) = (field.oneof, out.len() > before) {
                if oneofs.contains(&oneof) {
                    return Err(Unmapped {
                        field: own.path.clone(),
                        column: None,
                        rule: rules::ONEOF.to_owned(),
                        value: "another field of its oneof is set".to_owned(),
                    });
                }
                oneofs.push(oneof);
            }
        }
        Ok(())
    }

    fn failed(
        &self,
        path: &str,
        program: &Program,
        record: Option<&Record>,
        failure: Failure,
    ) -> Unmapped {
        let (rule, value) = rule_of(failure);
        let column = match rule.as_str() {
            rules::MISSING => Some(value.clone()),
            _ => column_of_value(program, record, &value),
        };
        Unmapped {
            field: path.to_owned(),
            column,
            rule,
            value: cut(&value),
        }
    }

    /// Checks the rules of the contract.
    fn validate(&self, message: &[u8], record: &Record) -> Result<(), Unmapped> {
        let violations = self.validator.check(message).map_err(|error| Unmapped {
            field: String::new(),
            column: None,
            rule: rules::CONVERSION.to_owned(),
            value: error.to_string(),
        })?;
        let Some(first) = violations.listed.first() else {
            return Ok(());
        };
        let program = program_of(&self.target, &self.types, &first.path);
        let column = program.and_then(|program| column_of_value(program, Some(record), ""));
        let shown = column.as_deref().and_then(|column| record.value.get(column));
        let value = match shown {
            Some(value) => format!("{}: {}", value.shown(), first.message),
            None => first.message.clone(),
        };
        Err(Unmapped {
            field: first.path.clone(),
            column,
            rule: first.rule.clone(),
            value: cut(&value),
        })
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Mapping");
        shown.field("version", &self.version).finish_non_exhaustive()
    }
}

/// Refuses a column that the settings of the format don't declare.
fn check_column(format: &formats::Settings, name: &str) -> Result<(), String> {
    match format.declared() {
        Some(declared) if !declared.iter().any(|own| own == name) => {
            let meant = did_you_mean(name, declared.iter().map(String::as_str));
            Err(format!("`format.columns` has no column `{name}`{meant}"))
        }
        _ => Ok(()),
    }
}

fn check_result(types: &Types, id: MessageId, path: &str, result: &Type) -> Result<(), String> {
    let mut message = id;
    let mut steps = path.split('.').peekable();
    while let Some(step) = steps.next() {
        let plan = types.message(message);
        let Some(field) = plan.by_name(step).and_then(|index| plan.fields.get(index)) else {
            return Ok(());
        };
        match (steps.peek(), field.message()) {
            (None, _) => return check(types, field, result),
            (Some(_), Some(inner)) => message = inner,
            (Some(_), None) => return Ok(()),
        }
    }
    Ok(())
}

/// Returns the place in an expression that a reason is about: the one that it names, or the one
/// that the parser says.
fn column_of(source: &str, reason: &str) -> Option<usize> {
    if let Some((_, rest)) = reason.rsplit_once("(column ") {
        return rest.trim_end_matches(')').parse().ok();
    }
    // The last name in quotes is mostly the one: `message x has no field y`.
    let mut names = reason.split('`').skip(1).step_by(2);
    names.find_map(|name| {
        let at = source.find(name.split('(').next().unwrap_or(name))?;
        Some(source.get(..at)?.chars().count() + 1)
    })
}

/// Returns the rule and the value of a failure.
fn rule_of(failure: Failure) -> (String, String) {
    let error = match failure {
        Failure::TooExpensive => {
            return (rules::TOO_EXPENSIVE.to_owned(), String::new());
        }
        Failure::Engine(error) => error,
    };
    let shown = error.to_string();
    match error {
        ExecutionError::FunctionError { message, .. } => match message.split_once('\u{1f}') {
            Some((rule, value)) => (rule.to_owned(), value.to_owned()),
            None => (rules::CONVERSION.to_owned(), message),
        },
        ExecutionError::NoSuchKey(key) => (rules::MISSING.to_owned(), key.to_string()),
        ExecutionError::DivisionByZero(_)
        | ExecutionError::RemainderByZero(_)
        | ExecutionError::IndexOutOfBounds(_)
        | ExecutionError::Overflow(..) => (rules::OUT_OF_RANGE.to_owned(), shown),
        _ => (rules::TYPE.to_owned(), shown),
    }
}

/// Returns the column that has this value; all columns of the expression, where none has.
fn column_of_value(program: &Program, record: Option<&Record>, value: &str) -> Option<String> {
    let record = record?;
    let mut names: Vec<&str> = Vec::new();
    for read in program.reads().iter().filter(|read| read.variable == "row") {
        if !names.contains(&read.field.as_str()) {
            names.push(&read.field);
        }
    }
    let has_value = |name: &&&str| {
        let own = record.value.get(name);
        own.is_some_and(|own| own.shown().trim() == value.trim())
    };
    if let Some(name) = names.iter().find(has_value) {
        return Some((**name).to_owned());
    }
    names.sort_unstable();
    (!names.is_empty()).then(|| names.join(", "))
}

fn joined(path: &str, below: &str) -> String {
    match below.is_empty() || below.starts_with('[') {
        true => format!("{path}{below}"),
        false => format!("{path}.{below}"),
    }
}

/// Finds the expression of the field that a violation is about, or of one above it.
fn program_of<'a>(target: &'a Target<Program>, types: &Types, path: &str) -> Option<&'a Program> {
    let step = path.split(['.', '[']).next()?;
    let plan = types.message(target.message);
    let own = target.fields.iter().find(|own| &*plan.fields[own.index].shown_name == step)?;
    match &own.content {
        Content::Expression(program) => Some(program),
        Content::Fields(inner) => {
            let rest = path.get(step.len() + 1..)?;
            program_of(inner, types, rest)
        }
    }
}

/// Returns the digest of everything that decides about the messages.
fn version(
    settings: &Settings,
    format: &formats::Settings,
    message: &str,
) -> Result<String, CompileError> {
    let text = serde_json::to_string(&(settings, format, message));
    let text = text.map_err(|error| CompileError::new("map", error.to_string()))?;
    let mut digest = Sha256::new();
    digest.update(text.as_bytes());
    for table in settings.tables.values() {
        if let Some(file) = &table.file {
            let content = std::fs::read(settings.directory.join(file));
            digest.update(content.unwrap_or_default());
        }
    }
    let digest = digest.finalize();
    let hex = digest.iter().take(8).map(|byte| format!("{byte:02x}"));
    Ok(hex.collect())
}
