//! Bounds on the paths of requests.

/// Bytes of one raw request path: what common servers and proxies accept; spans of segments are
/// kept in 16 bits.
pub const MAX_PATH_BYTES: usize = 8 * 1024;

/// Segments of one request path: spans live in a fixed array on the stack, and a `**` may be tried
/// once per segment.
pub const MAX_PATH_SEGMENTS: usize = 64;

/// Nodes of the routing tables that one path may visit. Without backtracking it visits one per
/// segment; templates that overlap in many ways can make a hostile path visit as many as there are
/// segments in all templates.
pub const MAX_ROUTE_STEPS: u32 = 16 * 1024;
