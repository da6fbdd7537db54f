//! Declared sources: the meaning of columns and the format of their values.

use std::{collections::BTreeMap, collections::HashSet, path::Path, sync::Arc};

use chrono::{NaiveDate, NaiveDateTime, format::StrftimeItems};
use regex::Regex;
use serde::Deserialize;

use super::decimal::MAX_SCALE;

#[cfg(test)]
mod tests;

/// The source that is declared when the configuration names no directory.
const ONLINE_RETAIL: &str = include_str!("../../sources/online-retail.toml");
const ONLINE_RETAIL_NAME: &str = "sources/online-retail.toml (built in)";

/// Every declared source by name.
#[derive(Clone, Debug)]
pub struct Sources(BTreeMap<String, Arc<Mapping>>);

/// The mapping of one source's files; `sources/online-retail.toml` documents the keys.
#[derive(Clone, Debug)]
pub struct Mapping {
    pub(super) source: String,
    pub(super) currency_code: String,
    pub(super) price_scale: u32,
    pub(super) time_formats: Vec<String>,
    pub(super) columns: Columns,
    pub(super) upper_case: HashSet<Field>,
    pub(super) customer: Option<Regex>,
    pub(super) sale: Regex,
    pub(super) return_: Regex,
    pub(super) merchandise: Vec<Regex>,
    pub(super) charges: HashSet<String>,
    pub(super) not_merchandise: HashSet<String>,
}

/// Names of the columns in a file's header.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Columns {
    /// Sale or return that the row belongs to.
    pub invoice_number: String,
    /// Stock keeping unit, or the code of a charge.
    pub sku: String,
    /// Description in the source.
    pub description: String,
    /// Pieces; negative on returns.
    pub quantity: String,
    /// Local civil time.
    pub time: String,
    /// Decimal in major units of the currency.
    pub unit_price: String,
    /// May be empty in a row.
    pub customer: String,
    /// Read only to tell rows apart.
    pub others: Vec<String>,
}

/// The positions of the mapped columns in a file's header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub(super) width: usize,
    pub(super) invoice_number: usize,
    pub(super) sku: usize,
    pub(super) description: usize,
    pub(super) quantity: usize,
    pub(super) time: usize,
    pub(super) unit_price: usize,
    pub(super) customer: usize,
    pub(super) others: Vec<usize>,
}

/// A header that can't be read by the mapping.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the header must name the column {0:?} once")]
pub struct MissingColumn(pub String);

/// A mapping that can't be used: the process must not start with it.
#[derive(Debug, thiserror::Error)]
#[error("source {file}: key {key}: {problem}")]
pub struct MappingError {
    /// The file.
    pub file: String,
    /// Dotted path of the key; `*` if the file can't be read at all.
    pub key: String,
    /// The expected value.
    pub problem: String,
}

/// Fields whose values may be written in upper case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Field {
    /// See [`Columns`].
    InvoiceNumber,
    /// See [`Columns`].
    Sku,
    /// See [`Columns`].
    Description,
    /// See [`Columns`].
    Customer,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    source: String,
    currency_code: String,
    price_scale: u32,
    time_formats: Vec<String>,
    columns: Columns,
    cleanse: Cleanse,
    invoice_numbers: InvoiceNumbers,
    stock_codes: StockCodes,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cleanse {
    upper_case: HashSet<Field>,
    customer: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InvoiceNumbers {
    sale: String,
    #[serde(rename = "return")]
    return_: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StockCodes {
    merchandise: Vec<String>,
    charges: HashSet<String>,
    not_merchandise: HashSet<String>,
}

// === impl Sources ===

impl Sources {
    /// Reads every `*.toml` of a directory; the built-in source if the path is empty.
    pub fn load(directory: &str) -> Result<Self, MappingError> {
        if directory.is_empty() {
            return Self::of([Mapping::parse(ONLINE_RETAIL_NAME, ONLINE_RETAIL)?]);
        }
        let unreadable = |error: std::io::Error| MappingError::new(directory, "*", error);
        let mut mappings = Vec::new();
        for entry in std::fs::read_dir(directory).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "toml")
            {
                mappings.push(read(&path)?);
            }
        }
        if mappings.is_empty() {
            return Err(MappingError::new(directory, "*", "holds no file *.toml"));
        }
        Self::of(mappings)
    }

    /// Returns the source of that name.
    pub fn get(&self, source: &str) -> Option<&Arc<Mapping>> {
        self.0.get(source)
    }

    fn of(mappings: impl IntoIterator<Item = Mapping>) -> Result<Self, MappingError> {
        let mut sources = BTreeMap::new();
        for mapping in mappings {
            let source = mapping.source.clone();
            if sources.insert(source.clone(), Arc::new(mapping)).is_some() {
                return Err(MappingError::new(
                    &source,
                    "source",
                    "two files declare this source",
                ));
            }
        }
        Ok(Self(sources))
    }
}

