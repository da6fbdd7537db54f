//! Anys of types that no service imports: descriptor files or reflection tell them when a message
//! holds one, within bounds, and at the cost of that message alone.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::{Either, join_all, select};
use prost::Message;
use prost_types::{Any, FileDescriptorProto};
use serde_json::{Value, json};
use tokio::time::Instant;
use tonic::Code;

use crate::grpc_web::frames;
use crate::native::GREET;
use crate::support::messages::GreetRequest;
use crate::support::reflection::{Odd, Told, compile, join};
use crate::support::stranger::{DescriptorFile, Upstream};
use crate::support::{Gateway, Reply};
use crate::websocket::connect;

const CHAT: &str = "/stranger.v1.StrangerService/Chat";
const ABSENT: &str = "hidden.v1.Absent";

const DEEP: (&str, &str) = (
    "deep.proto",
    "syntax = \"proto3\"; package deep.v1; message Mark { int32 level = 1; }",
);
const HIDDEN: (&str, &str) = (
    "hidden.proto",
    "syntax = \"proto3\"; package hidden.v1; import \"deep.proto\"; import \"google/protobuf/any.proto\";
     message Note { string text = 1; deep.v1.Mark mark = 2; google.protobuf.Any inner = 3;
                    message Page { int64 number = 1; } }",
);
const NOBODY: (&str, &str) = (
    "nobody.proto",
    "syntax = \"proto3\"; package nobody.knows; message Me { int32 at = 1; }",
);

fn hidden() -> BTreeMap<String, Vec<u8>> {
    let mut files = compile(&[DEEP, HIDDEN]);
    files.extend(compile(&[NOBODY]));
    files
}

fn url(name: &str) -> String {
    format!("type.googleapis.com/{name}")
}

/// An Any in an Any in an Any: of a hidden file, of another, of the service's own.
fn note() -> Value {
    json!({
        "@type": url("hidden.v1.Note"),
        "text": "x",
        "mark": {"level": 3},
        "inner": {
            "@type": url("hidden.v1.Note"),
            "inner": {"@type": url("stranger.v1.List"), "names": ["a"]},
        },
    })
}

fn greeting(extra: &Value) -> Value {
    json!({"name": "a", "extra": extra})
}

/// A way in which messages reach the gateway and come back.
#[derive(Clone, Copy, Debug)]
enum Form {
    Unary,
    Protobuf,
    ConnectUnary,
    ConnectStream,
    Lines,
    Gathered,
    WebSocket,
    Details,
    LinesDetails,
    WebSocketDetails,
    ConnectDetails,
    ConnectStreamDetails,
}

const FORMS: [Form; 12] = [
    Form::Unary,
    Form::Protobuf,
    Form::ConnectUnary,
    Form::ConnectStream,
    Form::Lines,
    Form::Gathered,
    Form::WebSocket,
    Form::Details,
    Form::LinesDetails,
    Form::WebSocketDetails,
    Form::ConnectDetails,
    Form::ConnectStreamDetails,
];

