//! Examples from comments. Each one is read and written again by this crate, so that a document
//! never shows what the service would reject: what can't be read, or breaks a rule of its field,
//! becomes a note.

use descriptors::{FieldDef, MessageDef, MessageId, Place, Source};

use super::Document;
use crate::comments::Comment;
use crate::value::Json;

/// The rules below and at one field, of those that a message breaks.
type Broken = Vec<String>;

impl Document<'_> {
    pub(super) fn field_examples(
        &mut self,
        id: MessageId,
        index: usize,
        definition: &FieldDef,
        comment: &Comment,
    ) -> Vec<Json> {
        let element = format!("{}.{}", self.pool.message(id).name, definition.name);
        let place = self.pool.place(&definition.source, element);
        let read = |text: &String| self.field_example(id, index, text);
        let outcomes = comment.examples.iter().map(read).collect();
        self.keep(&place, outcomes)
    }

    pub(super) fn message_examples(
        &mut self,
        id: MessageId,
        definition: &MessageDef,
        comment: &Comment,
    ) -> Vec<Json> {
        let place = self.pool.place(&definition.source, definition.name.clone());
        let read = |text: &String| self.message_example(id, text);
        let outcomes = comment.examples.iter().map(read).collect();
        self.keep(&place, outcomes)
    }

    /// Returns the examples of a method's request body: of one field of the request, or of all of
    /// it.
    pub(super) fn body_examples(
        &mut self,
        id: MessageId,
        field: Option<usize>,
        (source, name): (&Source, &str),
        comment: &Comment,
    ) -> Vec<Json> {
        let place = self.pool.place(source, name);
        let read = |text: &String| match field {
            Some(index) => self.field_example(id, index, text),
            None => self.partial_example(id, text),
        };
        let outcomes = comment.examples.iter().map(read).collect();
        self.keep(&place, outcomes)
    }

    fn keep(&mut self, place: &Place, outcomes: Vec<Result<Json, String>>) -> Vec<Json> {
        let mut examples = Vec::new();
        for outcome in outcomes {
            match outcome {
                Ok(example) => examples.push(example),
                Err(reason) => self.note(place, format!("the example is left out: {reason}")),
            }
        }
        examples
    }

    fn field_example(&self, id: MessageId, index: usize, text: &str) -> Result<Json, String> {
        let field = &self.types.message(id).fields[index];
        let wire = self.encoded(id, Some(index), text)?;
        let is_own = |path: &str| {
            let rest = path.strip_prefix(&*field.json_name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        };
        let mut broken = self.broken(id, &wire)?;
        broken.retain(|violation| is_own(violation.split(": ").next().unwrap_or_default()));
        refuse(broken)?;
        self.written(id, Some(index), &wire)
    }

    fn message_example(&self, id: MessageId, text: &str) -> Result<Json, String> {
        let wire = self.encoded(id, None, text)?;
        refuse(self.broken(id, &wire)?)?;
        self.written(id, None, &wire)
    }

    /// Returns a message of which the path has another part.
    fn partial_example(&self, id: MessageId, text: &str) -> Result<Json, String> {
        let wire = self.encoded(id, None, text)?;
        self.written(id, None, &wire)
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
        let validator = self.schema.validation().validator_of(id);
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
