//! Headers that become metadata of a call, and metadata that become headers and trailers of the
//! response.

mod settings;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use chassis::server::is_of_proxies;
use http::header::{
    CONNECTION, COOKIE, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, USER_AGENT, WWW_AUTHENTICATE,
};
use http::request::Parts;
use http::{Response, StatusCode, Version};
use rpc::headers::{IDENTITY, PROCESS, list};
use tonic::body::Body;

use super::conditional;
use crate::api::Dialect;
use crate::call::{ErrorMetadata, UnaryReply};
use crate::failure::Failure;

pub use settings::MetadataSettings;

/// Headers about one connection (RFC 9110 §7.6.1), which a proxy must not pass on. `te` is set anew
/// by the client.
static HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Headers of content that do not depend on how the content is sent.
const ABOUT_CONTENT: [&str; 3] = [
    "content-disposition",
    "content-language",
    "content-security-policy",
];

/// Request headers that grpc-gateway passes as `grpcgateway-…`: its list of permanent ones.
const PERMANENT: [&str; 23] = [
    "accept",
    "accept-charset",
    "accept-language",
    "accept-ranges",
    "authorization",
    "cache-control",
    "content-type",
    "cookie",
    "date",
    "expect",
    "from",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-schedule-tag-match",
    "if-unmodified-since",
    "max-forwards",
    "origin",
    "pragma",
    "referer",
    "user-agent",
    "via",
    "warning",
];

/// Response metadata that mean something to HTTP itself, and have their own names in every dialect.
const OF_HTTP: [&str; 9] = [
    "cache-control",
    "content-disposition",
    "etag",
    "expires",
    "last-modified",
    "location",
    "set-cookie",
    "vary",
    "www-authenticate",
];

/// The metadata by which an upstream sets the HTTP status, a convention of grpc-gateway.
const HTTP_CODE: HeaderName = HeaderName::from_static("x-http-code");

const ORIGINAL_METHOD: HeaderName = HeaderName::from_static("x-original-method");
const ORIGINAL_PATH: HeaderName = HeaderName::from_static("x-original-path");
const ORIGINAL_TEMPLATE: HeaderName = HeaderName::from_static("x-original-template");

/// Base64 of `-bin` metadata: written without padding, read either way (gRPC over HTTP/2,
/// "Custom-Metadata").
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The headers and metadata that pass, and their names.
pub(crate) struct MetadataRules {
    request: Names,
    request_prefix: String,
    response: Names,
    response_deny: Names,
    header_prefix: &'static str,
    trailer_prefix: &'static str,
    /// The trailers that streams over HTTP/1.1 announce.
    stream_trailers: Option<HeaderValue>,
    forward_origin: bool,
    dialect: Dialect,
}

/// A set of header names.
struct Names {
    exact: Vec<HeaderName>,
    prefixes: Vec<String>,
}

// === impl MetadataRules ===

impl MetadataRules {
    pub(super) fn new(settings: &MetadataSettings, dialect: Dialect) -> Self {
        let (header_prefix, trailer_prefix) = dialect.metadata_prefixes();
        let announced = settings.stream_trailers.join(", ");
        let announced = (!announced.is_empty()).then_some(announced);
        Self {
            request: Names::new(&settings.request),
            request_prefix: settings.request_prefix.clone(),
            response: Names::new(&settings.response),
            response_deny: Names::new(&settings.response_deny),
            header_prefix,
            trailer_prefix,
            stream_trailers: announced.and_then(|names| HeaderValue::from_str(&names).ok()),
            forward_origin: settings.forward_origin,
            dialect,
        }
    }

    /// The metadata that a caller of the JSON API may send.
    ///
    /// # Errors
    /// A value that metadata cannot have, with the name of its header.
    pub(crate) fn of_request(&self, headers: &HeaderMap) -> Result<HeaderMap, Failure> {
        let mut metadata = HeaderMap::new();
        for (name, value) in headers {
            let Some(key) = self.key(name) else {
                continue;
            };
            if !is_printable_ascii(value) {
                if self.dialect == Dialect::GrpcGateway {
                    tracing::debug!(%name, "header is not ASCII, hence no metadata");
                    continue;
                }
                return Err(Failure::bad_header(
                    name.as_str(),
                    "printable ASCII, as for all metadata of gRPC",
                ));
            }
            if key.as_str().ends_with("-bin") {
                append_binary(name, key, value, &mut metadata)?;
            } else {
                metadata.append(key, value.clone());
            }
        }
        if self.dialect == Dialect::GrpcGateway {
            add_permanent(headers, &mut metadata);
        }
        conditional::unmark(&mut metadata);
        Ok(metadata)
    }

