//! Conditions over real messages.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use auth::{Credential, Identity};
use descriptors::{NameOptions, Types};
use http::HeaderMap;
use proptest::prelude::*;

use crate::{Condition, EvaluationError, MAX_STEPS, Subject};

const CONTRACT: &str = "
    message Line { string sku = 1; int32 pieces = 2; }
    message Order {
      string id = 1; string owner = 2; repeated Line lines = 3; optional int32 count = 4; bytes raw = 5;
      map<string, int64> totals = 6; repeated int32 numbers = 7; oneof way { string mail = 8; string phone = 9; }
      google.protobuf.Timestamp at = 10; Line first = 11; google.protobuf.StringValue note = 12;
      google.protobuf.Struct open = 13; uint64 big = 14; double rate = 15;
    }";

fn types() -> Arc<Types> {
    static TYPES: OnceLock<Arc<Types>> = OnceLock::new();
    let make = || {
        let set = samples::descriptor_set(&[("t.proto", samples::source(CONTRACT))]);
        let loaded = descriptors::load(&set).unwrap();
        Arc::new(Types::new(&loaded.pool, NameOptions::default()))
    };
    TYPES.get_or_init(make).clone()
}

fn compiled(types: &Arc<Types>, source: &str) -> Result<Condition, String> {
    let input = types.by_name["t.Order"];
    Condition::compile(source, types, input).map_err(|error| error.to_string())
}

fn alice() -> Identity {
    Identity {
        issuer: "https://issuer".into(),
        subject: "alice".into(),
        tenant: Some("acme".into()),
        roles: BTreeSet::from(["buyer".into(), "reader".into()]),
        scopes: BTreeSet::new(),
        credential: Credential::Token,
        credential_id: None,
        expires: None,
    }
}

fn run(source: &str, request: &[u8], identity: Option<&Identity>) -> Result<bool, EvaluationError> {
    let types = types();
    let condition = compiled(&types, source).unwrap_or_else(|error| panic!("{source}: {error}"));
    let mut metadata = HeaderMap::new();
    metadata.insert("x-region", "eu".parse().unwrap());
    condition.holds(&Subject {
        identity,
        request,
        metadata: &metadata,
        method: "t.Orders.Get",
    })
}

/// `id` "7", `owner` "alice", two lines, `totals` of "a", `numbers` 1 to 3, phone after mail.
const ORDER: &[u8] = b"\x0a\x017\x12\x05alice\x1a\x05\x0a\x01a\x10\x02\x1a\x05\x0a\x01b\x10\x03\
    \x32\x05\x0a\x01a\x10\x09\x3a\x03\x01\x02\x03\x42\x01m\x4a\x01p\x52\x02\x08\x05";

#[test]
fn conditions_read_the_caller_the_request_and_its_headers() {
    let alice = alice();
    for source in [
        "request.owner == identity.subject",
        "'buyer' in identity.roles && identity.tenant == 'acme'",
        "metadata['x-region'] == 'eu' && 'x-region' in metadata && !has(metadata.other)",
        "method.startsWith('t.Orders.')",
        "now > timestamp('2020-01-01T00:00:00Z') && now == now",
        "has(identity.tenant) && !has(identity.scopes)",
        "request.lines.all(line, line.pieces > 1)",
        "request.lines.exists(line, line.sku == 'b' && line.pieces == 3)",
        "request.lines.map(line, line.sku) == ['a', 'b']",
        "request.lines.filter(line, line.pieces > 2).size() == 1",
        "request.lines.exists_one(line, line.sku == 'a')",
        "request.totals['a'] == 9 && size(request.totals) == 1 && request.totals.all(k, k == 'a')",
        "request.numbers == [1, 2, 3] && 2 in request.numbers && request.numbers[1] == 2",
        "!has(request.mail) && request.mail == '' && has(request.phone)",
        "!has(request.count) && request.count == 0 && !has(request.big) && request.big == 0u",
        "request.at == timestamp('1970-01-01T00:00:05Z') && request.at.getSeconds() == 5",
        "!has(request.first) && request.first.sku == '' && request.note == null",
        "request.lines[0] == request.lines[0] && request.lines[0] != request.lines[1]",
        "request.id.matches('^[0-9]+$') && !matches(request.owner, '^b')",
        "request.rate == 0.0 && request.raw.size() == 0",
        "request.open.size() == 0",
        "'%s has %d'.format([request.owner, size(request.lines)]) == 'alice has 2'",
    ] {
        assert_eq!(run(source, ORDER, Some(&alice)), Ok(true), "{source}");
    }
}

