//! Where streams are cut, what breaks them, and that the chunks they come in make no difference.

mod properties;

use validation::{Violation, Violations};

use super::*;

const ROOMY: usize = 1 << 20;

/// The messages with their offsets, and the error behind them.
type Outcome = (Vec<(Vec<u8>, u64)>, Option<RequestError>);

fn split<'c>(
    format: Format,
    max_message_bytes: usize,
    chunks: impl IntoIterator<Item = &'c [u8]>,
) -> Outcome {
    let mut splitter = Splitter::new(format, max_message_bytes);
    let mut messages = Vec::new();
    let mut take = |message: Message<'_>| {
        assert_eq!(message.index, messages.len() as u64);
        messages.push((message.bytes.to_vec(), message.offset));
    };
    for mut chunk in chunks {
        loop {
            match splitter.next(&mut chunk) {
                Ok(Some(message)) => take(message),
                Ok(None) => break assert!(chunk.is_empty()),
                Err(error) => return (messages, Some(error)),
            }
        }
    }
    match splitter.finish() {
        Ok(last) => last.into_iter().for_each(take),
        Err(error) => return (messages, Some(error)),
    }
    (messages, None)
}

/// Returns the outcome of a stream, which must be the same for every place where it can be cut in
/// two, and byte by byte.
fn split_everywhere(format: Format, max_message_bytes: usize, stream: &[u8]) -> Outcome {
    let whole = split(format, max_message_bytes, [stream]);
    for at in 0..=stream.len() {
        let (head, tail) = stream.split_at(at);
        let outcome = split(format, max_message_bytes, [head, b"", tail]);
        assert_eq!(outcome, whole, "{format:?} {stream:?} cut at {at}");
    }
    let bytes = split(format, max_message_bytes, stream.chunks(1));
    assert_eq!(bytes, whole, "{format:?} {stream:?} byte by byte");
    whole
}

fn texts(outcome: &Outcome) -> Vec<&str> {
    let messages = outcome.0.iter();
    messages
        .map(|(bytes, _)| std::str::from_utf8(bytes).unwrap())
        .collect()
}

