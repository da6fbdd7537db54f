//! In steady state a message costs no allocation, in either direction.

#![allow(clippy::unwrap_used)]

use allocation_counter::measure;
use transcoder::Schema;

const ORDER: &str = r#"{
    "orderId": "ord-2026-11-0004711", "customerId": "cust-883020", "status": "PAID",
    "shipTo": {"recipient": "Grace Hopper", "addressLines": ["Keizersgracht 555", "Apt 12"], "locality": "Amsterdam",
        "postalCode": "1017 DR", "regionCode": "NL"},
    "lines": [
        {"sku": "SKU-10321-BLK", "title": "Mechanical keyboard, 61 keys", "quantity": 1,
            "unitPrice": {"currencyCode": "EUR", "units": "89", "nanos": 990000000}, "gift": true},
        {"sku": "SKU-10398-BLK", "title": "Mechanical keyboard, 74 keys", "quantity": 2,
            "unitPrice": {"currencyCode": "EUR", "units": "109", "nanos": 985000000}},
        {"sku": "SKU-10475-BLK", "title": "Mechanical keyboard, \"87\" keys", "quantity": 3,
            "unitPrice": {"currencyCode": "EUR", "units": "129", "nanos": 980000000}, "gift": true},
        {"sku": "SKU-10552-BLK", "title": "Mechanische Tastatur für Könner", "quantity": 4,
            "unitPrice": {"currencyCode": "EUR", "units": "149", "nanos": 975000000}}
    ],
    "placedAt": "2026-11-23T07:46:42.123Z",
    "labels": {"channel": "web", "campaign": "autumn-2026", "warehouse": "ams-2"},
    "total": {"currencyCode": "EUR", "units": "1184", "nanos": 550000000}, "express": true, "weightKg": 7.25,
    "digest": "q83vEjRWeJqrze8SNFZ4mg==", "note": "Please leave the parcel with the neighbours."
}"#;

#[test]
fn an_order_is_transcoded_without_an_allocation() {
    let protos = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/samples/proto");
    let mut compiler = protox::Compiler::new([protos]).unwrap();
    compiler.include_imports(true);
    compiler.open_file("order.proto").unwrap();
    let schema = Schema::compile(&compiler.encode_file_descriptor_set()).unwrap();
    let found = schema.route(&http::Method::POST, "/orders").unwrap();
    let (mut wire, mut json) = (Vec::new(), Vec::new());
    let fields = found
        .route()
        .fields("orderId,lines(sku,unitPrice.units)")
        .unwrap();

    // The first time, buffers grow to what they need.
    for round in 0..3 {
        let encode = || {
            found
                .encode_request(None, ORDER.as_bytes(), &mut wire)
                .unwrap()
        };
        let encoded = measure(encode);
        let decode = || found.route().write_response(&wire, &mut json).unwrap();
        let decoded = measure(decode);
        let masked = measure(|| {
            let route = found.route();
            route
                .write_response_fields(&fields, &wire, &mut json)
                .unwrap();
        });
        assert!(json.starts_with(br#"{"orderId":"ord-2026-11-0004711","#));
        wire.clear();
        json.clear();
        if round > 0 {
            assert_eq!(encoded.count_total, 0, "JSON to wire");
            assert_eq!(decoded.count_total, 0, "wire to JSON");
            assert_eq!(masked.count_total, 0, "wire to masked JSON");
        }
    }
}
