//! Rules of `buf.validate` on requests.

use crate::{Schema, testing};

#[test]
fn path_query_and_body_are_judged_together() {
    let body = "message Line { string sku = 1 [(buf.validate.field).string.min_len = 1]; }
        message M { string id = 1 [(buf.validate.field).string.min_len = 3]; Line line = 2
            [(buf.validate.field).required = true]; int32 page_size = 3 [(buf.validate.field).int32.lte = 10]; }
        service T { rpc Put(M) returns (M) { option (google.api.http) = { put: \"/m/{id}\" body: \"line\" }; } }";
    let set = testing::descriptor_set(&[("t.proto", testing::ruled(body))]);
    let schema = Schema::compile(&set).unwrap();
    let found = schema.route(&http::Method::PUT, "/m/ab").unwrap();
    let mut out = Vec::new();
    let error = found
        .encode_request(Some("page_size=11"), b"{}", &mut out)
        .unwrap_err();
    let listed = error.violations.listed.iter();
    let listed: Vec<String> = listed
        .map(|violation| format!("{} {}", violation.path, violation.rule))
        .collect();
    assert_eq!(
        listed,
        [
            "id string.min_len",
            "line.sku string.min_len",
            "pageSize int32.lte"
        ]
    );
    let first = &error.violations.listed[0];
    assert_eq!(
        (&error.path, &error.description),
        (&first.path, &first.message)
    );
    assert_eq!(error.to_string(), error.violations.to_string());
    assert!(out.is_empty());
    assert_eq!((error.rule.as_str(), error.offset), ("INVALID_FIELD", None));
}
