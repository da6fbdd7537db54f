//! Bodies made to hurt: rejected with the place of the fault, in time linear in their size.

#![allow(clippy::unwrap_used)]

use std::sync::LazyLock;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use transcoder::{RequestError, Rule, Schema};

static SCHEMA: LazyLock<Schema> = LazyLock::new(|| {
    let protos = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/samples/proto");
    let mut compiler = protox::Compiler::new([protos]).unwrap();
    compiler.include_imports(true);
    compiler.open_file("echo.proto").unwrap();
    Schema::compile(&compiler.encode_file_descriptor_set()).unwrap()
});

fn encode(body: &[u8]) -> Result<(), RequestError> {
    let found = SCHEMA.route(&http::Method::POST, "/sink").unwrap();
    found.encode_request(None, body, &mut Vec::new())
}

const MANY: usize = 1_000_000;

/// A body of a size, the rule it breaks if any, the path of the fault, and how its offset relates
/// to the body.
struct Attack {
    name: &'static str,
    body: fn(usize) -> Vec<u8>,
    rule: Option<Rule>,
    path: &'static str,
}

fn numbered_keys(count: usize) -> String {
    let keys: Vec<String> = (0..count).map(|n| format!("\"key{n}\":\"\"")).collect();
    keys.join(",")
}

/// Anys within each other that name their types behind their members.
fn anys(depth: usize, length: usize) -> String {
    let mut any = format!(
        "{{\"aString\":\"{}\",\"@type\":\"t/kitchen.Sink\"}}",
        "x".repeat(length)
    );
    for _ in 1..depth {
        any = format!("{{\"any\":{any},\"@type\":\"t/kitchen.Sink\"}}");
    }
    format!("{{\"any\":{any}}}")
}

const ATTACKS: [Attack; 19] = [
    Attack {
        name: "lists within lists",
        body: |n| format!("{{\"list\":{}{}}}", "[".repeat(n), "]".repeat(n)).into(),
        rule: Some(Rule::LimitExceeded),
        path: "list[0][0][0]",
    },
    Attack {
        name: "messages within messages",
        body: |n| "{\"child\":".repeat(n).into(),
        rule: Some(Rule::LimitExceeded),
        path: "child.child.child",
    },
    Attack {
        name: "Anys within Anys around a long string, their types behind",
        body: |n| anys(40, n).into(),
        rule: Some(Rule::LimitExceeded),
        path: "any.any.any",
    },
    Attack {
        name: "unknown keys",
        body: |n| format!("{{{}}}", numbered_keys(n)).into(),
        rule: Some(Rule::UnknownField),
        path: "key0",
    },
    Attack {
        name: "keys of a map",
        body: |n| format!("{{\"byString\":{{{}}}}}", numbered_keys(n)).into(),
        rule: None,
        path: "",
    },
    Attack {
        name: "keys of a map, the last one twice",
        body: |n| {
            format!(
                "{{\"byString\":{{{0},\"key{1}\":\"\"}}}}",
                numbered_keys(n),
                n - 1
            )
            .into()
        },
        rule: Some(Rule::Duplicate),
        path: "byString",
    },
    Attack {
        name: "keys of a struct, the first one twice",
        body: |n| format!("{{\"structure\":{{{},\"key0\":1}}}}", numbered_keys(n)).into(),
        rule: Some(Rule::Duplicate),
        path: "structure",
    },
    Attack {
        name: "one field again and again",
        body: |n| format!("{{{}\"anInt32\":1}}", "\"anInt32\":1,".repeat(n)).into(),
        rule: Some(Rule::Duplicate),
        path: "anInt32",
    },
    Attack {
        name: "digits of an integer",
        body: |n| format!("{{\"anInt64\":{}}}", "9".repeat(n)).into(),
        rule: Some(Rule::InvalidValue),
        path: "anInt64",
    },
    Attack {
        name: "zeros and an exponent that takes them back",
        body: |n| format!("{{\"anInt64\":1{}e-{n}}}", "0".repeat(n)).into(),
        rule: None,
        path: "",
    },
    Attack {
        name: "digits of an integer in quotes",
        body: |n| format!("{{\"aUint64\":\"{}\"}}", "1".repeat(n)).into(),
        rule: Some(Rule::InvalidValue),
        path: "aUint64",
    },
    Attack {
        name: "digits of a double",
        body: |n| format!("{{\"aDouble\":0.{}}}", "1".repeat(n)).into(),
        rule: None,
        path: "",
    },
    Attack {
        name: "digits of an exponent",
        body: |n| format!("{{\"aDouble\":1e{}}}", "1".repeat(n)).into(),
        rule: Some(Rule::InvalidValue),
        path: "aDouble",
    },
    Attack {
        name: "invalid UTF-8 at the end",
        body: |n| [b"{\"aString\":\"", "ä".repeat(n).as_bytes(), b"\xff\"}"].concat(),
        rule: Some(Rule::Syntax),
        path: "aString",
    },
    Attack {
        name: "a lone surrogate behind many pairs",
        body: |n| format!("{{\"aString\":\"{}\\udc00\"}}", "\\ud83d\\ude00".repeat(n)).into(),
        rule: Some(Rule::Syntax),
        path: "aString",
    },
    Attack {
        name: "a long key that is unknown",
        body: |n| {
            let key = "k".repeat(n);
            let start = "{\"child\":".repeat(80);
            format!("{start}{{\"{key}\":1").into()
        },
        rule: Some(Rule::UnknownField),
        path: "child.child.child",
    },
    Attack {
        name: "a long key of a map, of a long path",
        body: |n| {
            let start = "{\"child\":".repeat(80);
            format!("{start}{{\"byString\":{{\"{}\":1", "k".repeat(n)).into()
        },
        rule: Some(Rule::InvalidValue),
        path: "child.child.child",
    },
    Attack {
        name: "a string without an end",
        body: |n| format!("{{\"aString\":\"{}", "a".repeat(n)).into(),
        rule: Some(Rule::Syntax),
        path: "aString",
    },
    Attack {
        name: "white space",
        body: |n| format!("{{\"anInt32\":{}x", " ".repeat(n)).into(),
        rule: Some(Rule::Syntax),
        path: "anInt32",
    },
];

