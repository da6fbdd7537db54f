//! Tests of recording and verification.

use crate::{Contract, Expectations, Recording};

const CALL: &str = "t.Library/Read";

fn contract(body: &str) -> Contract {
    Contract::load(&samples::set_of(body)).unwrap()
}

const BASE: &str = "
    enum Shelf { SHELF_UNSPECIFIED = 0; SHELF_TOP = 1; SHELF_LOW = 2; }
    message Get { string id = 1; bool full = 2; }
    message Author { string name = 1; string born = 2; }
    message Book { string title = 1; repeated Author authors = 2; Shelf shelf = 3; repeated Shelf more = 4; Author editor = 5; }
    service Library { rpc Read(Get) returns (Book); rpc List(Get) returns (stream Book); }";

/// `{title: "E", authors: [{name: "J"}], shelf: TOP, more: [TOP, LOW], editor: {}}`
const BOOK: &[u8] = b"\x0a\x01E\x12\x03\x0a\x01J\x18\x01\x22\x02\x01\x02\x2a\x00";

fn recorded() -> Expectations {
    let contract = contract(BASE);
    let mut recording = Recording::new("web", &contract);
    recording.request(CALL, b"\x0a\x0142");
    recording.response(CALL, BOOK);
    recording.reason(CALL, "BOOK_NOT_FOUND");
    recording.request("grpc.health.v1.Health/Check", b"");
    recording.expectations()
}

fn felt(body: &str) -> Vec<String> {
    let felt = recorded().verify(&contract(body));
    felt.into_iter()
        .map(|one| format!("{}: {}", one.element, one.reason))
        .collect()
}

#[test]
fn what_messages_carry_is_recorded() {
    let recorded = recorded();
    let uses = &recorded.methods[CALL];
    assert_eq!(recorded.methods.len(), 1);
    assert_eq!(uses.kind, "unary");
    let reads: Vec<String> = uses
        .reads
        .iter()
        .map(|(path, told)| format!("{path}: {told}"))
        .collect();
    assert_eq!(
        reads,
        [
            "authors[].name: 2.1 string",
            "editor: 5 message",
            "more[]: 4 enum SHELF_LOW=2 SHELF_TOP=1",
            "shelf: 3 enum SHELF_TOP=1",
            "title: 1 string",
        ]
    );
    assert_eq!(uses.sends.keys().collect::<Vec<_>>(), ["id"]);
    // Truncated and unknown bytes do no harm.
    let contract = contract(BASE);
    let mut recording = Recording::new("web", &contract);
    recording.response(CALL, b"\x0a\x7f");
    recording.response(CALL, b"\xfa\x07\x01x\x0a\x01E");
    assert_eq!(recording.expectations().methods[CALL].reads.len(), 1);
}

#[test]
fn a_change_of_what_is_used_names_consumer_and_field() {
    assert_eq!(felt(BASE), Vec::<String>::new());
    for (from, to, expected) in [
        (
            "string name = 1;",
            "",
            "t.Library/Read authors[].name: consumer web reads `2.1 string` in the response; it is gone",
        ),
        (
            "string title = 1;",
            "bytes title = 1;",
            "it is `1 bytes` now",
        ),
        (
            "repeated Author authors = 2;",
            "repeated Author authors = 9;",
            "it is `9.1 string` now",
        ),
        (
            "repeated Author authors = 2;",
            "Author authors = 2;",
            "authors[].name: consumer web reads `2.1 string` in the response; it is gone",
        ),
        (
            "string id = 1;",
            "int64 id = 1;",
            "consumer web sends `1 string` in the request; it is `1 int64` now",
        ),
        (
            "SHELF_TOP = 1;",
            "SHELF_TOP = 7;",
            "it is `3 enum SHELF_UNSPECIFIED=0 SHELF_LOW=2 SHELF_TOP=7` now",
        ),
        (
            "rpc Read(Get) returns (Book);",
            "",
            "t.Library/Read: consumer web calls this method, which is gone",
        ),
        (
            "rpc Read(Get) returns (Book);",
            "rpc Read(Get) returns (stream Book);",
            "it is server stream now",
        ),
    ] {
        let changed = BASE.replace(from, to);
        assert_ne!(changed, BASE, "{from}");
        let felt = felt(&changed).join("\n");
        assert!(felt.contains(expected), "{from} -> {to}: {felt}");
    }
}

#[test]
fn what_no_consumer_uses_may_change() {
    for (from, to) in [
        ("string born = 2;", ""),
        ("bool full = 2;", "string full = 3;"),
        ("rpc List(Get) returns (stream Book);", ""),
        ("string title = 1;", "string title = 1; string isbn = 10;"),
    ] {
        assert_eq!(
            felt(&BASE.replace(from, to)),
            Vec::<String>::new(),
            "{from}"
        );
    }
}

#[test]
fn what_a_consumer_ignores_is_kept_and_not_verified() {
    let text = recorded().text().unwrap();
    let mut known = Expectations::parse(&text).unwrap();
    assert_eq!(known, recorded());
    let uses = known.methods.get_mut(CALL).unwrap();
    uses.ignores.insert("authors".to_owned());
    uses.ignores.insert("more[]".to_owned());
    uses.reads.clear();
    known.merge(recorded());
    let paths: Vec<_> = known.methods[CALL].reads.keys().cloned().collect();
    assert_eq!(paths, ["editor", "shelf", "title"]);
    assert_eq!(recorded().beyond(&known), Vec::<String>::new());

    known.methods.get_mut(CALL).unwrap().reads.remove("title");
    assert_eq!(
        recorded().beyond(&known),
        ["t.Library/Read reads title (1 string)"]
    );
    let nothing = Expectations::default();
    assert_eq!(recorded().beyond(&nothing), ["calls t.Library/Read"]);
}

#[test]
fn an_event_is_as_its_consumer_reads_it() {
    let text = "consumer = \"stock\"\n[events.\"t.Book\".reads]\ntitle = \"1 string\"\n[events.\"t.Gone\".reads]\n[events.\"other.v1.Moved\".reads]";
    let expectations = Expectations::parse(text).unwrap();
    let felt = expectations.verify(&contract(&BASE.replace("string title = 1;", "")));
    let felt: Vec<String> = felt
        .into_iter()
        .map(|one| format!("{}: {}", one.element, one.reason))
        .collect();
    assert_eq!(
        felt,
        [
            "t.Book title: consumer stock reads `1 string` in the event; it is gone",
            "t.Gone: consumer stock reads this event, which is gone",
        ]
    );
    let wrong = Expectations::parse("consumer = \"x\"\nmethod = 1").unwrap_err();
    assert!(format!("{:?}", wrong).contains("method"));
}
