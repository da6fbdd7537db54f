//! The reconciliation as a sheet that people read.

use mesh::ui;

use super::Books;

/// Lays the books out: what came in, what became of it, money and stock.
pub(crate) fn sheet(books: &Books) -> String {
    let mut lines: Vec<(String, String)> = Vec::new();
    let mut line = |label: &str, amount: String| lines.push((label.to_owned(), amount));
    line("rows read", grouped(books.rows.read));
    line("  accepted", grouped(books.rows.accepted));
    line("  rejected", grouped(books.rows.rejected.values().sum()));
    for (reason, rows) in &books.rows.rejected {
        line(&format!("    {reason}"), grouped(*rows));
    }
    line("orders", grouped(books.orders.values().sum()));
    for (state, orders) in &books.orders {
        line(&format!("  {state}"), grouped(*orders));
    }
    line("return invoices", grouped(books.returns.invoices));
    line("  rows accepted", grouped(books.returns.rows));
    line("pieces counted in", grouped(books.stock.counted));
    line("  shipped", grouped(books.stock.shipped));
    line("  returned", grouped(books.stock.returned));
    line("  reserved", grouped(books.stock.reserved));
    line("  on hand", grouped(books.stock.on_hand));
    let width = lines
        .iter()
        .map(|(_, amount)| amount.len())
        .max()
        .unwrap_or(0);
    let rows: Vec<Vec<String>> = lines
        .into_iter()
        .map(|(label, amount)| vec![label, format!("{amount:>width$}")])
        .collect();
    format!("{}\n\n{}", ui::table(&rows), money(books))
}

fn money(books: &Books) -> String {
    let money = &books.money;
    let mut rows = vec![[money.currency.as_str(), "captured", "refunded"].map(str::to_owned)];
    for day in &money.days {
        rows.push([
            day.date.clone(),
            decimal(day.captured_minor),
            decimal(day.refunded_minor),
        ]);
    }
    let total = [money.captured_minor, money.refunded_minor].map(decimal);
    let [captured, refunded] = total;
    rows.push(["all days".to_owned(), captured, refunded]);
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let (captured, refunded) = (width(1), width(2));
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|[label, one, two]| {
            vec![
                label.clone(),
                format!("{one:>captured$}"),
                format!("{two:>refunded$}"),
            ]
        })
        .collect();
    format!(
        "{}\nsum of the ledger's postings: {}",
        ui::table(&rows),
        decimal(money.ledger_sum_minor)
    )
}

/// A number with its thousands apart.
pub(crate) fn grouped(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut text = if number < 0 { "-" } else { "" }.to_owned();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Minor units as major ones: the books are kept in pence.
fn decimal(minor: i64) -> String {
    let sign = if minor < 0 { "-" } else { "" };
    let (major, rest) = (minor.unsigned_abs() / 100, minor.unsigned_abs() % 100);
    format!("{sign}{}.{rest:02}", grouped(major.cast_signed()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_with_thousands_and_pence() {
        let written = [0, 7, -5, 99_999, 62_095_060, -123_456_789].map(decimal);
        assert_eq!(
            written,
            [
                "0.00",
                "0.07",
                "-0.05",
                "999.99",
                "620,950.60",
                "-1,234,567.89"
            ]
        );
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(-999), "-999");
    }
}
