//! An order file on disk: what has to be known of it before it is sent.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use ingest::model::{Decision, Kind, Layout, Mapping, Record, Records};
use sha2::{Digest, Sha256};

const CHUNK_BYTES: usize = 64 * 1024;

/// A file that was read once from begin to end, in bounded memory.
#[derive(Clone, Debug)]
pub(crate) struct OrderFile {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Its bytes.
    pub(crate) size: u64,
    /// SHA-256 of its content, in hexadecimal: the same content is the same import.
    pub(crate) sha256: String,
    /// Its data rows.
    pub(crate) rows: u64,
    /// Merchandise of its sales.
    pub(crate) skus: BTreeSet<String>,
    /// Invoices, sales and returns, with a row that no rule refuses by itself.
    pub(crate) invoices: BTreeSet<String>,
}

impl OrderFile {
    /// Reads a file by the mapping of its source.
    ///
    /// # Errors
    /// When it can't be read, is empty or has not the columns of the mapping; the message names it.
    pub(crate) fn read(path: &Path, mapping: &Mapping) -> Result<Self> {
        let describe = || format!("cannot read {}", path.display());
        let mut file = File::open(path).with_context(describe)?;
        let mut found = Self {
            path: path.to_owned(),
            size: 0,
            sha256: String::new(),
            rows: 0,
            skus: BTreeSet::new(),
            invoices: BTreeSet::new(),
        };
        let mut hasher = Sha256::new();
        let (mut records, mut layout) = (Records::from_start(), None);
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let length = file.read(&mut chunk).with_context(describe)?;
            let mut bytes = &chunk[..length];
            if bytes.is_empty() {
                break;
            }
            found.size += length as u64;
            hasher.update(bytes);
            while let Some(record) = records.next(&mut bytes) {
                found
                    .take(mapping, &mut layout, &record)
                    .with_context(describe)?;
            }
        }
        if found.size == 0 {
            bail!("cannot read {}: it is empty", path.display());
        }
        if let Some(record) = records.finish() {
            found
                .take(mapping, &mut layout, &record)
                .with_context(describe)?;
        }
        let digest = hasher.finalize();
        found.sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(found)
    }

    /// The name of the file without its directories.
    pub(crate) fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    fn take(
        &mut self,
        mapping: &Mapping,
        layout: &mut Option<Layout>,
        record: &Record<'_>,
    ) -> Result<()> {
        let Some(layout) = layout else {
            *layout = Some(mapping.layout(&record.header())?);
            return Ok(());
        };
        self.rows += 1;
        let row_number = i64::try_from(self.rows)?;
        if let Decision::Accepted(row) = mapping.decide(layout, record, row_number) {
            if row.head.kind == Kind::Sale && !row.line.charge {
                self.skus.insert(row.line.sku);
            }
            self.invoices.insert(row.head.invoice_number);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use ingest::model::Sources;

    use super::*;

    const HEADER: &str =
        "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country";

    fn read(text: &str) -> Result<OrderFile> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("orders.csv");
        std::fs::write(&path, text).unwrap();
        let sources = Sources::load("").unwrap();
        OrderFile::read(&path, sources.get("online-retail").unwrap())
    }

    #[test]
    fn only_what_is_sold_and_accepted_is_counted_in() {
        let rows = [
            "536365,85123a,HEART,6,2010-12-01 08:26:00,2.55,17850,UK",
            "536365,POST,POSTAGE,1,2010-12-01 08:26:00,18.00,17850,UK",
            "536366,22633,FREE,6,2010-12-01 08:28:00,0.00,17850,UK",
            "C536379,22556,PLASTERS,-1,2010-12-01 09:41:00,1.65,14527,UK",
        ];
        let text = format!("{HEADER}\n{}", rows.join("\n"));
        let file = read(&text).unwrap();
        assert_eq!((file.rows, file.size), (4, text.len() as u64));
        assert_eq!(file.skus, BTreeSet::from(["85123A".to_owned()]));
        assert_eq!(
            file.invoices,
            BTreeSet::from(["536365".to_owned(), "C536379".to_owned()])
        );
    }

    #[test]
    fn a_file_that_is_empty_or_lacks_a_column_is_refused_by_name() {
        for text in ["", "InvoiceNo,StockCode\n1,2\n"] {
            let refused = format!("{:#}", read(text).unwrap_err());
            assert!(refused.contains("orders.csv"), "{refused}");
        }
    }
}
