//! Flaws of a record, and reasons to refuse a unit: each with its place, its rule and the value.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::limits::{MAX_RAW_BYTES, MAX_VALUE_CHARS};

/// A place in a unit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Member of an archive.
    pub member: Option<Arc<str>>,
    /// Position in the text, or in the table.
    pub position: Position,
}

/// A position within a text or a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Position {
    /// The unit as a whole.
    #[default]
    Whole,
    /// A position in a text.
    Text {
        /// Line, from 1.
        line: u64,
        /// Bytes before it, in UTF-8; a byte order mark is not counted.
        offset: u64,
    },
    /// A row of a sheet or a table, from 1. In a sheet it is the number that the row shows.
    Row(u64),
}

/// One record that can't be used. Reading goes on after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    /// Number in the unit, from 1.
    pub number: u64,
    /// Where the record begins.
    pub place: Place,
    /// Column or path, where one is at fault.
    pub column: Option<String>,
    /// The rule: a name of [`rules`](crate::rules).
    pub rule: &'static str,
    /// The value that breaks it, cut to [`MAX_VALUE_CHARS`].
    pub value: String,
    /// The beginning of the record, cut to [`MAX_RAW_BYTES`].
    pub raw: Vec<u8>,
}

/// The reason why no more of a unit can be read. Records before it are good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The rule: a name of [`rules`](crate::rules).
    pub rule: &'static str,
    /// Where reading ended.
    pub place: Place,
    /// Column or path, where one is at fault.
    pub column: Option<String>,
    /// The value that breaks the rule, or what the unit should be.
    pub value: String,
}

/// A rule that bytes break while they are unpacked, on its way through `std::io`.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) rule: &'static str,
    pub(crate) value: String,
}

/// Names of rules, which callers and operators see. They are API.
pub mod rules {
    /// The text is not in the encoding of the unit.
    pub const NOT_TEXT: &str = "NOT_TEXT";
    /// Text with U+0000, which databases can't hold.
    pub const NUL: &str = "NUL";
    /// A record longer than `max_record_bytes`, or with too many values.
    pub const RECORD_TOO_LARGE: &str = "RECORD_TOO_LARGE";
    /// A quote that is not closed within the bounds of a record; its line is the flawed record.
    pub const UNTERMINATED_QUOTE: &str = "UNTERMINATED_QUOTE";
    /// Fewer or more columns than the header.
    pub const WIDTH: &str = "WIDTH";
    /// More columns than a table may have.
    pub const TOO_MANY_COLUMNS: &str = "TOO_MANY_COLUMNS";
    /// The header lacks a column that is needed.
    pub const COLUMN_MISSING: &str = "COLUMN_MISSING";
    /// The header has a column that is needed more than once.
    pub const COLUMN_DUPLICATE: &str = "COLUMN_DUPLICATE";
    /// No header.
    pub const HEADER_MISSING: &str = "HEADER_MISSING";
    /// Malformed JSON, XML, or a malformed value of a table.
    pub const SYNTAX: &str = "SYNTAX";
    /// A name twice in one object.
    pub const DUPLICATE_NAME: &str = "DUPLICATE_NAME";
    /// Nested too deeply.
    pub const TOO_DEEP: &str = "TOO_DEEP";
    /// A record that has no fields.
    pub const NOT_AN_OBJECT: &str = "NOT_AN_OBJECT";
    /// Nothing is at the path of the records, or something else than records.
    pub const PATH_MISSING: &str = "PATH_MISSING";
    /// A document type definition.
    pub const DTD: &str = "DTD";
    /// An entity other than the five of XML.
    pub const ENTITY: &str = "ENTITY";
    /// The unit ends before it is complete.
    pub const TRUNCATED: &str = "TRUNCATED";
    /// The unit is not in its format, or its checksum is wrong.
    pub const CORRUPT: &str = "CORRUPT";
    /// The unit can't be read now.
    pub const UNREADABLE: &str = "UNREADABLE";
    /// More bytes than `max_bytes`, or than a workbook may have.
    pub const UNIT_TOO_LARGE: &str = "UNIT_TOO_LARGE";
    /// The bytes grow too much when they are unpacked.
    pub const ARCHIVE_BOMB: &str = "ARCHIVE_BOMB";
    /// A name in an archive that leads out of its directory.
    pub const ARCHIVE_NAME: &str = "ARCHIVE_NAME";
    /// A member that is encrypted, or packed in another way than stored, deflated or zstd.
    pub const ARCHIVE_METHOD: &str = "ARCHIVE_METHOD";
    /// No member, or more members than an archive may have.
    pub const ARCHIVE_MEMBERS: &str = "ARCHIVE_MEMBERS";
    /// A zip archive, of which members can only be read from a file.
    pub const ARCHIVE_NEEDS_FILE: &str = "ARCHIVE_NEEDS_FILE";
    /// The workbook has no such sheet.
    pub const SHEET_MISSING: &str = "SHEET_MISSING";
    /// A cell with an error such as `#N/A`.
    pub const CELL_ERROR: &str = "CELL_ERROR";
    /// A formula whose result the workbook doesn't hold.
    pub const FORMULA_WITHOUT_VALUE: &str = "FORMULA_WITHOUT_VALUE";
    /// A date that no calendar has.
    pub const DATE: &str = "DATE";
}

