//! Rows that a client appends, which another process has read from its source.

use super::{Mapping, PendingRows, ReadRow};

#[cfg(test)]
mod tests;

/// A row as a client sends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendedRow {
    /// Row number in the unit, from 1.
    pub number: i64,
    /// Sale or return that the row belongs to.
    pub invoice_number: String,
    /// Stock keeping unit, or the code of a charge.
    pub sku: String,
    /// Description in the source.
    pub description: String,
    /// Pieces; negative on returns.
    pub quantity: i64,
    /// Local civil time, `YYYY-MM-DDTHH:MM:SS`.
    pub time: String,
    /// Decimal in major units of the currency.
    pub unit_price: String,
    /// May be empty.
    pub customer: String,
    /// Values that only tell rows apart.
    pub others: Vec<String>,
}

/// A row whose number is not above that of the row before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rows[{index}].number: {number} is not above {before}, the number of the row before")]
pub struct OutOfOrder {
    /// Index of the row in its request.
    pub index: usize,
    /// Its number.
    pub number: i64,
    /// The number before it.
    pub before: i64,
}

/// Checks that the numbers of rows increase.
///
/// # Errors
/// The first row that is out of order.
pub fn check_order(rows: &[AppendedRow]) -> Result<(), OutOfOrder> {
    let pairs = rows.windows(2).enumerate();
    for (index, pair) in pairs {
        let (before, number) = (pair[0].number, pair[1].number);
        if number <= before {
            return Err(OutOfOrder {
                index: index + 1,
                number,
                before,
            });
        }
    }
    Ok(())
}

/// Returns how many numbers after `last` no row has, up to the last of `rows`, which are in order.
pub fn missing(last: i64, rows: &[AppendedRow]) -> i64 {
    let end = rows.last().map_or(last, |row| row.number);
    end - last - rows.len() as i64
}

impl AppendedRow {
    /// Returns the row as readable text, for a refusal because of other rows.
    pub fn excerpt(&self) -> String {
        let quantity = self.quantity.to_string();
        let own = [
            &self.invoice_number,
            &self.sku,
            &self.description,
            &quantity,
            &self.time,
            &self.unit_price,
            &self.customer,
        ];
        let values: Vec<&str> = own
            .into_iter()
            .chain(&self.others)
            .map(String::as_str)
            .collect();
        super::cut(&values.join(","))
    }
}

impl PendingRows {
    /// Decides rows that follow row `rows_read`.
    pub fn appended(mapping: &Mapping, rows_read: i64, rows: &[AppendedRow]) -> Self {
        let mut pending = Self::new(rows_read, rows_read);
        for row in rows {
            pending.push(ReadRow {
                row_number: row.number,
                // Its place in the unit is its number.
                end: row.number,
                decision: mapping.decide_appended(row),
                excerpt: row.excerpt(),
            });
        }
        pending
    }
}
