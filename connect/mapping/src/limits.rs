//! Bounds on mappings.

/// Fields that one mapping sets.
pub const MAX_FIELDS: usize = 1_024;

/// Tables of one mapping.
pub const MAX_TABLES: usize = 64;

/// Entries of one table.
pub const MAX_ENTRIES: usize = 100_000;

/// Bytes of the file of a table.
pub const MAX_TABLE_BYTES: u64 = 16 << 20;

/// Digits of a decimal, and of those after its point.
pub const MAX_DIGITS: usize = 38;

/// Memory of one compiled pattern, in bytes.
pub const MAX_PATTERN_BYTES: usize = 1 << 20;

/// Longest text that a function makes, in bytes.
pub const MAX_TEXT_BYTES: usize = 1 << 20;
