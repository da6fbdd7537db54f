//! How HTTP requests become messages, where `google/api/http.proto` leaves a choice or other
//! gateways decide differently.

/// Choices about queries and bodies. The default is what `google/api/http.proto` says, and strict
/// beyond it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpOptions {
    /// Whether `+` in a query is a space, as HTML forms write it.
    pub plus_is_space: bool,
    /// Treatment of query parameters that no field accepts.
    pub unknown_query: UnknownQuery,
    /// Further parameters that never bind to a field, beside the system parameters, such as
    /// `utm_source`.
    pub ignored_query: Vec<String>,
    /// Treatment of a second query parameter for a field that is not repeated.
    pub duplicate_query: DuplicateQuery,
    /// Whether query parameters bind although the body is the whole message; a field that the body
    /// sends keeps its value.
    pub query_beside_body: bool,
    /// Whether `labels[key]=value` sets an entry of a map.
    pub query_maps: bool,
    /// Whether booleans in paths and queries may be `1`, `t`, `T`, `True`, `TRUE` and their
    /// opposites.
    pub lenient_bools: bool,
    /// Whether durations in paths and queries may also be written as Go does, such as `1m30s`, and
    /// field masks by the names of the proto file.
    pub go_texts: bool,
    /// Whether enum values in paths and queries are found in any case.
    pub enums_ignore_case: bool,
    /// The winner where the path binds a field and body or query have another value.
    pub binding_conflict: BindingConflict,
    /// Treatment of a body that the method doesn't accept.
    pub unexpected_body: UnexpectedBody,
    /// Whether a body is JSON whatever its content type says, unless that is protobuf's or the body
    /// reads as the form that it claims to be.
    pub json_of_any_type: bool,
    /// Whether a form binds like a query where the rule has no body.
    pub forms_without_body: bool,
}

/// Treatment of query parameters that no field accepts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UnknownQuery {
    /// The request is rejected.
    #[default]
    Refuse,
    /// They are dropped.
    Ignore,
}

/// Treatment of a second parameter for a field that is not repeated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DuplicateQuery {
    /// The request is rejected.
    #[default]
    Refuse,
    /// The last value counts.
    LastWins,
}

/// The winner where the path binds a field and body or query have another value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BindingConflict {
    /// Nobody: the request is rejected. A body may repeat the value of the path.
    #[default]
    Refuse,
    /// The path.
    PathWins,
    /// The body; over a query the path still wins.
    BodyWins,
}

/// Treatment of a body that the method doesn't accept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UnexpectedBody {
    /// The request is rejected.
    #[default]
    Refuse,
    /// It is dropped unread.
    Ignore,
}

// === impl HttpOptions ===

impl Default for HttpOptions {
    fn default() -> Self {
        HttpOptions {
            plus_is_space: true,
            unknown_query: UnknownQuery::default(),
            ignored_query: Vec::new(),
            duplicate_query: DuplicateQuery::default(),
            query_beside_body: false,
            query_maps: false,
            lenient_bools: false,
            go_texts: false,
            enums_ignore_case: false,
            binding_conflict: BindingConflict::default(),
            unexpected_body: UnexpectedBody::default(),
            json_of_any_type: false,
            forms_without_body: false,
        }
    }
}
