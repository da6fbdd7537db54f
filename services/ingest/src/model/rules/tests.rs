use std::sync::LazyLock;

use super::*;
use crate::model::{Records, Sources};

const HEADER: &str =
    "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country";

static SOURCES: LazyLock<Sources> = LazyLock::new(|| Sources::load("").unwrap());

fn decide_bytes(row: &[u8]) -> Decision {
    let mapping = SOURCES.get("online-retail").unwrap();
    let header: Vec<String> = HEADER.split(',').map(str::to_owned).collect();
    let layout = mapping.layout(&header).unwrap();
    let mut records = Records::resume(0);
    assert!(
        records.next(&mut &row[..]).is_none(),
        "more than one record"
    );
    mapping.decide(&layout, &records.finish().unwrap(), 7)
}

fn decide(row: &str) -> Decision {
    decide_bytes(row.as_bytes())
}

fn accepted(row: &str) -> Row {
    match decide(row) {
        Decision::Accepted(row) => row,
        Decision::Rejected(rejection) => panic!("{row}: {rejection:?}"),
    }
}

fn rejected(row: &str) -> (Rule, String, String) {
    match decide(row) {
        Decision::Rejected(rejection) => (
            rejection.rule,
            rejection.column.unwrap_or_default(),
            rejection.value,
        ),
        Decision::Accepted(accepted) => panic!("{row}: {accepted:?}"),
    }
}

#[test]
fn a_row_is_cleansed() {
    let row = accepted(
        " 536365 ,85123a,\" WHITE   HANGING\n HEART \",+6,2010-12-01  08:26:00, 2.550,17850.0,UK",
    );
    assert_eq!(row.head.kind, Kind::Sale);
    assert_eq!(
        (
            row.head.invoice_number.as_str(),
            row.head.account_id.as_str()
        ),
        ("536365", "17850")
    );
    assert_eq!(row.head.time.to_string(), "2010-12-01 08:26:00");
    let line = Line {
        row_number: 7,
        sku: "85123A".to_owned(),
        description: "WHITE HANGING HEART".to_owned(),
        quantity: 6,
        unit_price_minor: 255,
        charge: false,
    };
    assert_eq!((row.line, row.head.guest), (line, false));
}

#[test]
fn a_return_has_positive_pieces() {
    let row = accepted("c536379,22139,X,-3,2010-12-01 09:41:00,4.25,14527,UK");
    assert_eq!((row.head.kind, row.line.quantity), (Kind::Return, 3));
    assert_eq!(row.head.invoice_number, "C536379");
}

#[test]
fn a_row_without_a_customer_has_an_account_for_its_invoice() {
    let row = accepted("536544,21773,X,1,2010-12-01 14:32:00,2.51,,UK");
    assert_eq!(
        (row.head.account_id.as_str(), row.head.guest),
        ("guest-536544", true)
    );
}

#[test]
fn only_a_number_loses_its_decimals() {
    for (customer, account_id) in [
        ("17850.0", "17850"),
        ("17850.00", "17850"),
        ("A1.0", "A1.0"),
        ("17850.5", "17850.5"),
    ] {
        let row = accepted(&format!(
            "536544,21773,X,1,2010-12-01 14:32:00,2.51,{customer},UK"
        ));
        assert_eq!(row.head.account_id, account_id);
    }
}