    /// Sends method, path and template to the upstream, if configured, and drops such headers of
    /// the caller.
    pub(crate) fn add_origin(&self, head: &Parts, template: &str, metadata: &mut HeaderMap) {
        if !self.forward_origin {
            return;
        }
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        for (name, value) in [
            (ORIGINAL_METHOD, head.method.as_str()),
            (ORIGINAL_PATH, path),
            (ORIGINAL_TEMPLATE, template),
        ] {
            match HeaderValue::from_str(value) {
                Ok(value) => metadata.insert(name, value),
                Err(_) => metadata.remove(name),
            };
        }
    }

    fn key(&self, name: &HeaderName) -> Option<HeaderName> {
        if self.request.contains(name) {
            return (!is_reserved(name.as_str())).then(|| name.clone());
        }
        if self.request_prefix.is_empty() {
            return None;
        }
        let custom = name.as_str().strip_prefix(self.request_prefix.as_str())?;
        let custom: HeaderName = custom.parse().ok()?;
        let is_free = !is_reserved(custom.as_str())
            && !is_of_proxies(custom.as_str())
            && (custom != COOKIE || self.request.contains(&COOKIE))
            && custom != USER_AGENT
            && custom != PROCESS;
        is_free.then_some(custom)
    }

    /// Removes from the headers of an RPC protocol, which are metadata already, what ends at the
    /// gateway: the headers of the connection, and the token that only processes send; and cookies,
    /// which a browser adds by itself, and the name of a process, which is for operators, unless
    /// they are listed as for the JSON API.
    pub(crate) fn strip_call(&self, headers: &mut HeaderMap) {
        strip_hop_by_hop(headers);
        headers.remove(IDENTITY);
        for name in [COOKIE, PROCESS] {
            if !self.request.contains(&name) {
                headers.remove(name);
            }
        }
    }

    /// Completes the response to one message by the metadata and trailers of the upstream.
    pub(crate) fn dress(
        &self,
        answer: &UnaryReply,
        request: &Parts,
        mut response: Response<Body>,
    ) -> Response<Body> {
        let code = http_code(&answer.metadata).or_else(|| http_code(&answer.trailers));
        if let Some(code) = code {
            *response.status_mut() = code;
        }
        self.add_headers(&answer.metadata, response.headers_mut());
        let trailers = self.trailers(&answer.trailers);
        add_trailers(trailers, &request.headers, response)
    }

    /// Completes a response that streams.
    pub(crate) fn dress_stream(
        &self,
        metadata: &HeaderMap,
        request: &Parts,
        response: &mut Response<Body>,
    ) {
        if let Some(code) = http_code(metadata) {
            *response.status_mut() = code;
        }
        self.add_headers(metadata, response.headers_mut());
        if let Some(names) = &self.stream_trailers
            && request.version < Version::HTTP_2
            && takes_trailers(&request.headers)
        {
            response.headers_mut().insert(TRAILER, names.clone());
        }
    }

    /// Completes a response that is an error.
    ///
    /// Its trailers become headers, later values in place of earlier ones; in the dialect of
    /// grpc-gateway they stay trailers, except for a challenge.
    pub(crate) fn dress_error(
        &self,
        sent: &ErrorMetadata,
        request: &HeaderMap,
        response: &mut Response<Body>,
    ) {
        let ErrorMetadata { headers, trailers } = sent;
        if let Some(code) = http_code(trailers).or_else(|| http_code(headers)) {
            *response.status_mut() = code;
        }
        if self.dialect != Dialect::GrpcGateway {
            let mut all = headers.clone();
            all.extend(trailers.clone());
            return self.add_headers(&all, response.headers_mut());
        }
        self.add_headers(headers, response.headers_mut());
        if let Some(challenge) = trailers.get(WWW_AUTHENTICATE) {
            let headers = response.headers_mut();
            headers.insert(WWW_AUTHENTICATE, challenge.clone());
        }
        let plain = std::mem::take(response);
        *response = add_trailers(self.trailers(trailers), request, plain);
    }

    /// Returns the trailers that the caller may see.
    pub(crate) fn trailers(&self, sent: &HeaderMap) -> HeaderMap {
        let mut trailers = HeaderMap::new();
        self.pass(sent, self.trailer_prefix, &mut trailers);
        trailers
    }

    fn add_headers(&self, metadata: &HeaderMap, headers: &mut HeaderMap) {
        let mut passed = HeaderMap::new();
        self.pass(metadata, self.header_prefix, &mut passed);
        headers.extend(passed);
    }

    fn pass(&self, sent: &HeaderMap, prefix: &str, passed: &mut HeaderMap) {
        for (name, value) in sent {
            let text = name.as_str();
            let is_passed = !is_of_the_gateway(text)
                && self.response.contains(name)
                && !self.response_deny.contains(name);
            if !is_passed {
                continue;
            }
            if prefix.is_empty() || OF_HTTP.contains(&text) {
                passed.append(name.clone(), value.clone());
            }
            if !prefix.is_empty()
                && let Ok(key) = format!("{prefix}{text}").parse::<HeaderName>()
            {
                passed.append(key, value.clone());
            }
        }
    }
}

// === impl Names ===

