//! The effect of each option.

use routes::{PathDecoding, RouteOptions};

use super::{PROTO, encode, outcome, schema};
use crate::{
    BindingConflict, Content, DuplicateQuery, HttpOptions, Options, Rule, Schema, Source,
    UnexpectedBody, UnknownQuery, testing,
};

fn with(http: HttpOptions) -> Schema {
    let options = Options {
        http,
        ..Options::default()
    };
    testing::compile_with(PROTO, options)
}

fn check(schema: &Schema, cases: &[(&str, &str, &str)]) {
    for (request, body, expected) in cases {
        let actual = outcome(schema, Content::Json, request, body.as_bytes());
        assert_eq!(actual, *expected, "{request} {body}");
    }
}

#[test]
fn unknown_parameters_are_refused_ignored_or_captured() {
    let request = "GET /list?utm_source=a+b&flag=true&book.nope=1&nope";
    assert_eq!(
        encode(&schema(), request, "").unwrap_err().path,
        "utm_source"
    );
    {
        let unknown_query = UnknownQuery::Ignore;
        let schema = with(HttpOptions {
            unknown_query,
            ..HttpOptions::default()
        });
        check(
            &schema,
            &[
                (request, "", r#"{"flag":true}"#),
                // A field that exists takes only what it takes.
                (
                    "GET /list?flag=1",
                    "",
                    "flag: INVALID_VALUE: expected true or false",
                ),
                // With the whole message as the body, no parameter is known.
                ("POST /post/n?flag=x", "", r#"{"name":"n"}"#),
                ("PUT /name?name=x", r#""n""#, r#"{"name":"n"}"#),
            ],
        );
    }
}

#[test]
fn ignored_parameters_never_bind() {
    let schema = with(HttpOptions {
        ignored_query: vec!["utm_source".into(), "flag".into()],
        ..HttpOptions::default()
    });
    check(
        &schema,
        &[
            (
                "GET /list?utm_source=x&flag=no&name=n",
                "",
                r#"{"name":"n"}"#,
            ),
            (
                "GET /list?utm_medium=x",
                "",
                "utm_medium: UNKNOWN_FIELD: no field has this name",
            ),
        ],
    );
}

#[test]
fn last_of_a_repeated_parameter_may_win() {
    let schema = with(HttpOptions {
        duplicate_query: DuplicateQuery::LastWins,
        query_maps: true,
        ..HttpOptions::default()
    });
    check(
        &schema,
        &[
            (
                "GET /list?name=a&name=b&book.name=c&book.name=",
                "",
                r#"{"name":"b","book":{}}"#,
            ),
            ("GET /list?ids=1&ids=2", "", r#"{"ids":[1,2]}"#),
            (
                "GET /list?labels[a]=1&labels[b]=2&labels[a]=3",
                "",
                r#"{"labels":{"b":"2","a":"3"}}"#,
            ),
            // Two fields of a oneof are two parameters, and none of them is the last one.
            (
                "GET /list?by_name=a&by_line.sku=b",
                "",
                "byLine.sku: DUPLICATE_FIELD: another field of the same oneof is set",
            ),
        ],
    );
}

#[test]
fn maps_can_be_set_by_the_query_on_request() {
    let schema = with(HttpOptions {
        query_maps: true,
        ..HttpOptions::default()
    });
    check(
        &schema,
        &[
            (
                "GET /list?labels[a.b]=c&labels%5B%5D=d&book.counts[x]=7",
                "",
                r#"{"book":{"counts":{"x":7}},"labels":{"a.b":"c","":"d"}}"#,
            ),
            (
                "GET /list?counted[-3]=SIZE_LARGE&counted[4]=0",
                "",
                r#"{"counted":{"-3":"SIZE_LARGE","4":"SIZE_UNSPECIFIED"}}"#,
            ),
            (
                "GET /list?counted[1]=2&counted[1.0]=2",
                "",
                r#"counted["1.0"]: DUPLICATE_FIELD: the parameter is repeated"#,
            ),
            (
                "GET /list?counted[x]=2",
                "",
                r#"counted["x"]: INVALID_VALUE: expected a number"#,
            ),
            (
                "GET /list?labels=b",
                "",
                "labels: UNKNOWN_FIELD: a map is set entry by entry: `name[key]=value`",
            ),
            (
                "GET /list?by_sku[a]=b",
                "",
                "by_sku[a]: UNKNOWN_FIELD: a query can't set a map of messages: this route has no body \
                 for it, so call the method by gRPC or Connect",
            ),
            (
                "GET /list?name[a]=b",
                "",
                "name[a]: UNKNOWN_FIELD: only maps have keys: send `name=…`",
            ),
        ],
    );
}

#[test]
fn booleans_and_enums_may_be_lenient() {
    let schema = with(HttpOptions {
        lenient_bools: true,
        enums_ignore_case: true,
        ..HttpOptions::default()
    });
    for text in ["1", "t", "T", "true", "True", "TRUE"] {
        let request = format!("GET /list?flag={text}&maybe={text}");
        check(&schema, &[(&request, "", r#"{"flag":true,"maybe":true}"#)]);
    }
    for text in ["0", "f", "F", "false", "False", "FALSE"] {
        let request = format!("GET /list?flag={text}&maybe={text}");
        check(&schema, &[(&request, "", r#"{"maybe":false}"#)]);
    }
    for text in ["", "yes", "2", "tRUE"] {
        let error = encode(&schema, &format!("GET /list?flag={text}"), "").unwrap_err();
        assert_eq!(error.rule, Rule::InvalidValue, "{text}");
    }
    for text in ["SIZE_LARGE", "size_large", "Size_Large", "2"] {
        let request = format!("GET /list?size={text}");
        check(&schema, &[(&request, "", r#"{"size":"SIZE_LARGE"}"#)]);
    }
    let error = encode(&schema, "GET /list?size=large", "").unwrap_err();
    assert_eq!(error.rule, Rule::InvalidValue);
}

#[test]
fn plus_may_be_a_plus() {
    let schema = with(HttpOptions {
        plus_is_space: false,
        ..HttpOptions::default()
    });
    check(
        &schema,
        &[("GET /list?name=a+b%20c", "", r#"{"name":"a+b c"}"#)],
    );
    // A form's encoding has a definition of its own.
    let form = outcome(&schema, Content::Form, "POST /post-one/n", b"name=a+b");
    assert_eq!(form, r#"{"name":"a b","byName":"n"}"#);
}

#[test]
fn body_that_nobody_takes_may_be_dropped() {
    let schema = with(HttpOptions {
        unexpected_body: UnexpectedBody::Ignore,
        ..HttpOptions::default()
    });
    check(&schema, &[("GET /in/n", "no JSON", r#"{"name":"n"}"#)]);
}

#[test]
fn path_may_win_over_body_and_query() {
    let schema = with(HttpOptions {
        binding_conflict: BindingConflict::PathWins,
        ..HttpOptions::default()
    });
    check(
        &schema,
        &[
            (
                "POST /post/n",
                r#"{"name":"m","flag":true}"#,
                r#"{"name":"n","flag":true}"#,
            ),
            ("GET /in/n?name=m", "", r#"{"name":"n"}"#),
            ("GET /one/n?by_line.sku=m", "", r#"{"byName":"n"}"#),
            (
                "POST /time/1970-01-01T00:00:05Z",
                r#"{"time":"1970-01-01T00:00:06.5Z"}"#,
                r#"{"time":"1970-01-01T00:00:05Z"}"#,
            ),
            (
                "PATCH /books/7",
                r#"{"name":"books/8","etag":"e"}"#,
                r#"{"book":{"name":"books/7","etag":"e"},"updateMask":"name,etag"}"#,
            ),
            // The value that loses must still be one.
            (
                "POST /post/n",
                r#"{"name":1}"#,
                "name: INVALID_VALUE: expected a string, found a number",
            ),
        ],
    );
}

#[test]
fn body_may_win_over_the_path() {
    let schema = with(HttpOptions {
        binding_conflict: BindingConflict::BodyWins,
        ..HttpOptions::default()
    });
    check(
        &schema,
        &[
            ("POST /post/n", r#"{"name":"m"}"#, r#"{"name":"m"}"#),
            ("POST /post/n", r#"{"name":""}"#, "{}"),
            ("POST /post/n", r#"{"name":null}"#, r#"{"name":"n"}"#),
            ("POST /post/n", "", r#"{"name":"n"}"#),
            (
                "POST /time/1970-01-01T00:00:05Z",
                r#"{"time":"1970-01-01T00:00:00.5Z"}"#,
                r#"{"time":"1970-01-01T00:00:00.500Z"}"#,
            ),
            (
                "POST /deep/3",
                r#"{"book":{"line":{"sku":"a"}}}"#,
                r#"{"book":{"line":{"sku":"a","quantity":3}}}"#,
            ),
            (
                "POST /deep/3",
                r#"{"book":{"line":{"quantity":4}}}"#,
                r#"{"book":{"line":{"quantity":4}}}"#,
            ),
            (
                "POST /deep/3",
                r#"{"book":{"line":null}}"#,
                r#"{"book":{"line":{"quantity":3}}}"#,
            ),
            (
                "PATCH /books/7?flag=true",
                r#"{"name":"b"}"#,
                r#"{"book":{"name":"b"},"updateMask":"name","flag":true}"#,
            ),
            ("PUT /sole/a", r#"{"sku":"b"}"#, r#"{"sole":{"sku":"b"}}"#),
            ("GET /in/n?name=m", "", r#"{"name":"n"}"#),
            ("POST /post-one/n", r#"{"byLine":{}}"#, r#"{"byLine":{}}"#),
        ],
    );
    let form = outcome(&schema, Content::Form, "POST /post/n", b"name=m");
    assert_eq!(form, r#"{"name":"m"}"#);
}

#[test]
fn query_beside_a_body_never_touches_what_the_body_sets() {
    let schema = with(HttpOptions {
        query_beside_body: true,
        ..HttpOptions::default()
    });
    check(
        &schema,
        &[
            (
                "POST /post/n?flag=true",
                r#"{"ids":[1]}"#,
                r#"{"name":"n","ids":[1],"flag":true}"#,
            ),
            (
                "POST /post/n?ids=1&ids=2",
                r#"{"ids":[3]}"#,
                r#"{"name":"n","ids":[3]}"#,
            ),
            ("POST /post/n?ids=1", r#"{"ids":[]}"#, r#"{"name":"n"}"#),
            (
                "POST /post/n?ids=1",
                r#"{"ids":null}"#,
                r#"{"name":"n","ids":[1]}"#,
            ),
            (
                "POST /post/n?book.name=a&book.tags=t&book.line.sku=s",
                r#"{"book":{"name":"b","line":{"quantity":2}}}"#,
                r#"{"name":"n","book":{"name":"b","tags":["t"],"line":{"sku":"s","quantity":2}}}"#,
            ),
            (
                "POST /post/n?time.seconds=5",
                r#"{"time":"1970-01-01T00:00:00.5Z"}"#,
                r#"{"name":"n","time":"1970-01-01T00:00:00.500Z"}"#,
            ),
            (
                "POST /post/n?flag=true",
                "[]",
                ": INVALID_VALUE: expected an object, found an array",
            ),
            (
                "POST /post/n?name=m",
                "",
                "name: PATH_CONFLICT: the path sets this field",
            ),
        ],
    );
    let form = outcome(
        &schema,
        Content::Form,
        "POST /post/n?ids=1&flag=true",
        b"ids=2&ids=3",
    );
    assert_eq!(form, r#"{"name":"n","ids":[2,3],"flag":true}"#);
}

#[test]
fn escapes_of_multi_segment_variables_follow_the_mode() {
    for (path_decoding, expected) in [
        (PathDecoding::ExceptSlash, "a%2Fb?c d"),
        (PathDecoding::ExceptReserved, "a%2Fb%3Fc d"),
        (PathDecoding::All, "a/b?c d"),
    ] {
        let routes = RouteOptions {
            path_decoding,
            ..RouteOptions::default()
        };
        let options = Options {
            routes,
            ..Options::default()
        };
        let schema = testing::compile_with(PROTO, options);
        let expected = format!(r#"{{"book":{{"name":"books/{expected}"}},"updateMask":""}}"#);
        check(&schema, &[("PATCH /books/a%2Fb%3Fc%20d", "", &expected)]);
    }
}

#[test]
fn dialects_do_as_their_models() {
    let envoy = testing::compile_with(PROTO, Options::envoy());
    check(
        &envoy,
        &[
            (
                "POST /post/n?flag=true&nope=1",
                r#"{"name":"m","nope":1}"#,
                r#"{"name":"m","flag":true}"#,
            ),
            ("GET /list?name=a+b", "", r#"{"name":"a+b"}"#),
            ("GET /list/", "", "{}"),
            ("GET /in/a%2Fb", "ignored", r#"{"name":"a/b"}"#),
        ],
    );
    let gateway = testing::compile_with(PROTO, Options::grpc_gateway());
    let json = |request: &str, body: &str| encode(&gateway, request, body);
    let text = json("GET /list?flag=T&nope=1&labels[a]=b&name=a+b", "").unwrap();
    for part in [
        r#""flag":true"#,
        r#""labels":{"a":"b"}"#,
        r#""name":"a b""#,
        r#""ids":[]"#,
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(
        json("GET /list?name=a&name=b", "").unwrap_err().rule,
        Rule::Duplicate
    );
    assert!(
        json("POST /post/n?flag=x", r#"{"name":"m"}"#)
            .unwrap()
            .contains(r#""name":"n""#)
    );
}

#[test]
fn bindings_are_explained() {
    let schema = with(HttpOptions {
        query_maps: true,
        ..HttpOptions::default()
    });
    let found = schema.route(&http::Method::GET, "/in/a%20b").unwrap();
    let bindings = found.bindings(Some("book.display_title=x+y&alt=json&ids=1&labels[k]=v"));
    let bindings: Vec<(String, String, Source)> = bindings
        .unwrap()
        .into_iter()
        .map(|bound| (bound.path, bound.value, bound.source))
        .collect();
    let expected = [
        ("name", "a b", Source::Path),
        ("book.displayTitle", "x y", Source::Query),
        ("ids", "1", Source::Query),
        ("labels[\"k\"]", "v", Source::Query),
    ];
    let expected = expected.map(|(path, value, source)| (path.into(), value.into(), source));
    assert_eq!(bindings, expected);
    assert_eq!(found.bindings(Some("nope=1")).unwrap_err().path, "nope");
}
