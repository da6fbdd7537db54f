//! Pure rules of returns: they draw on paid lines of the same account, SKU and price, newest first.

use chrono::NaiveDateTime;
use uuid::Uuid;

/// A return without its lines.
#[derive(Clone, Debug)]
pub struct Return {
    /// Id of the return.
    pub return_id: Uuid,
    /// Customer or guest account.
    pub account_id: String,
    /// True if the rows name no customer.
    pub guest: bool,
    /// As the source numbers it.
    pub invoice_number: String,
    /// Local civil time.
    pub returned_at: NaiveDateTime,
    /// The import that it came with.
    pub import_id: String,
    /// Number of its first row: the id of the group within the import.
    pub first_row_number: i64,
}

/// A refused row of a return.
#[derive(Clone, Debug)]
pub struct RefusedLine {
    /// Number of the row within its import.
    pub row_number: i64,
    /// Stock keeping unit.
    pub sku: String,
    /// Pieces.
    pub quantity: i64,
    /// The rule that refused it.
    pub rule: Rule,
}

/// One row of a return.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnLine {
    /// Number of the row within its import.
    pub row_number: i64,
    /// Stock keeping unit, or the code of a charge.
    pub sku: String,
    /// Pieces that came back.
    pub quantity: i64,
    /// Minor units for one piece.
    pub unit_price_minor: i64,
    /// True for a charge: money without stock.
    pub charge: bool,
}

/// A row to decide, and its place among the rows of its invoice that are alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueLine {
    /// The row.
    pub line: ReturnLine,
    /// 1 for the first of the import's rows with its invoice number, SKU, price and quantity.
    pub nth: i64,
    /// An earlier import brought it, and it was paid back.
    pub is_repeated: bool,
}

/// A paid line that is old enough to be returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaidLine {
    /// The order.
    pub order_id: Uuid,
    /// The line within it.
    pub line_number: i32,
    /// Stock keeping unit.
    pub sku: String,
    /// Minor units for one piece.
    pub unit_price_minor: i64,
    /// Pieces that no return has drawn on yet.
    pub remaining: i64,
}

/// Pieces drawn from one line for one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// The return's row.
    pub row_number: i64,
    /// The order drawn on.
    pub order_id: Uuid,
    /// Its line.
    pub line_number: i32,
    /// Pieces.
    pub quantity: i64,
}

/// The amount that a return pays back of one order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refund {
    /// The return.
    pub return_id: Uuid,
    /// The order drawn on.
    pub order_id: Uuid,
    /// Minor units.
    pub amount_minor: i64,
}

/// The rule that refuses a row; its name is the one in rejections and in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
pub enum Rule {
    /// The row names no customer.
    #[strum(serialize = "RETURN_WITHOUT_CUSTOMER")]
    WithoutCustomer,
    /// The same line of the same return was paid back before.
    #[strum(serialize = "RETURN_REPEATED")]
    Repeated,
    /// The customer had not paid for that SKU at that price by then.
    #[strum(serialize = "RETURN_WITHOUT_ORDER")]
    WithoutOrder,
    /// More pieces than remain of the paid lines.
    #[strum(serialize = "RETURN_EXCEEDS_ORDER")]
    ExceedsOrder,
}

/// Decides one row: draws it from `paid`, which is sorted newest first, or refuses it and draws
/// nothing.
pub fn decide(due: &DueLine, guest: bool, paid: &mut [PaidLine]) -> Result<Vec<Allocation>, Rule> {
    if guest {
        return Err(Rule::WithoutCustomer);
    }
    if due.is_repeated {
        return Err(Rule::Repeated);
    }
    let line = &due.line;
    let matching = |paid: &&mut PaidLine| {
        paid.sku == line.sku && paid.unit_price_minor == line.unit_price_minor
    };
    let mut drawn: Vec<_> = paid.iter_mut().filter(matching).collect();
    if drawn.is_empty() {
        return Err(Rule::WithoutOrder);
    }
    if drawn
        .iter()
        .map(|paid| i128::from(paid.remaining))
        .sum::<i128>()
        < i128::from(line.quantity)
    {
        return Err(Rule::ExceedsOrder);
    }
    let mut open = line.quantity;
    let mut allocations = Vec::new();
    for paid in &mut drawn {
        let quantity = open.min(paid.remaining);
        if quantity > 0 {
            paid.remaining -= quantity;
            open -= quantity;
            let (order_id, line_number) = (paid.order_id, paid.line_number);
            allocations.push(Allocation {
                row_number: line.row_number,
                order_id,
                line_number,
                quantity,
            });
        }
    }
    Ok(allocations)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(quantity: i64) -> DueLine {
        DueLine {
            line: ReturnLine {
                row_number: 7,
                sku: "A".into(),
                quantity,
                unit_price_minor: 100,
                charge: false,
            },
            nth: 1,
            is_repeated: false,
        }
    }

    fn paid(order: u128, remaining: i64) -> PaidLine {
        PaidLine {
            order_id: Uuid::from_u128(order),
            line_number: 1,
            sku: "A".into(),
            unit_price_minor: 100,
            remaining,
        }
    }

    #[test]
    fn draws_on_the_newest_first_and_splits() {
        let mut lines = [paid(2, 3), paid(1, 5)];
        let allocations = decide(&line(4), false, &mut lines).unwrap();
        let drawn: Vec<_> = allocations
            .iter()
            .map(|a| (a.order_id.as_u128(), a.quantity))
            .collect();
        assert_eq!(drawn, [(2, 3), (1, 1)]);
        assert_eq!((lines[0].remaining, lines[1].remaining), (0, 4));
    }

    #[test]
    fn another_price_or_sku_is_no_order() {
        let mut lines = [
            PaidLine {
                unit_price_minor: 99,
                ..paid(1, 5)
            },
            PaidLine {
                sku: "B".into(),
                ..paid(1, 5)
            },
        ];
        assert_eq!(decide(&line(1), false, &mut lines), Err(Rule::WithoutOrder));
    }

    #[test]
    fn a_guest_returns_nothing() {
        assert_eq!(
            decide(&line(1), true, &mut [paid(1, 5)]),
            Err(Rule::WithoutCustomer)
        );
    }

    #[test]
    fn what_was_paid_back_before_draws_on_nothing() {
        let repeated = DueLine {
            is_repeated: true,
            ..line(1)
        };
        let mut lines = [paid(1, 5)];
        assert_eq!(decide(&repeated, false, &mut lines), Err(Rule::Repeated));
        assert_eq!(lines[0].remaining, 5);
    }

    #[test]
    fn a_used_up_line_is_exceeded() {
        assert_eq!(
            decide(&line(1), false, &mut [paid(1, 0)]),
            Err(Rule::ExceedsOrder)
        );
    }

    proptest! {
        #[test]
        fn draws_all_or_nothing(quantity in 1i64..30, stock in prop::collection::vec(0i64..10, 0..5)) {
            let mut lines: Vec<_> = stock.iter().zip(1..).map(|(&n, order)| paid(order, n)).collect();
            let before: i64 = stock.iter().sum();
            let result = decide(&line(quantity), false, &mut lines);
            let after: i64 = lines.iter().map(|line| line.remaining).sum();
            prop_assert!(lines.iter().all(|line| line.remaining >= 0));
            prop_assert_eq!(before - after, if result.is_ok() { quantity } else { 0 });
        }
    }
}
