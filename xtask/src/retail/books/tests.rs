//! Books out of the answers of four services, and what is said of books that don't balance.

use serde_json::{Value, from_value, json, to_value};

use super::*;

fn books(orders: Value, stock: Value) -> Books {
    let imports = json!({
        "rowsRead": "10", "rowsAccepted": "8",
        "rejected": [{"rule": "PRICE_SCALE", "rows": "2"}, {"rule": "MALFORMED", "rows": "0"}],
    });
    let ledger = json!({
        "currencyCode": "GBP", "capturedMinor": "9007199254740993", "refundedMinor": "250",
        "days": [{"date": "2010-12-01", "capturedMinor": "9007199254740993"}, {"date": "2010-12-02", "refundedMinor": "250"}],
    });
    compile(
        from_value(imports).unwrap(),
        from_value(orders).unwrap(),
        from_value(ledger).unwrap(),
        from_value(stock).unwrap(),
    )
}

#[test]
fn the_answers_of_four_services_become_one_object() {
    let orders = json!({
        "orders": [{"state": "ORDER_STATE_PAID", "orders": "3"}, {"state": "ORDER_STATE_OUT_OF_STOCK", "orders": "1"}],
        "returnInvoices": "1", "returnRows": "2",
    });
    let stock = json!({"counted": "1000", "shipped": "12", "returned": "2", "onHand": "990"});
    let books = books(orders, stock);
    assert_eq!(
        to_value(&books).unwrap(),
        json!({
            "rows": {"read": 10, "accepted": 8, "rejected": {"PRICE_SCALE": 2}},
            "orders": {"PAID": 3, "OUT_OF_STOCK": 1},
            "returns": {"invoices": 1, "rows": 2},
            "money": {
                "currency": "GBP", "captured_minor": 9_007_199_254_740_993_i64, "refunded_minor": 250, "ledger_sum_minor": 0,
                "days": [
                    {"date": "2010-12-01", "captured_minor": 9_007_199_254_740_993_i64, "refunded_minor": 0},
                    {"date": "2010-12-02", "captured_minor": 0, "refunded_minor": 250},
                ],
            },
            "stock": {"counted": 1000, "shipped": 12, "returned": 2, "reserved": 0, "on_hand": 990},
        })
    );
    assert_eq!(books.problems(), Vec::<String>::new());
}

#[test]
fn every_contradiction_is_told() {
    let orders = json!({"orders": [{"state": "ORDER_STATE_PENDING", "orders": "4"}]});
    let stock = json!({"counted": "10", "reserved": "3", "onHand": "9"});
    let mut books = books(orders, stock);
    books.rows.accepted = 7;
    books.money.ledger_sum_minor = -1;
    books.money.refunded_minor = 0;
    books.money.captured_minor = 0;
    assert_eq!(books.problems().len(), 7, "{:#?}", books.problems());
}