#[test]
fn an_anonymous_caller_has_no_name_and_no_role() {
    assert_eq!(run("identity.subject == ''", ORDER, None), Ok(true));
    assert_eq!(
        run("request.owner == identity.subject", ORDER, None),
        Ok(false)
    );
    assert_eq!(run("'buyer' in identity.roles", ORDER, None), Ok(false));
    assert_eq!(run("has(identity.subject)", ORDER, None), Ok(false));
}

#[test]
fn mistakes_are_found_before_the_first_call() {
    let types = types();
    for (source, reason) in [
        (
            "request.ownr == 'a'",
            "message `t.Order` has no field `ownr`; did you mean 'owner'?",
        ),
        (
            "reqest.owner == 'a'",
            "no variable is named `reqest`; did you mean 'request'?",
        ),
        ("request.owner", "its result is of type string, not bool"),
        (
            "request.count.startsWith('a')",
            "`startsWith(string)` on int: the function does not accept these types",
        ),
        ("request.owner == 7", "`==` does not accept string and int"),
        (
            "request.owner && true",
            "a value of type string stands where a bool is needed",
        ),
        (
            "request.owner.startWith('a')",
            "no function is named `startWith`; did you mean 'startsWith'?",
        ),
        (
            "identity.role == 'a'",
            "an identity has no field `role`; did you mean 'roles'?",
        ),
        (
            "request.owner.matches(request.id)",
            "the pattern of `matches` must be written out",
        ),
        (
            "request.owner.matches('(')",
            "the pattern `(` is malformed: unclosed group",
        ),
        (
            "request.lines.all(a, request.lines.all(b, request.lines.all(c, a == b || b == c)))",
            "it nests more than 2 comprehensions",
        ),
        (
            "request.owner.all(a, true)",
            "a value of type string has no elements",
        ),
        (
            "t.Order{id: 'a'} == request",
            "it makes a message of type `t.Order`, which expressions can't do here",
        ),
    ] {
        assert_eq!(compiled(&types, source).unwrap_err(), reason, "{source}");
    }
    for source in [
        "",
        "request.",
        "1 +",
        "((((",
        "'",
        "a b",
        "request.owner == 'a' &&",
    ] {
        assert!(compiled(&types, source).is_err(), "{source}");
    }
    let deep = format!("{}true{}", "(".repeat(5_000), ")".repeat(2_000));
    assert!(compiled(&types, &deep).is_err());
    let wide = vec!["true"; 1_400].join(" && ");
    assert!(compiled(&types, &wide).is_err());
}

#[test]
fn a_call_that_has_no_result_says_why_without_a_value() {
    for (source, expected) in [
        ("metadata['secret'] == 'a'", EvaluationError::NoSuchKey),
        ("request.numbers[7] == 1", EvaluationError::NoSuchElement),
        ("1 / request.count == 1", EvaluationError::OutOfRange),
        ("int(request.owner) == 1", EvaluationError::Failed),
        ("dyn(request.owner) > 1", EvaluationError::WrongType),
        ("dyn(request.owner)", EvaluationError::NotBool),
    ] {
        let error = run(source, ORDER, None).unwrap_err();
        assert_eq!(error, expected, "{source}");
        assert!(!error.to_string().contains("alice"));
    }
}

