//! Pure rules of imports: every decision about bytes, rows and invoices is made here.

use chrono::NaiveDateTime;
use uuid::Uuid;

pub mod append;
pub mod batch;
pub mod decimal;
pub mod import;
pub mod intake;
pub mod mapping;
pub mod records;
pub mod returns;
pub mod rules;

pub use append::{AppendedRow, OutOfOrder};
pub use batch::{Batch, Judgement, PendingRows, ReadRow};
pub use import::{Import, NewImport, Outcome, RejectedRow, Settlement, State, Totals};
pub use intake::Intake;
pub use mapping::{Layout, Mapping, MappingError, MissingColumn, Sources};
pub use records::{Flaw, Record, Records};

/// Longest value that a rejection keeps, in characters (contract, `RejectedRow.value`).
pub const MAX_VALUE_CHARS: usize = 256;

/// Most rows of one published invoice: a consumer decides them in one transaction.
pub const MAX_INVOICE_ROWS: usize = 5000;

/// Most bytes of one published invoice, well below the 1,000,000 of a fact.
pub const MAX_INVOICE_BYTES: usize = 768 * 1024;

/// Namespace of import ids (RFC 9562, UUIDv5): the same request names the same import in every
/// replica.
const IMPORTS: Uuid = Uuid::from_u128(0x5f0c_8a4e_32d1_5b7c_9d4e_61a7_c2f0_8b13);

/// SHA-256 over all cleansed columns of a row.
pub type Hash = [u8; 32];

/// The rule that refuses a row, by the name that callers see. First match wins, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum Rule {
    /// Wrong number of columns, not text, not a number, not a time, or too long.
    Malformed,
    /// A quote that is not closed within 64 lines and 64 KiB; the rest of them is read as rows.
    UnterminatedQuote,
    /// Neither a sale's nor a return's number.
    InvoiceNo,
    /// More decimals that matter than the currency has.
    PriceScale,
    /// Zero or negative.
    PriceNotPositive,
    /// A quantity whose sign doesn't fit a sale or a return.
    QuantitySign,
    /// A code that is declared not to be merchandise.
    NotMerchandise,
    /// Neither merchandise nor a charge.
    StockCode,
    /// Equal to an earlier accepted row of the source.
    DuplicateRow,
    /// A row of an invoice that is larger than a fact may be: all its rows are refused.
    InvoiceTooLarge,
}

/// The kind of an invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Goods go out.
    Sale,
    /// Goods come back.
    Return,
}

/// A row that no rule of a single row rejects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Invoice, account and time.
    pub head: Head,
    /// The line.
    pub line: Line,
    /// Its identity within the source.
    pub hash: Hash,
}

/// The fields that the rows of an invoice share; their times may differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Sale or return.
    pub kind: Kind,
    /// As the source numbers it.
    pub invoice_number: String,
    /// Customer, or a guest account that only this invoice has.
    pub account_id: String,
    /// True if the row names no customer.
    pub guest: bool,
    /// Local civil time.
    pub time: NaiveDateTime,
}

/// One line of an invoice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// 1-based; the header is not counted.
    pub row_number: i64,
    /// Stock keeping unit.
    pub sku: String,
    /// Description in the source.
    pub description: String,
    /// Pieces that go out or come back, greater than 0.
    pub quantity: i64,
    /// Minor units for one piece, greater than 0.
    pub unit_price_minor: i64,
    /// True for a charge: money without stock.
    pub charge: bool,
}

/// Rows that are published as one fact; at least one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoice {
    /// The head of its first row, with the earliest time.
    pub head: Head,
    /// In row order.
    pub lines: Vec<Line>,
}

/// A rejected row, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// 1-based; the header is not counted.
    pub row_number: i64,
    /// Column as the header names it; none if the whole row is meant.
    pub column: Option<String>,
    /// The rule that it broke.
    pub rule: Rule,
    /// The value that broke it, cut to [`MAX_VALUE_CHARS`].
    pub value: String,
}

/// The decision of the rules of a single row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Accepted, unless it repeats an accepted row.
    Accepted(Row),
    /// Refused.
    Rejected(Rejection),
}

/// Prefix of the request IDs of imports whose rows are appended.
pub const APPENDED: &str = "append:";

/// Returns the id of the import that a request creates.
pub fn import_id(source: &str, request_id: &str) -> Uuid {
    Uuid::new_v5(&IMPORTS, format!("{source}/{request_id}").as_bytes())
}

/// Truncates a value to the length that a rejection keeps. NUL is replaced: the database can't hold
/// it.
pub fn cut(value: &str) -> String {
    value
        .chars()
        .take(MAX_VALUE_CHARS)
        .map(|c| {
            if c == '\0' {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect()
}

impl Line {
    /// Returns the most bytes of the line in a fact: its texts, tags and numbers.
    pub fn bytes(&self) -> usize {
        const NUMBERS: usize = 48;
        self.sku.len() + self.description.len() + NUMBERS
    }
}

impl Invoice {
    /// Starts an invoice with its first row.
    pub fn new(head: Head, line: Line) -> Self {
        Self {
            head,
            lines: vec![line],
        }
    }

    /// Adds a row.
    pub fn push(&mut self, time: NaiveDateTime, line: Line) {
        self.head.time = self.head.time.min(time);
        self.lines.push(line);
    }

    /// Returns the row numbers of the first and the last line.
    pub fn rows(&self) -> (i64, i64) {
        let numbers = || self.lines.iter().map(|line| line.row_number);
        (
            numbers().min().unwrap_or_default(),
            numbers().max().unwrap_or_default(),
        )
    }
}
