//! Bounds on what one request or response may ask of the transcoder.

/// Nesting of JSON values and of messages on the wire, the outermost one counted: the recursion limit of ProtoJSON parsers, and
/// small enough for any stack.
pub const MAX_DEPTH: usize = 100;

/// Parameters of one query, or pairs of one form: duplicates are found by comparing all pairs, so the count must stay small.
pub const MAX_QUERY_PAIRS: usize = 128;

/// Bytes of one raw key of a query or form: longer than any real field path, too short to be used as a payload.
pub const MAX_QUERY_KEY_BYTES: usize = 4 * 1024;

/// Bytes of one raw value of a query or form: a field mask or a token fits; larger data belongs into a body.
pub const MAX_QUERY_VALUE_BYTES: usize = 16 * 1024;

/// Bytes of one raw request path: what common servers and proxies accept; spans of segments are kept in 16 bits.
pub const MAX_PATH_BYTES: usize = 8 * 1024;

/// Segments of one request path: spans live in a fixed array on the stack, and a `**` may be tried once per segment.
pub const MAX_PATH_SEGMENTS: usize = 64;

/// Characters of a name or key from a request that an error shows.
pub(crate) const MAX_SHOWN_CHARS: usize = 128;

/// How often a body may be read over to find the `@type` of an Any behind its members: once for each Any inside another that
/// does not begin with it.
pub(crate) const MAX_LOOKAHEAD: usize = 8;

/// Bytes of one response mask (`$fields`): as a query value.
pub(crate) const MAX_FIELDS_BYTES: usize = MAX_QUERY_VALUE_BYTES;

/// Places of the routing tables that one path may visit. Without backtracking it visits one per segment; templates that overlap in
/// many ways can make a hostile path visit as many as there are segments in all templates.
pub const MAX_ROUTE_STEPS: u32 = 16 * 1024;

/// JSON values (of lists, maps and objects together) or protobuf fields of one request body: each becomes an object in the
/// upstream's memory that is many times larger than its text.
pub const MAX_BODY_VALUES: usize = 1 << 20;

/// Bytes of the update mask that a PATCH derives from its body: leaves deep down repeat all names above them.
pub const MAX_MASK_BYTES: usize = 64 * 1024;

/// Bytes of a file's package name, as in protoc: each package around it is an entry of its own in the table of names.
pub(crate) const MAX_PACKAGE_BYTES: usize = 511;

/// Problems that one load reports; further ones are counted, as one broken file easily breaks all that use it.
pub(crate) const MAX_PROBLEMS: usize = 1000;

/// Violations of validation rules that one answer lists; the others are counted. A long request that is wrong everywhere must
/// not make a longer answer.
pub const MAX_VIOLATIONS: usize = 64;

/// Memory of one compiled pattern of a contract: what `regex` allows by default.
pub(crate) const MAX_PATTERN_BYTES: usize = 10 * (1 << 20);

/// Query parameters that an OpenAPI document lists for one operation: more than a request may have help nobody.
pub(crate) const MAX_OPENAPI_PARAMETERS: usize = MAX_QUERY_PAIRS;

/// Messages within messages whose fields an OpenAPI document lists as query parameters.
pub(crate) const MAX_OPENAPI_PARAMETER_DEPTH: usize = 8;

/// Fields that are looked at for them: messages that hold each other many times over have more paths than anybody can list.
pub(crate) const MAX_OPENAPI_PARAMETER_VISITS: usize = 8 * MAX_OPENAPI_PARAMETERS;

/// Memory of the whole automaton of a pattern; larger ones are built state by state as texts ask for them.
pub(crate) const MAX_PATTERN_TABLE_BYTES: usize = 64 * 1024;
