//! The same orders in every format make the same messages, by one mapping.

use std::fs::File;
use std::path::Path;

use formats::{Kind, Settings as Format};
use mapping::{Mapping, Origin, Scope, Settings};
use validation::{Validation, ValidationOptions};

const PROTO: &str = r#"
message Row {
  string invoice = 1 [(buf.validate.field).string.pattern = "^C?[0-9]{6}$"];
  string sku = 2;
  string description = 3;
  sint64 quantity = 4;
  google.protobuf.Timestamp time = 5;
  int64 price_minor = 6;
  optional string customer = 7;
  string country = 8;
  string id = 9;
}
"#;

const MAP: &str = r#"
[map]
invoice = "upper(squeeze(text(row.InvoiceNo)))"
sku = "upper(squeeze(text(row.StockCode)))"
description = "squeeze(text(or(row.Description, '')))"
quantity = "whole(row.Quantity)"
time = "time(row.InvoiceDate, '%Y-%m-%d %H:%M:%S|%Y-%m-%dT%H:%M:%S', 'Europe/London')"
price_minor = "decimal(row.UnitPrice, 2)"
customer = "has(row.CustomerID) ? substitute(text(row.CustomerID), '[.]0+$', '') : null"
country = "lookup('countries', row.Country, row.Country)"
id = "id"

[tables.countries]
values = { "United Kingdom" = "GB", EIRE = "IE" }
"#;

fn messages(format: &Format, file: &str) -> Vec<Result<Vec<u8>, String>> {
    let set = samples::descriptor_set(&[("t.proto", samples::ruled(PROTO))]);
    let validation = Validation::compile(&set, &ValidationOptions::default()).unwrap();
    let settings: Settings = toml::from_str(MAP).unwrap();
    let mapping = Mapping::compile(&settings, Scope::Record, format, &validation, "t.Row").unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(file);
    let reader = format.open(File::open(path).unwrap()).unwrap();
    let map = |item: Result<Result<formats::Record, formats::Flaw>, formats::Refusal>| {
        let record = item.unwrap().map_err(|flaw| flaw.to_string())?;
        let id = format!("unit/{}", record.number);
        let origin = Origin { source: "retail", unit: "unit", id: &id };
        mapping.map(&record, &origin).map_err(|unmapped| format!("{}: {unmapped}", record.number))
    };
    reader.requiring(mapping.columns()).map(map).collect()
}

fn with(kind: Kind, change: impl FnOnce(&mut Format)) -> Format {
    let mut format = Format::new(kind);
    change(&mut format);
    format
}

#[test]
fn every_format_gives_the_same_messages() {
    let csv = with(Kind::Csv, |own| {
        own.delimiter = Some(";".to_owned());
        own.encoding = Some("windows-1252".to_owned());
    });
    let expected = messages(&csv, "orders.csv");
    assert_eq!(expected.len(), 60);
    let good = expected.iter().filter(|message| message.is_ok()).count();
    assert!(good > 50, "{expected:?}");
    let formats = [
        (Format::new(Kind::Ndjson), "orders.ndjson"),
        (with(Kind::Json, |own| own.path = Some("data.orders".to_owned())), "orders.json"),
        (with(Kind::Xml, |own| own.path = Some("orders/order".to_owned())), "orders.xml"),
        (Format::new(Kind::Xlsx), "orders.xlsx"),
        (Format::new(Kind::Xlsx), "orders-1904.xlsx"),
        (Format::new(Kind::Parquet), "orders.parquet"),
    ];
    for (format, file) in formats {
        assert_eq!(messages(&format, file), expected, "{file}");
    }
}
