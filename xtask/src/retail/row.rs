//! The retailer's rules for one row of an order file: is it accepted, and does it sell goods?
//!
//! The demo counts stock in before the first order, so it has to know beforehand which goods the accepted rows sell. The
//! rules are those of `services/ingest/sources/online-retail.toml`, without the ones that compare rows.

/// The columns of an order file.
const COLUMNS: [&str; 8] = [
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
];
/// Codes of rows that are charged and move no stock.
const CHARGES: [&str; 4] = ["POST", "DOT", "C2", "M"];
/// Most digits before the decimal point.
const MAX_DIGITS: usize = 12;
/// Longest customer and description, in characters.
const MAX_CUSTOMER: usize = 64;
const MAX_DESCRIPTION: usize = 1024;

/// Places of the columns in a file.
#[derive(Debug)]
pub(super) struct Layout {
    width: usize,
    places: [usize; COLUMNS.len()],
}

/// An accepted row.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) invoice: String,
    /// The goods of a sale; `None` on a return and for a charge.
    pub(super) sold: Option<String>,
}

/// A header without one of the columns, or with one of them twice.
#[derive(Debug, thiserror::Error)]
#[error("the header must name the column {0:?} once")]
pub(super) struct MissingColumn(&'static str);

impl Layout {
    /// Finds the columns in the header of a file.
    pub(super) fn of(header: &[&[u8]]) -> Result<Self, MissingColumn> {
        let mut places = [0; COLUMNS.len()];
        for (place, name) in places.iter_mut().zip(COLUMNS) {
            let mut found =
                (0..header.len()).filter(|&column| header[column].trim_ascii() == name.as_bytes());
            match (found.next(), found.next()) {
                (Some(column), None) => *place = column,
                _ => return Err(MissingColumn(name)),
            }
        }
        Ok(Self {
            width: header.len(),
            places,
        })
    }

    /// Returns the row, unless a rule rejects it.
    pub(super) fn accept(&self, record: &[&[u8]]) -> Option<Row> {
        if record.len() != self.width {
            return None;
        }
        let mut values = [const { String::new() }; COLUMNS.len()];
        for (value, &place) in values.iter_mut().zip(&self.places) {
            *value = cleanse(record[place])?;
        }
        let [
            invoice,
            sku,
            description,
            quantity,
            time,
            price,
            customer,
            _country,
        ] = values;
        let (invoice, sku) = (invoice.to_uppercase(), sku.to_uppercase());
        let fits = |text: &str, most| text.chars().nth(most).is_none();
        let well_formed = fits(&description, MAX_DESCRIPTION) && fits(&customer, MAX_CUSTOMER);
        let quantity = whole(&quantity)?;
        let is_return = is_return(&invoice)?;
        let accepted = well_formed
            && is_time(&time)
            && is_positive_price(&price)
            && quantity != 0
            && (quantity < 0) == is_return;
        let charge = CHARGES.contains(&sku.as_str());
        (accepted && (charge || is_goods(&sku))).then(|| Row {
            invoice,
            sold: (!is_return && !charge).then_some(sku),
        })
    }
}

/// Trims and collapses white space; `None` unless the bytes are text without NUL.
fn cleanse(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let words = text.split_whitespace().collect::<Vec<_>>();
    (!text.contains('\0')).then(|| words.join(" "))
}

fn are_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `[0-9]{6}` is a sale, `C[0-9]{6}` a return, anything else neither.
fn is_return(invoice: &str) -> Option<bool> {
    let digits = invoice.strip_prefix('C');
    let number = digits.unwrap_or(invoice);
    (number.len() == 6 && are_digits(number)).then_some(digits.is_some())
}

/// `[0-9]{5}[A-Z]{0,2}` or `DCGS[0-9]{4}`.
fn is_goods(sku: &str) -> bool {
    if let Some(number) = sku.strip_prefix("DCGS") {
        return number.len() == 4 && are_digits(number);
    }
    let Some((number, suffix)) = sku.split_at_checked(5) else {
        return false;
    };
    are_digits(number) && suffix.len() <= 2 && suffix.bytes().all(|byte| byte.is_ascii_uppercase())
}

/// `[+-]?[0-9]{1,12}`.
fn whole(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    (digits.len() <= MAX_DIGITS && are_digits(digits))
        .then(|| text.parse().ok())
        .flatten()
}

/// A decimal of at most two significant decimals, above zero.
fn is_positive_price(text: &str) -> bool {
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    let (units, decimals) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
    let is_decimal = units.len() <= MAX_DIGITS && are_digits(units) && are_digits(decimals);
    let is_zero = |digits: &str| digits.bytes().all(|digit| digit == b'0');
    is_decimal && decimals.get(2..).is_none_or(is_zero) && !(is_zero(units) && is_zero(decimals))
}

/// `2010-12-01 08:26:00`, in the calendar.
fn is_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let shape = b"dddd-dd-dd dd:dd:dd";
    let is_shaped = bytes.len() == shape.len()
        && bytes.iter().zip(shape).all(|(byte, shape)| match shape {
            b'd' => byte.is_ascii_digit(),
            _ => byte == shape,
        });
    if !is_shaped {
        return false;
    }
    let number = |from: usize, to: usize| text[from..to].parse().unwrap_or(0_u32);
    let (year, month, day) = (number(0, 4), number(5, 7), number(8, 10));
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => 0,
    };
    year > 0
        && (1..=days).contains(&day)
        && number(11, 13) < 24
        && number(14, 16) < 60
        && number(17, 19) < 60
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(row: &str) -> Option<Row> {
        let header: Vec<&[u8]> = COLUMNS.iter().map(|name| name.as_bytes()).collect();
        let record: Vec<&[u8]> = row.split(',').map(str::as_bytes).collect();
        Layout::of(&header).unwrap().accept(&record)
    }

    #[test]
    fn a_sale_names_its_goods_and_a_return_does_not() {
        let sale = accept("536365, 85123a ,HEART,6,2010-12-01 08:26:00,2.55,17850,UK").unwrap();
        assert_eq!(sale.sold.as_deref(), Some("85123A"));
        let charge = accept("536365,POST,POSTAGE,1,2010-12-01 08:26:00,18.00,17850,UK").unwrap();
        assert_eq!(charge.sold, None);
        let returned = accept("c536379,22556,PLASTERS,-1,2010-12-01 09:41:00,1.65,14527,UK");
        assert_eq!(
            returned,
            Some(Row {
                invoice: "C536379".to_owned(),
                sold: None
            })
        );
    }

    #[test]
    fn a_row_that_breaks_a_rule_is_rejected() {
        for row in [
            "53636,22633,X,6,2010-12-01 08:26:00,2.55,17850,UK",
            "536365,22633,X,-6,2010-12-01 08:26:00,2.55,17850,UK",
            "C536365,22633,X,6,2010-12-01 08:26:00,2.55,17850,UK",
            "536365,22633,X,0,2010-12-01 08:26:00,2.55,17850,UK",
            "536365,22633,X,6.0,2010-12-01 08:26:00,2.55,17850,UK",
            "536365,22633,X,6,2010-02-29 08:26:00,2.55,17850,UK",
            "536365,22633,X,6,2010-12-01 24:00:00,2.55,17850,UK",
            "536365,22633,X,6,2010-12-1 08:26:00,2.55,17850,UK",
            "536365,22633,X,6,2010-12-01 08:26:00,0.00,17850,UK",
            "536365,22633,X,6,2010-12-01 08:26:00,-1.00,17850,UK",
            "536365,22633,X,6,2010-12-01 08:26:00,0.001,17850,UK",
            "536365,22633,X,6,2010-12-01 08:26:00,1.,17850,UK",
            "536365,22633ABC,X,6,2010-12-01 08:26:00,2.55,17850,UK",
            "536365,BANK CHARGES,X,6,2010-12-01 08:26:00,2.55,17850,UK",
            "536365,22633,X,6,2010-12-01 08:26:00,2.55,17850",
        ] {
            assert_eq!(accept(row), None, "{row}");
        }
    }

    #[test]
    fn prices_are_exact() {
        for price in ["2.55", "2.550", "+7", "0.01", "007.10", "999999999999.99"] {
            assert!(is_positive_price(price), "{price}");
        }
        for price in [
            "0",
            "0.009",
            "1e3",
            ".5",
            "1000000000000",
            "--1",
            "1.2.3",
            "٣",
            "",
        ] {
            assert!(!is_positive_price(price), "{price}");
        }
    }
}
