//! Streams of responses: their framings, and errors among their messages.

use contract::MethodKind;
use transcoder::Route;
use transcoder::stream::Framing;

use super::Document;
use super::components::{STREAM_ERROR, schema_ref};
use super::operations::{JSON, named};
use crate::scalars::typed;
use crate::value::{Json, Object};

/// How a request is a stream of messages.
pub(super) const REQUESTS: &str = "a stream of messages: one JSON value per line (`application/x-ndjson`), or the elements of an array (`application/json`); each is sent on as soon as it is complete";

/// How a response is a stream of messages.
pub(super) const FRAMINGS: &str = "the `Accept` header chooses the framing: lines of JSON (`application/x-ndjson`, the default), an array (`application/json`), or server-sent events with a message each (`text/event-stream`)";

const NDJSON: &str = "application/x-ndjson";

/// Returns the content of a request that is a stream of these messages.
pub(super) fn request_content(message: Object, examples: Vec<Json>) -> Object {
    let list = typed("array").with("items", message.clone());
    let mut lines = Object::new().with("schema", message);
    let mut array = Object::new().with("schema", list);
    if !examples.is_empty() {
        // Lines are text to those who show them: JSON may have line breaks elsewhere.
        let line = |example: &Json| Json::Text(format!("{}\n", example.to_text()));
        lines.set("examples", named(examples.iter().map(line).collect()));
        let one = |example: Json| Json::List(vec![example]);
        array.set("examples", named(examples.into_iter().map(one).collect()));
    }
    Object::new().with(NDJSON, lines).with(JSON, array)
}

impl Document<'_> {
    /// Returns a schema of an error that may be the first line of a stream: before the upstream is
    /// called it is not.
    pub(super) fn or_wrapped(&mut self, error: Object) -> Object {
        self.uses_stream_error = true;
        let properties = Object::new().with("error", error.clone());
        let wrapped = schema_ref(STREAM_ERROR).with("properties", properties);
        Object::new().with("anyOf", Json::list([error, wrapped]))
    }

    /// Returns the framings in which JSON messages follow each other.
    pub(super) fn stream(&mut self, message: Object) -> Object {
        self.uses_stream_error = true;
        let error = schema_ref(STREAM_ERROR);
        let event = Object::new().with("anyOf", Json::list([message.clone(), error.clone()]));
        let (line, array) = match self.has_envelope {
            true => {
                let result = typed("object")
                    .with("properties", Object::new().with("result", message))
                    .with("required", Json::list(["result"]));
                let line = Object::new().with("anyOf", Json::list([result, error]));
                // Lines, under the media type of JSON.
                (line.clone(), line)
            }
            false => (event.clone(), typed("array").with("items", event.clone())),
        };
        let framings = [
            (Framing::Ndjson, line),
            (Framing::JsonArray, array),
            (Framing::Sse, event),
        ];
        let mut content = Object::new();
        for (framing, schema) in framings {
            content.set(framing.content_type(), Object::new().with("schema", schema));
        }
        content
    }
}

pub(super) fn is_server_stream(route: &Route) -> bool {
    matches!(
        route.method.kind(),
        MethodKind::ServerStreaming | MethodKind::BidiStreaming
    )
}
