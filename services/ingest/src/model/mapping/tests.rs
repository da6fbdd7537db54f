use super::*;

fn built_in() -> Mapping {
    Mapping::parse("file", ONLINE_RETAIL).unwrap()
}

fn header(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

const RETAIL: [&str; 8] = [
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
];

#[test]
fn a_bad_mapping_names_its_key() {
    let cases = [
        (r#"source = "online-retail""#, r#"source = """#, "source"),
        (r#""GBP""#, r#""gbp""#, "currency_code"),
        ("price_scale = 2", "price_scale = 7", "price_scale"),
        (r#"["%Y-%m-%d %H:%M:%S"]"#, "[]", "time_formats"),
        (r#""%Y-%m-%d %H:%M:%S""#, r#""%Y-%m-%d""#, "time_formats"),
        (r#""%Y-%m-%d %H:%M:%S""#, r#""%Q""#, "time_formats"),
        (r"'([0-9]+)\.0+'", r"'[0-9]+\.0+'", "cleanse.customer"),
        ("'[0-9]{6}'", "'[0-9'", "invoice_numbers.sale"),
        ("'C[0-9]{6}'", "'C('", "invoice_numbers.return"),
        (
            r"'DCGS[0-9]{4}'",
            r"'DCGS[0-9]{4'",
            "stock_codes.merchandise",
        ),
        ("price_scale", "prize_scale", "*"),
        ("quantity = \"Quantity\"\n", "", "*"),
    ];
    for (from, to, key) in cases {
        let text = ONLINE_RETAIL.replacen(from, to, 1);
        assert_ne!(text, ONLINE_RETAIL, "{from} is not in the mapping");
        let error = Mapping::parse("my.toml", &text).map(|_| ()).unwrap_err();
        assert_eq!(
            (error.file.as_str(), error.key.as_str()),
            ("my.toml", key),
            "{error}"
        );
    }
}

#[test]
fn columns_are_found_in_any_order_among_others() {
    let mut names = RETAIL;
    names.reverse();
    let mut names = header(&names);
    names.push("Remark".to_owned());
    let layout = built_in().layout(&names).unwrap();
    assert_eq!((layout.width, layout.invoice_number, layout.sku), (9, 7, 6));
    assert_eq!(layout.others, [0]);
}

#[test]
fn a_missing_or_doubled_column_is_named() {
    for column in RETAIL {
        let without: Vec<_> = RETAIL.into_iter().filter(|&name| name != column).collect();
        let twice: Vec<_> = RETAIL.into_iter().chain([column]).collect();
        for names in [without, twice] {
            assert_eq!(
                built_in().layout(&header(&names)),
                Err(MissingColumn(column.to_owned()))
            );
        }
    }
}

#[test]
fn the_built_in_source_is_there_without_a_directory() {
    let sources = Sources::load("").unwrap();
    assert_eq!(sources.get("online-retail").unwrap().currency_code(), "GBP");
    assert!(sources.get("other").is_none());
}

#[test]
fn a_directory_must_hold_sources() {
    let error = Sources::load(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations")).unwrap_err();
    assert_eq!(error.key, "*");
    let declared = Sources::load(concat!(env!("CARGO_MANIFEST_DIR"), "/sources")).unwrap();
    assert!(declared.get("online-retail").is_some());
}

#[test]
fn two_files_can_not_declare_one_source() {
    let error = Sources::of([built_in(), built_in()]).unwrap_err();
    assert_eq!(error.key, "source");
}