// === impl Place ===

impl Place {
    pub(crate) fn row(member: Option<Arc<str>>, row: u64) -> Self {
        let position = Position::Row(row);
        Place { member, position }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.position {
            Position::Whole => formatter.write_str("the whole")?,
            Position::Text { line, offset } => write!(formatter, "line {line} (byte {offset})")?,
            Position::Row(row) => write!(formatter, "row {row}")?,
        }
        match &self.member {
            Some(member) => write!(formatter, " of `{member}`"),
            None => Ok(()),
        }
    }
}

// === impl Refusal ===

impl Refusal {
    pub(crate) fn new(rule: &'static str, place: Place, value: impl AsRef<str>) -> Self {
        Refusal {
            rule,
            place,
            column: None,
            value: cut(value.as_ref()),
        }
    }

    /// Finds the rule behind an error of reading.
    pub(crate) fn of_io(error: &io::Error, place: Place) -> Self {
        let broken = error.get_ref().and_then(|own| own.downcast_ref::<Broken>());
        if let Some(Broken { rule, value }) = broken {
            return Refusal::new(rule, place, value);
        }
        let rule = match error.kind() {
            io::ErrorKind::UnexpectedEof => rules::TRUNCATED,
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput | io::ErrorKind::Other => {
                rules::CORRUPT
            }
            _ => rules::UNREADABLE,
        };
        Refusal::new(rule, place, error.to_string())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.place, self.rule)?;
        if let Some(column) = &self.column {
            write!(formatter, ", column `{column}`")?;
        }
        write!(formatter, ": {}", self.value)
    }
}

impl std::error::Error for Refusal {}

// === impl Flaw ===

impl fmt::Display for Flaw {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, place, rule) = (self.number, &self.place, self.rule);
        write!(formatter, "record {number}, {place}: {rule}")?;
        if let Some(column) = &self.column {
            write!(formatter, ", column `{column}`")?;
        }
        write!(formatter, ": {}", self.value)
    }
}

// === impl Broken ===

impl Broken {
    pub(crate) fn error(rule: &'static str, value: impl Into<String>) -> io::Error {
        let value = value.into();
        io::Error::other(Broken { rule, value })
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.rule, self.value)
    }
}

impl std::error::Error for Broken {}

/// Truncates a value to the length that flaws keep. U+0000 is replaced: databases can't hold it.
pub(crate) fn cut(value: &str) -> String {
    let shown = |c| match c {
        '\0' => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    value.chars().take(MAX_VALUE_CHARS).map(shown).collect()
}

/// Truncates the bytes of a record to the length that is kept.
pub(crate) fn kept(raw: &[u8]) -> Vec<u8> {
    raw.iter().take(MAX_RAW_BYTES).copied().collect()
}