impl Form {
    async fn check(self, gateway: &Gateway) {
        let (note, me) = (note(), json!({"@type": url("nobody.knows.Me"), "at": 1}));
        match self {
            Self::Unary => {
                let reply = greet(gateway, &note).await;
                assert_eq!(reply.json()["extra"], note, "{reply:?}");
                let page = json!({"@type": url("hidden.v1.Note.Page"), "number": "7"});
                let reply = greet(gateway, &page).await;
                assert_eq!(reply.json()["extra"], page, "{reply:?}");
            }
            Self::Protobuf => {
                let extra = any("hidden.v1.Note", b"\x0a\x01x");
                let reply = greet_proto(gateway, extra).await;
                let expected = json!({"@type": url("hidden.v1.Note"), "text": "x"});
                assert_eq!(reply.json()["extra"], expected, "{reply:?}");
            }
            Self::ConnectUnary => {
                let body = greeting(&note).to_string();
                let reply = gateway.post(GREET, "application/json", body).await;
                assert_eq!(reply.json()["extra"], note, "{reply:?}");
            }
            Self::ConnectStream => {
                let plain = framed(&json!({"name": "b"}));
                let body = [plain.clone(), framed(&greeting(&note)), plain].concat();
                let answers = connect_stream(gateway, CHAT, body).await;
                let extras: Vec<&Value> = answers.iter().map(|answer| &answer["extra"]).collect();
                assert_eq!(extras, [&Value::Null, &note, &Value::Null, &Value::Null]);
            }
            Self::Lines => {
                let plain = json!({"name": "b"});
                let body = format!("{plain}\n{}\n{plain}\n{}", greeting(&note), greeting(&me));
                let reply = gateway
                    .post("/v1/chats", "application/x-ndjson", body)
                    .await;
                let text = reply.text();
                let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
                let extras: Vec<Value> = lines.map(|line: Value| line["extra"].clone()).collect();
                assert_eq!(extras, [Value::Null, note, Value::Null, me]);
            }
            Self::Gathered => {
                let body = json!([{"times": 1, "extra": note}, {"name": "b", "extra": me}]);
                let path = "/v1/gatherings/a";
                let reply = gateway
                    .post(path, "application/json", body.to_string())
                    .await;
                assert_eq!(reply.json()["text"], "a*1 b*0", "{reply:?}");
            }
            Self::WebSocket => {
                let mut client = connect(gateway, "/v1/chats").await;
                client.say(greeting(&note).to_string()).await;
                assert_eq!(client.hear_json().await["extra"], note);
                client.say(r#"{"name":"b"}"#).await;
                assert_eq!(client.hear_json().await["text"], "hello b");
            }
            Self::Details
            | Self::LinesDetails
            | Self::WebSocketDetails
            | Self::ConnectDetails
            | Self::ConnectStreamDetails => self.check_details(gateway).await,
        }
    }

    async fn check_details(self, gateway: &Gateway) {
        let me = json!({"@type": url("nobody.knows.Me"), "at": 1});
        match self {
            Self::Details => {
                let reply = gateway.get("/v1/greetings/crashed").await;
                assert_eq!(reply.json()["details"], json!([me]), "{reply:?}");
            }
            Self::LinesDetails => {
                let body = "{\"name\":\"b\"}\n{\"name\":\"crashed\"}";
                let reply = gateway
                    .post("/v1/chats", "application/x-ndjson", body)
                    .await;
                let text = reply.text();
                let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
                assert_eq!(last["error"]["details"], json!([me]), "{text}");
            }
            Self::WebSocketDetails => {
                let mut client = connect(gateway, "/v1/chats").await;
                client.say(r#"{"name":"crashed"}"#).await;
                let error = client.hear_json().await;
                assert_eq!(error["error"]["details"], json!([me]), "{error}");
            }
            Self::ConnectDetails => {
                let body = r#"{"name":"crashed"}"#;
                let reply = gateway.post(GREET, "application/json", body).await;
                let details = &reply.json()["details"];
                assert_eq!(details[1]["debug"], json!({"at": 1}), "{details}");
            }
            Self::ConnectStreamDetails => {
                let body = framed(&json!({"name": "crashed"}));
                let answers = connect_stream(gateway, CHAT, body).await;
                let details = &answers[0]["error"]["details"];
                assert_eq!(details[1]["debug"], json!({"at": 1}), "{details}");
            }
            Self::Unary
            | Self::Protobuf
            | Self::ConnectUnary
            | Self::ConnectStream
            | Self::Lines
            | Self::Gathered
            | Self::WebSocket => {}
        }
    }
}

async fn greet(gateway: &Gateway, extra: &Value) -> Reply {
    let body = greeting(extra).to_string();
    gateway
        .post("/v1/greetings", "application/json", body)
        .await
}

/// A request whose messages only the response shows in JSON.
async fn greet_proto(gateway: &Gateway, extra: Any) -> Reply {
    let request = GreetRequest {
        extra: Some(extra),
        ..Default::default()
    };
    let body = request.encode_to_vec();
    gateway
        .post("/v1/greetings", "application/x-protobuf", body)
        .await
}

fn any(name: &str, value: &[u8]) -> Any {
    Any {
        type_url: url(name),
        value: value.to_vec(),
    }
}

fn framed(message: &Value) -> Vec<u8> {
    let json = message.to_string();
    let mut frame = vec![0];
    frame.extend_from_slice(&u32::try_from(json.len()).unwrap().to_be_bytes());
    frame.extend_from_slice(json.as_bytes());
    frame
}

async fn connect_stream(gateway: &Gateway, path: &str, body: Vec<u8>) -> Vec<Value> {
    let reply = gateway.post(path, "application/connect+json", body).await;
    let messages = frames(&reply.body).into_iter();
    messages
        .map(|(_, json)| serde_json::from_slice(&json).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_a_call_learns_the_type_of_an_any() {
    let reflecting = Upstream::reflecting(Told::stranger().with(hidden())).await;
    let plain = Upstream::start().await;
    let file = DescriptorFile::new(&join(&hidden()));
    let path = file.path();
    let keys = [("schema.descriptors", &*path)];
    let reflecting = FORMS.map(|form| (form, &reflecting, &[][..]));
    let files = FORMS.map(|form| (form, &plain, &keys[..]));
    let checks = reflecting.into_iter().chain(files);
    join_all(checks.map(async |(form, upstream, keys)| {
        let gateway = Gateway::ready_with(&[upstream.address], keys).await;
        form.check(&gateway).await;
    }))
    .await;
}

#[tokio::test]
async fn a_type_that_nobody_declares_is_named_with_its_field() {
    let upstream = Upstream::start().await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let extra = json!({"@type": url(ABSENT)});
    for reply in [
        greet(&gateway, &extra).await,
        gateway
            .post(GREET, "application/json", greeting(&extra).to_string())
            .await,
    ] {
        assert_eq!(reply.status, 400, "{reply:?}");
        let text = reply.text();
        let message = format!("extra.@type: unknown type \\\"{}\\\"", url(ABSENT));
        assert!(text.contains(&message), "{text}");
    }
    let stream = gateway.post(
        "/v1/chats",
        "application/x-ndjson",
        greeting(&extra).to_string(),
    );
    stream
        .await
        .assert_error(400, Code::InvalidArgument, "INVALID_VALUE");

    let reply = greet_proto(&gateway, any(ABSENT, b"")).await;
    reply.assert_error(500, Code::Internal, "BAD_UPSTREAM_MESSAGE");
    let field = &reply.json()["details"][0]["metadata"]["field"];
    assert_eq!(*field, format!("extra.({})", url(ABSENT)));

    let mut client = connect(&gateway, "/v1/chats").await;
    client.say(r#"{"name":"b"}"#).await;
    assert_eq!(client.hear_json().await["text"], "hello b");
    client.say(greeting(&extra).to_string()).await;
    let error = client.hear_json().await["error"].take();
    assert_eq!(error["code"], Code::InvalidArgument as i32, "{error}");
}

#[tokio::test]
async fn a_type_that_was_not_found_is_not_asked_for_again_at_once() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let told = Told::stranger().odd(move |name| {
        count.fetch_add(usize::from(name == ABSENT), Ordering::SeqCst);
        None
    });
    let upstream = Upstream::reflecting(told).await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    let extra = json!({"@type": url(ABSENT)});
    let replies = join_all((0..10).map(|_| greet(&gateway, &extra))).await;
    assert!(replies.iter().all(|reply| reply.status == 400));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    // Names that can't be those of types are not asked for at all.
    for name in ["", "a..b", "a-b", "1a", &"a".repeat(600)] {
        let reply = greet(&gateway, &json!({"@type": format!("x/{name}")})).await;
        assert_eq!(reply.status, 400, "{name}");
    }
}

#[tokio::test]
async fn reflection_that_is_off_is_not_asked() {
    let upstream = Upstream::reflecting(Told::stranger().with(hidden())).await;
    let file = DescriptorFile::new(&crate::support::stranger::descriptors("stranger"));
    let path = file.path();
    let keys = [
        ("schema.descriptors", &*path),
        ("schema.reflection", "false"),
    ];
    let gateway = Gateway::ready_with(&[upstream.address], &keys).await;
    let reply = greet(&gateway, &note()).await;
    reply.assert_error(400, Code::InvalidArgument, "INVALID_VALUE");
}

/// Wrong answers about a type.
fn lies() -> Vec<(&'static str, Told)> {
    let file = |name: &str, imports: Vec<String>| {
        let file = FileDescriptorProto {
            name: Some(name.to_owned()),
            package: Some("hidden.v1".to_owned()),
            dependency: imports,
            syntax: Some("proto3".to_owned()),
            ..FileDescriptorProto::default()
        };
        file.encode_to_vec()
    };
    let lie = |name, answer: fn() -> Odd| {
        let told = Told::stranger().odd(move |asked| (asked == ABSENT).then(answer));
        (name, told)
    };
    let endless = Told::stranger().odd(move |asked| {
        let number = asked.strip_prefix("endless/").unwrap_or("0");
        let next = format!("endless/{}", number.parse::<u64>().ok()? + 1);
        let is_asked = asked == ABSENT || asked.starts_with("endless/");
        is_asked.then(|| Odd::Files(vec![file(asked, vec![next])]))
    });
    vec![
        lie("no file", || Odd::Files(Vec::new())),
        lie("a file of something else", || {
            Odd::Files(vec![compile(&[NOBODY])["nobody.proto"].clone()])
        }),
        lie("garbage", || Odd::Files(vec![vec![0xff; 1000]])),
        lie("a file that is too large", || {
            let file = FileDescriptorProto {
                package: Some("x".repeat(8 << 20)),
                ..FileDescriptorProto::default()
            };
            Odd::Files(vec![file.encode_to_vec()])
        }),
        lie("another answer", || Odd::Services),
        lie("no answer", || Odd::Never),
        lie("the end of the stream", || Odd::Ends),
        lie("an error in the stream", || Odd::Fails),
        ("files without end", endless),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lie_costs_the_message_that_it_is_about() {
    join_all(lies().into_iter().map(async |(name, told)| {
        let upstream = Upstream::reflecting(told.with(hidden())).await;
        let gateway = Gateway::ready(&[upstream.address]).await;
        let begun = Instant::now();
        let reply = greet(&gateway, &json!({"@type": url(ABSENT)})).await;
        assert_eq!(reply.status, 400, "{name}: {reply:?}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{name}");
        // The truth about other types is told still.
        let reply = greet(&gateway, &note()).await;
        assert_eq!(reply.json()["extra"], note(), "{name}: {reply:?}");
    }))
    .await;
}

#[tokio::test]
async fn calls_do_not_wait_for_the_types_of_others() {
    let told = Told::stranger().with(hidden());
    let told = told.odd(|asked| (asked == ABSENT).then_some(Odd::Never));
    let upstream = Upstream::reflecting(told).await;
    let gateway = Gateway::ready(&[upstream.address]).await;
    assert_eq!(greet(&gateway, &note()).await.status, 200);
    let extra = json!({"@type": url(ABSENT)});
    let waiting = pin!(greet(&gateway, &extra));
    let others = pin!(async {
        for _ in 0..5 {
            assert_eq!(greet(&gateway, &note()).await.status, 200);
            assert_eq!(gateway.get("/v1/greetings/a").await.status, 200);
        }
    });
    let Either::Right(((), waiting)) = select(waiting, others).await else {
        panic!("the lookup ended before the others");
    };
    assert_eq!(waiting.await.status, 400);
}
