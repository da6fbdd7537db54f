//! Operations: what one HTTP binding of a method takes and gives.

use std::collections::{BTreeMap, BTreeSet};

use contract::MethodKind;
use descriptors::{Label, Shape};
use routes::Body;
use transcoder::{Route, status_code_name};

use super::components::{ANY, Component, STATUS, Side, schema_ref};
use super::paths::PathText;
use super::schemas::described;
use super::statuses::{LAST_CODE, Statuses, code_text, status_of};
use super::streams::is_server_stream;
use super::{Binding, Document};
use crate::comments::Comment;
use crate::options;
use crate::scalars::{self, typed};
use crate::value::{Json, Object};

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";
const ANY_TYPE: &str = "*/*";
const BYTES: &str = "application/octet-stream";
const UPLOAD: &str = "The data, of any content type; of `multipart/form-data` its one file.";
const INVALID_ARGUMENT: i32 = 3;
const INTERNAL: i32 = 13;
const RULES_BROKEN: &str = "`INVALID_ARGUMENT`: the request breaks a rule of its fields, which `google.rpc.BadRequest` among the details names.";

/// A request body that is JSON.
struct JsonBody {
    schema: Object,
    is_required: bool,
    description: String,
}

/// The errors that share an HTTP status.
#[derive(Default)]
struct Failures {
    codes: BTreeSet<i32>,
    texts: Vec<String>,
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
        operation.set_text("description", &comment.description);
        operation.set("operationId", self.operation_id(binding));
        if is_deprecated(binding) {
            operation.set("deprecated", true);
        }
        self.side = Side::Request;
        let parameters = self.parameters(route, path, names);
        if !parameters.is_empty() {
            operation.set("parameters", parameters);
        }
        if let Some(body) = self.request_body(binding, &comment) {
            operation.set("requestBody", body);
        }
        self.side = Side::Response;
        let responses = self.responses(binding, &comment);
        operation.set("responses", responses);
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

