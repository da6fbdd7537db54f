//! Arbitrary streams, cut into messages.

use serde_json::value::RawValue;
use transcoder::stream::{Format, Splitter};
use transcoder::{MAX_DEPTH, RequestError, Rule};

use crate::text::{brackets, show};

/// A message with its index and its offset.
type Piece = (Vec<u8>, u64, u64);

/// The outcome of a stream: its messages, and the error that ends it.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    pieces: Vec<Piece>,
    error: Option<RequestError>,
}

const FORMATS: [Format; 6] = [
    Format::Ndjson,
    Format::JsonArray,
    Format::Concatenated,
    Format::Json,
    Format::Sequence,
    Format::Delimited,
];
/// Small enough for inputs to exceed it, and large enough for none to.
const BOUNDS: [usize; 2] = [24, 1 << 20];

/// A byte for the format and the bound on a message, a byte for the lengths of chunks, and a
/// stream: the same however it is cut into chunks, and what a whole parse of it gives.
pub fn splitters(data: &[u8]) {
    let [choice, seed, stream @ ..] = data else {
        return;
    };
    let choice = usize::from(*choice);
    let format = FORMATS[choice % FORMATS.len()];
    let bound = BOUNDS[choice / FORMATS.len() % BOUNDS.len()];
    let whole = split(format, bound, stream, &[stream.len().max(1)]);
    let lengths = [1 + usize::from(seed & 7), 1 + usize::from(seed >> 3)];
    for lengths in [&[1][..], &lengths, &[lengths[1], 1, lengths[0]]] {
        let cut = split(format, bound, stream, lengths);
        assert_eq!(cut, whole, "in chunks of {lengths:?}: {}", show(stream));
    }
    check_places(format, bound, stream, &whole);
    if format == Format::Delimited {
        return check_delimited(bound, stream, &whole);
    }
    let Some(expected) = parse(format, stream) else {
        return check_refusal(format, stream, &whole);
    };
    // White space after the value of a line is part of the line.
    let is_small = match format {
        Format::Ndjson => stream
            .split(|b| *b == b'\n')
            .all(|line| line.len() <= bound),
        _ => expected.iter().all(|text| text.len() <= bound),
    };
    match &whole.error {
        None => {
            let texts: Vec<&[u8]> = whole.pieces.iter().map(|(text, ..)| &**text).collect();
            assert_eq!(texts, expected, "{}", show(stream));
        }
        Some(error) => assert!(
            matches!(error.rule, Rule::LimitExceeded | Rule::TooLong)
                && (!is_small || brackets(stream) > MAX_DEPTH),
            "{} is refused: {error}",
            show(stream)
        ),
    }
}

/// Splits a stream that arrives in chunks of these lengths, over and over.
fn split(format: Format, bound: usize, stream: &[u8], lengths: &[usize]) -> Outcome {
    let mut splitter = Splitter::new(format, bound);
    let mut pieces = Vec::new();
    let mut rest = stream;
    for length in lengths.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (mut chunk, tail) = rest.split_at(rest.len().min(*length));
        rest = tail;
        loop {
            match splitter.next(&mut chunk) {
                Ok(Some(message)) => {
                    pieces.push((message.bytes.to_vec(), message.index, message.offset));
                }
                Ok(None) => break,
                Err(error) => {
                    let again = splitter.next(&mut &b"[1]"[..]).map(drop);
                    assert_eq!(again, Err(error.clone()), "an error stays");
                    let error = Some(error);
                    return Outcome { pieces, error };
                }
            }
        }
        assert!(chunk.is_empty(), "a chunk is not taken in");
    }
    let last = splitter.finish();
    let last = last.map(|last| last.map(|m| (m.bytes.to_vec(), m.index, m.offset)));
    let error = last.map(|last| pieces.extend(last)).err();
    Outcome { pieces, error }
}

