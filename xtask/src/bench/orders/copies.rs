//! Order files repeated under new invoice numbers.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// The first new invoice number; the sources of the example have six digits.
const FIRST: usize = 100_000;
const LAST: usize = 999_999;

/// Writes the rows of `files` to `path`, again and again, until they have `orders` invoices. Every
/// copy of an invoice has a number of its own. Returns the path.
///
/// # Errors
/// When a file can't be read, or the numbers run out.
pub(super) fn write(files: &[PathBuf], orders: usize, path: &Path) -> Result<PathBuf> {
    let texts: Vec<String> = files
        .iter()
        .map(|file| {
            fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
        })
        .collect::<Result<_>>()?;
    let mut out = BufWriter::new(File::create(path)?);
    let header = texts.iter().find_map(|text| text.lines().next());
    writeln!(out, "{}", header.context("no rows")?)?;
    let mut next = FIRST;
    while next - FIRST < orders {
        let before = next;
        let mut numbers = HashMap::new();
        for row in texts.iter().flat_map(|text| text.lines().skip(1)) {
            writeln!(out, "{}", renamed(row, &mut numbers, &mut next))?;
        }
        ensure!(next > before, "the files have no invoices");
        ensure!(next <= LAST, "more than {} invoices", LAST - FIRST);
    }
    out.flush()?;
    Ok(path.to_owned())
}

/// Returns the row with the new number of its invoice; rows without a number stay as they are.
fn renamed<'a>(row: &'a str, numbers: &mut HashMap<&'a str, usize>, next: &mut usize) -> String {
    let Some((invoice, rest)) = row.split_once(',') else {
        return row.to_owned();
    };
    let prefix = invoice.trim_end_matches(|letter: char| letter.is_ascii_digit());
    if prefix.len() == invoice.len() {
        return row.to_owned();
    }
    let number = numbers.entry(invoice).or_insert_with(|| {
        *next += 1;
        *next - 1
    });
    format!("{prefix}{number},{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_of_an_invoice_have_numbers_of_their_own() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("in.csv");
        fs::write(&file, "No,Code\n536365,A\n536365,B\nC536379,D\n").unwrap();
        let out = write(&[file], 3, &dir.path().join("out.csv")).unwrap();
        let expected = "No,Code\n100000,A\n100000,B\nC100001,D\n100002,A\n100002,B\nC100003,D\n";
        assert_eq!(fs::read_to_string(out).unwrap(), expected);
    }
}
