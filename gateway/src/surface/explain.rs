//! `/-/explain`: which route or method takes a request, what it binds, which policies apply, and
//! why the other routes do not match.

mod answers;
mod callers;

use std::collections::BTreeMap;

use chassis::error::Fault;
use descriptors::ClassifiedField;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{Method, Response};
use http_body_util::Full;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use tonic::body::Body;
use transcoder::{
    BoundField, Candidate, Idempotency, LeftOut, Match, MethodPlan, Mismatch, Source,
};

use crate::api::{Catalog, UpstreamHandle};
use crate::context::Context;
use crate::failure::Failure;
use crate::protocols::JSON;

/// The nearest of the routes that do not match; with a thousand routes, the others say nothing.
const OTHERS_MAX: usize = 50;

/// Stands for a confidential value.
const HIDDEN: &str = "[confidential]";

/// The request in question.
struct Question {
    method: Method,
    /// Raw, without query.
    path: String,
    query: Option<String>,
    /// The caller that may or may not call.
    caller: Option<String>,
}

#[derive(Serialize)]
struct Explanation<'a> {
    method: &'a str,
    path: &'a str,
    query: Option<&'a str>,
    /// The reason why no route matches; absent if one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<ExplainedRoute<'a>>,
    /// The fields set by path and query. The body sets the others.
    bindings: Vec<Binding>,
    /// The fields of request and response, with their classes.
    fields: Vec<Field>,
    /// The error of binding path or query.
    #[serde(skip_serializing_if = "Option::is_none")]
    binding_problem: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policies: Option<Policies<'a>>,
    /// The nearest first.
    others: Vec<Other<'a>>,
    /// How many more routes there are.
    others_left_out: usize,
    /// Bindings that are not served because their rules are invalid.
    invalid_bindings: Vec<Other<'a>>,
    /// Services that are not served because their descriptors do not resolve, with the reasons.
    services_left_out: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
struct ExplainedRoute<'a> {
    method: &'a str,
    template: &'a str,
    rpc_method: &'a str,
    kind: &'static str,
    request: &'a str,
    response: &'a str,
    /// `*` for the whole message, or the field that the body becomes.
    body: Option<&'a str>,
    response_body: Option<&'a str>,
}

#[derive(Serialize)]
struct Binding {
    field: String,
    value: String,
    source: &'static str,
}

/// A field of the request or of the response.
#[derive(Serialize)]
struct Field {
    message: &'static str,
    field: String,
    class: &'static str,
    #[serde(skip)]
    definition: ClassifiedField,
}

#[derive(Serialize)]
struct Policies<'a> {
    access: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<String>,
    deadline: &'static str,
    idempotency: &'static str,
    validation: String,
    rate_limits: Vec<String>,
    /// How long answers are served again; absent where they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    cache: Option<String>,
    /// The place of the idempotency key; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<String>,
    upstream: Option<&'a str>,
    max_body_bytes: usize,
    max_message_bytes: usize,
}

#[derive(Serialize)]
struct Other<'a> {
    method: &'a str,
    template: &'a str,
    rpc_method: &'a str,
    reason: &'static str,
    why: String,
}

