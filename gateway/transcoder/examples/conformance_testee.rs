//! The testee of protobuf's conformance runner: reads requests from stdin and answers on stdout
//! until stdin ends.
//!
//! `conformance_testee <descriptor set>`; the set holds the types that the runner names.

use std::io::{self, Read, Write};
use std::process::ExitCode;

use prost::Message as _;
use transcoder::{MessageType, Options, Schema};

/// `conformance.ConformanceRequest`.
#[derive(prost::Message)]
struct Request {
    #[prost(oneof = "Payload", tags = "1, 2, 7, 8")]
    payload: Option<Payload>,
    #[prost(int32, tag = "3")]
    output: i32,
    #[prost(string, tag = "4")]
    message_type: String,
    #[prost(int32, tag = "5")]
    category: i32,
}

#[derive(prost::Oneof)]
enum Payload {
    #[prost(bytes, tag = "1")]
    Protobuf(Vec<u8>),
    // Bytes, as some requests hold text that is not UTF-8: to find that out is what is tested.
    #[prost(bytes, tag = "2")]
    Json(Vec<u8>),
    #[prost(bytes, tag = "7")]
    Jspb(Vec<u8>),
    #[prost(bytes, tag = "8")]
    Text(Vec<u8>),
}

/// `conformance.ConformanceResponse`.
#[derive(prost::Message)]
struct Response {
    #[prost(oneof = "Outcome", tags = "1, 2, 3, 4, 5, 6")]
    outcome: Option<Outcome>,
}

#[derive(prost::Oneof)]
enum Outcome {
    #[prost(string, tag = "1")]
    ParseError(String),
    #[prost(string, tag = "2")]
    RuntimeError(String),
    #[prost(bytes, tag = "3")]
    Protobuf(Vec<u8>),
    #[prost(bytes, tag = "4")]
    Json(Vec<u8>),
    #[prost(string, tag = "5")]
    Skipped(String),
    #[prost(string, tag = "6")]
    SerializeError(String),
}

/// Values of `conformance.WireFormat` and `conformance.TestCategory`.
const PROTOBUF: i32 = 1;
const JSON: i32 = 2;
const JSON_IGNORE_UNKNOWN: i32 = 3;
/// The answer to the runner's first request, the list of expected failures: there are none.
const FAILURE_SET: &str = "conformance.FailureSet";

struct Testee {
    strict: Schema,
    lenient: Schema,
}

impl Testee {
    fn new(descriptor_set: &[u8]) -> Result<Self, transcoder::CompileError> {
        let mut lenient = Options::default();
        lenient.json.ignore_unknown_fields = true;
        Ok(Testee {
            strict: Schema::compile(descriptor_set)?,
            lenient: Schema::compile_with(descriptor_set, lenient)?,
        })
    }

    fn answer(&self, request: &Request) -> Outcome {
        if request.message_type == FAILURE_SET {
            return Outcome::Protobuf(Vec::new());
        }
        let schema = match request.category {
            JSON_IGNORE_UNKNOWN => &self.lenient,
            _ => &self.strict,
        };
        let Some(message) = schema.message(&request.message_type) else {
            return Outcome::RuntimeError(format!("no message {}", request.message_type));
        };
        match (&request.payload, request.output) {
            (Some(Payload::Protobuf(wire)), PROTOBUF) => canonical(message, wire),
            (Some(Payload::Protobuf(wire)), JSON) => wire_to_json(message, wire),
            (Some(Payload::Json(json)), output @ (PROTOBUF | JSON)) => {
                let mut wire = Vec::new();
                match message.read_json(json, &mut wire) {
                    Err(error) => Outcome::ParseError(error.to_string()),
                    Ok(()) if output == PROTOBUF => Outcome::Protobuf(wire),
                    Ok(()) => wire_to_json(message, &wire),
                }
            }
            (None, _) => Outcome::RuntimeError("the request has no payload".to_owned()),
            _ => Outcome::Skipped("only binary and JSON".to_owned()),
        }
    }
}

fn canonical(message: MessageType<'_>, wire: &[u8]) -> Outcome {
    let mut out = Vec::new();
    match message.canonical(wire, &mut out) {
        Ok(()) => Outcome::Protobuf(out),
        Err(error) => Outcome::ParseError(error.to_string()),
    }
}

/// Reads and writes in one pass: whether the bytes or the JSON are at fault is
/// asked afterwards.
fn wire_to_json(message: MessageType<'_>, wire: &[u8]) -> Outcome {
    let mut json = Vec::new();
    match message.write_json(wire, &mut json) {
        Ok(()) => Outcome::Json(json),
        Err(error) => match message.canonical(wire, &mut Vec::new()) {
            Ok(()) => Outcome::SerializeError(error.to_string()),
            Err(error) => Outcome::ParseError(error.to_string()),
        },
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("conformance_testee: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let set = std::env::args().nth(1).ok_or("expected a descriptor set")?;
    let testee = Testee::new(&std::fs::read(set)?)?;
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    while let Some(request) = read_frame(&mut input)? {
        let outcome = testee.answer(&Request::decode(request.as_slice())?);
        let response = Response {
            outcome: Some(outcome),
        };
        let response = response.encode_to_vec();
        output.write_all(&u32::try_from(response.len())?.to_le_bytes())?;
        output.write_all(&response)?;
        output.flush()?;
    }
    Ok(())
}

/// Returns the next frame: its length in four little-endian bytes, then its content; `None` where
/// the input ends in front of it.
fn read_frame(input: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match input.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length = u64::from(u32::from_le_bytes(length));
    let mut content = Vec::new();
    match input.take(length).read_to_end(&mut content)? as u64 == length {
        true => Ok(Some(content)),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