fn numbers(count: usize) -> Vec<u8> {
    let mut request = vec![0x3a];
    wire::put_varint(&mut request, count as u64);
    request.extend(std::iter::repeat_n(1, count));
    request
}

#[test]
fn an_evaluation_ends_at_its_budget() {
    let quadratic = "request.numbers.all(a, request.numbers.all(b, a + b > 0))";
    assert_eq!(run(quadratic, &numbers(100), None), Ok(true));
    assert_eq!(
        run(quadratic, &numbers(1_000), None),
        Err(EvaluationError::TooExpensive)
    );
    let mapped = "request.numbers.map(a, request.numbers.filter(b, a > b).size()).size() > 0";
    assert_eq!(
        run(mapped, &numbers(1_000), None),
        Err(EvaluationError::TooExpensive)
    );
    let plain = "request.numbers.exists(a, a > 1)";
    assert_eq!(run(plain, &numbers(8_000), None), Ok(false));
    assert_eq!(
        run(plain, &numbers(80_000), None),
        Err(EvaluationError::TooExpensive)
    );
}

/// Expressions over the numbers of a request, with up to two levels of loops.
fn expressions() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("request.numbers.size() > 1".to_owned()),
        Just("request.owner == 'a'".to_owned()),
        Just("request.lines.size() == 0".to_owned()),
    ];
    let join = |inner: BoxedStrategy<String>| {
        (inner.clone(), inner, prop_oneof![Just("&&"), Just("||")])
            .prop_map(|(left, right, operator)| format!("({left} {operator} {right})"))
            .boxed()
    };
    let flat = join(leaf.boxed());
    let looped = |inner: BoxedStrategy<String>| {
        let form = prop_oneof![
            Just("request.numbers.all(x, LIST)"),
            Just("request.numbers.exists(x, LIST)"),
            Just("request.numbers.filter(x, LIST).size() >= 0"),
            Just("request.numbers.map(x, LIST).size() >= 0"),
            Just("request.numbers.exists_one(x, LIST)"),
        ];
        (form, inner)
            .prop_map(|(form, inner)| form.replace("LIST", &inner))
            .boxed()
    };
    join(looped(join(looped(flat))))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// The bound of `docs/limits.md`: an evaluation takes at most the budget's steps and what one
    /// node may read, whatever the expression and the message.
    #[test]
    fn no_evaluation_takes_more_than_its_budget(source in expressions(), count in 0usize..600) {
        let types = types();
        let condition = compiled(&types, &source).unwrap();
        let request = numbers(count);
        let (meter, subject) = (crate::Meter::default(), Subject {
            identity: None,
            request: &request,
            metadata: &HeaderMap::new(),
            method: "",
        });
        let outcome = condition.run(&subject, &meter);
        let longest = 2 + request.len() as u64;
        prop_assert!(meter.spent() <= MAX_STEPS + longest * source.len() as u64);
        prop_assert_eq!(outcome == Err(EvaluationError::TooExpensive), meter.spent() > MAX_STEPS);
    }

    #[test]
    fn no_text_makes_the_compiler_panic(source in "[a-z.()\\[\\]{}'\"!?:,0-9 +*/<>=&|@%-]{0,80}") {
        let _ = compiled(&types(), &source);
    }

    #[test]
    fn no_bytes_make_an_evaluation_panic(request in proptest::collection::vec(any::<u8>(), 0..64)) {
        let source = "request.lines.all(l, l.pieces > 0) && request.totals.all(k, request.totals[k] > 0) \
            && request.at < now && request.open.all(k, k != '') && request.note != 'x' && has(request.count)";
        let _ = run(source, &request, None);
    }
}

mod libraries {
    use cel_engine::common::types::{CelInt, CelNull, CelString, DYN_TYPE};
    use cel_engine::common::value::CowVal;

    use super::*;
    use crate::{Addition, Boxed, Failure, Library, Meter, Preparation, Program, Type, Variables};

