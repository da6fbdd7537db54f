//! An order file on disk, read once before it is sent.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use csv_core::{ReadRecordResult, Reader};
use mesh::Ui;
use sha2::{Digest, Sha256};

use super::row::Layout;

const CHUNK_BYTES: usize = 64 * 1024;
/// Longest record, in bytes without quotes.
const MAX_RECORD_BYTES: usize = 64 * 1024;
/// Most fields of one record.
const MAX_FIELDS: usize = 1024;

/// Content of an order file.
#[derive(Clone, Debug)]
pub(crate) struct OrderFile {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Its length in bytes.
    pub(crate) size: u64,
    /// SHA-256 of its content, in hexadecimal: the same content is the same import.
    pub(crate) sha256: String,
    /// Number of data rows.
    pub(crate) rows: u64,
    /// Goods that the accepted rows sell.
    pub(crate) skus: BTreeSet<String>,
    /// Invoices, sales and returns, with at least one accepted row.
    pub(crate) invoices: BTreeSet<String>,
}

impl OrderFile {
    /// Reads all files, so that a missing one is named before anything starts.
    ///
    /// # Errors
    /// See [`read`](Self::read).
    pub(crate) fn read_all(paths: &[PathBuf]) -> Result<Vec<Self>> {
        let step = Ui::detect().step("reading the files");
        let files = paths
            .iter()
            .map(|path| Self::read(path))
            .collect::<Result<_>>()?;
        step.done();
        Ok(files)
    }

    /// Reads a file in bounded memory.
    ///
    /// # Errors
    /// When it can't be read, is empty or lacks a column; the message names it.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let describe = || format!("cannot read {}", path.display());
        let mut input = File::open(path).with_context(describe)?;
        let mut file = Self {
            path: path.to_owned(),
            size: 0,
            sha256: String::new(),
            rows: 0,
            skus: BTreeSet::new(),
            invoices: BTreeSet::new(),
        };
        let (mut hasher, mut records) = (Sha256::new(), Records::new());
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut layout = None;
        loop {
            let length = input.read(&mut chunk).with_context(describe)?;
            file.size += length as u64;
            hasher.update(&chunk[..length]);
            let take = |record: &[&[u8]]| file.take(&mut layout, record);
            records
                .feed(&chunk[..length], take)
                .with_context(describe)?;
            if length == 0 {
                break;
            }
        }
        if file.size == 0 {
            bail!("cannot read {}: it is empty", path.display());
        }
        let digest = hasher.finalize();
        file.sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(file)
    }

    /// Returns the name of the file without its directories.
    pub(crate) fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    fn take(&mut self, layout: &mut Option<Layout>, record: &[&[u8]]) -> Result<()> {
        let Some(layout) = layout else {
            *layout = Some(Layout::of(record)?);
            return Ok(());
        };
        self.rows += 1;
        if let Some(row) = layout.accept(record) {
            self.skus.extend(row.sold);
            self.invoices.insert(row.invoice);
        }
        Ok(())
    }
}

/// Splits chunks into CSV records (RFC 4180).
struct Records {
    reader: Reader,
    text: Vec<u8>,
    text_len: usize,
    ends: Vec<usize>,
    ends_len: usize,
    too_large: bool,
}

impl Records {
    fn new() -> Self {
        Self {
            reader: Reader::new(),
            text: vec![0; MAX_RECORD_BYTES],
            text_len: 0,
            ends: vec![0; MAX_FIELDS],
            ends_len: 0,
            too_large: false,
        }
    }

    /// Calls `take` for each complete record; empty input means the end of the file. A record that
    /// is too large has no fields.
    fn feed(
        &mut self,
        mut input: &[u8],
        mut take: impl FnMut(&[&[u8]]) -> Result<()>,
    ) -> Result<()> {
        let is_end = input.is_empty();
        loop {
            let (text, ends) = (
                &mut self.text[self.text_len..],
                &mut self.ends[self.ends_len..],
            );
            let (result, read, text_len, ends_len) = self.reader.read_record(input, text, ends);
            input = &input[read..];
            self.text_len += text_len;
            self.ends_len += ends_len;
            match result {
                ReadRecordResult::Record => {
                    take(&self.fields())?;
                    (self.text_len, self.ends_len, self.too_large) = (0, 0, false);
                }
                // The rest of the record overwrites its beginning.
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    (self.text_len, self.ends_len, self.too_large) = (0, 0, true);
                }
                ReadRecordResult::InputEmpty if !is_end => return Ok(()),
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::End => return Ok(()),
            }
        }
    }

    fn fields(&self) -> Vec<&[u8]> {
        if self.too_large {
            return Vec::new();
        }
        let mut start = 0;
        let field = |&end: &usize| &self.text[std::mem::replace(&mut start, end)..end];
        self.ends[..self.ends_len].iter().map(field).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str =
        "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country";

    fn read(text: &str) -> Result<OrderFile> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("orders.csv");
        std::fs::write(&path, text).unwrap();
        OrderFile::read(&path)
    }

    #[test]
    fn only_goods_of_accepted_sales_are_counted_in() {
        let rows = [
            "536365,85123a,\"HEART, \"\"RED\"\"\",6,2010-12-01 08:26:00,2.55,17850,UK",
            "536365,POST,POSTAGE,1,2010-12-01 08:26:00,18.00,17850,UK",
            "536366,22633,FREE,6,2010-12-01 08:28:00,0.00,17850,UK",
            "C536379,22556,PLASTERS,-1,2010-12-01 09:41:00,1.65,14527,UK",
        ];
        let text = format!("{HEADER}\n{}", rows.join("\n"));
        for (text, end) in [(text.clone(), ""), (text, "\n")] {
            let file = read(&format!("{text}{end}")).unwrap();
            assert_eq!((file.rows, file.size), (4, (text.len() + end.len()) as u64));
            assert_eq!(file.skus, BTreeSet::from(["85123A".to_owned()]));
            assert_eq!(
                file.invoices,
                BTreeSet::from(["536365".to_owned(), "C536379".to_owned()])
            );
        }
    }

    #[test]
    fn a_record_that_is_too_large_is_rejected_and_the_next_one_is_read() {
        let large = format!("\"{}\"", "x".repeat(3 * MAX_RECORD_BYTES));
        let good = "536365,85123A,HEART,6,2010-12-01 08:26:00,2.55,17850,UK";
        let file = read(&format!("{HEADER}\n{large}\n{good}\n")).unwrap();
        assert_eq!((file.rows, file.invoices.len()), (2, 1));
    }

    #[test]
    fn an_empty_file_and_one_without_a_column_are_errors_that_name_it() {
        for text in ["", "InvoiceNo,StockCode\n1,2\n"] {
            let error = format!("{:#}", read(text).unwrap_err());
            assert!(error.contains("orders.csv"), "{error}");
        }
    }
}
