//! Examples of fields, messages and bodies: those of comments, or else ones that are made. An
//! example of a comment that can't be read, or breaks a rule of its field, becomes a note.

use descriptors::{FieldDef, MessageDef, MessageId, Place, Source};

use super::Document;
use super::components::Side;
use crate::comments::Comment;
use crate::making::{Extent, is_opaque};
use crate::value::Json;

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
        let read = |text: &String| self.checker.field(id, index, text);
        let outcomes = comment.examples.iter().map(read).collect();
        let mut examples = self.keep(&place, outcomes);
        // A message has its own, and a token is one that the service has made.
        let has_own = self
            .samples
            .is_object(&self.types.message(id).fields[index]);
        if examples.is_empty() && !has_own && !is_opaque(definition) {
            examples.extend(self.samples.field(id, index, definition));
        }
        examples
    }

    pub(super) fn message_examples(
        &mut self,
        id: MessageId,
        definition: &MessageDef,
        comment: &Comment,
    ) -> Vec<Json> {
        let place = self.pool.place(&definition.source, definition.name.clone());
        let read = |text: &String| self.checker.message(id, text);
        let outcomes = comment.examples.iter().map(read).collect();
        let mut examples = self.keep(&place, outcomes);
        if examples.is_empty() && self.side == Side::Request {
            let made = [Extent::Whole, Extent::Required].into_iter();
            examples.extend(
                made.filter_map(|extent| self.samples.message(id, extent))
                    .next(),
            );
        }
        examples
    }

    /// Returns the examples of a method's request body that its comment has: of one field of the
    /// request, or of all of it.
    pub(super) fn body_examples(
        &mut self,
        id: MessageId,
        field: Option<usize>,
        (source, name): (&Source, &str),
        comment: &Comment,
    ) -> Vec<Json> {
        let place = self.pool.place(source, name);
        let read = |text: &String| match field {
            Some(index) => self.checker.field(id, index, text),
            None => self.checker.partial(id, text),
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
}
