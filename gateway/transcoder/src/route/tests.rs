//! Routes as requests and people see them.

use http::Method;

use crate::testing;

/// Each printable character, encoded, in a variable of one segment and of several.
#[test]
fn variables_decode_as_the_table_says() {
    let get = |index: usize, template: &str| {
        format!(
            "rpc M{index}(In) returns (In) {{ option (google.api.http) = {{ get: \"{template}\" }}; }}"
        )
    };
    let schema = testing::compile(&format!(
        "message In {{ string a = 1; string x = 2; }} service S {{ {} {} {} }}",
        get(0, "/one/{a}"),
        get(1, "/many/{x=**}"),
        get(2, "/two/{x=p/*}")
    ))
    .unwrap();
    let encode = |path: &str| {
        let mut out = Vec::new();
        let found = schema.route(&Method::GET, path).unwrap();
        found.encode_request(None, b"", &mut out).unwrap();
        String::from_utf8(out[2..].to_vec()).unwrap()
    };
    for byte in 0x20u8..0x7f {
        for escape in [format!("%{byte:02x}"), format!("%{byte:02X}")] {
            let plain = char::from(byte).to_string();
            let multi = if byte == b'/' {
                escape.clone()
            } else {
                plain.clone()
            };
            assert_eq!(encode(&format!("/one/a{escape}b")), format!("a{plain}b"));
            assert_eq!(encode(&format!("/many/a{escape}b")), format!("a{multi}b"));
            assert_eq!(
                encode(&format!("/many/q/a{escape}b")),
                format!("q/a{multi}b")
            );
            assert_eq!(
                encode(&format!("/two/p/a{escape}b")),
                format!("p/a{multi}b")
            );
        }
    }
    assert_eq!(encode("/one/a+b"), "a+b");
    assert_eq!(encode("/one/%E2%82%AC"), "€");
}

#[test]
fn what_a_rule_does_with_the_body_can_be_told() {
    let rule = "post: \"/v1/{a}\" body: \"in\" response_body: \"x\"";
    let schema = testing::compile(&format!(
        "message In {{ string a = 1; string x = 2; In in = 3; }}
        service S {{ rpc M(In) returns (In) {{ option (google.api.http) = {{ {rule} }}; }} }}"
    ))
    .unwrap();
    let post = schema.route(&Method::POST, "/v1/7").unwrap();
    assert_eq!(post.route().body(), Some("in"));
    assert_eq!(post.route().response_body(), Some("x"));
}