/// Explains the request that `method` and `path` of the query describe, without sending it
/// anywhere.
pub(super) fn answer(
    context: &Context,
    catalog: &Catalog,
    head: &Parts,
) -> Result<Response<Body>, Failure> {
    let question = Question::parse(head.uri.query().unwrap_or_default())?;
    let json = serde_json::to_vec(&question.explain(context, catalog));
    let json = json.map_err(chassis::error::internal)?;
    let mut response = Response::new(Body::new(Full::from(json)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

// === impl Question ===

impl Question {
    fn parse(query: &str) -> Result<Self, Failure> {
        let value = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            let (_, raw) = pairs.find(|(key, _)| *key == name)?;
            Some(percent_decode_str(raw).decode_utf8_lossy().into_owned())
        };
        let method = value("method").unwrap_or_else(|| "GET".to_owned());
        let method = Method::from_bytes(method.as_bytes())
            .map_err(|_| wrong("method", "a method of HTTP, such as GET"))?;
        let target = value("path").filter(|path| path.starts_with('/'));
        let target = target.ok_or_else(|| {
            wrong(
                "path",
                "a path that begins with a slash, percent-encoded, with its query",
            )
        })?;
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path.to_owned(), Some(query.to_owned())),
            None => (target, None),
        };
        Ok(Self {
            method,
            path,
            query,
            caller: value("as").filter(|caller| !caller.is_empty()),
        })
    }

    fn explain<'a>(&'a self, context: &'a Context, catalog: &'a Catalog) -> Explanation<'a> {
        let explanation = catalog.schema.explain(&self.method, &self.path);
        let others_left_out = explanation.others.len().saturating_sub(OTHERS_MAX);
        let others = explanation.others.iter().take(OTHERS_MAX);
        let invalid = catalog.schema.bindings().left_out().iter();
        let mut answer = Explanation {
            method: self.method.as_str(),
            path: &self.path,
            query: self.query.as_deref(),
            problem: None,
            route: None,
            bindings: Vec::new(),
            fields: Vec::new(),
            binding_problem: None,
            policies: None,
            others: others.map(other).collect(),
            others_left_out,
            invalid_bindings: invalid.take(OTHERS_MAX).map(invalid_binding).collect(),
            services_left_out: catalog.services_left_out().take(OTHERS_MAX).collect(),
        };
        match (explanation.outcome, catalog.schema.rpc_route(&self.path)) {
            (Ok(matched), _) => answer.fill(context, catalog, matched, self.caller.as_deref()),
            (Err(_), Some(matched)) if self.method == Method::POST => {
                answer.fill(context, catalog, matched, self.caller.as_deref());
            }
            (Err(_), Some(_)) => {
                answer.problem = Some("the path of a gRPC method is called by POST".to_owned());
            }
            (Err(error), None) => answer.problem = Some(error.to_string()),
        }
        answer
    }
}

// === impl Explanation ===

impl<'a> Explanation<'a> {
    fn fill(
        &mut self,
        context: &'a Context,
        catalog: &'a Catalog,
        matched: Match<'a>,
        caller: Option<&str>,
    ) {
        let (route, method) = (matched.route(), matched.method());
        let owner = catalog.owner(method.path());
        if owner.is_none() {
            self.problem = Some("no upstream serves the service of this route".to_owned());
        }
        self.route = Some(ExplainedRoute {
            method: route.http_method().as_str(),
            template: route.template(),
            rpc_method: rpc_method(method),
            kind: method.kind().name(),
            request: method.input(),
            response: method.output(),
            body: route.body(),
            response_body: route.response_body(),
        });
        if let Ok(pool) = catalog.schema.pool(&catalog.descriptor_set) {
            let request = pool.classes(method.input);
            let response = pool.classes(method.output);
            let request = request
                .into_iter()
                .map(|field| Field::new("request", field));
            let response = response
                .into_iter()
                .map(|field| Field::new("response", field));
            self.fields = request.chain(response).collect();
        }
        match matched.bindings(self.query) {
            Ok(bound) => {
                let bound = bound.into_iter().map(|bound| self.binding(bound));
                self.bindings = bound.collect();
            }
            Err(error) => self.binding_problem = Some(error.to_string()),
        }
        let decision = caller.map(|who| callers::decision(catalog, &matched, self.query, who));
        self.policies = Some(Policies {
            access: callers::rule(context, catalog, method.path()),
            decision,
            deadline: "the earliest that the caller names; none is invented",
            idempotency: idempotency(method.idempotency()),
            validation: validation(catalog, method),
            rate_limits: limits(catalog, method),
            cache: catalog.answers.cache(method).map(|policy| {
                let is_on = context.policy().answers.cache.is_some();
                answers::cache(policy, is_on)
            }),
            idempotency_key: catalog.answers.key(method).map(|policy| {
                let is_on = context.policy().answers.replays.is_some();
                answers::idempotency_key(policy, is_on)
            }),
            upstream: owner.map(UpstreamHandle::name),
            max_body_bytes: context.max_body_bytes(),
            max_message_bytes: context.max_message_bytes(),
        });
        // Path and query may hold what the bindings hide.
        let mut fields = self.fields.iter();
        if fields.any(|field| field.message == "request" && field.definition.is_confidential) {
            (self.path, self.query) = (route.template(), None);
        }
    }
}

