//! The table `[format]` of a source, and the mistakes that it can have.

use serde::{Deserialize, Serialize};

use encoding_rs::{Encoding, UTF_8};

use crate::limits::{MAX_COLUMNS, MAX_RECORD_BYTES, RECORD_BYTES, UNIT_BYTES};

/// The format of a source's units.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The format.
    pub kind: Kind,
    /// CSV: the character between columns, ASCII; `,` by default. A line `sep=;` at the start of the
    /// text beats it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<String>,
    /// CSV: the character around texts, ASCII; `"` by default, empty for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote: Option<String>,
    /// CSV: the character before a quote within quotes, ASCII; by default such a quote is doubled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escape: Option<String>,
    /// CSV: the character that begins a line without records, ASCII; none by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// CSV, XLSX: the first record names the columns; `true` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<bool>,
    /// CSV, XLSX without a header: the names of all columns, in their order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<Vec<String>>,
    /// CSV, XLSX: lines or rows before the header or the first record; 0 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub skip: Option<u32>,
    /// CSV, NDJSON, JSON, XML: a name of the WHATWG Encoding Standard, such as `windows-1252`;
    /// `utf-8` by default. A byte order mark beats it; in XML it beats the declaration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
    /// JSON: names from the root to the array of records, such as `data.orders`; empty by default.
    /// XML: names from the root to the records, such as `orders/order`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// XLSX: the name of the sheet; the first one by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sheet: Option<String>,
    /// Zip archives: names of members, with `*` for any run of characters; by default all members
    /// are read. They are read in the order of their names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub members: Option<String>,
    /// Longest record, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_record_bytes: Option<usize>,
    /// Most bytes of a unit, after it was unpacked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
}

/// A format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, strum::IntoStaticStr)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Kind {
    /// Comma-separated values, and its dialects.
    Csv,
    /// A JSON text on each line.
    Ndjson,
    /// An array in a JSON text.
    Json,
    /// Elements of an XML document.
    Xml,
    /// Rows of a sheet of an Excel workbook.
    Xlsx,
    /// Rows of an Apache Parquet file.
    Parquet,
}

/// A mistake in the settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("format.{key}: {problem}")]
pub struct SettingsError {
    /// The key.
    pub key: &'static str,
    /// The problem.
    pub problem: String,
}

// === impl Settings ===

