//! Cleanses a record and applies the rules that need no other row.

use chrono::{Datelike, NaiveDateTime, Timelike};
use sha2::{Digest, Sha256};

use super::{
    AppendedRow, Decision, Flaw, Hash, Head, Kind, Layout, Line, Mapping, Record, Rejection, Row,
    Rule, cut,
    decimal::{self, Minor},
    mapping::Field,
};

#[cfg(test)]
mod tests;

/// Longest customer and SKU, in characters (contracts of orders and inventory).
const MAX_ID_CHARS: usize = 64;
/// Longest invoice number: with the prefix `guest-` it is an account.
const MAX_INVOICE_NUMBER_CHARS: usize = 56;
/// Longest description (contract of orders).
const MAX_DESCRIPTION_CHARS: usize = 1024;

/// Form of a time in a row that is appended: that of local times in contracts.
const APPENDED_TIME: &str = "%Y-%m-%dT%H:%M:%S";

/// The values of a record as they came.
struct Values<'a> {
    invoice_number: &'a [u8],
    sku: &'a [u8],
    description: &'a [u8],
    quantity: &'a [u8],
    time: &'a [u8],
    unit_price: &'a [u8],
    customer: &'a [u8],
    others: Vec<&'a [u8]>,
}

/// The values of a record after cleansing.
struct Cells {
    invoice_number: String,
    sku: String,
    description: String,
    quantity: String,
    time: String,
    unit_price: String,
    customer: String,
    others: Vec<String>,
}

struct Violation<'a> {
    rule: Rule,
    column: Option<&'a str>,
    value: String,
}

impl Mapping {
    /// Decides about one data record; `row_number` is 1-based.
    pub fn decide(&self, layout: &Layout, record: &Record<'_>, row_number: i64) -> Decision {
        let row = match flaw(layout, record) {
            Some(rule) => Err(Violation {
                rule,
                column: None,
                value: record.excerpt(),
            }),
            None => self.row(
                &Values::of_record(layout, record),
                &self.time_formats,
                row_number,
            ),
        };
        decision(row, row_number)
    }

    /// Decides about one row that is appended.
    pub fn decide_appended(&self, row: &AppendedRow) -> Decision {
        let quantity = row.quantity.to_string();
        let decided = if row.others.len() == self.columns.others.len() {
            self.row(
                &Values::of_appended(row, &quantity),
                &[APPENDED_TIME],
                row.number,
            )
        } else {
            Err(Violation {
                rule: Rule::Malformed,
                column: None,
                value: row.excerpt(),
            })
        };
        decision(decided, row.number)
    }

    fn row(
        &self,
        values: &Values<'_>,
        time_formats: &[impl AsRef<str>],
        row_number: i64,
    ) -> Result<Row, Violation<'_>> {
        let cells = self.cleanse(values)?;
        let columns = &self.columns;
        let time = time(time_formats, &cells.time)
            .ok_or_else(|| broken(Rule::Malformed, &columns.time, &cells.time))?;
        let quantity = decimal::whole(&cells.quantity)
            .ok_or_else(|| broken(Rule::Malformed, &columns.quantity, &cells.quantity))?;
        let price = decimal::minor(&cells.unit_price, self.price_scale)
            .ok_or_else(|| broken(Rule::Malformed, &columns.unit_price, &cells.unit_price))?;
        let kind = self.kind(&cells.invoice_number).ok_or_else(|| {
            broken(
                Rule::InvoiceNo,
                &columns.invoice_number,
                &cells.invoice_number,
            )
        })?;
        let unit_price_minor =
            positive(price).map_err(|rule| broken(rule, &columns.unit_price, &cells.unit_price))?;
        if quantity == 0 || (quantity < 0) != (kind == Kind::Return) {
            return Err(broken(
                Rule::QuantitySign,
                &columns.quantity,
                &cells.quantity,
            ));
        }
        let charge = self
            .charge(&cells.sku)
            .map_err(|rule| broken(rule, &columns.sku, &cells.sku))?;
        let hash = hash(&cells, quantity, time, unit_price_minor);
        let quantity = quantity.abs();
        let Cells {
            invoice_number,
            sku,
            description,
            customer,
            ..
        } = cells;
        let guest = customer.is_empty();
        let account_id = if guest {
            format!("guest-{invoice_number}")
        } else {
            customer
        };
        Ok(Row {
            head: Head {
                kind,
                invoice_number,
                account_id,
                guest,
                time,
            },
            line: Line {
                row_number,
                sku,
                description,
                quantity,
                unit_price_minor,
                charge,
            },
            hash,
        })
    }

    fn cleanse(&self, values: &Values<'_>) -> Result<Cells, Violation<'_>> {
        let columns = &self.columns;
        let id = |field, bytes, column, max_chars| {
            value(bytes, column, max_chars).map(|value: String| self.upper(field, value))
        };
        let customer = id(
            Field::Customer,
            values.customer,
            &columns.customer,
            MAX_ID_CHARS,
        )?;
        let others = values.others.iter().zip(&columns.others);
        Ok(Cells {
            invoice_number: id(
                Field::InvoiceNumber,
                values.invoice_number,
                &columns.invoice_number,
                MAX_INVOICE_NUMBER_CHARS,
            )?,
            sku: id(Field::Sku, values.sku, &columns.sku, MAX_ID_CHARS)?,
            description: id(
                Field::Description,
                values.description,
                &columns.description,
                MAX_DESCRIPTION_CHARS,
            )?,
            quantity: value(values.quantity, &columns.quantity, usize::MAX)?,
            time: value(values.time, &columns.time, usize::MAX)?,
            unit_price: value(values.unit_price, &columns.unit_price, usize::MAX)?,
            customer: self.customer(&customer).to_owned(),
            others: others
                .map(|(bytes, column)| value(bytes, column, usize::MAX))
                .collect::<Result<_, _>>()?,
        })
    }

    fn upper(&self, field: Field, value: String) -> String {
        if self.upper_case.contains(&field) {
            value.to_uppercase()
        } else {
            value
        }
    }

    fn customer<'v>(&self, value: &'v str) -> &'v str {
        let regex = self.customer.as_ref();
        let group = regex.and_then(|regex| regex.captures(value)?.get(1));
        group.map_or(value, |group| group.as_str())
    }

    fn kind(&self, invoice_number: &str) -> Option<Kind> {
        if self.sale.is_match(invoice_number) {
            Some(Kind::Sale)
        } else {
            self.return_
                .is_match(invoice_number)
                .then_some(Kind::Return)
        }
    }

    fn charge(&self, sku: &str) -> Result<bool, Rule> {
        if self.not_merchandise.contains(sku) {
            Err(Rule::NotMerchandise)
        } else if self.charges.contains(sku) {
            Ok(true)
        } else if self.merchandise.iter().any(|pattern| pattern.is_match(sku)) {
            Ok(false)
        } else {
            Err(Rule::StockCode)
        }
    }
}