    fn request_body(&mut self, binding: &Binding<'_>, comment: &Comment) -> Option<Object> {
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
        let mut body = Object::new();
        body.set_text("description", &found.description);
        body.set("required", found.is_required);
        let is_stream = matches!(
            route.method.kind(),
            MethodKind::ClientStreaming | MethodKind::BidiStreaming
        );
        let place = (&binding.method.source, &*binding.method.name);
        let mut examples = self.body_examples(route.method.input, field, place, comment);
        // They may have another value than the path.
        examples.retain(|_| field.is_none_or(|index| bound_within(route, index).is_empty()));
        let content = if is_stream {
            let list = typed("array").with("items", found.schema.clone());
            media(NDJSON, found.schema).with(JSON, Object::new().with("schema", list))
        } else {
            let mut media = Object::new().with("schema", found.schema);
            if !examples.is_empty() {
                media.set("examples", named(examples));
            }
            Object::new().with(JSON, media)
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

    fn responses(&mut self, binding: &Binding<'_>, comment: &Comment) -> Object {
        let route = binding.route;
        let own = self.info.statuses.get(&*binding.service.name);
        let statuses = Statuses(own);
        let success = self.success(route);
        let is_wrapped = self.has_envelope && is_server_stream(route) && !route.is_download();
        // An upstream may choose another status by `x-http-code`.
        let shared = |name: &str| {
            let reference = format!("#/components/responses/{name}");
            Object::new().with("$ref", reference)
        };
        let mut responses = Object::new()
            .with("200", success.clone())
            .with("2XX", success)
            .with("204", shared("Empty"))
            .with("205", shared("Empty"))
            .with("3XX", shared("Other"));
        let has_rules = self
            .schema
            .validation()
            .validator_of(route.method.input)
            .has_rules();
        let mut by_status: BTreeMap<u16, Failures> = BTreeMap::new();
        if has_rules {
            let status = statuses.of(INVALID_ARGUMENT);
            by_status.entry(status).or_default();
        }
        for (code, text) in &comment.errors {
            let failures = by_status.entry(statuses.of(*code)).or_default();
            failures.codes.insert(*code);
            let name = status_code_name(*code);
            failures.texts.push(format!("`{name}`: {text}"));
        }
        for (code, status) in own.into_iter().flatten() {
            let failures = by_status.entry(*status).or_default();
            if failures.codes.insert(*code) {
                failures.texts.push(format!("`{}`", code_text(*code)));
            }
        }
        for (status, mut failures) in by_status {
            let is_ruled = has_rules && status == statuses.of(INVALID_ARGUMENT);
            let response = if failures.codes.is_empty() && !is_wrapped {
                self.uses_invalid_request = true;
                Object::new().with("$ref", "#/components/responses/InvalidRequest")
            } else {
                if is_ruled {
                    failures.codes.insert(INVALID_ARGUMENT);
                    failures.texts.insert(0, RULES_BROKEN.to_owned());
                }
                self.failure(status, &failures, statuses, is_wrapped)
            };
            responses.set(status.to_string(), response);
        }
        self.uses_default_error = true;
        if is_wrapped {
            let text = "An error; the HTTP status follows from its code.";
            let content = media(JSON, self.or_wrapped(schema_ref(STATUS)));
            let error = Object::new().with("description", text);
            return responses.with("default", error.with("content", content));
        }
        responses.with(
            "default",
            Object::new().with("$ref", "#/components/responses/Error"),
        )
    }

    /// Returns the response for what breaks rules and nothing more.
    pub(super) fn invalid_request(&mut self) -> Object {
        let failures = Failures {
            codes: BTreeSet::from([INVALID_ARGUMENT]),
            texts: vec![RULES_BROKEN.to_owned()],
        };
        let statuses = Statuses(None);
        let status = statuses.of(INVALID_ARGUMENT);
        self.failure(status, &failures, statuses, false)
    }

    fn failure(
        &mut self,
        status: u16,
        failures: &Failures,
        statuses: Statuses<'_>,
        is_wrapped: bool,
    ) -> Object {
        let mut properties = Object::new();
        // Any code is answered with 500, those without a name too.
        if status != status_of(INTERNAL) {
            let further = failures.codes.iter().filter(|code| **code > LAST_CODE);
            let codes = (0..=LAST_CODE).chain(further.copied());
            let codes = codes.filter(|code| statuses.of(*code) == status);
            properties.set("code", Object::new().with("enum", Json::list(codes)));
        }
        if failures.codes.contains(&INVALID_ARGUMENT)
            && let Some(id) = self.types.by_name.get("google.rpc.BadRequest")
        {
            let detail = self.reference(Component::Message(*id, Side::Response));
            let any = schema_ref(ANY);
            let details = typed("array").with(
                "items",
                Object::new().with("anyOf", Json::list([detail, any])),
            );
            properties.set("details", details);
        }
        let mut schema = schema_ref(STATUS).with("properties", properties);
        if is_wrapped {
            schema = self.or_wrapped(schema);
        }
        Object::new()
            .with("description", failures.texts.join("\n\n"))
            .with("content", media(JSON, schema))
    }

    fn success(&mut self, route: &Route) -> Object {
        let is_stream = is_server_stream(route);
        if route.is_download() {
            let text = if is_stream {
                "The data, as it comes."
            } else {
                "The data."
            };
            let content = Object::new().with(ANY_TYPE, Object::new());
            return Object::new()
                .with("description", text)
                .with("content", content);
        }
        let (schema, text) = self.response_schema(route);
        if !is_stream {
            let text = if text.is_empty() {
                "Success.".to_owned()
            } else {
                text
            };
            return Object::new()
                .with("description", text)
                .with("content", media(JSON, schema));
        }
        let framed = match self.has_envelope {
            true => {
                "one line `{\"result\": …}` for each message. A failure is the last of them, `{\"error\": …}`"
            }
            false => {
                "one message after another. A failure on the way is the last of them, `{\"error\": …}`"
            }
        };
        let text = described(&text, &[framed.to_owned()]);
        Object::new()
            .with("description", text)
            .with("content", self.stream(schema))
    }

    /// Schema and description of one response.
    fn response_schema(&mut self, route: &Route) -> (Object, String) {
        let output = route.method.output;
        let number = route
            .response
            .map(|index| self.types.message(output).fields[index].number);
        let definition = number.and_then(|number| self.definition(output, number));
        if let (Some(index), Some(definition)) = (route.response, definition) {
            let mut schema = self.field(output, index, definition);
            let text = schema.take_text("description");
            let field = &self.types.message(output).fields[index];
            if field.label == Label::Explicit && field.message().is_some() {
                // An unset message.
                schema = scalars::nullable(schema);
            }
            return (schema, text);
        }
        let text = Comment::of(&self.pool.message(output).source).text();
        (self.reference_or_form(output), text)
    }
}

fn media(name: &str, schema: Object) -> Object {
    Object::new().with(name, Object::new().with("schema", schema))
}

/// Examples of a media type have names.
fn named(examples: Vec<Json>) -> Object {
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
fn bound_within(route: &Route, index: usize) -> Vec<usize> {
    let variables = route.variables.iter();
    let inner = variables.filter_map(|variable| match variable.fields.as_slice() {
        [around, inner] if *around == index => Some(*inner),
        _ => None,
    });
    inner.collect()
}

/// Top-level fields of the request that the path sets.
fn path_fields(route: &Route) -> Vec<usize> {
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
