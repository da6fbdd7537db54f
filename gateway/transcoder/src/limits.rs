//! Bounds on what one request or response may ask of the transcoder.

/// Parameters of one query, or pairs of one form: duplicates are found by comparing all pairs, so
/// the count must stay small.
pub const MAX_QUERY_PAIRS: usize = 128;

/// Bytes of one raw key of a query or form: longer than any real field path, too short to be used
/// as a payload.
pub const MAX_QUERY_KEY_BYTES: usize = 4 * 1024;

/// Bytes of one raw value of a query or form: a field mask or a token fits; larger data belongs
/// into a body.
pub const MAX_QUERY_VALUE_BYTES: usize = 16 * 1024;

/// Characters of a name or key from a request that an error shows.
pub(crate) const MAX_SHOWN_CHARS: usize = 128;

/// Bytes of the name of a type that may be looked for outside of the schema.
pub(crate) const MAX_TYPE_NAME_BYTES: usize = 512;

/// How often a body may be read ahead to find the `@type` of an Any after its members: once for
/// each Any inside another that does not begin with it.
pub(crate) const MAX_LOOKAHEAD: usize = 8;

/// Bytes of one response mask (`$fields`): as a query value.
pub(crate) const MAX_FIELDS_BYTES: usize = MAX_QUERY_VALUE_BYTES;

/// JSON values (of lists, maps and objects together) or protobuf fields of one request body: each
/// becomes an object in the upstream's memory that is many times larger than its text.
pub const MAX_BODY_VALUES: usize = 1 << 20;

/// Bytes of the update mask that a PATCH derives from its body: leaves deep down repeat all names
/// above them.
pub const MAX_MASK_BYTES: usize = 64 * 1024;
