//! Bounds on expressions: what loading accepts, and what one evaluation may cost.

/// Bytes of one expression.
pub const MAX_SOURCE_BYTES: usize = 8 * 1024;

/// Nodes of a parsed expression, macros expanded.
pub const MAX_NODES: usize = 1_024;

/// Levels of nested parentheses, calls and lists.
pub const MAX_NESTING: u16 = 32;

/// Levels of nested comprehensions (`all`, `exists`, `exists_one`, `map`, `filter`).
pub const MAX_NESTED_COMPREHENSIONS: usize = 2;

/// Steps of one evaluation: turns of comprehensions, elements of lists and maps that are read, and
/// blocks of 2 KiB of the message that are looked at.
pub const MAX_STEPS: u64 = 20_000;

/// Bytes of a message that count as one step.
pub(crate) const STEP_BYTES: usize = 2_048;

/// Memory of one compiled pattern.
pub(crate) const MAX_PATTERN_BYTES: usize = 1 << 20;
