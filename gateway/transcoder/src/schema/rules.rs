//! Reads `google.api.http` annotations and compiles each binding into a route, or says why it can't be one.

use std::sync::Arc;

use super::{Idempotency, MethodKind, MethodPlan};
use crate::{
    descriptor::{MethodDef, Place},
    error::Problem,
    plan::{Kind, MessageId, Shape, Types},
    route::{Body, Route, RouteVariable},
    template::{Template, Variable},
    upload,
};
use prost::Message;

/// The options of a method that this crate reads. Decoding the raw bytes needs no descriptor of the extension in the set.
#[derive(Clone, PartialEq, Message)]
pub(super) struct MethodOptions {
    #[prost(int32, tag = "34")]
    idempotency_level: i32,
    #[prost(message, optional, tag = "72295728")]
    pub(super) http: Option<HttpRule>,
}

/// `google.api.HttpRule`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct HttpRule {
    #[prost(oneof = "Pattern", tags = "2, 3, 4, 5, 6, 8")]
    pattern: Option<Pattern>,
    #[prost(string, tag = "7")]
    body: String,
    #[prost(string, tag = "12")]
    response_body: String,
    #[prost(message, repeated, tag = "11")]
    additional_bindings: Vec<HttpRule>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Pattern {
    #[prost(string, tag = "2")]
    Get(String),
    #[prost(string, tag = "3")]
    Put(String),
    #[prost(string, tag = "4")]
    Post(String),
    #[prost(string, tag = "5")]
    Delete(String),
    #[prost(string, tag = "6")]
    Patch(String),
    #[prost(message, tag = "8")]
    Custom(CustomPattern),
}

/// `google.api.CustomHttpPattern`.
#[derive(Clone, PartialEq, Message)]
struct CustomPattern {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(string, tag = "2")]
    path: String,
}

/// Number of the option `google.api.http`.
pub(super) const HTTP_OPTION: i32 = 72_295_728;

pub(super) fn read_options(method: &MethodDef) -> Result<MethodOptions, String> {
    let read = method.options.decode();
    read.map_err(|error| format!("malformed options: {error}"))
}

impl MethodOptions {
    pub(super) fn idempotency(&self) -> Idempotency {
        match self.idempotency_level {
            1 => Idempotency::NoSideEffects,
            2 => Idempotency::Idempotent,
            _ => Idempotency::Unknown,
        }
    }
}

/// Compiles the rules of one method.
pub(super) struct Compiler<'a> {
    pub(super) types: &'a Arc<Types>,
    pub(super) method: &'a Arc<MethodPlan>,
    pub(super) place: &'a Place,
    pub(super) problems: &'a mut Vec<Problem>,
    pub(super) notes: &'a mut Vec<Problem>,
}

