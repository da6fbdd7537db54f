//! Values as the service reads them: a document never shows an example that the service would
//! reject.

use descriptors::{MessageId, Types};
use transcoder::Schema;
use validation::Validation;

use crate::value::Json;

/// Reads, validates and writes values of a schema's types.
#[derive(Clone, Copy)]
pub(crate) struct Checker<'a> {
    schema: &'a Schema,
    types: &'a Types,
    validation: &'a Validation,
}

/// The rules below and at one field, of those that a message breaks.
type Broken = Vec<String>;

// === impl Checker ===

impl<'a> Checker<'a> {
    pub(crate) fn new(schema: &'a Schema) -> Self {
        Checker {
            schema,
            types: schema.types(),
            validation: schema.validation(),
        }
    }

    /// Returns the value of a field as responses write it.
    ///
    /// # Errors
    /// The text is no such value, or it breaks a rule of the field.
    pub(crate) fn field(&self, id: MessageId, index: usize, text: &str) -> Result<Json, String> {
        let field = &self.types.message(id).fields[index];
        self.part(id, index, text, |path| {
            let rest = path.strip_prefix(&*field.json_name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    /// Checks a list or a map of one element; rules of the whole are passed over.
    ///
    /// # Errors
    /// As [`Checker::field`].
    pub(crate) fn element(&self, id: MessageId, index: usize, text: &str) -> Result<(), String> {
        let field = &self.types.message(id).fields[index];
        let checked = self.part(id, index, text, |path| {
            let rest = path.strip_prefix(&*field.json_name);
            rest.is_some_and(|rest| rest.starts_with('['))
        });
        checked.map(|_| ())
    }

    /// Returns a whole message as responses write it.
    ///
    /// # Errors
    /// The text is no such message, or it breaks a rule.
    pub(crate) fn message(&self, id: MessageId, text: &str) -> Result<Json, String> {
        let wire = self.encoded(id, None, text)?;
        refuse(self.broken(id, &wire)?)?;
        self.written(id, None, &wire)
    }

    /// Returns a message of which the path has another part.
    ///
    /// # Errors
    /// The text is no such message.
    pub(crate) fn partial(&self, id: MessageId, text: &str) -> Result<Json, String> {
        let wire = self.encoded(id, None, text)?;
        self.written(id, None, &wire)
    }

    /// Returns the JSON of a message.
    pub(crate) fn text(&self, id: MessageId, wire: &[u8]) -> Option<String> {
        self.written(id, None, wire).ok().map(|json| json.to_text())
    }

    fn part(
        &self,
        id: MessageId,
        index: usize,
        text: &str,
        is_own: impl Fn(&str) -> bool,
    ) -> Result<Json, String> {
        let wire = self.encoded(id, Some(index), text)?;
        let mut broken = self.broken(id, &wire)?;
        broken.retain(|violation| is_own(violation.split(": ").next().unwrap_or_default()));
        refuse(broken)?;
        self.written(id, Some(index), &wire)
    }

    fn written(&self, id: MessageId, field: Option<usize>, wire: &[u8]) -> Result<Json, String> {
        let mut out = Vec::new();
        let message = self.schema.message_type(id);
        message
            .write_part(field, wire, &mut out)
            .map_err(|error| error.to_string())?;
        raw(out)
    }

    fn encoded(&self, id: MessageId, field: Option<usize>, text: &str) -> Result<Vec<u8>, String> {
        let mut wire = Vec::new();
        let message = self.schema.message_type(id);
        message
            .read_part(field, text.trim(), &mut wire)
            .map_err(|error| error.to_string())?;
        Ok(wire)
    }

    fn broken(&self, id: MessageId, wire: &[u8]) -> Result<Broken, String> {
        let validator = self.validation.validator_of(id);
        let violations = validator.check(wire).map_err(|error| error.to_string())?;
        let listed = violations.listed.iter();
        Ok(listed.map(|violation| violation.to_string()).collect())
    }
}

fn refuse(broken: Broken) -> Result<(), String> {
    match broken.as_slice() {
        [] => Ok(()),
        broken => Err(broken.join("; ")),
    }
}

fn raw(json: Vec<u8>) -> Result<Json, String> {
    let text = String::from_utf8(json).map_err(|error| error.to_string())?;
    Ok(Json::Raw(text.into()))
}
