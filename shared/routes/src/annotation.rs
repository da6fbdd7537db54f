//! The messages of `google/api/http.proto`, decoded from raw bytes: no descriptor of the extension
//! need be in the set.

use descriptors::MethodDef;
use prost::Message;

/// Number of the option `google.api.http`.
pub(crate) const HTTP_OPTION: i32 = 72_295_728;

/// One rule of a service configuration: `google.api.HttpRule`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpRule {
    /// Full name of the method, `package.Service.Method`; empty in additional bindings.
    pub selector: String,
    /// `GET`, `POST`, …, any other token, or `*` for every method. Case matters.
    pub http_method: String,
    /// The path template.
    pub path: String,
    /// Name of the top-level request field that is the body, `*` for all that the path doesn't
    /// bind, empty for none.
    pub body: String,
    /// Name of the top-level response field that is the response body; empty for the whole message.
    pub response_body: String,
    /// More bindings of the method; they have none of their own.
    pub additional_bindings: Vec<HttpRule>,
}

/// The options of a method that this crate reads.
#[derive(Clone, PartialEq, Message)]
struct MethodOptions {
    #[prost(message, optional, tag = "72295728")]
    http: Option<Rule>,
}

/// `google.api.Http`: what a service configuration says about routes.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct HttpConfig {
    #[prost(message, repeated, tag = "1")]
    rules: Vec<Rule>,
    #[prost(bool, tag = "2")]
    pub(crate) fully_decode_reserved_expansion: bool,
}

/// `google.api.HttpRule`.
#[derive(Clone, PartialEq, Message)]
struct Rule {
    #[prost(string, tag = "1")]
    selector: String,
    #[prost(oneof = "Pattern", tags = "2, 3, 4, 5, 6, 8")]
    pattern: Option<Pattern>,
    #[prost(string, tag = "7")]
    body: String,
    #[prost(string, tag = "12")]
    response_body: String,
    #[prost(message, repeated, tag = "11")]
    additional_bindings: Vec<Rule>,
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

/// Returns the annotation `google.api.http` of a method.
pub(crate) fn annotation(method: &MethodDef) -> Result<Option<HttpRule>, String> {
    let options: Result<MethodOptions, _> = method.options.decode();
    match options {
        Ok(options) => Ok(options.http.map(Rule::into_rule)),
        Err(error) => Err(format!("malformed options: {error}")),
    }
}

// === impl HttpConfig ===

impl HttpConfig {
    pub(crate) fn into_rules(self) -> impl Iterator<Item = HttpRule> {
        self.rules.into_iter().map(Rule::into_rule)
    }
}

// === impl Rule ===

impl Rule {
    /// As deep as the decoder lets messages nest, which is a fixed bound.
    fn into_rule(self) -> HttpRule {
        let (http_method, path) = match self.pattern {
            Some(Pattern::Get(path)) => ("GET".into(), path),
            Some(Pattern::Put(path)) => ("PUT".into(), path),
            Some(Pattern::Post(path)) => ("POST".into(), path),
            Some(Pattern::Delete(path)) => ("DELETE".into(), path),
            Some(Pattern::Patch(path)) => ("PATCH".into(), path),
            Some(Pattern::Custom(custom)) => (custom.kind, custom.path),
            None => <(String, String)>::default(),
        };
        HttpRule {
            selector: self.selector,
            http_method,
            path,
            body: self.body,
            response_body: self.response_body,
            additional_bindings: self
                .additional_bindings
                .into_iter()
                .map(Rule::into_rule)
                .collect(),
        }
    }
}
