//! Bounds on what rules may cost.

/// Violations that one answer lists; the others are counted. A long request that is wrong
/// everywhere must not make a longer answer.
pub const MAX_VIOLATIONS: usize = 64;

/// Memory of one compiled pattern of a contract: the default of `regex`.
pub(crate) const MAX_PATTERN_BYTES: usize = 10 * (1 << 20);

/// Memory of the whole automaton of a pattern; larger ones are built state by state as texts ask
/// for them.
pub(crate) const MAX_PATTERN_TABLE_BYTES: usize = 64 * 1024;