impl Compiler<'_> {
    /// The routes of `rule` and of its additional bindings; problems go to the list.
    pub(super) fn compile(&mut self, rule: &HttpRule) -> Vec<Route> {
        let mut routes = Vec::new();
        for (index, binding) in std::iter::once(rule)
            .chain(&rule.additional_bindings)
            .enumerate()
        {
            if index > 0 && !binding.additional_bindings.is_empty() {
                self.problem("additional_bindings can't be nested");
            }
            match self.binding(binding) {
                Ok(Some(route)) => routes.push(route),
                Ok(None) => {}
                Err(reason) => self.problem(reason),
            }
        }
        routes
    }

    fn problem(&mut self, reason: impl Into<String>) {
        self.problems.push(self.place.problem(reason));
    }

    fn note(&mut self, reason: impl Into<String>) {
        self.notes.push(self.place.problem(reason));
    }

    fn binding(&mut self, rule: &HttpRule) -> Result<Option<Route>, String> {
        let (http_method, text) = pattern(rule)?;
        let at = |reason: String| format!("template {text:?}: {reason}");
        let template = Template::parse(text).map_err(at)?;
        let body = self.body(&rule.body)?;
        let variables = template
            .variables
            .iter()
            .map(|variable| self.variable(&template, variable, &body).map_err(at))
            .collect::<Result<Vec<_>, _>>()?;
        let response = self.response(&rule.response_body)?;
        let upload = upload::plan(self.types, self.method.input, &body);
        if !self.is_routable(upload.is_some()) {
            self.note(format!(
                "{text:?} is not reachable: this kind of stream has no JSON form over plain HTTP"
            ));
            return Ok(None);
        }
        if body != Body::None && matches!(http_method.as_str(), "GET" | "HEAD" | "DELETE") {
            self.note(format!(
                "{http_method} {text:?} takes a body, which many clients and proxies drop"
            ));
        }
        Ok(Some(Route {
            types: self.types.clone(),
            method: self.method.clone(),
            mask: self.update_mask(&http_method, &body),
            download: upload::plan_response(self.types, self.method.output, response),
            http_method,
            text: text.into(),
            template,
            variables,
            body,
            response,
            upload,
        }))
    }

    fn is_routable(&self, is_upload: bool) -> bool {
        match self.method.kind {
            MethodKind::Unary | MethodKind::ServerStreaming => true,
            MethodKind::ClientStreaming => is_upload,
            MethodKind::BidiStreaming => false,
        }
    }

    fn body(&self, body: &str) -> Result<Body, String> {
        match body {
            "" => Ok(Body::None),
            "*" => Ok(Body::Whole),
            name => Ok(Body::Field(self.top_level(
                "body",
                self.method.input,
                name,
            )?)),
        }
    }

    fn response(&self, name: &str) -> Result<Option<usize>, String> {
        match name {
            "" => Ok(None),
            name => self
                .top_level("response_body", self.method.output, name)
                .map(Some),
        }
    }

    fn top_level(&self, option: &str, message: MessageId, name: &str) -> Result<usize, String> {
        let message = self.types.message(message);
        let found = message.fields.iter().position(|field| *field.name == *name);
        found.ok_or_else(|| {
            format!(
                "{option}: {} has no field '{name}' at its top level",
                message.name
            )
        })
    }

    fn variable(
        &self,
        template: &Template,
        variable: &Variable,
        body: &Body,
    ) -> Result<RouteVariable, String> {
        let path = variable.path.join(".");
        let mut message = Some(self.method.input);
        let mut fields = Vec::new();
        let mut leaf = None;
        for name in &variable.path {
            let Some(plan) = message.map(|id| self.types.message(id)) else {
                return Err(format!("'{path}': only messages have fields"));
            };
            let Some(index) = plan.fields.iter().position(|f| f.name == *name) else {
                return Err(format!("'{path}': {} has no field '{name}'", plan.name));
            };
            let field = &plan.fields[index];
            if !field.is_singular() {
                return Err(format!("'{path}': '{name}' is repeated"));
            }
            fields.push(index);
            message = field.message();
            leaf = Some(field);
        }
        if !leaf.is_some_and(|field| self.has_text_form(field.kind)) {
            return Err(format!("'{path}' is a message, which a path can't carry"));
        }
        if *body == Body::Field(fields[0]) && fields.len() == 1 {
            return Err(format!("'{path}' is the body"));
        }
        Ok(RouteVariable {
            start: variable.start,
            end: variable.end,
            is_multi: template.is_multi(variable),
            fields,
        })
    }

    /// Scalars, and the messages whose JSON form is a string or a number.
    fn has_text_form(&self, kind: Kind) -> bool {
        match kind {
            Kind::Message(id) => matches!(
                self.types.message(id).shape,
                Shape::Timestamp | Shape::Duration | Shape::FieldMask | Shape::Wrapper
            ),
            Kind::Group(_) => false,
            _ => true,
        }
    }

    /// AIP-134: a PATCH whose body is the resource, and the one top-level field that can say which fields it means.
    fn update_mask(&self, http_method: &http::Method, body: &Body) -> Option<usize> {
        let Body::Field(resource) = *body else {
            return None;
        };
        let fields = &self.types.message(self.method.input).fields;
        fields[resource].message()?;
        let mut masks = fields.iter().enumerate().filter(|(_, field)| {
            let shape = field.message().map(|id| self.types.message(id).shape);
            field.is_singular() && shape == Some(Shape::FieldMask)
        });
        let (mask, _) = masks.next()?;
        (http_method == http::Method::PATCH && masks.next().is_none()).then_some(mask)
    }
}

fn pattern(rule: &HttpRule) -> Result<(http::Method, &str), String> {
    let (method, path) = match &rule.pattern {
        Some(Pattern::Get(path)) => (http::Method::GET, path),
        Some(Pattern::Put(path)) => (http::Method::PUT, path),
        Some(Pattern::Post(path)) => (http::Method::POST, path),
        Some(Pattern::Delete(path)) => (http::Method::DELETE, path),
        Some(Pattern::Patch(path)) => (http::Method::PATCH, path),
        Some(Pattern::Custom(custom)) => {
            let method = http::Method::from_bytes(custom.kind.as_bytes())
                .map_err(|_| format!("custom kind {:?} is not an HTTP method", custom.kind))?;
            (method, &custom.path)
        }
        None => return Err("the rule names no method and path".into()),
    };
    Ok((method, path))
}