// === impl Mapping ===

impl Mapping {
    /// Reads a mapping from TOML; `file` names it in errors.
    pub fn parse(file: &str, text: &str) -> Result<Self, MappingError> {
        let raw: File =
            toml::from_str(text).map_err(|error| MappingError::new(file, "*", error))?;
        let refuse = |key: &str, problem: String| Err(MappingError::new(file, key, problem));
        if raw.source.is_empty() || raw.source.len() > 64 {
            return refuse("source", "expected 1 to 64 bytes".to_owned());
        }
        if raw.currency_code.len() != 3
            || !raw
                .currency_code
                .bytes()
                .all(|byte| byte.is_ascii_uppercase())
        {
            return refuse(
                "currency_code",
                format!(
                    "expected three capital letters, got {:?}",
                    raw.currency_code
                ),
            );
        }
        if raw.price_scale > MAX_SCALE {
            return refuse(
                "price_scale",
                format!("expected 0 to {MAX_SCALE}, got {}", raw.price_scale),
            );
        }
        if raw.time_formats.is_empty() {
            return refuse("time_formats", "expected at least one".to_owned());
        }
        if let Some(format) = raw.time_formats.iter().find(|format| !reads_back(format)) {
            return refuse(
                "time_formats",
                format!("{format:?} does not name a date and a time of day"),
            );
        }
        raw.compile(file)
    }

    /// Returns the name of the source.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// ISO 4217 code.
    pub fn currency_code(&self) -> &str {
        &self.currency_code
    }

    /// Returns the names of the columns.
    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    /// Finds the mapped columns in a header.
    pub fn layout(&self, header: &[String]) -> Result<Layout, MissingColumn> {
        let find = |name: &String| {
            let mut places = (0..header.len()).filter(|&place| header[place] == *name);
            match (places.next(), places.next()) {
                (Some(place), None) => Ok(place),
                _ => Err(MissingColumn(name.clone())),
            }
        };
        let columns = &self.columns;
        Ok(Layout {
            width: header.len(),
            invoice_number: find(&columns.invoice_number)?,
            sku: find(&columns.sku)?,
            description: find(&columns.description)?,
            quantity: find(&columns.quantity)?,
            time: find(&columns.time)?,
            unit_price: find(&columns.unit_price)?,
            customer: find(&columns.customer)?,
            others: columns.others.iter().map(find).collect::<Result<_, _>>()?,
        })
    }
}

impl File {
    fn compile(self, file: &str) -> Result<Mapping, MappingError> {
        let customer = self
            .cleanse
            .customer
            .map(|pattern| whole(file, "cleanse.customer", &pattern))
            .transpose()?;
        if customer
            .as_ref()
            .is_some_and(|regex| regex.captures_len() != 2)
        {
            return Err(MappingError::new(
                file,
                "cleanse.customer",
                "expected one group",
            ));
        }
        let merchandise = self.stock_codes.merchandise.iter();
        Ok(Mapping {
            sale: whole(file, "invoice_numbers.sale", &self.invoice_numbers.sale)?,
            return_: whole(
                file,
                "invoice_numbers.return",
                &self.invoice_numbers.return_,
            )?,
            merchandise: merchandise
                .map(|pattern| whole(file, "stock_codes.merchandise", pattern))
                .collect::<Result<_, _>>()?,
            source: self.source,
            currency_code: self.currency_code,
            price_scale: self.price_scale,
            time_formats: self.time_formats,
            columns: self.columns,
            upper_case: self.cleanse.upper_case,
            customer,
            charges: self.stock_codes.charges,
            not_merchandise: self.stock_codes.not_merchandise,
        })
    }
}

// === impl MappingError ===

impl MappingError {
    fn new(file: &str, key: &str, problem: impl ToString) -> Self {
        Self {
            file: file.to_owned(),
            key: key.to_owned(),
            problem: problem.to_string(),
        }
    }
}

fn read(path: &Path) -> Result<Mapping, MappingError> {
    let file = path.display().to_string();
    let text =
        std::fs::read_to_string(path).map_err(|error| MappingError::new(&file, "*", error))?;
    Mapping::parse(&file, &text)
}

/// Compiles a pattern that must match a whole value.
fn whole(file: &str, key: &str, pattern: &str) -> Result<Regex, MappingError> {
    Regex::new(&format!("^(?:{pattern})$")).map_err(|error| MappingError::new(file, key, error))
}

/// Checks that a format holds a whole date and time of day.
fn reads_back(format: &str) -> bool {
    let sample = NaiveDate::from_ymd_opt(2011, 3, 14).and_then(|day| day.and_hms_opt(15, 9, 26));
    let valid = StrftimeItems::new(format).parse().is_ok();
    valid
        && sample.is_some_and(|sample| {
            let text = sample.format(format).to_string();
            NaiveDateTime::parse_from_str(&text, format)
                .is_ok_and(|read| read.date() == sample.date())
        })
}
