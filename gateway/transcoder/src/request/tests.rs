//! Path, query and body together: what each may set, and what they may not contradict.

mod content;
mod messages;
mod options;
mod parameters;
mod rules;

use crate::limits::MAX_BODY_VALUES;
use crate::{
    Content, MAX_MASK_BYTES, MAX_QUERY_KEY_BYTES, MAX_QUERY_PAIRS, MAX_QUERY_VALUE_BYTES,
    RequestError, Rule, Schema, testing,
};

const PROTO: &str = "
    enum Size { SIZE_UNSPECIFIED = 0; SIZE_LARGE = 2; }
    message Line { string sku = 1; int32 quantity = 2; }
    message Book { string name = 1; string display_title = 2; Book sequel = 3; repeated string tags = 4;
      map<string, int32> counts = 5; google.protobuf.Timestamp printed = 6; Line line = 7;
      optional string etag = 8; oneof kind { string paper = 9; int64 pages = 10; Line sample = 11; } }
    message In { string name = 1; Book book = 2; google.protobuf.FieldMask update_mask = 3; repeated int32 ids = 4;
      Size size = 5; bool flag = 6; bytes data = 7; google.protobuf.Timestamp time = 8; google.protobuf.Int64Value limit = 9;
      double ratio = 10; repeated Line lines = 11; map<string, string> labels = 12;
      oneof by { string by_name = 13; Line by_line = 14; } repeated Size sizes = 15; uint64 big = 16;
      google.protobuf.Duration wait = 17; google.protobuf.Struct extra = 18; google.protobuf.Value any = 19;
      google.protobuf.ListValue list = 20; google.protobuf.Empty nothing = 21; google.protobuf.NullValue null = 22;
      repeated google.protobuf.Timestamp times = 23; map<int32, Size> counted = 24; map<string, Line> by_sku = 25;
      google.protobuf.BoolValue maybe = 26; Line sole = 27; }
    service S {
      rpc Get(In) returns (In) { option (google.api.http) = { get: \"/in/{name}\" }; }
      rpc List(In) returns (In) { option (google.api.http) = { get: \"/list\" }; }
      rpc One(In) returns (In) { option (google.api.http) = { get: \"/one/{by_name}\" }; }
      rpc Typed(In) returns (In) { option (google.api.http) = { get: \"/typed/{big}/{time}/{limit}/{size}\" }; }
      rpc Post(In) returns (In) { option (google.api.http) = { post: \"/post/{name}\" body: \"*\" }; }
      rpc PostOne(In) returns (In) { option (google.api.http) = { post: \"/post-one/{by_name}\" body: \"*\" }; }
      rpc Patch(In) returns (In) { option (google.api.http) = { patch: \"/{book.name=books/*}\" body: \"book\" }; }
      rpc Lines(In) returns (In) { option (google.api.http) = { put: \"/lines\" body: \"lines\" }; }
      rpc Name(In) returns (In) { option (google.api.http) = { put: \"/name\" body: \"name\" }; }
      rpc Labels(In) returns (In) { option (google.api.http) = { put: \"/labels\" body: \"labels\" }; }
      rpc Limit(In) returns (In) { option (google.api.http) = { put: \"/limit\" body: \"limit\" }; }
      rpc Sole(In) returns (In) { option (google.api.http) = { put: \"/sole/{sole.sku}\" body: \"sole\" }; }
      rpc ByLine(In) returns (In) { option (google.api.http) = { put: \"/by-line\" body: \"by_line\" }; }
      rpc Time(In) returns (In) { option (google.api.http) = { post: \"/time/{time}\" body: \"*\" }; }
      rpc Deep(In) returns (In) { option (google.api.http) = { post: \"/deep/{book.line.quantity}\" body: \"*\" }; }
      rpc Stream(stream In) returns (In) { option (google.api.http) = { post: \"/stream/{name}\" body: \"*\" }; }
      rpc Chat(stream In) returns (stream In) { option (google.api.http) = { post: \"/chat\" body: \"book\" }; }
      rpc Mute(stream In) returns (In) { option (google.api.http) = { get: \"/mute\" }; }
      rpc Paper(In) returns (In) { option (google.api.http) = { put: \"/paper/{book.paper}\" body: \"book\" }; }
    }
";

fn schema() -> Schema {
    testing::compile(PROTO).unwrap()
}

/// Returns the request message, shown as JSON.
fn encode(schema: &Schema, request: &str, body: &str) -> Result<String, RequestError> {
    encode_as(schema, Content::Json, request, body.as_bytes())
}

fn encode_as(
    schema: &Schema,
    content: Content,
    request: &str,
    body: &[u8],
) -> Result<String, RequestError> {
    let (method, target) = request.split_once(' ').unwrap();
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let method = http::Method::from_bytes(method.as_bytes()).unwrap();
    let found = schema.route(&method, path).unwrap();
    let mut wire = Vec::new();
    found.encode_request_as(content, query, body, &mut wire)?;
    let mut json = Vec::new();
    found.route().write_response(&wire, &mut json).unwrap();
    Ok(String::from_utf8(json).unwrap())
}

/// Returns the message as JSON, or the fault.
fn outcome(schema: &Schema, content: Content, request: &str, body: &[u8]) -> String {
    encode_as(schema, content, request, body).unwrap_or_else(|error| {
        let rule = error.rule.as_str();
        format!("{}: {rule}: {}", error.path, error.description)
    })
}

/// Request, body, and the message as JSON.
const MESSAGES: [(&str, &str, &str); 43] = [
    (
        "GET /in/a%20b?size=SIZE_LARGE&flag=true",
        "",
        r#"{"name":"a b","size":"SIZE_LARGE","flag":true}"#,
    ),
    ("GET /list?ids=3&ids=1&ids=-2", "", r#"{"ids":[3,1,-2]}"#),
    (
        "GET /list?sizes=2&sizes=SIZE_UNSPECIFIED&sizes=9",
        "",
        r#"{"sizes":["SIZE_LARGE","SIZE_UNSPECIFIED",9]}"#,
    ),
    (
        "GET /list?book.displayTitle=x+y&book.sequel.name=z&book.display_title=",
        "",
        "book.displayTitle: DUPLICATE_FIELD: the parameter is repeated",
    ),
    (
        "GET /list?book.display_title=x+y%2B&book.sequel.name=z&book.sequel.line.quantity=2",
        "",
        r#"{"book":{"displayTitle":"x y+","sequel":{"name":"z","line":{"quantity":2}}}}"#,
    ),
    (
        "GET /list?book.tags=a&book.tags=b&book.etag=",
        "",
        r#"{"book":{"tags":["a","b"],"etag":""}}"#,
    ),
    (
        "GET /list?data=_-8&time=2020-02-29T01:00:00%2B01:00&limit=0",
        "",
        r#"{"data":"/+8=","time":"2020-02-29T00:00:00Z","limit":"0"}"#,
    ),
    (
        "GET /list?time.seconds=5&wait=1.5s&ratio=-1e3",
        "",
        r#"{"time":"1970-01-01T00:00:05Z","ratio":-1000.0,"wait":"1.500s"}"#,
    ),
    (
        "GET /list?updateMask=bookName,a.b",
        "",
        r#"{"updateMask":"bookName,a.b"}"#,
    ),
    (
        "GET /list?alt=sse&$fields=x&key=k&prettyPrint&$.xgafv=2&access_token&quotaUser=q",
        "",
        "{}",
    ),
    ("GET /list?&&name=&", "", "{}"),
    (
        "GET /typed/18446744073709551615/2020-01-01T00:00:00.5Z/-1/SIZE_LARGE",
        "",
        r#"{"size":"SIZE_LARGE","time":"2020-01-01T00:00:00.500Z","limit":"-1","big":"18446744073709551615"}"#,
    ),
    ("POST /post/n", "", r#"{"name":"n"}"#),
    ("POST /post/n", " ", r#"{"name":"n"}"#),
    (
        "POST /post/n",
        r#"{"ids":[1],"name":"n","labels":{"a":"b"}}"#,
        r#"{"name":"n","ids":[1],"labels":{"a":"b"}}"#,
    ),
    ("POST /post/n", r#"{"name":null}"#, r#"{"name":"n"}"#),
    (
        "POST /post-one/n",
        r#"{"byName":"n","byLine":null}"#,
        r#"{"byName":"n"}"#,
    ),
    (
        "PUT /lines",
        r#"[{"sku":"a"},{"quantity":1}]"#,
        r#"{"lines":[{"sku":"a"},{"quantity":1}]}"#,
    ),
    ("PUT /lines?name=n", "[]", r#"{"name":"n"}"#),
    (
        "PUT /paper/p",
        r#"{"tags":["t"],"paper":"p"}"#,
        r#"{"book":{"tags":["t"],"paper":"p"}}"#,
    ),
    // Tables whose JSON is any JSON, as text.
    (
        "GET /list?extra=%7B%22a%22:%5B%22x%22,null%5D%7D&any=%22x%22&list=%5Btrue%5D",
        "",
        r#"{"extra":{"a":["x",null]},"any":"x","list":[true]}"#,
    ),
    ("GET /list?any=null&null=null", "", r#"{"any":null}"#),
    ("GET /list?nothing", "", r#"{"nothing":{}}"#),
    ("GET /list?nothing=%7B%7D", "", r#"{"nothing":{}}"#),
    (
        "GET /list?extra=%7B",
        "",
        "extra: INVALID_VALUE: JSON text: expected ',' or '}'",
    ),
    (
        "GET /list?extra=1",
        "",
        "extra: INVALID_VALUE: JSON text: expected an object, found a number",
    ),
    (
        "GET /list?any=x",
        "",
        "any: INVALID_VALUE: JSON text: expected a JSON value",
    ),
    (
        "GET /list?times=2020-01-01T00:00:00Z&times=2021-01-01T00:00:00Z",
        "",
        r#"{"times":["2020-01-01T00:00:00Z","2021-01-01T00:00:00Z"]}"#,
    ),
    ("GET /list?any.string_value=x", "", r#"{"any":"x"}"#),
    (
        "GET /list?wait.seconds=3&wait.nanos=5",
        "",
        r#"{"wait":"3.000000005s"}"#,
    ),
    // A body that is one field.
    ("PUT /name", r#""n""#, r#"{"name":"n"}"#),
    ("PUT /name", "", "{}"),
    ("PUT /name", "null", "{}"),
    (
        "PUT /labels?flag=true",
        r#"{"a":"b"}"#,
        r#"{"flag":true,"labels":{"a":"b"}}"#,
    ),
    ("PUT /labels", " ", "{}"),
    ("PUT /lines", "", "{}"),
    ("PUT /limit", "7", r#"{"limit":"7"}"#),
    ("PUT /limit", "", "{}"),
    ("PUT /sole/a", "", r#"{"sole":{"sku":"a"}}"#),
    ("PUT /by-line", "", r#"{"byLine":{}}"#),
    (
        "PUT /by-line?by_name=x",
        "{}",
        "byName: DUPLICATE_FIELD: the body is another field of the same oneof",
    ),
    (
        "PUT /name?name=x",
        r#""n""#,
        "name: UNKNOWN_FIELD: the field is the body",
    ),
    (
        "POST /deep/3",
        r#"{"book":{"line":{"quantity":3,"sku":"a"}}}"#,
        r#"{"book":{"line":{"sku":"a","quantity":3}}}"#,
    ),
];

#[test]
fn path_query_and_body_become_one_message() {
    let schema = schema();
    for (request, body, expected) in MESSAGES {
        let actual = outcome(&schema, Content::Json, request, body.as_bytes());
        assert_eq!(actual, expected, "{request} {body}");
    }
}

/// Request, body, and what is at fault.
const FAULTS: [(&str, &str, &str, Rule); 36] = [
    ("GET /list?nope=1", "", "nope", Rule::UnknownField),
    ("GET /list?book.nope=1", "", "book.nope", Rule::UnknownField),
    ("GET /list?name.x=1", "", "name.x", Rule::UnknownField),
    ("GET /list?book=1", "", "book", Rule::InvalidValue),
    ("GET /list?lines=1", "", "lines", Rule::UnknownField),
    ("GET /list?lines.sku=1", "", "lines.sku", Rule::UnknownField),
    ("GET /list?labels=1", "", "labels", Rule::UnknownField),
    ("GET /list?name=1&name=1", "", "name", Rule::Duplicate),
    (
        "GET /list?time=2020-01-01T00:00:00Z&time.seconds=5",
        "",
        "time.seconds",
        Rule::Duplicate,
    ),
    (
        "GET /list?by_name=1&byLine.sku=2",
        "",
        "byLine.sku",
        Rule::Duplicate,
    ),
    (
        "GET /list?book.paper=1&book.sample.sku=2",
        "",
        "book.sample.sku",
        Rule::Duplicate,
    ),
    ("GET /list?flag", "", "flag", Rule::InvalidValue),
    ("GET /list?flag=1", "", "flag", Rule::InvalidValue),
    ("GET /list?ids=1.5", "", "ids", Rule::InvalidValue),
    ("GET /list?ids=%201", "", "ids", Rule::InvalidValue),
    ("GET /list?size=size_large", "", "size", Rule::InvalidValue),
    ("GET /list?name=%ff", "", "name", Rule::InvalidValue),
    ("GET /list?name=%zz", "", "name", Rule::InvalidValue),
    ("GET /in/n?name=n", "", "name", Rule::PathConflict),
    (
        "GET /one/n?by_line.sku=n",
        "",
        "byLine.sku",
        Rule::PathConflict,
    ),
    ("GET /in/n", "{}", "", Rule::UnexpectedBody),
    ("GET /typed/-1/x/1/1", "", "big", Rule::InvalidValue),
    ("POST /post/n?flag=true", "{}", "flag", Rule::UnknownField),
    (
        "POST /post/n",
        r#"{"name":"m"}"#,
        "name",
        Rule::PathConflict,
    ),
    (
        "POST /post-one/n",
        r#"{"byLine":{}}"#,
        "byLine",
        Rule::Duplicate,
    ),
    (
        "POST /post/n",
        r#"{"lines":[{},{"quantity":"x"}]}"#,
        "lines[1].quantity",
        Rule::InvalidValue,
    ),
    (
        "POST /post/n",
        r#"{"labels":{"a":1}}"#,
        "labels[\"a\"]",
        Rule::InvalidValue,
    ),
    (
        "POST /post/n",
        r#"{"labels":{"a":"1","a":"2"}}"#,
        "labels",
        Rule::Duplicate,
    ),
    (
        "POST /post/n",
        r#"{"ids":[null]}"#,
        "ids[0]",
        Rule::InvalidValue,
    ),
    (
        "POST /post/n",
        r#"{"updateMask":"a","update_mask":"b"}"#,
        "updateMask",
        Rule::Duplicate,
    ),
    ("POST /post/n", r#"{"nope":1}"#, "nope", Rule::UnknownField),
    ("POST /post/n", "[]", "", Rule::InvalidValue),
    ("POST /post/n", "{} x", "", Rule::Syntax),
    (
        "PATCH /books/7",
        r#"{"name":"books/8"}"#,
        "book.name",
        Rule::PathConflict,
    ),
    (
        "PATCH /books/7?book.etag=1",
        "{}",
        "book.etag",
        Rule::UnknownField,
    ),
    (
        "PUT /paper/p",
        r#"{"pages":"1"}"#,
        "book.pages",
        Rule::Duplicate,
    ),
];

#[test]
fn faults_name_their_field_and_rule() {
    let schema = schema();
    for (request, body, path, rule) in FAULTS {
        let error = encode(&schema, request, body).expect_err(request);
        assert_eq!(
            (error.path.as_str(), error.rule),
            (path, rule),
            "{request} {body}: {error}"
        );
    }
}

#[test]
fn patch_without_a_mask_means_what_its_body_names() {
    let cases = [
        ("PATCH /books/7", r#"{"displayTitle":"x"}"#, "displayTitle"),
        (
            "PATCH /books/7",
            r#"{"name":"books/7","sequel":{"line":{"sku":"a"},"etag":null},"tags":[],"counts":{},"printed":null}"#,
            "name,sequel.line.sku,sequel.etag,tags,counts,printed",
        ),
        ("PATCH /books/7", r#"{"sequel":{}}"#, "sequel"),
        (
            "PATCH /books/7?updateMask=etag",
            r#"{"displayTitle":"x"}"#,
            "etag",
        ),
        ("PATCH /books/7", "", ""),
    ];
    let schema = schema();
    for (request, body, mask) in cases {
        let json = encode(&schema, request, body).unwrap();
        assert!(
            json.ends_with(&format!("\"updateMask\":\"{mask}\"}}")),
            "{request} {body}: {json}"
        );
    }
}

#[test]
fn body_errors_point_into_the_text() {
    let schema = schema();
    let error = encode(&schema, "POST /post/n", r#"{"lines":[{"sku": 7}]}"#).unwrap_err();
    assert_eq!(
        (error.path.as_str(), error.offset),
        ("lines[0].sku", Some(18))
    );
    assert_eq!(
        error.to_string(),
        "lines[0].sku: expected a string, found a number (at byte 18 of the body)"
    );
}

#[test]
fn bounds_hold() {
    let schema = schema();
    let many = |count: usize| format!("GET /list?{}", "ids=1&".repeat(count));
    assert!(encode(&schema, &many(MAX_QUERY_PAIRS), "").is_ok());
    let deep = |depth: usize| {
        format!(
            "{{\"book\":{}{}}}",
            "{\"sequel\":".repeat(depth),
            "{}".to_owned() + &"}".repeat(depth)
        )
    };
    assert!(encode(&schema, "POST /post/n", &deep(90)).is_ok());
    let cases = [
        (many(MAX_QUERY_PAIRS + 1), String::new()),
        (
            format!("GET /list?{}=1", "n".repeat(MAX_QUERY_KEY_BYTES + 1)),
            String::new(),
        ),
        (
            format!("GET /list?name={}", "n".repeat(MAX_QUERY_VALUE_BYTES + 1)),
            String::new(),
        ),
        ("POST /post/n".into(), deep(100)),
    ];
    for (request, body) in cases {
        let error = encode(&schema, &request, &body).unwrap_err();
        assert_eq!(error.rule, Rule::LimitExceeded, "{error}");
    }
}

#[test]
fn body_of_too_many_values_is_refused() {
    let schema = schema();
    let ids = |count: usize| format!("{{\"ids\":[{}0]}}", "0,".repeat(count - 1));
    assert!(encode(&schema, "POST /post/n", &ids(MAX_BODY_VALUES - 2)).is_ok());
    let error = encode(&schema, "POST /post/n", &ids(MAX_BODY_VALUES)).unwrap_err();
    assert_eq!(error.rule, Rule::LimitExceeded, "{error}");
    // What looks like values inside a string is none, whatever is escaped there.
    let text = format!(
        "{{\"bookName\":0,\"name\":\"\\\"{}\"}}",
        ",".repeat(2 * MAX_BODY_VALUES)
    );
    let error = encode(&schema, "POST /post/n", &text).unwrap_err();
    assert_eq!(error.rule, Rule::UnknownField, "{error}");
}

#[test]
fn mask_is_bounded() {
    let schema = schema();
    let leaves = r#""displayTitle":"","tags":[],"etag":"","line":{"sku":"","quantity":1}"#;
    let nested = |depth: usize| {
        let books = format!("{{{leaves},\"sequel\":").repeat(depth);
        format!("{books}{{{leaves}}}{}", "}".repeat(depth))
    };
    assert!(encode(&schema, "PATCH /books/7", &nested(20)).is_ok());
    let error = encode(&schema, "PATCH /books/7", &nested(80)).unwrap_err();
    assert_eq!(error.rule, Rule::LimitExceeded, "{error}");
    assert!(error.description.contains(&MAX_MASK_BYTES.to_string()));
}

#[test]
fn failed_request_leaves_the_buffer_as_it_was() {
    let schema = schema();
    let found = schema.route(&http::Method::POST, "/post/n").unwrap();
    let mut out = b"before".to_vec();
    assert!(
        found
            .encode_request(None, b"{\"ids\":[1,2,x]}", &mut out)
            .is_err()
    );
    assert_eq!(out, b"before");
}