/// Rule, column, value and row.
const REFUSED: &str = "
MALFORMED|Quantity|six|536365,10001,X,six,2010-12-01 08:26:00,1.00,1,UK
MALFORMED|Quantity|1.5|536365,10001,X,1.5,2010-12-01 08:26:00,1.00,1,UK
MALFORMED|UnitPrice|1e3|536365,10001,X,1,2010-12-01 08:26:00,1e3,1,UK
MALFORMED|UnitPrice||536365,10001,X,1,2010-12-01 08:26:00,,1,UK
MALFORMED|InvoiceDate|2010-02-29 08:26:00|536365,10001,X,1,2010-02-29 08:26:00,1.00,1,UK
MALFORMED|InvoiceDate|2010-12-1 08:26:00|536365,10001,X,1,2010-12-1 08:26:00,1.00,1,UK
MALFORMED|InvoiceDate|2010-12-01 08:26:60|536365,10001,X,1,2010-12-01 08:26:60,1.00,1,UK
MALFORMED|InvoiceDate|0000-12-01 08:26:00|536365,10001,X,1,0000-12-01 08:26:00,1.00,1,UK
MALFORMED|InvoiceDate|-0001-12-01 08:26:00|536365,10001,X,1,-0001-12-01 08:26:00,1.00,1,UK
MALFORMED|InvoiceDate|+2010-12-01 08:26:00|536365,10001,X,1,+2010-12-01 08:26:00,1.00,1,UK
MALFORMED|InvoiceDate|10000-01-01 08:26:00|536365,10001,X,1,10000-01-01 08:26:00,1.00,1,UK
MALFORMED|InvoiceDate|+10000-01-01 08:26:00|536365,10001,X,1,+10000-01-01 08:26:00,1.00,1,UK
MALFORMED|InvoiceDate|+12345-12-01 08:26:00|536365,10001,X,1,+12345-12-01 08:26:00,1.00,1,UK
MALFORMED||536365,10001,X,1,2010-12-01,1.00,1|536365,10001,X,1,2010-12-01,1.00,1
MALFORMED|Description|X\u{fffd}|536365,10001,X\0,1,2010-12-01 08:26:00,1.00,1,UK
INVOICE_NO|InvoiceNo|53636|53636,10001,X,1,2010-12-01 08:26:00,1.00,1,UK
INVOICE_NO|InvoiceNo|A536365|A536365,10001,X,1,2010-12-01 08:26:00,1.00,1,UK
PRICE_SCALE|UnitPrice|0.001|536365,10001,X,1,2010-12-01 08:26:00,0.001,1,UK
PRICE_NOT_POSITIVE|UnitPrice|0.00|536365,10001,X,1,2010-12-01 08:26:00,0.00,1,UK
PRICE_NOT_POSITIVE|UnitPrice|-0|536365,10001,X,1,2010-12-01 08:26:00,-0,1,UK
PRICE_NOT_POSITIVE|UnitPrice|-11062.06|536365,10001,X,1,2010-12-01 08:26:00,-11062.06,1,UK
QUANTITY_SIGN|Quantity|-1|536365,10001,X,-1,2010-12-01 08:26:00,1.00,1,UK
QUANTITY_SIGN|Quantity|0|536365,10001,X,0,2010-12-01 08:26:00,1.00,1,UK
QUANTITY_SIGN|Quantity|1|C536365,10001,X,1,2010-12-01 08:26:00,1.00,1,UK
QUANTITY_SIGN|Quantity|-0|C536365,10001,X,-0,2010-12-01 08:26:00,1.00,1,UK
NOT_MERCHANDISE|StockCode|BANK CHARGES|536365,Bank  Charges,X,1,2010-12-01 08:26:00,1.00,1,UK
STOCK_CODE|StockCode|1000|536365,1000,X,1,2010-12-01 08:26:00,1.00,1,UK
STOCK_CODE|StockCode|10001ABC|536365,10001ABC,X,1,2010-12-01 08:26:00,1.00,1,UK
STOCK_CODE|StockCode||536365,,X,1,2010-12-01 08:26:00,1.00,1,UK
";

#[test]
fn each_rule_refuses_its_own() {
    for case in REFUSED.trim().lines() {
        let expected: Vec<_> = case.splitn(4, '|').collect();
        let (rule, column, value) = rejected(expected[3]);
        assert_eq!(
            [<&str>::from(rule), &column, &value],
            expected[..3],
            "{case}"
        );
    }
}

