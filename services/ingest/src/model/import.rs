//! An import as callers see it, and the ends of its published rows.

use uuid::Uuid;

use super::Rejection;

/// An import to create.
#[derive(Clone, Debug)]
pub struct NewImport {
    /// Idempotency key.
    pub request_id: String,
    /// Name of the declared source.
    pub source: String,
    /// Free text.
    pub file_name: String,
    /// Bytes of the whole file.
    pub size_bytes: i64,
    /// SHA-256 of the whole file in lower-case hexadecimal digits, if the caller names it.
    pub sha256: Option<String>,
}

/// One import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Made from source and `request_id`.
    pub import_id: Uuid,
    /// Name of the declared source.
    pub source: String,
    /// Free text.
    pub file_name: String,
    /// Bytes of the whole file; 0 if rows are appended.
    pub size_bytes: i64,
    /// Bytes whose rows are durable.
    pub received_bytes: i64,
    /// True once the last row is durable.
    pub is_ended: bool,
    /// Groups of rows that were published.
    pub invoices_published: i64,
    /// Published groups whose end is known.
    pub invoices_settled: i64,
    /// Its rows.
    pub totals: Totals,
}

/// Rows read, and those of them that were refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Data rows.
    pub rows_read: i64,
    /// Those of them that the client left out.
    pub rows_missing: i64,
    /// Rows by rule, most frequent first.
    pub rejected: Vec<(String, i64)>,
}

/// A refused row, by a rule of this service or of another.
#[derive(Clone, Debug)]
pub struct RejectedRow {
    /// 1-based; the header is not counted.
    pub row_number: i64,
    /// As the header names it; none if the whole row is meant.
    pub column: Option<String>,
    /// Name of the rule.
    pub rule: String,
    /// The value that broke it.
    pub value: String,
}

/// The state of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Bytes or rows are missing.
    Receiving,
    /// All rows are in; orders or returns are not at their end.
    Settling,
    /// Every order and return is at its end.
    Completed,
}

/// The end of a published group of rows.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// The import that the rows came with.
    pub import_id: Uuid,
    /// Names the group within the import.
    pub first_row_number: i64,
    /// Its end.
    pub outcome: Outcome,
}

/// How a published group of rows ended.
#[derive(Clone, Debug, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum Outcome {
    /// The order is paid and shipped.
    Paid,
    /// A line could not be reserved.
    OutOfStock,
    /// The payment was declined.
    PaymentDeclined,
    /// The order was cancelled.
    Cancelled,
    /// The order failed.
    Failed,
    /// The return is decided; its rejections name the rows that were refused.
    Returned,
    /// The rows make no order, by this rule.
    Refused(String),
}

// === impl Import ===

impl Import {
    /// Returns the state that follows from the numbers.
    pub fn state(&self) -> State {
        if !self.is_ended {
            State::Receiving
        } else if self.invoices_settled < self.invoices_published {
            State::Settling
        } else {
            State::Completed
        }
    }
}

// === impl Totals ===

impl Totals {
    /// Returns the rows read, and neither rejected so far nor missing.
    pub fn rows_accepted(&self) -> i64 {
        self.rows_read - self.rows_missing - self.rejected.iter().map(|(_, rows)| rows).sum::<i64>()
    }
}

// === impl RejectedRow ===

impl From<&Rejection> for RejectedRow {
    fn from(rejection: &Rejection) -> Self {
        Self {
            row_number: rejection.row_number,
            column: rejection.column.clone(),
            rule: <&str>::from(rejection.rule).to_owned(),
            value: rejection.value.clone(),
        }
    }
}

// === impl Outcome ===

impl Outcome {
    /// Returns the name in the database: that of the rule for a refusal.
    pub fn name(&self) -> &str {
        match self {
            Self::Refused(rule) => rule,
            other => other.into(),
        }
    }
}