    /// Nothing but `row`.
    struct Row<'a>(crate::Message<'a>);

    impl Variables for Row<'_> {
        fn get<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
            (name == "row").then_some(CowVal::Borrowed(&self.0))
        }
    }

    fn library() -> Library {
        let first = Addition {
            name: "first",
            receiver: None,
            arguments: vec![DYN_TYPE.to_owned(), DYN_TYPE.to_owned()],
            function: |args| {
                let is_null = |value: &CowVal<'_, '_>| value.downcast_ref::<CelNull>().is_some();
                let found = args.into_iter().find(|value| !is_null(value));
                Ok(found.unwrap_or_else(|| CowVal::owned(CelNull)))
            },
        };
        let length = Addition {
            name: "length",
            receiver: None,
            arguments: vec![DYN_TYPE.to_owned()],
            function: |mut args| Ok(args.remove(0)),
        };
        let prepare = |text: &str| -> Result<Boxed<'static>, String> {
            match text {
                "" => Err("is empty".to_owned()),
                text => Ok(Box::new(CelInt::from(text.len() as i64))),
            }
        };
        let signatures = &[("first", &["xx:="] as &[_]), ("length", &["s:i"])];
        Library::with(signatures, vec![first, length], |_| Err(String::new()))
            .preparing(vec![Preparation {
                function: "length",
                argument: 0,
                prepare: Arc::new(prepare),
            }])
            .lenient(&["first"])
    }

    fn compile(source: &str) -> Result<Program, String> {
        let types = types();
        let row = ("row", Type::of_message(&types, types.by_name["t.Order"]));
        Program::compile(source, &types, &library(), &[row]).map_err(|error| error.to_string())
    }

    fn text(source: &str, request: &[u8]) -> Result<String, Failure> {
        let (types, meter) = (types(), Meter::default());
        let view = crate::View::new(&types, &meter);
        let row = Row(view.message(types.by_name["t.Order"], [request]));
        compile(source).unwrap().evaluate(&row, &meter, |value| {
            match value.downcast_ref::<CelString<'_>>() {
                Some(text) => text.inner().to_owned(),
                None => format!("{value:?}"),
            }
        })
    }

    #[test]
    fn values_of_any_type_come_out() {
        assert_eq!(text("row.id + '!'", b"\x0a\x01x").unwrap(), "x!");
        assert!(text("row.rate + 1.0", b"").unwrap().contains("1"));
        assert!(matches!(
            text("row.lines[3].sku", b""),
            Err(Failure::Engine(_))
        ));
    }

    #[test]
    fn arguments_are_prepared_once_and_must_be_written_out() {
        assert!(text("length('abc')", b"").unwrap().contains('3'));
        assert_eq!(
            compile("length('')").unwrap_err(),
            "`` in `length` is empty"
        );
        let reason = "argument 1 of `length` must be a text that is written out";
        assert_eq!(compile("length(row.id)").unwrap_err(), reason);
    }

    #[test]
    fn lenient_functions_get_null_for_absent_fields() {
        assert_eq!(text("first(row.id, 'none')", b"\x0a\x01x").unwrap(), "x");
        assert_eq!(text("first(row.id, 'none')", b"").unwrap(), "none");
        assert_eq!(
            *compile("first(row.id, 'none')").unwrap().result(),
            Type::String
        );
        assert_eq!(*compile("first(null, 7)").unwrap().result(), Type::Int);
    }

    #[test]
    fn fields_that_are_read_are_known() {
        let program =
            compile("has(row.id) && row.lines.all(l, l.sku != row['owner']) ? row.id : ''");
        assert_eq!(
            program.map(drop),
            Err("`[]` does not accept t.Order and string".to_owned())
        );
        let program = compile("has(row.id) ? row.owner : ''").unwrap();
        let mut reads: Vec<_> = program
            .reads()
            .iter()
            .map(|read| (&*read.field, read.is_test))
            .collect();
        reads.sort_unstable();
        assert_eq!(reads, [("id", true), ("owner", false)]);
    }
}
