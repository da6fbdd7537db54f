//! Operations: what one HTTP binding of a method takes and gives.

use descriptors::Shape;
use routes::Body;
use transcoder::Route;

use super::answers;
use super::components::Side;
use super::paths::PathText;
use super::requests::{ExampleRequest, is_client_stream};
use super::rpc;
use super::schemas::described;
use super::streams::{self, is_server_stream};
use super::{Binding, Document};
use crate::comments::Comment;
use crate::options;
use crate::scalars;
use crate::value::{Json, Object};

pub(super) const JSON: &str = "application/json";
const BYTES: &str = "application/octet-stream";
const UPLOAD: &str = "The data, of any content type; of `multipart/form-data` its one file.";

/// A request body that is JSON.
struct JsonBody {
    schema: Object,
    is_required: bool,
    description: String,
}

impl Document<'_> {
    /// `names`: what the path item calls the parameters of the path.
    pub(super) fn operation(
        &mut self,
        binding: &Binding<'_>,
        path: &PathText,
        names: &[String],
    ) -> Object {
        let route = binding.route;
        let comment = Comment::of(&binding.method.source);
        let mut operation = Object::new().with("tags", Json::list([&*binding.service.name]));
        operation.set_text("summary", &comment.summary);
        let by_path = binding.is_rpc.then(|| rpc::DESCRIPTION.to_owned());
        let description = described(&comment.description, by_path.as_slice());
        operation.set_text("description", &description);
        operation.set("operationId", self.operation_id(binding));
        if is_deprecated(binding) {
            operation.set("deprecated", true);
        }
        self.side = Side::Request;
        let request = self.example_request(binding, path);
        if binding.is_rpc || route.number == 0 {
            self.list_request(binding, &comment, &request);
        }
        let mut parameters = self.parameters(route, path, names, &request);
        let key = route.method.idempotency_key();
        parameters.extend(key.and_then(answers::key_parameter));
        if !parameters.is_empty() {
            operation.set("parameters", parameters);
        }
        if let Some(body) = self.request_body(binding, &comment, &request) {
            operation.set("requestBody", body);
        }
        self.side = Side::Response;
        let responses = match binding.is_rpc && !is_client_stream(route) && !is_server_stream(route)
        {
            true => self.rpc_responses(route),
            false => self.responses(binding, &comment),
        };
        operation.set("responses", responses);
        if let Some(policy) = route.method.cache() {
            operation.set("x-cache", answers::cache(policy));
        }
        self.secure(route.method.path(), &mut operation);
        operation.with("x-grpc-method", route.method.path())
    }

    /// Returns `Service_Method`; with the package where that is already used, with a number for
    /// further bindings.
    fn operation_id(&mut self, binding: &Binding<'_>) -> String {
        let method = binding.method.name.rsplit('.').next().unwrap_or_default();
        let service = binding.service.name.rsplit('.').next().unwrap_or_default();
        let short = format!("{service}_{method}");
        let long = binding.method.name.replace('.', "_");
        let numbered = |number: usize| match binding.route.number {
            0 => format!("{long}_{number}"),
            _ => format!("{short}_{number}"),
        };
        let plain = [short.clone(), long.clone()].into_iter();
        let plain = plain.filter(|_| binding.route.number == 0);
        let mut candidates = plain.chain((2..).map(numbered));
        let free = candidates.find(|id| self.operation_ids.insert(id.clone()));
        free.unwrap_or_default()
    }

    fn request_body(
        &mut self,
        binding: &Binding<'_>,
        comment: &Comment,
        request: &ExampleRequest,
    ) -> Option<Object> {
        let route = binding.route;
        if route.is_upload() {
            let content = Object::new().with(BYTES, Object::new());
            // No bytes are a file too.
            let body = Object::new().with("description", UPLOAD);
            return Some(body.with("content", content));
        }
        let (field, found) = match route.body {
            Body::None => return None,
            Body::Whole => (None, self.message_body(route)),
            Body::Field(index) => (Some(index), self.field_body(route, index)?),
        };
        let place = (&binding.method.source, &*binding.method.name);
        let mut examples = self.body_examples(route.method.input, field, place, comment);
        // They may have another value than the path.
        examples.retain(|_| field.is_none_or(|index| bound_within(route, index).is_empty()));
        let mut examples = self.keep_accepted(binding, request, examples);
        if examples.is_empty() {
            examples.extend(request.body.clone());
        }
        let mut body = Object::new();
        let is_stream = is_client_stream(route);
        let streamed: &[String] = if is_stream {
            &[streams::REQUESTS.to_owned()]
        } else {
            &[]
        };
        body.set_text("description", &described(&found.description, streamed));
        body.set("required", found.is_required);
        let content = match is_stream {
            true => streams::request_content(found.schema, examples),
            false => {
                let mut media = Object::new().with("schema", found.schema);
                if !examples.is_empty() {
                    media.set("examples", named(examples));
                }
                Object::new().with(JSON, media)
            }
        };
        Some(body.with("content", content))
    }

    fn message_body(&mut self, route: &Route) -> JsonBody {
        let input = route.method.input;
        JsonBody {
            schema: self.whole_body(route),
            is_required: self.has_required_fields(input, &path_fields(route)),
            description: Comment::of(&self.pool.message(input).source).text(),
        }
    }

    fn field_body(&mut self, route: &Route, index: usize) -> Option<JsonBody> {
        let input = route.method.input;
        let number = self.types.message(input).fields.get(index)?.number;
        let definition = self.definition(input, number)?;
        let bound = bound_within(route, index);
        let message = self.types.message(input).fields[index].message();
        let mut schema = match message.filter(|_| !bound.is_empty()) {
            Some(message) => self.object(message, &bound),
            None => self.field(input, index, definition),
        };
        let description = schema.take_text("description");
        // What the path sets within the message makes it one without the body, too.
        let is_required = match message.filter(|_| !bound.is_empty()) {
            Some(message) => self.has_required_fields(message, &bound),
            None => self.is_required(input, index, definition),
        };
        Some(JsonBody {
            description,
            schema: match is_required {
                true => schema,
                false => scalars::nullable(schema),
            },
            is_required,
        })
    }

    /// Returns the request message without what the path has.
    fn whole_body(&mut self, route: &Route) -> Object {
        let input = route.method.input;
        let without = path_fields(route);
        match self.types.message(input).shape {
            Shape::Object if !without.is_empty() => {
                let mut schema = self.object(input, &without);
                schema.remove("description");
                schema
            }
            _ => self.reference_or_form(input),
        }
    }
}