#[test]
fn codes_are_goods_or_charges() {
    for (code, charge) in [
        ("10001", false),
        ("10001ab", false),
        ("dcgs0076", false),
        ("POST", true),
        ("m", true),
    ] {
        let row = accepted(&format!("536365,{code},X,1,2010-12-01 08:26:00,1.00,1,UK"));
        assert_eq!(
            (row.line.charge, row.line.sku),
            (charge, code.to_uppercase())
        );
    }
}

#[test]
fn the_first_broken_rule_gives_the_reason() {
    use Rule::*;
    // Each row breaks its own rule and all later ones.
    let cases = [
        ("53636,S,X,x,2010-12-01 08:26:00,0.001,1,UK", Malformed),
        ("53636,S,X,0,2010-12-01 08:26:00,0.001,1,UK", InvoiceNo),
        ("536365,S,X,0,2010-12-01 08:26:00,-0.001,1,UK", PriceScale),
        ("536365,S,X,0,2010-12-01 08:26:00,-1,1,UK", PriceNotPositive),
        ("536365,S,X,0,2010-12-01 08:26:00,1,1,UK", QuantitySign),
        ("536365,S,X,1,2010-12-01 08:26:00,1,1,UK", NotMerchandise),
        ("536365,T,X,1,2010-12-01 08:26:00,1,1,UK", StockCode),
    ];
    for (row, rule) in cases {
        assert_eq!(rejected(row).0, rule, "{row}");
    }
}

#[test]
fn what_is_not_text_is_malformed() {
    let Decision::Rejected(rejection) =
        decide_bytes(b"536365,10001,X\xFF,1,2010-12-01 08:26:00,1.00,1,UK")
    else {
        panic!("accepted");
    };
    assert_eq!(
        (rejection.rule, rejection.column.as_deref()),
        (Rule::Malformed, Some("Description"))
    );
    assert_eq!(
        (rejection.row_number, rejection.value.as_str()),
        (7, "X\u{fffd}")
    );
}

#[test]
fn what_is_too_long_is_malformed_and_cut() {
    let long = "x".repeat(2000);
    let (rule, column, value) = rejected(&format!(
        "536365,10001,{long},1,2010-12-01 08:26:00,1.00,1,UK"
    ));
    assert_eq!(
        (rule, column.as_str(), value.len()),
        (Rule::Malformed, "Description", 256)
    );
    assert_eq!(
        rejected(&format!(
            "536365,10001,X,1,2010-12-01 08:26:00,1.00,{long},UK"
        ))
        .1,
        "CustomerID"
    );
    assert_eq!(
        rejected(&format!(
            "536365,10001,{},1,2010-12-01 08:26:00,1.00,1,UK",
            "x".repeat(70_000)
        ))
        .1,
        ""
    );
}

#[test]
fn equal_rows_are_equal_when_cleansed() {
    let hash = |row: &str| accepted(row).hash;
    let row = hash("536365,10001a,RED MUG,6,2010-12-01 08:26:00,2.5,17850,UK");
    assert_eq!(
        hash(" 536365,10001A,RED   MUG,+6,2010-12-01 08:26:00,2.50,17850.0, UK"),
        row
    );
    let others = [
        "536366,10001a,RED MUG,6,2010-12-01 08:26:00,2.5,17850,UK",
        "536365,10001b,RED MUG,6,2010-12-01 08:26:00,2.5,17850,UK",
        "536365,10001a,Red Mug,6,2010-12-01 08:26:00,2.5,17850,UK",
        "536365,10001a,RED MUG,7,2010-12-01 08:26:00,2.5,17850,UK",
        "536365,10001a,RED MUG,6,2010-12-01 08:26:01,2.5,17850,UK",
        "536365,10001a,RED MUG,6,2010-12-01 08:26:00,2.51,17850,UK",
        "536365,10001a,RED MUG,6,2010-12-01 08:26:00,2.5,17851,UK",
        "536365,10001a,RED MUG,6,2010-12-01 08:26:00,2.5,17850,France",
        "536365,10001a,RED MUG,6,2010-12-01 08:26:00,2.5,,17850UK",
    ];
    for other in others {
        assert_ne!(hash(other), row, "{other}");
    }
}
