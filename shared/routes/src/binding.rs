//! One HTTP binding of a method, resolved against the messages of the method.

use std::sync::Arc;

use descriptors::{MethodPlan, Place, Problem};

use crate::annotation::HttpRule;
use crate::template::{Segment, Template};

/// One HTTP binding of a method (`google.api.HttpRule`).
#[derive(Debug)]
pub struct Binding {
    /// The bound method.
    pub method: Arc<MethodPlan>,
    /// The method of HTTP; `*` stands for every one.
    pub http_method: http::Method,
    /// The path template as written.
    pub text: Box<str>,
    /// Number among the bindings of the method; zero is the rule itself, the others are additional.
    pub number: usize,
    /// The parsed template.
    pub template: Template,
    /// The variables of the template.
    pub variables: Vec<RouteVariable>,
    /// The part of the request message that is the request body.
    pub body: Body,
    /// Index of the output field that `response_body` names.
    pub response: Option<usize>,
}

/// The part of the request message that is the request body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// The request has no body.
    None,
    /// All fields that the path does not bind.
    Whole,
    /// One top-level field, by its index.
    Field(usize),
}

/// A variable of the template, resolved against the request message.
#[derive(Debug)]
pub struct RouteVariable {
    /// Field indices from the request message down to the scalar.
    pub fields: Vec<usize>,
    /// The first segment of the template that the variable spans.
    pub start: usize,
    /// One after its last segment.
    pub end: usize,
    /// It may span several segments of a path.
    pub is_multi: bool,
}

/// A binding that is not served.
#[derive(Debug, Clone)]
pub struct LeftOut {
    /// The method that it would bind.
    pub method: Arc<MethodPlan>,
    /// The method of HTTP as written; empty where the rule can't be read.
    pub http_method: String,
    /// The path template as written.
    pub template: String,
    /// The reason, and the place where the rule is written.
    pub problem: Problem,
}

// === impl Binding ===

impl Binding {
    /// Returns the binding that every method has without a rule: `POST /package.Service/Method`,
    /// with its message as the body. No router holds it, so that a rule for the same path wins.
    pub fn of_method(method: Arc<MethodPlan>) -> Self {
        let segments = method.path().split('/').skip(1);
        let segments = segments.map(|name| Segment::Literal(name.into()));
        Binding {
            http_method: http::Method::POST,
            text: method.path().into(),
            number: 0,
            template: Template {
                segments: segments.collect(),
                variables: Vec::new(),
                verb: None,
            },
            variables: Vec::new(),
            body: Body::Whole,
            response: None,
            method,
        }
    }
}

// === impl LeftOut ===

impl LeftOut {
    pub(crate) fn new(
        method: &Arc<MethodPlan>,
        rule: &HttpRule,
        place: &Place,
        reason: impl Into<String>,
    ) -> Self {
        LeftOut {
            method: method.clone(),
            http_method: rule.http_method.clone(),
            template: rule.path.clone(),
            problem: place.problem(reason),
        }
    }
}
