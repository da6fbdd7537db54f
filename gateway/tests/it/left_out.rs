//! Services and HTTP bindings that can't be served: each is named, and costs nothing else.

use std::collections::BTreeMap;

use futures::future::join_all;
use prost_types::FileDescriptorProto;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::native::{GREET, greet, unary};
use crate::support::reflection::{Odd, Told, changed, compile, join};
use crate::support::stranger::{DescriptorFile, Reflection, Upstream, variant};
use crate::support::{Gateway, layers};

type Files = BTreeMap<String, Vec<u8>>;

const ODD: &str = "odd.v1.Odd";

/// A service at `/odd` whose message has one field.
fn odd(imports: &str, field: &str) -> String {
    format!(
        "syntax = \"proto3\"; package odd.v1; import \"google/api/annotations.proto\"; {imports}
         service Odd {{ rpc Do(Q) returns (Q) {{ option (google.api.http) = {{get: \"/odd\"}}; }} }}
         message Q {{ {field} }}"
    )
}

/// [`odd`], compiled with more files, without some of them.
fn files(more: &[(&str, &str)], imports: &str, field: &str, without: &[&str]) -> Files {
    let odd = odd(imports, field);
    let sources = [more, &[("odd.proto", &odd)]].concat();
    let mut files = compile(&sources);
    files.retain(|name, _| !without.contains(&&**name));
    files
}

/// A fault of reflection, and the reason why the odd service is left out; none if it is served.
struct Row {
    name: &'static str,
    told: Told,
    reason: Option<&'static str>,
}

impl Row {
    fn served(name: &'static str, files: Files) -> Self {
        let told = Told::stranger().with(files).lists(ODD);
        let reason = None;
        Self { name, told, reason }
    }

    fn left_out(name: &'static str, files: Files, reason: &'static str) -> Self {
        Self {
            reason: Some(reason),
            ..Self::served(name, files)
        }
    }

    fn odd(self, odd: impl Fn(&str) -> Option<Odd> + Send + Sync + 'static) -> Self {
        Self {
            told: self.told.odd(odd),
            ..self
        }
    }
}

const LOST: (&str, &str) = (
    "lost.proto",
    "syntax = \"proto3\"; package lost; message M { string a = 1; }",
);
const OPTIONS: (&str, &str) = (
    "options.proto",
    "syntax = \"proto3\"; package options; import \"google/protobuf/descriptor.proto\";
     extend google.protobuf.FieldOptions { string mark = 50001; }",
);
const WELL_KNOWN: &[&str] = &[
    "google/protobuf/any.proto",
    "google/protobuf/descriptor.proto",
    "google/protobuf/empty.proto",
    "google/protobuf/struct.proto",
    "google/protobuf/timestamp.proto",
    "google/protobuf/wrappers.proto",
];
const OLD_PATH: &str = "github.com/golang/protobuf/ptypes/timestamp/timestamp.proto";
const TIMESTAMP: &str = "google/protobuf/timestamp.proto";

/// The odd service whose field has a type of this name.
fn typed(name: &str) -> Files {
    let mut files = lost(&[]);
    let raw = changed(&files["odd.proto"], |file| {
        file.message_type[0].field[0].type_name = Some(name.to_owned());
    });
    files.insert("odd.proto".to_owned(), raw);
    files
}

/// The odd service with an import that it does not use.
fn imported(name: &str) -> Files {
    let mut files = files(&[], "", "string a = 1;", &[]);
    let raw = changed(&files["odd.proto"], |file| {
        file.dependency.push(name.to_owned())
    });
    files.insert("odd.proto".to_owned(), raw);
    files
}

/// The odd service with a message of another file.
fn lost(without: &[&str]) -> Files {
    files(&[LOST], "import \"lost.proto\";", "lost.M a = 1;", without)
}

/// Answers the question for that file otherwise.
fn instead(change: fn(&mut FileDescriptorProto)) -> impl Fn(&str) -> Option<Odd> {
    move |asked| {
        let raw = &compile(&[LOST])["lost.proto"];
        let other = || Odd::Files(vec![changed(raw, change)]);
        (asked == "lost.proto").then(other)
    }
}

fn left_out() -> Vec<Row> {
    vec![
        Row::left_out("listed without a file", Files::new(), "not found"),
        Row::left_out("missing import", lost(&["lost.proto"]), "lost.M"),
        Row::left_out("import with another content", lost(&[]), "lost.M")
            .odd(instead(|file| file.message_type.clear())),
        Row::left_out(
            "placeholder of a type",
            typed(".x.<unknown:0>"),
            "<unknown:0>",
        ),
        Row::left_out("type without a name", typed(""), "odd.v1.Q.a"),
    ]
}

fn served() -> Vec<Row> {
    let options = files(
        &[OPTIONS],
        "import \"options.proto\";",
        "string a = 1 [(options.mark) = \"x\"];",
        &["options.proto"],
    );
    let language = files(
        &[],
        "import \"google/protobuf/any.proto\"; import \"google/protobuf/empty.proto\";
         import \"google/protobuf/struct.proto\"; import \"google/protobuf/timestamp.proto\";
         import \"google/protobuf/wrappers.proto\";",
        "google.protobuf.Any a = 1; google.protobuf.Empty b = 2;
         google.protobuf.Struct c = 3; google.protobuf.Timestamp d = 4;
         google.protobuf.StringValue e = 5; google.protobuf.NullValue f = 6;",
        WELL_KNOWN,
    );
    let mut weak = imported("lost.proto");
    let raw = changed(&weak["odd.proto"], |file| file.weak_dependency.push(1));
    weak.insert("odd.proto".to_owned(), raw);
    vec![
        Row::served("import under another name", lost(&[])).odd(instead(|file| {
            file.name = Some("dir/lost.proto".to_owned());
        })),
        Row::served("import for options only", options),
        Row::served("placeholder of an import", imported("<unknown:0>")),
        Row::served("files of the language", language),
        Row::served("old path of a file of the language", old_path(false)),
        Row::served("old and new path of one file", old_path(true)),
        Row::served("two copies of gogo.proto", gogo()),
        Row::served("weak import", weak),
        Row::served("import of itself", imported("odd.proto")),
    ]
}

/// Servers of old registered their own copies of the files of the language.
fn old_path(is_there: bool) -> Files {
    let text = format!("syntax = \"proto3\"; import public \"{TIMESTAMP}\";");
    let imports = format!("import \"{OLD_PATH}\";");
    let field = "google.protobuf.Timestamp a = 1;";
    let mut files = files(&[(OLD_PATH, &text)], &imports, field, &[OLD_PATH]);
    if is_there {
        let copy = changed(&files[TIMESTAMP], |file| {
            file.name = Some(OLD_PATH.to_owned());
        });
        files.insert(OLD_PATH.to_owned(), copy);
    } else {
        files.remove(TIMESTAMP);
    }
    files
}

fn gogo() -> Files {
    let text = "syntax = \"proto3\"; package gogo; message M { string a = 1; }";
    let other = "syntax = \"proto3\"; package odd; import \"gogoproto/gogo.proto\"; message N { gogo.M a = 1; }";
    let mut all = files(
        &[("gogoproto/gogo.proto", text), ("other.proto", other)],
        "import \"gogoproto/gogo.proto\"; import \"other.proto\";",
        "gogo.M a = 1; odd.N b = 2;",
        &[],
    );
    let path = "github.com/gogo/protobuf/gogoproto/gogo.proto";
    let copy = changed(&all["gogoproto/gogo.proto"], |file| {
        file.name = Some(path.to_owned());
    });
    let other = changed(&all["other.proto"], |file| {
        file.dependency[0] = path.to_owned()
    });
    all.insert(path.to_owned(), copy);
    all.insert("other.proto".to_owned(), other);
    all
}

#[tokio::test]
async fn a_service_that_does_not_resolve_is_named_and_costs_no_other() {
    let rows = left_out().into_iter().chain(served());
    join_all(rows.map(check)).await;
}

async fn check(row: Row) {
    let name = row.name;
    let upstream = Upstream::reflecting(row.told).await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    serves_the_stranger(&gateway, name).await;
    let status = gateway.upstream_status(0).await;
    let left_out = &status["servicesLeftOut"];
    let explained = gateway
        .get("/-/explain?method=GET&path=%2Fodd")
        .await
        .json();
    match row.reason {
        None => {
            assert_eq!(left_out, &json!([]), "{name}");
            assert_eq!(status["services"], 2, "{name}");
            assert_eq!(explained["services_left_out"], json!({}), "{name}");
        }
        Some(reason) => {
            assert_eq!(left_out[0]["service"], ODD, "{name}: {left_out}");
            let found = left_out[0]["reason"].as_str().unwrap();
            assert!(found.contains(reason), "{name}: {found}");
            assert_eq!(explained["services_left_out"][ODD], found, "{name}");
            assert_eq!(gateway.get("/odd").await.status, 404, "{name}");
        }
    }
}

/// JSON and native gRPC.
pub(crate) async fn serves_the_stranger(gateway: &Gateway, name: &str) {
    let reply = gateway.get("/v1/greetings/a").await;
    assert_eq!(reply.status, 200, "{name}: {reply:?}");
    let response = unary(gateway.grpc().await, GREET, greet("a")).await;
    assert_eq!(response.unwrap().into_inner().text, "hello a", "{name}");
}

#[tokio::test]
async fn a_descriptor_file_fills_the_gaps_of_reflection() {
    let whole = lost(&[]);
    let file = DescriptorFile::new(&join(&whole));
    let import = Files::from([("lost.proto".to_owned(), whole["lost.proto"].clone())]);
    let import = DescriptorFile::new(&join(&import));
    let mut partial = whole;
    partial.remove("lost.proto");
    for (told, file) in [
        (Told::stranger().lists(ODD), &file),
        (Told::stranger().with(partial).lists(ODD), &import),
    ] {
        let upstream = Upstream::reflecting(told).await;
        let keys = [("schema.descriptors", &*file.path())];
        let gateway = Gateway::ready_with(&[upstream.address], &keys).await;
        let status = gateway.upstream_status(0).await;
        assert_eq!(status["servicesLeftOut"], json!([]));
        assert_eq!(
            gateway.get("/odd").await.status,
            501,
            "the upstream's answer"
        );
    }
}

#[tokio::test]
async fn an_upstream_of_which_nothing_resolves_leaves_the_gateway_ready() {
    let good = Upstream::start().await;
    let odd = Told::stranger().odd(|_| Some(Odd::Refused));
    let odd = Upstream::reflecting(odd).await;
    let gateway = Gateway::ready(&[good.address, odd.address]).await;
    serves_the_stranger(&gateway, "beside").await;
    let status = gateway.upstream_status(1).await;
    let service = &status["servicesLeftOut"][0]["service"];
    assert_eq!(service, "stranger.v1.StrangerService");

    // Alone it serves nothing.
    let gateway = Gateway::start(&[odd.address], &[]).await;
    let told = async || {
        let status = gateway.upstream_status(0).await;
        let is_told = status["servicesLeftOut"][0]["service"].is_string();
        is_told.then_some(()).ok_or(status)
    };
    crate::support::eventually("it is learned", told).await;
    assert_eq!(gateway.get("/readyz").await.status, 503);
}

/// Rules of `Greet` and `Fetch` outside google/api/http.proto, with the template and the reason.
const GREETINGS: &str = "get: \"/v1/greetings/{name}\"";
const FILES: &str = "get: \"/v1/files/{name}\"\n      additional_bindings {\n        custom: {";
const RULES: &[(&str, &str, &str, &str)] = &[
    (
        GREETINGS,
        "get: \"/v1/greetings/{name}:a:b\"",
        "/v1/greetings/{name}:a:b",
        "unexpected \":b\"",
    ),
    (
        GREETINGS,
        "get: \"/v1/{name}/{name}\"",
        "/v1/{name}/{name}",
        "name",
    ),
    (
        GREETINGS,
        "put: \"/v1/greetings/{name}\" body: \"list.names\"",
        "/v1/greetings/{name}",
        "list.names",
    ),
    (
        GREETINGS,
        "put: \"/v1/greetings/{name}\" body: \"lost\"",
        "/v1/greetings/{name}",
        "lost",
    ),
    (
        GREETINGS,
        "get: \"/v1/greetings/{name}\" response_body: \"lost\"",
        "/v1/greetings/{name}",
        "lost",
    ),
    (
        GREETINGS,
        "get: \"/v1/greetings/{nmae}\"",
        "/v1/greetings/{nmae}",
        "nmae",
    ),
    (
        GREETINGS,
        "get: \"/v1/greetings/{list}\"",
        "/v1/greetings/{list}",
        "list",
    ),
    (
        GREETINGS,
        "get: \"/v1/greetings/{list.names}\"",
        "/v1/greetings/{list.names}",
        "list.names",
    ),
    (
        GREETINGS,
        "get: \"/v1/greetings/{name\"",
        "/v1/greetings/{name",
        "",
    ),
    (GREETINGS, "get: \"v1/greetings\"", "v1/greetings", ""),
    (GREETINGS, "get: \"\"", "", ""),
    (
        GREETINGS,
        "custom: {kind: \"G T\" path: \"/v1/x\"}",
        "/v1/x",
        "",
    ),
    (
        FILES,
        "get: \"/v1/greetings/{name}\"\n      additional_bindings {\n        custom: {",
        "/v1/greetings/{name}",
        "StrangerService.Greet",
    ),
];

#[tokio::test]
async fn a_rule_outside_the_specification_costs_its_binding_only() {
    join_all(RULES.iter().map(|row| check_rule(*row))).await;
}

async fn check_rule((rule, other, template, reason): (&str, &str, &str, &str)) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let descriptors = variant(&[(rule, other)]);
    let upstream = Upstream::serve(listener, descriptors, Reflection::V1);
    let gateway = Gateway::ready(&[upstream.address]).await;
    // The additional binding, another method, and native gRPC.
    let posted = gateway
        .post("/v1/greetings", "application/json", "{\"name\": \"a\"}")
        .await;
    assert_eq!(posted.status, 200, "{other}: {posted:?}");
    let heads = gateway.get("/v1/counts/1").await;
    assert_eq!(heads.status, 200, "{other}: {heads:?}");
    let response = unary(gateway.grpc().await, GREET, greet("a")).await;
    assert_eq!(response.unwrap().into_inner().text, "hello a", "{other}");

    let status = gateway.upstream_status(0).await;
    let left_out = status["bindingsLeftOut"].as_array().unwrap();
    let [binding] = &left_out[..] else {
        panic!("{other}: {status}");
    };
    let method = if rule == FILES { "Fetch" } else { "Greet" };
    let name = format!("stranger.v1.StrangerService/{method}");
    assert_eq!(binding["rpcMethod"], name, "{other}");
    assert_eq!(binding["template"], template, "{other}");
    let found = binding["reason"].as_str().unwrap();
    assert!(found.contains(reason), "{other}: {found}");
    let explained = gateway.get("/-/explain?path=%2F").await.json();
    let [invalid] = &explained["invalid_bindings"].as_array().unwrap()[..] else {
        panic!("{other}: {explained}");
    };
    assert_eq!(invalid["why"], *found, "{other}");
    assert_eq!(invalid["rpc_method"], name, "{other}");
}

#[tokio::test]
async fn a_rule_of_the_configuration_replaces_an_invalid_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let descriptors = variant(&[(GREETINGS, "get: \"/v1/greetings/{nmae}\"")]);
    let upstream = Upstream::serve(listener, descriptors, Reflection::V1);
    let plain = Gateway::ready(&[upstream.address]).await;
    let status = plain.upstream_status(0).await;
    let reason = status["bindingsLeftOut"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("schema.http_rules"), "{reason}");
    let rules = "[[schema.http_rules]]\nselector = \"stranger.v1.StrangerService.Greet\"\nget = \"/hi/{name}\"\n";
    let gateway = Gateway::configured(layers(&[upstream.address], &[], rules)).await;
    gateway.wait_until_ready().await;
    assert_eq!(gateway.get("/hi/you").await.json()["text"], "hello you");
    let left_out = gateway.upstream_status(0).await["bindingsLeftOut"].take();
    assert_eq!(left_out, Value::Array(Vec::new()));
}

#[tokio::test]
async fn a_path_value_may_end_in_a_colon() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    for (path, value) in [
        ("fe80::", "fe80::"),
        ("C:", "C:"),
        ("C%3A", "C:"),
        (":", ":"),
        ("a:b:", "a:b:"),
        ("::1", "::1"),
    ] {
        let reply = gateway.get(&format!("/v1/greetings/{path}")).await;
        assert_eq!(reply.json()["text"], format!("hello {value}"), "{path}");
    }
}
