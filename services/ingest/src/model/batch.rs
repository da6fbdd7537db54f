//! Rows that are read and not yet durable, and the part of them that may be committed.

use std::collections::HashSet;

use super::{
    Decision, Hash, Invoice, Kind, MAX_INVOICE_BYTES, MAX_INVOICE_ROWS, Rejection, Row, Rule,
};

#[cfg(test)]
mod tests;

/// Most bytes from an open invoice's first row on that are held in memory, refused rows included.
const MAX_SPAN_BYTES: usize = 8 * 1024 * 1024;

/// Approximate memory of a row without its texts.
const ROW_BYTES: usize = 256;

/// Decided rows after the last durable byte of a file, in row order.
#[derive(Debug)]
pub struct PendingRows {
    offset: i64,
    rows_read: i64,
    rows: Vec<ReadRow>,
    fresh_rows: usize,
    fresh_bytes: usize,
}

/// A row of a file, with the decision of the rules of a single row.
#[derive(Clone, Debug)]
pub struct ReadRow {
    /// 1-based; the header is not counted.
    pub row_number: i64,
    /// Bytes of the file up to the end of its record.
    pub end: i64,
    /// Accepted or refused.
    pub decision: Decision,
    /// The record as readable text, for a refusal because of other rows.
    pub excerpt: String,
}

/// The decision about pending rows: those that can become durable, and what each of them is.
#[derive(Debug)]
pub struct Judgement {
    verdicts: Vec<Verdict>,
    /// How many rows can become durable.
    closable: usize,
    closed_invoice: Option<String>,
    /// Size of the file, if it ends here.
    end: Option<i64>,
}

/// Rows that become durable together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Bytes of the file that are durable with it: a record's end after which no invoice is open.
    pub offset: i64,
    /// Data rows up to there.
    pub rows_read: i64,
    /// Refused rows.
    pub rejected: Vec<Rejection>,
    /// Sales to publish.
    pub sales: Vec<Invoice>,
    /// Rows of returns, which wait for the end of the file.
    pub returns: Vec<Row>,
    /// The newest invoice that was refused because it is too large.
    pub closed_invoice: Option<String>,
}

/// The decision about a row that the other rows allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// Rejected by its own decision.
    Rejected,
    /// Rejected because of other rows.
    Refused(Rule),
    /// First row of an invoice.
    Opens,
    /// Further row of the open invoice.
    Joins,
}

/// Walks over the rows and finds where invoices end.
struct Walk<'a> {
    known: &'a HashSet<Hash>,
    seen: HashSet<&'a Hash>,
    verdicts: Vec<Verdict>,
    open: Option<OpenInvoice<'a>>,
    closed_invoice: Option<&'a str>,
    closable: usize,
}

struct OpenInvoice<'a> {
    invoice_number: &'a str,
    /// Index of its first row.
    first: usize,
    rows: usize,
    bytes: usize,
    span: usize,
}

// === impl PendingRows ===

impl PendingRows {
    /// Starts after a durable byte of the file.
    pub fn new(offset: i64, rows_read: i64) -> Self {
        Self {
            offset,
            rows_read,
            rows: Vec::new(),
            fresh_rows: 0,
            fresh_bytes: 0,
        }
    }

    /// Adds the next row.
    pub fn push(&mut self, row: ReadRow) {
        self.fresh_rows += 1;
        self.fresh_bytes += row.bytes();
        self.rows.push(row);
    }

    /// Returns the rows and bytes added since the last [`PendingRows::cut`].
    pub fn fresh(&self) -> (usize, usize) {
        (self.fresh_rows, self.fresh_bytes)
    }

    /// Returns the bytes of the file up to the end of the last row.
    pub fn end(&self) -> i64 {
        self.rows.last().map_or(self.offset, |row| row.end)
    }

    /// Returns the hashes of all rows that no rule of a single row rejects.
    pub fn hashes(&self) -> Vec<&Hash> {
        let rows = self.rows.iter().filter_map(|row| match &row.decision {
            Decision::Accepted(row) => Some(&row.hash),
            Decision::Rejected(_) => None,
        });
        rows.collect()
    }

    /// Decides which rows can become durable: those before the open invoice, or all if the file
    /// ends here.
    ///
    /// `known` are the [`PendingRows::hashes`] that the source has accepted before;
    /// `closed_invoice` is that of the previous batch; `end` is the size of the file if it ends
    /// here.
    pub fn judge(
        &self,
        known: &HashSet<Hash>,
        closed_invoice: Option<&str>,
        end: Option<i64>,
    ) -> Judgement {
        let mut walk = Walk::new(known, closed_invoice);
        for (index, row) in self.rows.iter().enumerate() {
            walk.step(index, row);
        }
        Judgement {
            closable: match end {
                Some(_) => self.rows.len(),
                None => walk.closable,
            },
            closed_invoice: walk.closed_invoice.map(str::to_owned),
            verdicts: walk.verdicts,
            end,
        }
    }