/// Every message is where it says, within the bound, and nothing but separators is between them.
fn check_places(format: Format, bound: usize, stream: &[u8], outcome: &Outcome) {
    let mut end = 0;
    for (count, (text, index, offset)) in outcome.pieces.iter().enumerate() {
        let start = *offset as usize;
        assert_eq!(*index, count as u64, "messages are counted");
        assert_eq!(stream.get(start..start + text.len()), Some(&**text));
        assert!(text.len() <= bound, "{} is over the bound", show(text));
        check_gap(format, &stream[end..start]);
        end = start + text.len();
    }
    match &outcome.error {
        None => check_gap(format, &stream[end..]),
        Some(error) => {
            let offset = error.offset.expect("an error says where");
            assert!((..=stream.len()).contains(&offset), "{error:?}");
        }
    }
}

fn check_gap(format: Format, gap: &[u8]) {
    let separators: &[u8] = match format {
        Format::Delimited => return,
        Format::Ndjson | Format::Concatenated => b" \t\r\n",
        Format::JsonArray | Format::Json => b" \t\r\n[],",
        Format::Sequence => b" \t\r\n\x1e",
    };
    let is_separator = |byte: &u8| separators.contains(byte);
    assert!(gap.iter().all(is_separator), "{} is skipped", show(gap));
}

/// Returns the messages of a stream that is valid as a whole; `None` of any other.
fn parse(format: Format, stream: &[u8]) -> Option<Vec<&[u8]>> {
    let text = std::str::from_utf8(stream).ok()?;
    let space = [' ', '\t', '\r', '\n'];
    match format {
        Format::Ndjson => {
            let lines = text.split('\n').map(|line| line.trim_matches(space));
            let lines = lines.filter(|line| !line.is_empty());
            lines
                .map(|line| value(line).map(|_| line.as_bytes()))
                .collect()
        }
        Format::JsonArray => elements(text),
        Format::Json if text.trim_start_matches(space).starts_with('[') => elements(text),
        Format::Json | Format::Concatenated => {
            let values = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
            values
                .map(|value| value.ok().map(|raw| raw.get().as_bytes()))
                .collect()
        }
        Format::Sequence | Format::Delimited => None,
    }
}

fn value(text: &str) -> Option<&RawValue> {
    serde_json::from_str(text).ok()
}

fn elements(text: &str) -> Option<Vec<&[u8]>> {
    let elements: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    Some(
        elements
            .into_iter()
            .map(|raw| raw.get().as_bytes())
            .collect(),
    )
}

/// A stream that is not valid ends in an error, or has a message that is not JSON, which its
/// encoder then says.
fn check_refusal(format: Format, stream: &[u8], outcome: &Outcome) {
    let is_array = match format {
        Format::JsonArray | Format::Ndjson => true,
        Format::Json => stream.trim_ascii_start().starts_with(b"["),
        // Values may stand closer than serde_json has it, and sequences it does not know.
        _ => false,
    };
    let is_json = |text: &[u8]| std::str::from_utf8(text).is_ok_and(|text| value(text).is_some());
    let is_told = outcome.error.is_some() || !outcome.pieces.iter().all(|(text, ..)| is_json(text));
    assert!(is_told || !is_array, "{} passes for a stream", show(stream));
}

/// Length and message, over and over.
fn check_delimited(bound: usize, stream: &[u8], outcome: &Outcome) {
    let mut rest = stream;
    let mut messages = Vec::new();
    let is_whole = loop {
        if rest.is_empty() {
            break true;
        }
        let Ok(length) = prost::encoding::decode_varint(&mut rest) else {
            break false;
        };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some((message, tail)) = rest.split_at_checked(length) else {
            break false;
        };
        if length > bound {
            break false;
        }
        messages.push(message);
        rest = tail;
    };
    let pieces: Vec<&[u8]> = outcome.pieces.iter().map(|(text, ..)| &**text).collect();
    assert_eq!(pieces, messages, "{}", show(stream));
    assert_eq!(
        outcome.error.is_none(),
        is_whole,
        "{}: {outcome:?}",
        show(stream)
    );
}
