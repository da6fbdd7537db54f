//! Turns the bytes of a file into decided rows; the first record is the header.

use std::sync::Arc;

use super::{Layout, Mapping, MissingColumn, ReadRow, Record, Records};

#[cfg(test)]
mod tests;

/// Reads a file in chunks that end anywhere.
#[derive(Debug)]
pub struct Intake {
    records: Records,
    rows: Rows,
}

/// The rows after the header.
#[derive(Debug)]
struct Rows {
    mapping: Arc<Mapping>,
    header: Vec<String>,
    layout: Option<Layout>,
    rows_read: i64,
}

// === impl Intake ===

impl Intake {
    /// Reads a file from its first byte.
    pub fn from_start(mapping: Arc<Mapping>) -> Self {
        Self {
            records: Records::from_start(),
            rows: Rows {
                mapping,
                header: Vec::new(),
                layout: None,
                rows_read: 0,
            },
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
        Ok(Self {
            records: Records::resume(offset),
            rows: Rows {
                mapping,
                header,
                layout,
                rows_read,
            },
        })
    }

    /// Returns the bytes of the file read so far.
    pub fn offset(&self) -> i64 {
        self.records.offset()
    }

    /// Returns the column names; none before the end of the header.
    pub fn header(&self) -> &[String] {
        &self.rows.header
    }

    /// Returns the next row; `None` once all bytes are read.
    ///
    /// # Errors
    /// A header without a mapped column.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<ReadRow>, MissingColumn> {
        while let Some(record) = self.records.next(input) {
            if let Some(row) = self.rows.read(&record)? {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    /// Returns the next row after the last byte of the file; `None` once there is none.
    ///
    /// # Errors
    /// A header without a mapped column, or no header at all.
    pub fn finish(&mut self) -> Result<Option<ReadRow>, MissingColumn> {
        while let Some(record) = self.records.finish() {
            if let Some(row) = self.rows.read(&record)? {
                return Ok(Some(row));
            }
        }
        match self.rows.layout {
            Some(_) => Ok(None),
            None => self.rows.mapping.layout(&[]).map(|_| None),
        }
    }
}

// === impl Rows ===

impl Rows {
    /// Returns the row of a record; `None` for the header.
    fn read(&mut self, record: &Record<'_>) -> Result<Option<ReadRow>, MissingColumn> {
        let Some(layout) = &self.layout else {
            self.header = record.header();
            self.layout = Some(self.mapping.layout(&self.header)?);
            return Ok(None);
        };
        self.rows_read += 1;
        Ok(Some(ReadRow {
            row_number: self.rows_read,
            end: record.end,
            decision: self.mapping.decide(layout, record, self.rows_read),
            excerpt: record.excerpt(),
        }))
    }
}
