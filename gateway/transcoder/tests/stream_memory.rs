//! A long stream, there and back, in memory that does not grow with it: NDJSON → messages → wire →
//! JSON → NDJSON.

#![allow(clippy::unwrap_used)]

use std::io::Write;

use transcoder::Schema;
use transcoder::stream::{Format, Framing, Splitter, Writer};

/// Size of a chunk; not a multiple of anything.
const CHUNK_BYTES: usize = 16_411;
const MAX_MESSAGE_BYTES: usize = 1 << 20;
const MAX_GROWTH_BYTES: u64 = 2_000_000;

#[test]
fn a_long_stream_takes_no_more_memory_than_a_short_one() {
    let short = growth(1 << 20);
    let long = growth(16 << 20);
    assert!(long < MAX_GROWTH_BYTES, "grew by {long} bytes");
    assert!(long <= short + short / 4, "{short} bytes, then {long}");
}

#[test]
#[ignore = "a gigabyte takes minutes without optimisation"]
fn a_gigabyte_takes_less_than_two_megabytes() {
    let growth = growth(1 << 30);
    assert!(growth < MAX_GROWTH_BYTES, "grew by {growth} bytes");
}

/// Returns how many bytes were allocated at most at one time while a stream of this size was
/// transcoded.
fn growth(stream_bytes: u64) -> u64 {
    let schema = schema();
    let mut sent = 0;
    let info = allocation_counter::measure(|| sent = transcode(&schema, stream_bytes));
    assert!(sent >= stream_bytes);
    assert_eq!(info.bytes_current, 0);
    info.bytes_max
}

fn schema() -> Schema {
    let protos = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/samples/proto");
    let mut compiler = protox::Compiler::new([protos]).unwrap();
    compiler.include_imports(true);
    compiler.open_file("echo.proto").unwrap();
    Schema::compile(&compiler.encode_file_descriptor_set()).unwrap()
}

/// Sends at least so many bytes through, and checks that all of them come back; returns how many.
fn transcode(schema: &Schema, stream_bytes: u64) -> u64 {
    let found = schema.route(&http::Method::POST, "/sink").unwrap();
    let mut splitter = Splitter::new(Format::Ndjson, MAX_MESSAGE_BYTES);
    let mut writer = Writer::new(Framing::Ndjson);
    let (mut wire, mut out, mut expected) = (Vec::new(), Vec::new(), Vec::new());
    let (mut written, mut read, mut sent) = (0, 0, 0);
    let mut input = Vec::new();
    while sent < stream_bytes {
        while input.len() < CHUNK_BYTES {
            put_line(written, &mut input);
            written += 1;
        }
        let mut chunk = input.get(..CHUNK_BYTES).unwrap();
        while let Some(message) = splitter.next(&mut chunk).unwrap() {
            wire.clear();
            found
                .encode_request(None, message.bytes, &mut wire)
                .unwrap();
            out.clear();
            writer
                .message(&mut out, |out| found.route().write_response(&wire, out))
                .unwrap();
            expected.clear();
            put_line(read, &mut expected);
            read += 1;
            assert!(out == expected, "message {read} came back otherwise");
        }
        input.drain(..CHUNK_BYTES);
        sent += CHUNK_BYTES as u64;
    }
    // What is still on its way fits into the chunk that could not be filled, and one message.
    assert!(read > 0 && written - read <= CHUNK_BYTES / 128 + 1);
    sent
}

/// Appends a message in the form in which ProtoJSON writes it: around a kilobyte, now and then
/// sixty.
fn put_line(number: usize, out: &mut Vec<u8>) {
    let padding = match number % 397 {
        396 => 60_000,
        small => 2 * small,
    };
    writeln!(
        out,
        "{{\"anInt32\":{},\"anInt64\":\"-7{number}\",\"aString\":\"é \\\"{:x<padding$}\\\"\",\"strings\":[\"a\",\"\",\"{number}\"],\
         \"children\":[{{\"aBool\":true,\"maybeDouble\":0.5}},{{}}],\"byString\":{{\"key\":\"{:y<500}\"}}}}",
        number % 1000 + 1,
        "",
        ""
    )
    .unwrap();
}
