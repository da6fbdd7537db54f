use std::path::Path;

use chassis::client::ClientSettings;
use wire::Reader as Wire;

use super::*;

const PROTO: &str = r#"
    syntax = "proto3";
    package shop.v1;
    import "buf/validate/validate.proto";
    service Stock {
      rpc Put(PutRequest) returns (PutResponse) { option idempotency_level = IDEMPOTENT; }
      rpc PutOne(Count) returns (PutResponse) { option idempotency_level = IDEMPOTENT; }
      rpc Add(PutRequest) returns (PutResponse);
      rpc Get(Count) returns (PutResponse) { option idempotency_level = NO_SIDE_EFFECTS; }
      rpc Watch(Count) returns (stream PutResponse) { option idempotency_level = IDEMPOTENT; }
    }
    message PutRequest {
      string request_id = 1;
      repeated Count count_rows = 2;
      bool complete = 3;
      int64 first = 4;
      repeated string names = 5;
    }
    message Count {
      string id = 1;
      string sku = 2 [(buf.validate.field).string = {min_len: 1, max_len: 8}];
      int64 quantity = 3 [(buf.validate.field).int64.gte = 0];
      string source = 4;
    }
    message PutResponse {}
"#;

/// The source of the tests, with a call for each two records.
pub(crate) const BATCHED: &str = r#"
    [from]
    kind = "upload"
    [format]
    kind = "csv"
    [into]
    method = "shop.v1.Stock/Put"
    batch = { field = "count_rows", size = 2 }
    [into.request]
    request_id = "source + '/' + unit"
    first = "first"
    complete = "complete"
    [map]
    id = "id"
    sku = "row.sku"
    quantity = "int(row.quantity)"
"#;

/// Compiles a source against the contract of the tests.
pub(crate) fn compiled(text: &str) -> Result<Source, ConfigError> {
    let set = samples::descriptor_set(&[("stock.proto", PROTO)]);
    let schema = Arc::new(Schema::compile(&set).unwrap());
    let url = "http://127.0.0.1:1";
    let upstream = Upstream::connect_lazy(url, &ClientSettings::default(), &[]).unwrap();
    let settings = SourceSettings::parse(Path::new("sources/stock.toml"), text)?;
    Source::compile(settings, upstream, schema)
}

/// Returns all records of a CSV text, mapped.
pub(crate) fn mapped(source: &Source, csv: &str) -> Vec<Result<Message, Box<Held>>> {
    let origin = Origin {
        source: source.name(),
        unit: "u",
    };
    let bytes = std::io::Cursor::new(csv.as_bytes().to_vec());
    let reader = source.settings.format.read(bytes).unwrap();
    let records = reader.map(|read| match read.unwrap() {
        Ok(record) => source.map(&origin, record),
        Err(flaw) => Err(Box::new(flaw.into())),
    });
    records.collect()
}

fn refused(text: &str) -> String {
    compiled(text).unwrap_err().to_string()
}

#[tokio::test]
async fn records_become_messages_with_their_identity() {
    let source = compiled(BATCHED).unwrap();
    let messages = mapped(&source, "sku,quantity\nA,6\n,7\nB,-1\nC,x\nD,1,2\n");
    let shown: Vec<String> = messages
        .iter()
        .map(|message| match message {
            Ok(message) => source.json(message),
            Err(held) => format!("{} {} {}", held.number, held.column, held.rule),
        })
        .collect();
    assert_eq!(shown[0], r#"{"id":"u/1","sku":"A","quantity":"6"}"#);
    assert_eq!(shown[1], "2 sku string.min_len");
    assert_eq!(shown[2], "3 quantity int64.gte");
    assert!(shown[3].starts_with("4 quantity "), "{}", shown[3]);
    assert_eq!(shown[4], "5  WIDTH");
    // What was decoded can be mapped again.
    let held = messages[2].as_ref().unwrap_err();
    let record = decoded(held.record.as_deref().unwrap()).unwrap();
    assert_eq!(record.value.get("quantity").unwrap().shown(), "-1");
    assert_eq!(messages[4].as_ref().unwrap_err().record, None);
}

#[tokio::test]
async fn a_request_has_its_own_fields_and_the_records() {
    let source = compiled(BATCHED).unwrap();
    let messages = mapped(&source, "sku,quantity\nA,6\nB,7\n");
    let messages: Vec<Message> = messages.into_iter().map(Result::unwrap).collect();
    let origin = Origin {
        source: "stock",
        unit: "u",
    };
    let chosen: Vec<&Message> = messages.iter().collect();
    let request = source.request(&origin, &chosen, true).unwrap();
    let mut json = Vec::new();
    source
        .schema
        .write_json("shop.v1.PutRequest", &request, &mut json)
        .unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["requestId"], "stock/u");
    assert_eq!(json["countRows"][1]["id"], "u/2");
    assert_eq!(
        (&json["first"], &json["complete"]),
        (&"1".into(), &true.into())
    );
    assert!(source.tells_end());
}

