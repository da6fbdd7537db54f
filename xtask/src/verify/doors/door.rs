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

/// The source that ships; a door changes where its rows come from, and their format.
const SHIPPED: &str = include_str!("../../../../sources/retail-orders.toml");

/// One way in.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) name: &'static str,
    /// Form of the file, as the writer knows it.
    form: &'static str,
    pub(super) intake: Intake,
    /// The table `[format]` of the source.
    format: &'static str,
}

/// How a file reaches the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intake {
    /// It is put into the watched directory.
    Directory,
    /// It is sent by a call.
    Send,
}

/// All doors, in the order of their runs.
pub(super) const DOORS: &[Door] = &[
    file("csv", "kind = 'csv'"),
    Door {
        name: "send",
        form: "csv",
        intake: Intake::Send,
        format: "kind = 'csv'",
    },
    file(
        "csv-windows",
        "kind = 'csv'\ndelimiter = ';'\nencoding = 'windows-1252'",
    ),
    file("csv-utf16", "kind = 'csv'\ndelimiter = \"\\t\""),
    file("gzip", "kind = 'csv'"),
    file("zip", "kind = 'csv'"),
    file("ndjson", "kind = 'ndjson'"),
    file("json", "kind = 'json'\npath = 'export.rows'"),
    file("xml", "kind = 'xml'\npath = 'export/rows/row'"),
    file("xlsx", "kind = 'xlsx'"),
    file("parquet", "kind = 'parquet'"),
];

const fn file(form: &'static str, format: &'static str) -> Door {
    Door {
        name: form,
        form,
        intake: Intake::Directory,
        format,
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
    pub(super) fn source(&self, inbox: &Path) -> Result<String> {
        let from = match self.intake {
            Intake::Directory => format!(
                "kind = 'directory'\npath = {inbox:?}\npattern = 'orders*'\nsettle = '200ms'"
            ),
            Intake::Send => "kind = 'upload'".to_owned(),
        };
        let mut source: toml::Table = SHIPPED.parse()?;
        source.insert("from".to_owned(), from.parse::<toml::Table>()?.into());
        let format: toml::Table = self.format.parse()?;
        source.insert("format".to_owned(), format.into());
        Ok(toml::to_string(&source)?)
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