    /// Returns numbers and hashes of the rows that a judgement accepts now.
    pub fn accepted(&self, judgement: &Judgement) -> Vec<(i64, &Hash)> {
        let rows = self.rows.iter().zip(&judgement.verdicts);
        rows.take(judgement.closable)
            .filter_map(|(row, verdict)| match (&row.decision, verdict) {
                (Decision::Accepted(accepted), Verdict::Opens | Verdict::Joins) => {
                    Some((row.row_number, &accepted.hash))
                }
                _ => None,
            })
            .collect()
    }

    /// Removes the rows that can become durable by a judgement of the present rows.
    pub fn cut(&mut self, judgement: Judgement) -> Batch {
        let rest = self.rows.split_off(judgement.closable);
        let done = std::mem::replace(&mut self.rows, rest);
        (self.fresh_rows, self.fresh_bytes) = (0, 0);
        if let Some(last) = done.last() {
            (self.offset, self.rows_read) = (last.end, last.row_number);
        }
        self.offset = judgement.end.unwrap_or(self.offset);
        Batch::of(
            done.into_iter().zip(judgement.verdicts),
            self.offset,
            self.rows_read,
            judgement.closed_invoice,
        )
    }
}

// === impl ReadRow ===

impl ReadRow {
    /// Returns its approximate memory.
    fn bytes(&self) -> usize {
        let texts = match &self.decision {
            Decision::Accepted(row) => row.line.description.len(),
            Decision::Rejected(rejection) => rejection.value.len(),
        };
        ROW_BYTES + texts + self.excerpt.len()
    }
}

// === impl Batch ===

impl Batch {
    fn of(
        rows: impl Iterator<Item = (ReadRow, Verdict)>,
        offset: i64,
        rows_read: i64,
        closed_invoice: Option<String>,
    ) -> Self {
        let mut batch = Self {
            offset,
            rows_read,
            rejected: Vec::new(),
            sales: Vec::new(),
            returns: Vec::new(),
            closed_invoice,
        };
        for (row, verdict) in rows {
            match row.decision {
                Decision::Rejected(rejection) => batch.rejected.push(rejection),
                Decision::Accepted(accepted) => batch.take(accepted, verdict, row.excerpt),
            }
        }
        batch
    }

    fn take(&mut self, row: Row, verdict: Verdict, excerpt: String) {
        if let Verdict::Refused(rule) = verdict {
            self.rejected.push(Rejection {
                row_number: row.line.row_number,
                column: None,
                rule,
                value: excerpt,
            });
            return;
        }
        match (row.head.kind, verdict, self.sales.last_mut()) {
            (Kind::Return, ..) => self.returns.push(row),
            (Kind::Sale, Verdict::Joins, Some(sale)) => sale.push(row.head.time, row.line),
            (Kind::Sale, ..) => self.sales.push(Invoice::new(row.head, row.line)),
        }
    }
}

// === impl Walk ===

impl<'a> Walk<'a> {
    fn new(known: &'a HashSet<Hash>, closed_invoice: Option<&'a str>) -> Self {
        Self {
            known,
            seen: HashSet::new(),
            verdicts: Vec::new(),
            open: None,
            closed_invoice,
            closable: 0,
        }
    }

    fn step(&mut self, index: usize, row: &'a ReadRow) {
        let verdict = match &row.decision {
            Decision::Rejected(_) => Verdict::Rejected,
            Decision::Accepted(row) => self.judge(index, row),
        };
        self.verdicts.push(verdict);
        if verdict == Verdict::Opens {
            self.closable = index;
        }
        match &mut self.open {
            Some(open) => {
                open.span += row.bytes();
                if open.span >= MAX_SPAN_BYTES {
                    self.open = None;
                    self.closable = index + 1;
                }
            }
            None => self.closable = index + 1,
        }
    }

    fn judge(&mut self, index: usize, row: &'a Row) -> Verdict {
        let invoice_number = row.head.invoice_number.as_str();
        if self.closed_invoice == Some(invoice_number) {
            return Verdict::Refused(Rule::InvoiceTooLarge);
        }
        if self.known.contains(&row.hash) || !self.seen.insert(&row.hash) {
            return Verdict::Refused(Rule::DuplicateRow);
        }
        match &mut self.open {
            Some(open) if open.invoice_number == invoice_number => {
                open.rows += 1;
                open.bytes += row.line.bytes();
                if open.is_too_large() {
                    return self.refuse_open();
                }
                Verdict::Joins
            }
            _ => {
                self.open = Some(OpenInvoice {
                    invoice_number,
                    first: index,
                    rows: 1,
                    bytes: row.line.bytes(),
                    span: 0,
                });
                Verdict::Opens
            }
        }
    }

    /// Refuses all rows of the open invoice, those to come included: nothing of it is published.
    fn refuse_open(&mut self) -> Verdict {
        let refused = Verdict::Refused(Rule::InvoiceTooLarge);
        if let Some(open) = self.open.take() {
            self.closed_invoice = Some(open.invoice_number);
            for verdict in &mut self.verdicts[open.first..] {
                if matches!(verdict, Verdict::Opens | Verdict::Joins) {
                    *verdict = refused;
                }
            }
        }
        refused
    }
}

impl OpenInvoice<'_> {
    fn is_too_large(&self) -> bool {
        self.rows > MAX_INVOICE_ROWS || self.bytes > MAX_INVOICE_BYTES
    }
}
