//! Bounds on the size of a document.

use transcoder::MAX_QUERY_PAIRS;

/// Query parameters that a document lists for one operation: no request may have more.
pub(crate) const MAX_OPENAPI_PARAMETERS: usize = MAX_QUERY_PAIRS;

/// Messages within messages whose fields a document lists as query parameters.
pub(crate) const MAX_OPENAPI_PARAMETER_DEPTH: usize = 8;

/// Fields that are visited for them: messages that hold each other many times over have more paths
/// than anybody can list.
pub(crate) const MAX_OPENAPI_PARAMETER_VISITS: usize = 8 * MAX_OPENAPI_PARAMETERS;
