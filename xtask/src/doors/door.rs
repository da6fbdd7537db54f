//! The doors: the form of the rows, the way that they come by, and the source that reads them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use mesh::home::Home;
use mesh::os::said;
use mesh::ui::Ui;

use crate::retail::file::OrderFile;
use crate::tools::packages::Packages;

const WRITER: &str = include_str!("files.py");
const NAME: &str = "pyarrow";
const REQUIREMENTS: &str = include_str!("requirements.txt");

/// The mapping of all forms: one shop writes them.
const MAP: &str = r#"
[into]
method = "ingest.v1.IngestService/AppendRows"
batch = { field = "rows", size = 500 }

[into.request]
source = "'online-retail'"
unit = "unit"
ends = "complete"

[map]
number = "number"
invoice_number = "text(row.InvoiceNo)"
sku = "text(row.StockCode)"
description = "text(or(row.Description, ''))"
quantity = "whole(row.Quantity)"
unit_price = "text(row.UnitPrice)"
customer = "text(or(row.CustomerID, ''))"
others = "[text(row.Country)]"
"#;

/// A time that is text: `2011-03-01 08:10:00`.
const TEXT_TIME: &str = "time = \"substitute(squeeze(row.InvoiceDate), ' ', 'T')\"\n";
/// A time that is a cell of a sheet, or text if it is none.
const CELL_TIME: &str = "time = \"substitute(text(row.InvoiceDate), ' ', 'T')\"\n";

/// One way in.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) name: &'static str,
    /// Form of the file, as the writer knows it.
    form: &'static str,
    pub(super) way: Way,
    /// The table `[format]` of the source.
    format: &'static str,
    time: &'static str,
}

/// How a file reaches the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// It is put into the watched directory.
    Directory,
    /// It is sent by a call.
    Send,
}

/// All doors, in the order of their runs.
pub(super) const DOORS: &[Door] = &[
    file("csv", "kind = 'csv'", TEXT_TIME),
    Door {
        name: "send",
        form: "csv",
        way: Way::Send,
        format: "kind = 'csv'",
        time: TEXT_TIME,
    },
    file(
        "csv-windows",
        "kind = 'csv'\ndelimiter = ';'\nencoding = 'windows-1252'",
        TEXT_TIME,
    ),
    file("gzip", "kind = 'csv'", TEXT_TIME),
    file("zip", "kind = 'csv'", TEXT_TIME),
    file("ndjson", "kind = 'ndjson'", TEXT_TIME),
    file("json", "kind = 'json'\npath = 'export.rows'", TEXT_TIME),
    file("xml", "kind = 'xml'\npath = 'export/rows/row'", TEXT_TIME),
    file("xlsx", "kind = 'xlsx'", CELL_TIME),
    file("parquet", "kind = 'parquet'", TEXT_TIME),
];

const fn file(form: &'static str, format: &'static str, time: &'static str) -> Door {
    Door {
        name: form,
        form,
        way: Way::Directory,
        format,
        time,
    }
}

/// The order file in the form of each door.
#[derive(Debug)]
pub(super) struct Files {
    dir: tempfile::TempDir,
}

// === impl Door ===

impl Door {
    /// Returns the file of the source, whose directory is `inbox`.
    pub(super) fn source(&self, inbox: &Path) -> String {
        let from = match self.way {
            Way::Directory => format!(
                "kind = 'directory'\npath = {inbox:?}\npattern = 'orders*'\nsettle = '200ms'"
            ),
            Way::Send => "kind = 'upload'".to_owned(),
        };
        let Self { format, time, .. } = self;
        format!("[from]\n{from}\n\n[format]\n{format}\n{MAP}{time}")
    }
}

// === impl Files ===

impl Files {
    /// Writes the file for each door.
    pub(super) fn make(home: &Home, file: &OrderFile, doors: &[&Door], ui: Ui) -> Result<Self> {
        let packages = Packages::ensure(home, ui, NAME, REQUIREMENTS)?;
        let files = Self {
            dir: tempfile::tempdir()?,
        };
        let step = ui.step("writing the orders in all forms");
        for door in doors {
            let mut writer = packages.run(WRITER);
            writer.arg(door.form).arg(&file.path).arg(files.path(door));
            said(&mut writer).with_context(|| format!("cannot write the form {}", door.form))?;
        }
        step.done();
        Ok(files)
    }

    /// Returns the file of a door.
    pub(super) fn path(&self, door: &Door) -> PathBuf {
        self.dir.path().join(door.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::packages::assert_pinned;

    #[test]
    fn every_package_is_pinned_with_hashes() {
        assert_pinned(NAME, REQUIREMENTS);
    }
}
