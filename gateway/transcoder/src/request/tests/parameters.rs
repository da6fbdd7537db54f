//! Keys of queries: those of fields, those about the response, and those that no text can set.

use super::{encode, schema};
use crate::{Options, Rule, SystemParameters, testing};

#[test]
fn a_field_that_a_query_cant_set_is_told_with_the_place_that_can() {
    let elsewhere = "this route has no body for it, so call the method by gRPC or Connect";
    let dialect = " (only the dialect `grpc-gateway` accepts `name[key]=value`)";
    for (request, path, expected) in [
        (
            "GET /list?labels[a]=b",
            "labels[a]",
            format!("a query can't set a map: {elsewhere}{dialect}"),
        ),
        (
            "GET /list?labels.a=b",
            "labels.a",
            format!("a query can't set a map: {elsewhere}{dialect}"),
        ),
        (
            "GET /list?labels=b",
            "labels",
            format!("a query can't set a map: {elsewhere}{dialect}"),
        ),
        (
            "POST /post/n?labels[a]=b",
            "labels[a]",
            format!("a query can't set a map: send it as JSON in the body{dialect}"),
        ),
        (
            "GET /list?by_sku[a]=b",
            "by_sku[a]",
            format!("a query can't set a map of messages: {elsewhere}"),
        ),
        (
            "GET /list?lines[0].sku=b",
            "lines[0].sku",
            format!("a query can't set a list of messages: {elsewhere}"),
        ),
        (
            "GET /list?ids[0]=1",
            "ids[0]",
            "elements of a list have no index: repeat `ids=…` for each of them".to_owned(),
        ),
        (
            "GET /list?ids[]=1",
            "ids[]",
            "elements of a list have no index: repeat `ids=…` for each of them".to_owned(),
        ),
        (
            "GET /list?book[name]=b",
            "book[name]",
            "fields of a message follow a dot, as in `book.name=…`".to_owned(),
        ),
        (
            "GET /list?name[a]=b",
            "name[a]",
            "only maps have keys: send `name=…`".to_owned(),
        ),
        (
            "GET /list?nope[a]=b",
            "nope[a]",
            "no field has this name".to_owned(),
        ),
    ] {
        let error = encode(&schema(), request, "").unwrap_err();
        assert_eq!(
            (&*error.path, error.rule, &error.description),
            (path, Rule::UnknownField, &expected),
            "{request}"
        );
    }
}

#[test]
fn a_declared_field_has_precedence_over_a_system_parameter() {
    let body = "message In { string id = 1; string alt = 2; string fields = 3; string pretty_print = 4; string key = 5;
          string access_token = 6; string quota_user = 7; }
        message Bare { string id = 1; Inner in = 2; } message Inner { string key = 1; string alt = 2; }
        service S {
          rpc Get(In) returns (In) { option (google.api.http) = { get: \"/in\" additional_bindings { delete: \"/in\" }
            additional_bindings { post: \"/in\" } additional_bindings { post: \"/in/{id}\" body: \"*\" } }; }
          rpc Bare(Bare) returns (Bare) { option (google.api.http) = { get: \"/bare\" additional_bindings { post: \"/bare\" body: \"in\" } }; } }";
    let names = [
        ("alt", "alt"),
        ("fields", "fields"),
        ("prettyPrint", "prettyPrint"),
        ("pretty_print", "prettyPrint"),
        ("key", "key"),
        ("access_token", "accessToken"),
        ("accessToken", "accessToken"),
        ("quotaUser", "quotaUser"),
        ("quota_user", "quotaUser"),
    ];
    for options in [
        Options::default(),
        Options::envoy(),
        Options::grpc_gateway(),
    ] {
        let schema = testing::compile_with(body, options);
        for (name, field) in names {
            for method in ["GET", "DELETE", "POST"] {
                let request = format!("{method} /in?{name}=json");
                let json = encode(&schema, &request, "").unwrap();
                let json: serde_json::Value = serde_json::from_str(&json).unwrap();
                assert_eq!(json[field], "json", "{request}");
            }
            let found = schema.route(&http::Method::GET, "/in").unwrap();
            let query = format!("{name}=json");
            let bound = found.bindings(Some(&query)).unwrap();
            assert_eq!((&*bound[0].path, &*bound[0].value), (field, "json"));
            let read = SystemParameters::of(found.route(), Some(&query));
            assert_eq!(read, SystemParameters::default(), "{query}");
            // The form with a `$` is the system parameter for every message, without one it is
            // where no field has the name.
            for (path, query) in [("/in", format!("${name}=json")), ("/bare", query)] {
                let is_system = !["pretty_print", "accessToken", "quota_user"].contains(&name);
                let found = schema.route(&http::Method::GET, path).unwrap();
                let bound = found.bindings(Some(&query));
                assert!(
                    !is_system || bound == Ok(Vec::new()),
                    "{path}?{query}: {bound:?}"
                );
            }
        }
        let bare = schema.route(&http::Method::GET, "/bare").unwrap();
        let read = SystemParameters::of(bare.route(), Some("alt=sse&fields=id&in.key=k"));
        assert_eq!(
            (read.alt.as_deref(), read.fields.as_deref()),
            (Some("sse"), Some("id"))
        );
    }
    // A value never gets lost: where the body has the field, the query is refused.
    let error = encode(&testing::compile(body).unwrap(), "POST /in/n?key=x", "{}").unwrap_err();
    assert_eq!((&*error.path, error.rule), ("key", Rule::UnknownField));
}

#[test]
fn system_parameters_are_read() {
    let schema = schema();
    let found = schema.route(&http::Method::GET, "/list").unwrap();
    let of = |query| SystemParameters::of(found.route(), query);
    let read = of(Some("$alt=sse&a=b&fields=a,b%2Fc&prettyPrint&x=%zz"));
    assert_eq!(read.alt.as_deref(), Some("sse"));
    assert_eq!(read.fields.as_deref(), Some("a,b/c"));
    assert!(read.pretty_print);
    let none = of(Some("Alt=x&$prettyPrint=false"));
    assert_eq!(none, SystemParameters::default());
    assert_eq!(of(None), SystemParameters::default());
}