#[tokio::test]
async fn a_single_call_has_the_fields_of_both_tables() {
    let source = compiled(
        r#"
        from = { kind = "upload" }
        format = { kind = "ndjson" }
        [into]
        method = "shop.v1.Stock/PutOne"
        request = { source = "source" }
        [map]
        sku = "row.sku"
        "#,
    )
    .unwrap();
    assert!(!source.is_batched() && !source.tells_end());
    let messages = mapped(&source, "{\"sku\":\"A\"}\n");
    let message = messages[0].as_ref().unwrap();
    assert_eq!(source.json(message), r#"{"sku":"A","source":"stock"}"#);
    let origin = Origin {
        source: "stock",
        unit: "u",
    };
    let request = source.request(&origin, &[message], true).unwrap();
    assert_eq!(request, message.wire);
}

#[tokio::test]
async fn fields_with_a_value_are_counted() {
    let source = compiled(BATCHED).unwrap();
    let messages = mapped(&source, "sku,quantity\nA,0\nB,7\n");
    let messages: Vec<Message> = messages.into_iter().map(Result::unwrap).collect();
    // A zero is not on the wire.
    assert!(Wire::new(&messages[0].wire).tag().unwrap().is_some());
    let counts: Vec<_> = source.completeness(&messages).collect();
    assert_eq!(counts, [("id", 2), ("sku", 2), ("quantity", 1)]);
}

/// Changes of [`BATCHED`], and parts of the error that each makes.
const MISTAKES: [(&str, &str, &[&str]); 15] = [
    (
        "kind = \"upload\"",
        "kind = \"uplod\"",
        &[
            "from.kind",
            "sources/stock.toml line 3",
            "did you mean `upload`",
        ],
    ),
    (
        "kind = \"upload\"",
        "kind = \"upload\"\nsetle = \"2s\"",
        &["from.setle", "did you mean `settle`"],
    ),
    (
        "kind = \"upload\"",
        "kind = \"directory\"",
        &["from.path", "expected a directory"],
    ),
    (
        "kind = \"upload\"",
        "kind = \"upload\"\nsettle = \"2\"",
        &["from.settle", "expected a duration"],
    ),
    ("size = 2", "size = 0", &["into.batch.size", "1 to 10000"]),
    (
        "Stock/Put\"",
        "Stock/Add\"",
        &["into.method", "idempotency_level = IDEMPOTENT"],
    ),
    ("Stock/Put\"", "Stock/Watch\"", &["into.method", "unary"]),
    (
        "Stock/Put\"",
        "Stock/Get\"",
        &["into.method", "no side effects"],
    ),
    (
        "count_rows",
        "count_row",
        &["into.batch.field", "did you mean `count_rows`"],
    ),
    (
        "count_rows",
        "names",
        &["into.batch.field", "no list of messages"],
    ),
    (
        "quantity = \"int",
        "quantiti = \"int",
        &["map.quantiti", "quantity"],
    ),
    ("id = \"id\"", "id = \"1 + 1\"", &["map.id"]),
    (
        "complete = \"complete\"",
        "complete = \"compleet\"",
        &["into.request.complete"],
    ),
    (
        "kind = \"csv\"",
        "kind = \"csv\"\npath = \"a\"",
        &["format.path", "csv"],
    ),
    (
        "[map]",
        "[quarantine]\nstop_above = { ratio = 2.0, of = 10 }\n[map]",
        &["quarantine.stop_above.ratio"],
    ),
];

#[tokio::test]
async fn a_mistake_is_named_by_its_file_and_key() {
    for (from, to, parts) in MISTAKES {
        assert!(BATCHED.contains(from), "{from}");
        let error = refused(&BATCHED.replace(from, to));
        for part in parts {
            assert!(error.contains(part), "`{part}` is missing: {error}");
        }
    }
}
