//! Keys that choose between what gateways do differently.

use serde::Deserialize;
use transcoder::Options;
use transcoder::stream::Framing;

/// The behaviour of the JSON API where the standards leave a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// The standards', and strict beyond them.
    Strict,
    /// Those of Envoy's `grpc_json_transcoder`.
    Envoy,
    /// Those of grpc-gateway.
    GrpcGateway,
}

/// How responses show fields that have their default value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EmitDefaults {
    /// As the dialect does.
    Dialect,
    /// Nothing.
    Never,
    /// Numbers, booleans, strings, bytes and enums.
    Scalars,
    /// These, and empty lists and maps.
    All,
}

/// How JSON keys without a field are handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnknownFields {
    /// As the dialect does.
    Dialect,
    /// The request is refused.
    Refuse,
    /// They are dropped.
    Ignore,
}

/// How a path with a superfluous trailing slash is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TrailingSlash {
    /// As the dialect does.
    Dialect,
    /// It matches nothing: 404.
    Strict,
    /// 308 to the path without it.
    Redirect,
    /// It matches.
    Ignore,
}

// === impl Dialect ===

impl Dialect {
    pub(crate) fn options(self) -> Options {
        match self {
            Dialect::Strict => Options::default(),
            Dialect::Envoy => Options::envoy(),
            Dialect::GrpcGateway => Options::grpc_gateway(),
        }
    }

    /// How a stream is framed for a caller who takes anything.
    pub(crate) fn framing(self) -> Framing {
        match self {
            Dialect::Envoy => Framing::JsonArray,
            Dialect::Strict | Dialect::GrpcGateway => Framing::Ndjson,
        }
    }

    /// Returns the name prefixes of response headers and trailers that carry metadata of the
    /// upstream.
    pub(crate) fn metadata_prefixes(self) -> (&'static str, &'static str) {
        match self {
            Dialect::GrpcGateway => ("grpc-metadata-", "grpc-trailer-"),
            Dialect::Strict | Dialect::Envoy => ("", ""),
        }
    }

    /// Whether the messages of a stream come as `{"result":…}`.
    pub(crate) fn has_envelope(self) -> bool {
        self == Dialect::GrpcGateway
    }
}

// === impl EmitDefaults ===

impl EmitDefaults {
    pub(crate) fn apply(self, options: &mut Options) {
        options.json.emit_defaults = match self {
            EmitDefaults::Dialect => return,
            EmitDefaults::Never => transcoder::EmitDefaults::Never,
            EmitDefaults::Scalars => transcoder::EmitDefaults::Scalars,
            EmitDefaults::All => transcoder::EmitDefaults::All,
        };
    }
}

// === impl UnknownFields ===

impl UnknownFields {
    pub(crate) fn apply(self, options: &mut Options) {
        options.json.ignore_unknown_fields = match self {
            UnknownFields::Dialect => return,
            UnknownFields::Refuse => false,
            UnknownFields::Ignore => true,
        };
    }
}

// === impl TrailingSlash ===

impl TrailingSlash {
    pub(crate) fn apply(self, options: &mut Options) {
        options.routes.trailing_slash = match self {
            TrailingSlash::Dialect => return,
            TrailingSlash::Strict => transcoder::TrailingSlash::Strict,
            TrailingSlash::Redirect => transcoder::TrailingSlash::Redirect,
            TrailingSlash::Ignore => transcoder::TrailingSlash::Ignore,
        };
    }
}