impl<'a> Values<'a> {
    fn of_record(layout: &Layout, record: &Record<'a>) -> Self {
        let field = |place: usize| record.field(place);
        Self {
            invoice_number: field(layout.invoice_number),
            sku: field(layout.sku),
            description: field(layout.description),
            quantity: field(layout.quantity),
            time: field(layout.time),
            unit_price: field(layout.unit_price),
            customer: field(layout.customer),
            others: layout.others.iter().map(|&place| field(place)).collect(),
        }
    }

    fn of_appended(row: &'a AppendedRow, quantity: &'a str) -> Self {
        Self {
            invoice_number: row.invoice_number.as_bytes(),
            sku: row.sku.as_bytes(),
            description: row.description.as_bytes(),
            quantity: quantity.as_bytes(),
            time: row.time.as_bytes(),
            unit_price: row.unit_price.as_bytes(),
            customer: row.customer.as_bytes(),
            others: row.others.iter().map(String::as_bytes).collect(),
        }
    }
}

/// Returns the rule that a record breaks as a whole.
fn flaw(layout: &Layout, record: &Record<'_>) -> Option<Rule> {
    match record.flaw {
        Some(Flaw::UnterminatedQuote) => Some(Rule::UnterminatedQuote),
        Some(Flaw::TooLarge) => Some(Rule::Malformed),
        None => (record.width() != layout.width).then_some(Rule::Malformed),
    }
}

fn decision(row: Result<Row, Violation<'_>>, row_number: i64) -> Decision {
    match row {
        Ok(row) => Decision::Accepted(row),
        Err(broken) => Decision::Rejected(Rejection {
            row_number,
            column: broken.column.map(str::to_owned),
            rule: broken.rule,
            value: cut(&broken.value),
        }),
    }
}

/// Parses a time that is written exactly as a format writes it: `1-1-1 0:0:0` is malformed.
/// Years have four digits: chrono writes later ones with a sign, which the contracts' local time
/// can't hold.
fn time(formats: &[impl AsRef<str>], text: &str) -> Option<NaiveDateTime> {
    formats.iter().map(AsRef::as_ref).find_map(|format| {
        let time = NaiveDateTime::parse_from_str(text, format).ok()?;
        let plain = (1..=9999).contains(&time.year()) && time.nanosecond() < 1_000_000_000;
        (plain && time.format(format).to_string() == text).then_some(time)
    })
}

fn broken<'a>(rule: Rule, column: &'a str, value: &str) -> Violation<'a> {
    Violation {
        rule,
        column: Some(column),
        value: value.to_owned(),
    }
}

/// Trims and collapses white space. A value that is not UTF-8 or too long is malformed.
fn value<'a>(bytes: &[u8], column: &'a str, max_chars: usize) -> Result<String, Violation<'a>> {
    let malformed = |value: &str| Err(broken(Rule::Malformed, column, value));
    let Ok(text) = std::str::from_utf8(bytes) else {
        return malformed(&String::from_utf8_lossy(bytes));
    };
    // The database's text has no NUL.
    if text.contains('\0') {
        return malformed(text);
    }
    let value = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if value.chars().nth(max_chars).is_some() {
        malformed(&value)
    } else {
        Ok(value)
    }
}

fn positive(price: Minor) -> Result<i64, Rule> {
    match price {
        Minor::TooFine => Err(Rule::PriceScale),
        Minor::Exact(minor) if minor <= 0 => Err(Rule::PriceNotPositive),
        Minor::Exact(minor) => Ok(minor),
    }
}

/// Hashes numbers and times by value: `2.5` and `2.50` are one price.
fn hash(cells: &Cells, quantity: i64, time: NaiveDateTime, unit_price_minor: i64) -> Hash {
    let (quantity, time, price) = (
        quantity.to_string(),
        time.to_string(),
        unit_price_minor.to_string(),
    );
    let own = [
        &cells.invoice_number,
        &cells.sku,
        &cells.description,
        &quantity,
        &time,
        &price,
        &cells.customer,
    ];
    let mut hasher = Sha256::new();
    for value in own.into_iter().chain(&cells.others) {
        // The length first, so that no two lists of values are hashed alike.
        hasher.update((value.len() as u64).to_be_bytes());
        hasher.update(value);
    }
    hasher.finalize().into()
}
