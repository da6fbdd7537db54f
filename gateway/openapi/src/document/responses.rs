//! Responses of operations: messages, streams, bytes, and errors by their HTTP status.

use std::collections::{BTreeMap, BTreeSet};

use descriptors::Label;
use transcoder::{Route, status_code_name};

use super::components::{ANY, Component, STATUS, Side, schema_ref};
use super::operations::{JSON, media};
use super::schemas::described;
use super::statuses::{LAST_CODE, Statuses, code_text, status_of};
use super::streams::{self, is_server_stream};
use super::{Binding, Document};
use crate::comments::Comment;
use crate::scalars::{self, typed};
use crate::value::{Json, Object};

const ANY_TYPE: &str = "*/*";
const INVALID_ARGUMENT: i32 = 3;
const RESOURCE_EXHAUSTED: i32 = 8;
const INTERNAL: i32 = 13;
const RULES_BROKEN: &str = "`INVALID_ARGUMENT`: the request breaks a rule of its fields, which `google.rpc.BadRequest` among the details names.";

const LIMITED: &str = "`RESOURCE_EXHAUSTED`: a limit of calls is used up; `Retry-After` and `google.rpc.RetryInfo` say when to try again.";

/// The errors that share an HTTP status.
#[derive(Default)]
struct Failures {
    codes: BTreeSet<i32>,
    texts: Vec<String>,
}

/// Adds the headers of limits to a response, if its method has limits.
fn with_limits(response: Object, is_limited: bool, is_refusal: bool) -> Object {
    match is_limited {
        true => response.with("headers", limit_headers(is_refusal)),
        false => response,
    }
}

/// Returns the headers by which answers tell about limits (draft-ietf-httpapi-ratelimit-headers).
fn limit_headers(is_refusal: bool) -> Object {
    let header = |text: &str| {
        let header = Object::new().with("description", text);
        header.with("schema", typed("string"))
    };
    let headers = Object::new()
        .with(
            "RateLimit",
            header(
                "Units that are left of each limit (`r`), and seconds until it is unused (`t`).",
            ),
        )
        .with(
            "RateLimit-Policy",
            header("Units of each limit (`q`) in a number of seconds (`w`)."),
        );
    match is_refusal {
        true => headers.with("Retry-After", header("Seconds until a call may pass.")),
        false => headers,
    }
}

impl Document<'_> {
    pub(super) fn responses(&mut self, binding: &Binding<'_>, comment: &Comment) -> Object {
        let route = binding.route;
        let own = self.info.statuses.get(&*binding.service.name);
        let statuses = Statuses(own);
        let is_limited = !route.method.rate_limits().is_empty();
        let success = self.success(route);
        let success = with_limits(success, is_limited, false);
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
        if is_limited {
            let failures = by_status
                .entry(statuses.of(RESOURCE_EXHAUSTED))
                .or_default();
            failures.codes.insert(RESOURCE_EXHAUSTED);
            failures.texts.push(LIMITED.to_owned());
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
            let is_limited = is_limited && status == statuses.of(RESOURCE_EXHAUSTED);
            let response = with_limits(response, is_limited, true);
            responses.set(status.to_string(), response);
        }
        responses.with("default", self.default_error(is_wrapped))
    }

    /// Returns the response for errors that no other one describes.
    fn default_error(&mut self, is_wrapped: bool) -> Object {
        self.uses_default_error = true;
        if !is_wrapped {
            return Object::new().with("$ref", "#/components/responses/Error");
        }
        let text = "An error; the HTTP status follows from its code.";
        let content = media(JSON, self.or_wrapped(schema_ref(STATUS)));
        let error = Object::new().with("description", text);
        error.with("content", content)
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

    pub(super) fn success(&mut self, route: &Route) -> Object {
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
        let text = described(&text, &[framed.to_owned(), streams::FRAMINGS.to_owned()]);
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