impl Settings {
    /// Returns the settings of a format with all defaults.
    pub fn new(kind: Kind) -> Self {
        Settings {
            kind,
            delimiter: None,
            quote: None,
            escape: None,
            comment: None,
            header: None,
            columns: None,
            skip: None,
            encoding: None,
            path: None,
            sheet: None,
            members: None,
            max_record_bytes: None,
            max_bytes: None,
        }
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// The first key that is wrong, or that the format doesn't have.
    pub fn check(&self) -> Result<(), SettingsError> {
        self.check_keys()?;
        let error = |key, problem: &str| {
            let problem = problem.to_owned();
            Err(SettingsError { key, problem })
        };
        let characters = [
            ("delimiter", &self.delimiter, false),
            ("quote", &self.quote, true),
            ("escape", &self.escape, false),
            ("comment", &self.comment, false),
        ];
        for (key, value, may_be_empty) in characters {
            let Some(value) = value else { continue };
            let is_plain = |byte: u8| byte.is_ascii() && byte != b'\n' && byte != b'\r' && byte != 0;
            match value.as_bytes() {
                [] if may_be_empty => {}
                [byte] if is_plain(*byte) => {}
                _ => return error(key, "expected one ASCII character that is no line break"),
            }
        }
        if self.delimiter() == self.quote().unwrap_or_default() {
            return error("quote", "is the delimiter");
        }
        let names = self.columns.as_deref().unwrap_or_default();
        if self.is_table() && self.has_header() && self.columns.is_some() {
            return error("columns", "only for units without a header (`header = false`)");
        }
        if self.is_table() && !self.has_header() && names.is_empty() {
            return error("columns", "expected the names of all columns, as there is no header");
        }
        if names.len() > MAX_COLUMNS {
            return error("columns", "too many");
        }
        let is_repeated = |at: usize| names.iter().take(at).any(|other| *other == names[at]);
        if (0..names.len()).any(is_repeated) {
            return error("columns", "a name is there twice");
        }
        if names.iter().any(String::is_empty) {
            return error("columns", "a name is empty");
        }
        if let Some(name) = &self.encoding
            && Encoding::for_label(name.as_bytes()).is_none()
        {
            return error("encoding", "no encoding of the WHATWG Encoding Standard has this name");
        }
        if self.kind == Kind::Xml && self.steps().is_empty() {
            return error("path", "expected the names from the root to the records");
        }
        if self.steps().iter().any(|step| step.is_empty()) {
            return error("path", "a name is empty");
        }
        let record = self.max_record_bytes();
        if record == 0 || record > MAX_RECORD_BYTES {
            let problem = format!("expected 1 to {MAX_RECORD_BYTES}");
            return error("max_record_bytes", &problem);
        }
        if self.max_bytes == Some(0) {
            return error("max_bytes", "expected at least 1");
        }
        Ok(())
    }

    /// Refuses keys that the format doesn't have.
    fn check_keys(&self) -> Result<(), SettingsError> {
        use Kind::{Csv, Json, Ndjson, Xlsx, Xml};
        let keys: [(&'static str, bool, &[Kind]); 10] = [
            ("delimiter", self.delimiter.is_some(), &[Csv]),
            ("quote", self.quote.is_some(), &[Csv]),
            ("escape", self.escape.is_some(), &[Csv]),
            ("comment", self.comment.is_some(), &[Csv]),
            ("header", self.header.is_some(), &[Csv, Xlsx]),
            ("columns", self.columns.is_some(), &[Csv, Xlsx]),
            ("skip", self.skip.is_some(), &[Csv, Xlsx]),
            ("encoding", self.encoding.is_some(), &[Csv, Ndjson, Json, Xml]),
            ("path", self.path.is_some(), &[Json, Xml]),
            ("sheet", self.sheet.is_some(), &[Xlsx]),
        ];
        for (key, is_set, kinds) in keys {
            if is_set && !kinds.contains(&self.kind) {
                let kind: &str = self.kind.into();
                let problem = format!("the format {kind} has no such key");
                return Err(SettingsError { key, problem });
            }
        }
        Ok(())
    }

    /// Returns whether the columns of all records are known before the first one.
    pub fn is_table(&self) -> bool {
        matches!(self.kind, Kind::Csv | Kind::Xlsx | Kind::Parquet)
    }

    /// Returns the names of the columns, where the settings have them.
    pub fn declared(&self) -> Option<&[String]> {
        self.columns.as_deref()
    }

    pub(crate) fn has_header(&self) -> bool {
        self.kind == Kind::Parquet || self.header.unwrap_or(true)
    }

    pub(crate) fn delimiter(&self) -> u8 {
        byte_of(self.delimiter.as_deref()).unwrap_or(b',')
    }

    pub(crate) fn quote(&self) -> Option<u8> {
        match &self.quote {
            None => Some(b'"'),
            own => byte_of(own.as_deref()),
        }
    }

    pub(crate) fn escape(&self) -> Option<u8> {
        byte_of(self.escape.as_deref())
    }

    pub(crate) fn comment(&self) -> Option<u8> {
        byte_of(self.comment.as_deref())
    }

    pub(crate) fn encoding(&self) -> Option<&'static Encoding> {
        let name = self.encoding.as_ref()?;
        Some(Encoding::for_label(name.as_bytes()).unwrap_or(UTF_8))
    }

    /// Returns the names of the path to the records.
    pub(crate) fn steps(&self) -> Vec<&str> {
        let separator = if self.kind == Kind::Xml { '/' } else { '.' };
        match self.path.as_deref() {
            None | Some("") => Vec::new(),
            Some(path) => path.split(separator).collect(),
        }
    }

    pub(crate) fn max_record_bytes(&self) -> usize {
        self.max_record_bytes.unwrap_or(RECORD_BYTES)
    }

    pub(crate) fn max_bytes(&self) -> u64 {
        self.max_bytes.unwrap_or(UNIT_BYTES)
    }
}

fn byte_of(text: Option<&str>) -> Option<u8> {
    text.and_then(|text| text.as_bytes().first().copied())
}