#[test]
fn messages_are_cut_out_of_every_format() {
    let cases: &[(Format, &str, &[&str])] = &[
        (Format::Ndjson, "", &[]),
        (Format::Ndjson, "{}\n[1]\n", &["{}", "[1]"]),
        (
            Format::Ndjson,
            "{}\r\n\r\n \t\n1 \r\n\"a\"",
            &["{}", "1", "\"a\""],
        ),
        (Format::Ndjson, " {\"a\": \"\\n\"} ", &["{\"a\": \"\\n\"}"]),
        (Format::Ndjson, "{} {}\n", &["{} {}"]),
        (Format::JsonArray, " [ ] \n", &[]),
        (Format::JsonArray, "[1]", &["1"]),
        (
            Format::JsonArray,
            "[ 1 , {} ,\n\"]\"] ",
            &["1", "{}", "\"]\""],
        ),
        (Format::JsonArray, "[[1,[2]],null]", &["[1,[2]]", "null"]),
        (
            Format::JsonArray,
            r#"["\"],[", {"a\\":"}"}, "é😀"]"#,
            &[r#""\"],[""#, r#"{"a\\":"}"}"#, "\"é😀\""],
        ),
        (Format::Concatenated, "", &[]),
        (
            Format::Concatenated,
            "{}{}[]\n\n{}",
            &["{}", "{}", "[]", "{}"],
        ),
        (Format::Concatenated, "1 2\ttrue", &["1", "2", "true"]),
        (
            Format::Concatenated,
            "-1e+5.{}\"a\"\"b\"",
            &["-1e+5.", "{}", "\"a\"", "\"b\""],
        ),
        (Format::Json, " \n", &[]),
        (Format::Json, " [{},{}] ", &["{}", "{}"]),
        (Format::Json, "{\n \"a\": 1\n}\n", &["{\n \"a\": 1\n}"]),
        (Format::Json, "{} {}", &["{}", "{}"]),
        (Format::Sequence, "", &[]),
        (Format::Sequence, "\x1e{}\n\x1e[1\n]\n", &["{}", "[1\n]"]),
        (
            Format::Sequence,
            "\x1e\x1e\n\x1e{}\x1e1\n\x1e",
            &["{}", "1"],
        ),
        (Format::Delimited, "", &[]),
        (
            Format::Delimited,
            "\x02ab\0\x03\n\x1e{",
            &["ab", "", "\n\x1e{"],
        ),
    ];
    for (format, stream, expected) in cases {
        let outcome = split_everywhere(*format, ROOMY, stream.as_bytes());
        assert_eq!(texts(&outcome), *expected, "{format:?} {stream:?}");
        assert_eq!(outcome.1, None, "{format:?} {stream:?}");
        for (bytes, offset) in &outcome.0 {
            let at = usize::try_from(*offset).unwrap();
            assert_eq!(&stream.as_bytes()[at..at + bytes.len()], bytes);
        }
    }
}

/// That the stream is rejected with this error, at this offset.
fn assert_refused(format: Format, stream: impl AsRef<[u8]>, offset: usize, expected: &str) {
    let stream = stream.as_ref();
    let (_, error) = split_everywhere(format, ROOMY, stream);
    let error = error.unwrap_or_else(|| panic!("{format:?} {stream:?} is accepted"));
    let expected = format!("{expected} (at byte {offset} of the body)");
    assert_eq!(error.to_string(), expected, "{format:?} {stream:?}");
    assert_eq!(error.rule, Rule::Syntax);
}

#[test]
fn what_is_no_array_is_refused_where_it_breaks() {
    for (stream, offset, expected) in [
        ("", 0, "the body ends where a JSON array was expected"),
        (" {}", 1, "expected a JSON array"),
        ("[", 1, "[0]: the body ends inside the array"),
        ("[,1]", 1, "[0]: expected a JSON value"),
        ("[1,]", 3, "[1]: expected a JSON value after ','"),
        ("[1,,2]", 3, "[1]: expected a JSON value"),
        ("[1 2]", 3, "[1]: expected ',' or ']'"),
        ("[1}", 2, "[1]: expected ',' or ']'"),
        ("[1", 2, "[0]: the body ends inside the array"),
        ("[1,", 3, "[1]: the body ends inside the array"),
        ("[{}", 3, "[1]: the body ends inside the array"),
        ("[{\"a", 4, "[0]: the body ends inside a message"),
        ("[1] 2", 4, "unexpected text after the end"),
        ("[]]", 2, "unexpected text after the end"),
    ] {
        assert_refused(Format::JsonArray, stream, offset, expected);
    }
    assert_refused(Format::Json, "[][]", 2, "unexpected text after the end");
    assert_refused(
        Format::Json,
        "[1,]",
        3,
        "[1]: expected a JSON value after ','",
    );
}

#[test]
fn what_is_no_row_of_values_is_refused_where_it_breaks() {
    for (format, stream, offset, expected) in [
        (Format::Ndjson, "{}\n}\n", 3, "[1]: expected a JSON value"),
        (
            Format::Ndjson,
            "\u{feff}{}",
            0,
            "[0]: expected a JSON value",
        ),
        (Format::Json, "{},{}", 2, "[1]: expected a JSON value"),
        (
            Format::Json,
            "{\"a\\\"",
            5,
            "[0]: the body ends inside a message",
        ),
        (Format::Concatenated, "1 ]", 2, "[1]: expected a JSON value"),
        (Format::Concatenated, "1@", 1, "[1]: expected a JSON value"),
        (
            Format::Concatenated,
            "{} [",
            4,
            "[1]: the body ends inside a message",
        ),
        (
            Format::Sequence,
            "{}",
            0,
            "[0]: expected a record separator",
        ),
        (
            Format::Sequence,
            "\x1e{}{}",
            3,
            "[1]: expected a record separator",
        ),
    ] {
        assert_refused(format, stream, offset, expected);
    }
    let truncated = "[0]: a bare number or word may be truncated unless white space follows";
    assert_refused(Format::Sequence, "\x1etrue\x1e", 5, truncated);
    assert_refused(Format::Sequence, "\x1e1", 2, truncated);
}

#[test]
fn what_has_no_good_length_is_refused_where_it_breaks() {
    let in_message = "[0]: the body ends inside a message";
    assert_refused(Format::Delimited, b"\x02b", 2, in_message);
    assert_refused(Format::Delimited, b"\x80", 1, in_message);
    // More bytes than it needs are no fault.
    let outcome = split_everywhere(Format::Delimited, ROOMY, b"\x81\x80\0a");
    assert_eq!((texts(&outcome), outcome.1.clone()), (vec!["a"], None));
    let no_varint = "[0]: the length of a message is not a varint of 64 bits";
    let too_large = [&[0x80; 9][..], &[2]].concat();
    assert_refused(Format::Delimited, too_large, 9, no_varint);
    let too_long = [&[0x80; 10][..], &[1]].concat();
    assert_refused(Format::Delimited, too_long, 10, no_varint);
}

#[test]
fn a_message_may_be_as_long_as_allowed_and_no_longer() {
    let cases: &[(Format, &str, usize)] = &[
        (Format::Ndjson, "\n \n123\n45678\n", 7),
        (Format::JsonArray, " [ 123,45678]", 7),
        (Format::Concatenated, "\"a\" {\"a\":1}", 4),
        (Format::Sequence, "\x1e{} \x1e \"abc\" ", 6),
        (Format::Delimited, "\x02ab\x05abcde", 3),
    ];
    for (format, stream, offset) in cases {
        let max = match format {
            Format::Concatenated => 7,
            _ => 5,
        };
        let (messages, error) = split_everywhere(*format, max, stream.as_bytes());
        assert_eq!((messages.len(), error), (2, None), "{format:?}");
        let (messages, error) = split_everywhere(*format, max - 1, stream.as_bytes());
        let error = error.unwrap();
        assert_eq!((messages.len(), error.rule), (1, Rule::TooLong));
        assert_eq!(error.path, "[1]");
        let description = format!("the message is longer than {} bytes", max - 1);
        assert_eq!(error.description, description);
        let beyond = match format {
            Format::Delimited => *offset,
            _ => offset + max - 1,
        };
        assert_eq!(error.offset, Some(beyond), "{format:?}");
    }
}

#[test]
fn a_length_that_no_memory_holds_is_refused_at_once() {
    let length = [&[0xff; 9][..], &[1]].concat();
    let (_, error) = split_everywhere(Format::Delimited, usize::MAX >> 1, &length);
    let error = error.unwrap();
    assert_eq!((error.rule, error.offset), (Rule::TooLong, Some(0)));
}

#[test]
fn a_message_may_be_as_deep_as_allowed_and_no_deeper() {
    let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    let array = |depth| format!("[1,{}]", nested(depth));
    let (messages, error) = split_everywhere(Format::Json, ROOMY, array(MAX_DEPTH).as_bytes());
    assert_eq!((messages.len(), error), (2, None));

    let (_, error) = split_everywhere(Format::Json, ROOMY, array(MAX_DEPTH + 1).as_bytes());
    let error = error.unwrap();
    assert_eq!(
        (error.rule, error.path.as_str()),
        (Rule::LimitExceeded, "[1]")
    );
    assert_eq!(error.offset, Some(3 + MAX_DEPTH));
}

#[test]
fn a_message_in_one_chunk_is_not_copied() {
    let stream = "[{\"a\":1},{\"b\":2},{\"c\":";
    let mut splitter = Splitter::new(Format::Json, ROOMY);
    let mut chunk = stream.as_bytes();
    let places = stream.as_bytes().as_ptr_range();
    for _ in 0..2 {
        let message = splitter.next(&mut chunk).unwrap().unwrap();
        assert!(places.contains(&message.bytes.as_ptr()));
    }
    assert_eq!(splitter.next(&mut chunk), Ok(None));
    assert_eq!(splitter.buffer, b"{\"c\":");
}

#[test]
fn what_is_kept_stays_within_the_bound() {
    let max = 1 << 20;
    for (format, opening, filler) in [
        (Format::Ndjson, "{", "x"),
        (Format::JsonArray, "[\"", "\\n"),
        (Format::JsonArray, "[1", "1"),
        (Format::Concatenated, "{", " "),
        (Format::Sequence, "\x1e[", "1,"),
    ] {
        let filler = filler.repeat(5000);
        let mut splitter = Splitter::new(format, max);
        assert_eq!(splitter.next(&mut opening.as_bytes()), Ok(None));
        let error = (0..1000).find_map(|_| splitter.next(&mut filler.as_bytes()).err());
        assert_eq!(error.unwrap().rule, Rule::TooLong);
        assert_eq!(splitter.buffer.capacity(), 0);
    }

    let mut splitter = Splitter::new(Format::Json, max);
    for mut chunk in [&b"[\""[..], &[b'x'; 500_000], b"\""] {
        let _ = splitter.next(&mut chunk).unwrap();
    }
    assert!(splitter.buffer.capacity() >= 500_000);
    assert_eq!(splitter.next(&mut &b","[..]), Ok(None));
    assert!(splitter.buffer.capacity() <= KEPT_BYTES);
}

#[test]
fn space_between_messages_takes_no_memory() {
    for format in [
        Format::Ndjson,
        Format::Json,
        Format::JsonArray,
        Format::Sequence,
    ] {
        let mut splitter = Splitter::new(format, 8);
        for _ in 0..1000 {
            assert_eq!(splitter.next(&mut &[b' '; 4096][..]), Ok(None));
            assert_eq!(splitter.next(&mut &[b'\n'; 4096][..]), Ok(None));
        }
        assert_eq!(splitter.buffer.capacity(), 0);
    }
}

#[test]
fn an_error_is_the_end() {
    let mut splitter = Splitter::new(Format::Json, ROOMY);
    let mut chunk = &b"[1,]"[..];
    assert_eq!(splitter.next(&mut chunk).unwrap().unwrap().bytes, b"1");
    let error = splitter.next(&mut chunk).unwrap_err();
    assert_eq!(splitter.next(&mut &b"2]"[..]), Err(error.clone()));
    assert_eq!(splitter.next(&mut &b""[..]), Err(error.clone()));
    assert_eq!(splitter.finish(), Err(error.clone()));
    assert_eq!(splitter.finish(), Err(error));
}

#[test]
fn nothing_comes_behind_the_end() {
    let mut splitter = Splitter::new(Format::Ndjson, ROOMY);
    assert_eq!(splitter.next(&mut &b"1"[..]), Ok(None));
    assert_eq!(splitter.finish().unwrap().unwrap().bytes, b"1");
    assert_eq!(splitter.finish(), Ok(None));
    let error = splitter.next(&mut &b"\n2"[..]).unwrap_err();
    assert_eq!(error.description, "unexpected text after the end");
}

#[test]
fn an_error_in_a_message_is_placed_in_the_stream() {
    let message = Message {
        bytes: b"{}",
        index: 17,
        offset: 1000,
    };
    let error = |path: &str, offset| RequestError {
        path: path.into(),
        rule: Rule::InvalidValue,
        description: "expected a string".into(),
        offset,
        violations: Violations {
            listed: vec![Violation {
                path: path.into(),
                rule: "required".into(),
                message: "value is required".into(),
                ..Violation::default()
            }],
            more: 0,
        },
        missing_type: None,
    };
    for (found, expected) in [
        (
            error("lines[3].price", Some(20)),
            error("[17].lines[3].price", Some(1020)),
        ),
        (error("", None), error("[17]", None)),
        (error("[0]", Some(1)), error("[17][0]", Some(1001))),
    ] {
        assert_eq!(message.locate(found), expected);
    }
}