impl Names {
    fn new(names: &[String]) -> Self {
        let (prefixes, exact): (Vec<&String>, _) =
            names.iter().partition(|name| name.ends_with('*'));
        let prefixes = prefixes.into_iter();
        Self {
            exact: exact
                .into_iter()
                .filter_map(|name| name.parse().ok())
                .collect(),
            prefixes: prefixes
                .map(|name| name.trim_end_matches('*').to_owned())
                .collect(),
        }
    }

    fn contains(&self, name: &HeaderName) -> bool {
        let begins = |prefix: &String| name.as_str().starts_with(prefix.as_str());
        self.exact.contains(name) || self.prefixes.iter().any(begins)
    }
}

/// Names that steer HTTP or gRPC itself, and the token that the gateway alone sends: they can
/// neither be sent as metadata nor received.
pub(crate) fn is_reserved(name: &str) -> bool {
    name.starts_with("grpc-")
        || (name.starts_with("content-") && !ABOUT_CONTENT.contains(&name))
        || is_hop_by_hop(name)
        || *name == IDENTITY
        || matches!(name, "host" | "expect")
}

/// Names that the gateway alone sets in its responses.
fn is_of_the_gateway(name: &str) -> bool {
    is_reserved(name)
        || name.starts_with("access-control-")
        || matches!(name, "date" | "server")
        || *name == HTTP_CODE
}

/// Whether the caller reads trailers (RFC 9110 §10.1.4).
pub(crate) fn takes_trailers(headers: &HeaderMap) -> bool {
    list(headers, TE).any(|item| item.eq_ignore_ascii_case("trailers"))
}

/// Whether a header is about one connection.
pub(super) fn is_hop_by_hop(name: &str) -> bool {
    HOP_BY_HOP.iter().any(|field| field == name)
}

/// Removes what is about one connection only. The fields that `connection` names ended where the
/// request arrived, see [`super::client_address`]; here they could name those of the gateway.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// The HTTP status that the upstream chose; ignored unless it is a final one.
fn http_code(metadata: &HeaderMap) -> Option<StatusCode> {
    let value = metadata.get(HTTP_CODE)?;
    let code = StatusCode::from_bytes(value.as_bytes()).ok();
    let code = code.filter(|code| (200..600).contains(&code.as_u16()));
    if code.is_none() {
        tracing::warn!(?value, "upstream chose an invalid http status");
    }
    code
}

/// Each value of a list is one of metadata, and every one is written alike.
fn append_binary(
    name: &HeaderName,
    key: HeaderName,
    value: &HeaderValue,
    metadata: &mut HeaderMap,
) -> Result<(), Failure> {
    for part in value.to_str().unwrap_or_default().split(',') {
        let bytes = BASE64.decode(part.trim());
        let bytes = bytes.map_err(|_| {
            Failure::bad_header(
                name.as_str(),
                "base64, as for all metadata whose name ends in `-bin`",
            )
        })?;
        if let Ok(value) = HeaderValue::from_str(&BASE64.encode(bytes)) {
            metadata.append(key.clone(), value);
        }
    }
    Ok(())
}

/// Adds the headers that grpc-gateway passes under a prefix of its own, in place of what the caller
/// sends under that.
fn add_permanent(headers: &HeaderMap, metadata: &mut HeaderMap) {
    for name in PERMANENT {
        let Ok(key) = format!("grpcgateway-{name}").parse::<HeaderName>() else {
            continue;
        };
        metadata.remove(&key);
        let values = headers.get_all(name).iter();
        for value in values.filter(|value| is_printable_ascii(value)) {
            metadata.append(key.clone(), value.clone());
        }
    }
}

fn is_printable_ascii(value: &HeaderValue) -> bool {
    value
        .as_bytes()
        .iter()
        .all(|byte| (0x20..=0x7e).contains(byte))
}

/// Adds trailers to a response whose caller reads them.
fn add_trailers(
    trailers: HeaderMap,
    request: &HeaderMap,
    mut response: Response<Body>,
) -> Response<Body> {
    if trailers.is_empty() || !takes_trailers(request) {
        return response;
    }
    let names: Vec<&str> = trailers.keys().map(HeaderName::as_str).collect();
    if let Ok(names) = HeaderValue::from_str(&names.join(", ")) {
        response.headers_mut().insert(TRAILER, names);
    }
    response.map(|body| with_trailers(body, trailers))
}

/// Appends trailers to a body. The length becomes unknown, since HTTP/1.1 sends trailers only after
/// chunks.
fn with_trailers(body: Body, trailers: HeaderMap) -> Body {
    use http_body_util::BodyExt;
    let data = futures::stream::unfold(Some(body), |body| async move {
        let mut body = body?;
        let frame = body.frame().await?;
        Some((frame, Some(body)))
    });
    let trailers = futures::stream::iter([Ok(http_body::Frame::trailers(trailers))]);
    Body::new(http_body_util::StreamBody::new(futures::StreamExt::chain(
        data, trailers,
    )))
}

#[cfg(test)]
mod tests;
