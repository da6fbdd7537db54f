//! Presets for moving from another gateway: each only sets documented options, and any of them can
//! be set back.

use routes::{PathDecoding, RouteOptions, TrailingSlash};

use super::{
    BindingConflict, DuplicateQuery, EmitDefaults, HttpOptions, JsonOptions, Options,
    UnexpectedBody, UnknownQuery,
};

impl Options {
    /// Returns the defaults of Envoy's `grpc_json_transcoder`: reserved characters stay encoded in
    /// variables of several segments, `+` is a plus, a slash at the end is ignored, query
    /// parameters bind beside any body, a body wins over the path, and unknown fields and
    /// parameters are dropped.
    pub fn envoy() -> Options {
        Options {
            json: JsonOptions {
                ignore_unknown_fields: true,
                ..JsonOptions::default()
            },
            routes: RouteOptions {
                path_decoding: PathDecoding::ExceptReserved,
                trailing_slash: TrailingSlash::Ignore,
                ..RouteOptions::default()
            },
            http: HttpOptions {
                plus_is_space: false,
                unknown_query: UnknownQuery::Ignore,
                duplicate_query: DuplicateQuery::LastWins,
                query_beside_body: true,
                enums_ignore_case: false,
                binding_conflict: BindingConflict::BodyWins,
                unexpected_body: UnexpectedBody::Ignore,
                json_of_any_type: true,
                ..HttpOptions::default()
            },
            ..Options::default()
        }
    }

    /// Returns the defaults of grpc-gateway: responses show every default and `null` for unset
    /// messages, a body is JSON whatever its content type, unknown keys and parameters are dropped,
    /// maps can be set by the query, booleans and durations are lenient, forms bind where a rule
    /// has no body, the path wins over body and query. Its decoding of the whole path before the
    /// split into segments, by which `%2F` separates them, is not imitated: it lets a value choose
    /// the route.
    pub fn grpc_gateway() -> Options {
        Options {
            json: JsonOptions {
                emit_defaults: EmitDefaults::Nulls,
                ignore_unknown_fields: true,
                ..JsonOptions::default()
            },
            routes: RouteOptions {
                path_decoding: PathDecoding::All,
                ..RouteOptions::default()
            },
            http: HttpOptions {
                unknown_query: UnknownQuery::Ignore,
                query_maps: true,
                lenient_bools: true,
                go_texts: true,
                binding_conflict: BindingConflict::PathWins,
                unexpected_body: UnexpectedBody::Ignore,
                json_of_any_type: true,
                forms_without_body: true,
                ..HttpOptions::default()
            },
            ..Options::default()
        }
    }
}
