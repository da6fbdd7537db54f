//! Rows that are read and not yet durable, and the part of them that may be committed.

use std::collections::HashSet;

use super::{
    Decision, Hash, Invoice, Kind, MAX_INVOICE_BYTES, MAX_INVOICE_ROWS, Rejection, Row, Rule,
};

#[cfg(test)]
mod tests;

/// Most bytes of an open invoice that are held in memory.
const MAX_SPAN_BYTES: usize = 8 * 1024 * 1024;

/// Approximate memory of an entry without its texts.
const ENTRY_BYTES: usize = 256;

/// Decided rows after the last durable byte of a file, in row order.
#[derive(Debug)]
pub struct PendingRows {
    offset: i64,
    rows_read: i64,
    entries: Vec<Entry>,
    fresh_rows: usize,
    fresh_bytes: usize,
}

/// Rows that become durable together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Bytes of the file that are durable with it: a record's end after which no invoice is open.
    pub offset: i64,
    /// Data rows up to there.
    pub rows_read: i64,
    /// Accepted rows of sales and returns.
    pub accepted: Vec<(i64, Hash)>,
    /// Refused rows.
    pub rejected: Vec<Rejection>,
    /// Sales to publish.
    pub sales: Vec<Invoice>,
    /// Rows of returns, which wait for the end of the file.
    pub returns: Vec<Row>,
    /// The newest invoice that was cut because it is too large.
    pub closed_invoice: Option<String>,
}

#[derive(Debug)]
struct Entry {
    row_number: i64,
    end: i64,
    decision: Decision,
    excerpt: String,
    bytes: usize,
}

/// The decision about an entry that the rows before it allow.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Rejected by its own decision.
    Rejected,
    /// Rejected because of earlier rows.
    Refused(Rule),
    /// First row of an invoice.
    Opens,
    /// Further row of the open invoice.
    Joins,
}

/// Walks over the entries and finds where invoices end.
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
            entries: Vec::new(),
            fresh_rows: 0,
            fresh_bytes: 0,
        }
    }

    /// Returns the number of the next row.
    pub fn next_row(&self) -> i64 {
        self.entries
            .last()
            .map_or(self.rows_read, |entry| entry.row_number)
            + 1
    }

    /// Adds the next row. `end` is the byte after its record, `excerpt` the record as readable
    /// text.
    pub fn push(&mut self, decision: Decision, end: i64, excerpt: String) {
        let texts = match &decision {
            Decision::Accepted(row) => row.line.description.len(),
            Decision::Rejected(rejection) => rejection.value.len(),
        };
        let bytes = ENTRY_BYTES + texts + excerpt.len();
        self.fresh_rows += 1;
        self.fresh_bytes += bytes;
        self.entries.push(Entry {
            row_number: self.next_row(),
            end,
            decision,
            excerpt,
            bytes,
        });
    }

    /// Returns the rows and bytes added since the last [`PendingRows::cut`].
    pub fn fresh(&self) -> (usize, usize) {
        (self.fresh_rows, self.fresh_bytes)
    }

    /// Returns the hashes of all rows that no rule of a single row rejects.
    pub fn hashes(&self) -> Vec<&Hash> {
        let rows = self
            .entries
            .iter()
            .filter_map(|entry| match &entry.decision {
                Decision::Accepted(row) => Some(&row.hash),
                Decision::Rejected(_) => None,
            });
        rows.collect()
    }

    /// Removes all rows that can become durable: those before the open invoice, or all if the file
    /// ends here.
    ///
    /// `known` are the [`PendingRows::hashes`] that the source has accepted before;
    /// `closed_invoice` is that of the previous batch; `end` is the size of the file if it ends
    /// here.
    pub fn cut(
        &mut self,
        known: &HashSet<Hash>,
        closed_invoice: Option<String>,
        end: Option<i64>,
    ) -> Batch {
        let mut walk = Walk::new(known, closed_invoice.as_deref());
        for (index, entry) in self.entries.iter().enumerate() {
            walk.step(index, entry);
        }
        let closable = if end.is_some() {
            self.entries.len()
        } else {
            walk.closable
        };
        let (verdicts, closed_invoice) = (walk.verdicts, walk.closed_invoice.map(str::to_owned));
        let rest = self.entries.split_off(closable);
        let done = std::mem::replace(&mut self.entries, rest);
        (self.fresh_rows, self.fresh_bytes) = (0, 0);
        if let Some(last) = done.last() {
            (self.offset, self.rows_read) = (last.end, last.row_number);
        }
        self.offset = end.unwrap_or(self.offset);
        Batch::of(
            done.into_iter().zip(verdicts),
            self.offset,
            self.rows_read,
            closed_invoice,
        )
    }
}

// === impl Batch ===

impl Batch {
    fn of(
        entries: impl Iterator<Item = (Entry, Verdict)>,
        offset: i64,
        rows_read: i64,
        closed_invoice: Option<String>,
    ) -> Self {
        let (accepted, rejected, sales, returns) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut batch = Self {
            offset,
            rows_read,
            accepted,
            rejected,
            sales,
            returns,
            closed_invoice,
        };
        for (entry, verdict) in entries {
            match entry.decision {
                Decision::Rejected(rejection) => batch.rejected.push(rejection),
                Decision::Accepted(row) => batch.take(row, verdict, entry.excerpt),
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
        self.accepted.push((row.line.row_number, row.hash));
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

    fn step(&mut self, index: usize, entry: &'a Entry) {
        let verdict = match &entry.decision {
            Decision::Rejected(_) => Verdict::Rejected,
            Decision::Accepted(row) => self.judge(row),
        };
        self.verdicts.push(verdict);
        if verdict == Verdict::Opens {
            self.closable = index;
        }
        match &mut self.open {
            Some(open) => {
                open.span += entry.bytes;
                if open.is_full() {
                    self.closed_invoice = Some(open.invoice_number);
                    self.open = None;
                    self.closable = index + 1;
                }
            }
            None => self.closable = index + 1,
        }
    }

    fn judge(&mut self, row: &'a Row) -> Verdict {
        let invoice_number = row.head.invoice_number.as_str();
        if self.known.contains(&row.hash) || self.seen.contains(&row.hash) {
            return Verdict::Refused(Rule::DuplicateRow);
        }
        if self.closed_invoice == Some(invoice_number) {
            return Verdict::Refused(Rule::InvoiceTooLarge);
        }
        self.seen.insert(&row.hash);
        match &mut self.open {
            Some(open) if open.invoice_number == invoice_number => {
                open.rows += 1;
                open.bytes += row.line.bytes();
                Verdict::Joins
            }
            _ => {
                self.open = Some(OpenInvoice {
                    invoice_number,
                    rows: 1,
                    bytes: row.line.bytes(),
                    span: 0,
                });
                Verdict::Opens
            }
        }
    }
}

impl OpenInvoice<'_> {
    fn is_full(&self) -> bool {
        self.rows >= MAX_INVOICE_ROWS
            || self.bytes >= MAX_INVOICE_BYTES
            || self.span >= MAX_SPAN_BYTES
    }
}