impl Field {
    fn new(message: &'static str, definition: ClassifiedField) -> Self {
        Self {
            message,
            field: definition.name.clone(),
            class: definition.class.name(),
            definition,
        }
    }

    /// Returns whether a path or query that sets the field, or a key of it, sets what is
    /// confidential.
    fn hides(&self, path: &str) -> bool {
        let path = path.split('[').next().unwrap_or_default();
        let own = &self.definition;
        let is_it = own.name == path || own.json_name == path;
        is_it && own.is_confidential && self.message == "request"
    }
}

impl Explanation<'_> {
    /// Returns what path or query set, without values that are confidential.
    fn binding(&self, bound: BoundField) -> Binding {
        Binding {
            value: match self.fields.iter().any(|field| field.hides(&bound.path)) {
                true => HIDDEN.to_owned(),
                false => bound.value,
            },
            field: bound.path,
            source: source(bound.source),
        }
    }
}

fn other<'a>(candidate: &Candidate<'a>) -> Other<'a> {
    let route = candidate.route;
    Other {
        method: route.http_method.as_str(),
        template: &route.text,
        rpc_method: rpc_method(&route.method),
        reason: match candidate.reason {
            Mismatch::Outranked => "outranked",
            Mismatch::Method { .. } => "method",
            Mismatch::Verb { .. } => "verb",
            Mismatch::Segment { .. } => "segment",
            Mismatch::TooShort { .. } => "too_short",
            Mismatch::TooLong { .. } => "too_long",
        },
        why: candidate.reason.to_string(),
    }
}

fn invalid_binding(binding: &LeftOut) -> Other<'_> {
    Other {
        method: &binding.http_method,
        template: &binding.template,
        rpc_method: rpc_method(&binding.method),
        reason: "invalid",
        why: crate::api::reason(binding),
    }
}

fn rpc_method(method: &MethodPlan) -> &str {
    method.path().trim_start_matches('/')
}

fn source(source: Source) -> &'static str {
    match source {
        Source::Path => "path",
        Source::Query => "query",
        Source::Body => "body",
    }
}

/// As the contract spells it.
fn idempotency(idempotency: Idempotency) -> &'static str {
    match idempotency {
        Idempotency::Unknown => "IDEMPOTENCY_UNKNOWN",
        Idempotency::NoSideEffects => "NO_SIDE_EFFECTS",
        Idempotency::Idempotent => "IDEMPOTENT",
    }
}

fn validation(catalog: &Catalog, method: &MethodPlan) -> String {
    let validator = catalog.schema.validator(method.input());
    match validator.is_some_and(|validator| validator.has_rules()) {
        true => format!("the rules of {}", method.input()),
        false => format!("{} has no rules", method.input()),
    }
}

fn limits(catalog: &Catalog, method: &MethodPlan) -> Vec<String> {
    let limits = catalog.limits.of(method.path()).iter();
    limits.map(quota::Limit::describe).collect()
}

fn wrong(parameter: &str, expected: &str) -> Failure {
    let message = format!("the query parameter `{parameter}` is not {expected}");
    let fault = Fault::invalid_argument("BAD_PARAMETER", message);
    fault.violation(parameter, expected).into()
}
