//! Turns the bytes of a file into pending rows; the first record is the header.

use std::sync::Arc;

use super::{Layout, Mapping, MissingColumn, PendingRows, Record, Records};

#[cfg(test)]
mod tests;

/// Reads a file in chunks that end anywhere.
#[derive(Debug)]
pub struct Intake {
    mapping: Arc<Mapping>,
    records: Records,
    rows: Rows,
}

/// The rows after the header.
#[derive(Debug)]
struct Rows {
    header: Vec<String>,
    layout: Option<Layout>,
    pending: PendingRows,
}

// === impl Intake ===

impl Intake {
    /// Reads a file from its first byte.
    pub fn from_start(mapping: Arc<Mapping>) -> Self {
        let rows = Rows {
            header: Vec::new(),
            layout: None,
            pending: PendingRows::new(0, 0),
        };
        Self {
            mapping,
            records: Records::from_start(),
            rows,
        }
    }

    /// Resumes after a durable byte of a file with this header.
    ///
    /// # Errors
    /// A header without a mapped column.
    pub fn resume(
        mapping: Arc<Mapping>,
        header: Vec<String>,
        offset: i64,
        rows_read: i64,
    ) -> Result<Self, MissingColumn> {
        let layout = Some(mapping.layout(&header)?);
        let rows = Rows {
            header,
            layout,
            pending: PendingRows::new(offset, rows_read),
        };
        Ok(Self {
            mapping,
            records: Records::resume(offset),
            rows,
        })
    }

    /// Returns the mapping of the file.
    pub fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// Returns the bytes of the file read so far.
    pub fn offset(&self) -> i64 {
        self.records.offset()
    }

    /// Returns the column names; none before the end of the header.
    pub fn header(&self) -> &[String] {
        &self.rows.header
    }

    /// Returns the rows that are not durable yet.
    pub fn pending(&mut self) -> &mut PendingRows {
        &mut self.rows.pending
    }

    /// Reads up to the end of the next record; returns false once all bytes are read.
    ///
    /// # Errors
    /// A header without a mapped column.
    pub fn take(&mut self, input: &mut &[u8]) -> Result<bool, MissingColumn> {
        let Some(record) = self.records.next(input) else {
            return Ok(false);
        };
        self.rows.accept(&self.mapping, &record)?;
        Ok(true)
    }

    /// Reads the last record if no line break ended it.
    ///
    /// # Errors
    /// A header without a mapped column, or no header at all.
    pub fn finish(&mut self) -> Result<(), MissingColumn> {
        if let Some(record) = self.records.finish() {
            self.rows.accept(&self.mapping, &record)?;
        }
        match self.rows.layout {
            Some(_) => Ok(()),
            None => self.mapping.layout(&[]).map(drop),
        }
    }
}

// === impl Rows ===

impl Rows {
    fn accept(&mut self, mapping: &Mapping, record: &Record<'_>) -> Result<(), MissingColumn> {
        if let Some(layout) = &self.layout {
            let decision = mapping.decide(layout, record, self.pending.next_row());
            self.pending.push(decision, record.end, record.excerpt());
        } else {
            self.header = record.header();
            self.layout = Some(mapping.layout(&self.header)?);
            self.pending = PendingRows::new(record.end, 0);
        }
        Ok(())
    }
}
