use super::*;
use crate::model::{Decision, Records, Row, Sources};

fn row(number: i64) -> AppendedRow {
    AppendedRow {
        number,
        invoice_number: "536365".to_owned(),
        sku: "85123a".to_owned(),
        description: "WHITE  HANGING HEART".to_owned(),
        quantity: 6,
        time: "2010-12-01T08:26:00".to_owned(),
        unit_price: "2.550".to_owned(),
        customer: "17850.0".to_owned(),
        others: vec!["United Kingdom".to_owned()],
    }
}

fn accepted(decision: Decision) -> Row {
    match decision {
        Decision::Accepted(row) => row,
        Decision::Rejected(rejection) => panic!("{rejection:?}"),
    }
}

#[test]
fn an_appended_row_is_the_row_of_a_file() {
    let sources = Sources::load("").unwrap();
    let mapping = sources.get("online-retail").unwrap();
    let header =
        "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country";
    let header: Vec<String> = header.split(',').map(str::to_owned).collect();
    let mut records = Records::resume(0);
    let text = b"536365,85123A,WHITE HANGING HEART,6,2010-12-01 08:26:00,2.55,17850,United Kingdom";
    assert!(records.next(&mut &text[..]).is_none());
    let of_file = mapping.decide(
        &mapping.layout(&header).unwrap(),
        &records.finish().unwrap(),
        3,
    );
    // The hash too: a row is accepted once, whatever the way it comes by.
    assert_eq!(
        accepted(mapping.decide_appended(&row(3))),
        accepted(of_file)
    );
}

#[test]
fn an_appended_row_has_as_many_other_values_as_its_source() {
    let sources = Sources::load("").unwrap();
    let mapping = sources.get("online-retail").unwrap();
    let row = AppendedRow {
        others: Vec::new(),
        ..row(3)
    };
    let Decision::Rejected(rejection) = mapping.decide_appended(&row) else {
        panic!("accepted");
    };
    assert_eq!(rejection.rule, crate::model::Rule::Malformed);
    assert_eq!(rejection.row_number, 3);
}

#[test]
fn numbers_increase_and_gaps_are_counted() {
    let rows = [row(2), row(3), row(7)];
    assert_eq!(check_order(&rows), Ok(()));
    assert_eq!(missing(0, &rows), 4);
    assert_eq!(missing(1, &rows), 3);
    assert_eq!(missing(7, &[]), 0);
    let error = check_order(&[row(2), row(3), row(3)]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "rows[2].number: 3 is not above 3, the number of the row before"
    );
}