pub(super) fn media(name: &str, schema: Object) -> Object {
    Object::new().with(name, Object::new().with("schema", schema))
}

/// Examples of a media type have names.
pub(super) fn named(examples: Vec<Json>) -> Object {
    let mut object = Object::new();
    for (number, example) in (1..).zip(examples) {
        object.push(
            format!("example{number}"),
            Object::new().with("value", example),
        );
    }
    object
}

/// Fields that the path sets within a field of the request.
pub(super) fn bound_within(route: &Route, index: usize) -> Vec<usize> {
    let variables = route.variables.iter();
    let inner = variables.filter_map(|variable| match variable.fields.as_slice() {
        [around, inner] if *around == index => Some(*inner),
        _ => None,
    });
    inner.collect()
}

/// Top-level fields of the request that the path sets.
pub(super) fn path_fields(route: &Route) -> Vec<usize> {
    let variables = route.variables.iter();
    variables
        .filter_map(|variable| match variable.fields.as_slice() {
            [only] => Some(*only),
            _ => None,
        })
        .collect()
}

fn is_deprecated(binding: &Binding<'_>) -> bool {
    let read = [&binding.method.options, &binding.service.options].map(|options| options.decode());
    read.into_iter()
        .flatten()
        .any(|options: options::Method| options.deprecated)
}