#[test]
fn hostile_bodies_are_refused_with_the_place_of_the_fault() {
    for attack in ATTACKS {
        let body = (attack.body)(MANY);
        match (encode(&body), attack.rule) {
            (Ok(()), None) => {}
            (Err(error), Some(rule)) => {
                let shown = error.to_string();
                assert_eq!(error.rule, rule, "{}: {shown}", attack.name);
                assert!(
                    error.path.starts_with(attack.path),
                    "{}: {shown}",
                    attack.name
                );
                assert!(shown.len() < 4_000, "{}", attack.name);
                assert!(error.offset.unwrap() <= body.len(), "{}", attack.name);
            }
            (outcome, _) => panic!("{}: {outcome:?}", attack.name),
        }
    }
}

#[test]
fn types_of_anys_may_stand_behind_their_members_and_come_once() {
    assert_eq!(encode(anys(7, 1000).as_bytes()), Ok(()));
    for twice in [
        r#"{"any":{"@type":"t/kitchen.Sink","anInt32":1,"@type":"t/kitchen.Sink"}}"#,
        r#"{"any":{"@type":"t/google.protobuf.Duration","value":"1s","@type":"t/kitchen.Sink"}}"#,
    ] {
        let error = encode(twice.as_bytes()).unwrap_err();
        assert_eq!(error.rule, Rule::Duplicate);
        assert_eq!(error.path, "any.@type");
    }
}

#[test]
fn what_is_not_utf_8_is_found_in_its_field() {
    for (body, path, offset) in [
        (
            &b"{\"child\":{\"strings\":[\"a\",\"b\xff\"]}}"[..],
            "child.strings[1]",
            27,
        ),
        (b"{\"child\":{\"a\xff\":1}}", "child", 12),
        (
            b"{\"byInt32\":{\"7\":{\"aString\":\"\xc3\"}}}",
            "byInt32[\"7\"].aString",
            28,
        ),
        (b"{\"structure\":{\"k\":[\xff", "structure.k", 19),
        (b"{}\xff", "", 2),
        (b"\xff", "", 0),
    ] {
        let error = encode(body).unwrap_err();
        assert_eq!(
            (&*error.path, error.rule, error.offset),
            (path, Rule::Syntax, Some(offset))
        );
        assert_eq!(error.description, "the body is not UTF-8");
    }
    // What comes first is told first.
    let error = encode(b"{\"anInt32\":1.5,\"aString\":\"\xff\"}").unwrap_err();
    assert_eq!((&*error.path, error.rule), ("anInt32", Rule::InvalidValue));
}

/// Returns the time that this thread has had a processor for: what others on the machine take does
/// not count.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap(),
        u32::try_from(time.tv_nsec).unwrap(),
    )
}

/// Returns the least time of several runs, as caches and clocks of a busy machine still disturb
/// each.
fn cost(body: &[u8]) -> Duration {
    let run = || {
        let start = cpu_time();
        let _ = encode(body);
        cpu_time() - start
    };
    (0..5).map(|_| run()).min().unwrap()
}

/// Quadratic work would take 4096 times as long for 64 times the size. Both sizes are
/// below the one from which on values are counted beforehand, which is a step of its own.
#[test]
fn cost_grows_no_faster_than_the_body() {
    for attack in ATTACKS {
        let small = cost(&(attack.body)(MANY / 512));
        let large = cost(&(attack.body)(MANY / 8));
        let bound = small * 1000 + Duration::from_millis(5);
        assert!(large < bound, "{}: {small:?}, {large:?}", attack.name);
    }
}
