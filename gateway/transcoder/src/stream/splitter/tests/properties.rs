//! Random streams, cut at random places.

use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;
use crate::stream::{Framing, Writer};

const ALL: [Format; 6] = [
    Format::Ndjson,
    Format::JsonArray,
    Format::Concatenated,
    Format::Json,
    Format::Sequence,
    Format::Delimited,
];

/// Any JSON, with all that could be taken for a boundary in its strings.
fn json() -> impl Strategy<Value = Json> {
    let text = || r#"[a"\\{}\[\],:é😀\n ]{0,6}"#;
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        text().prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 16, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::vec((text(), inner), 0..4)
                .prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    })
}

/// Returns the stream, as it is cut at any number of places.
fn cut<'s>(stream: &'s [u8], cuts: &[prop::sample::Index]) -> Vec<&'s [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    places.extend([0, stream.len()]);
    places.sort_unstable();
    places
        .windows(2)
        .map(|pair| &stream[pair[0]..pair[1]])
        .collect()
}

fn cuts() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    prop::collection::vec(any::<prop::sample::Index>(), 0..12)
}

proptest! {
    #[test]
    fn what_was_joined_is_split_again(
        values in prop::collection::vec((json(), any::<bool>()), 0..6),
        cuts in cuts(),
    ) {
        let compact: Vec<String> = values.iter().map(|(value, _)| value.to_string()).collect();
        let mixed: Vec<String> = values.iter().map(|(value, is_pretty)| {
            if *is_pretty { format!("{value:#}") } else { value.to_string() }
        }).collect();
        let records: Vec<String> = mixed.iter().map(|text| format!("\x1e{text}\n")).collect();
        let mut framed = Vec::new();
        let mut writer = Writer::new(Framing::Delimited);
        for text in &mixed {
            let write = |out: &mut Vec<u8>| { out.extend_from_slice(text.as_bytes()); Ok::<_, ()>(()) };
            writer.message(&mut framed, write).unwrap();
        }
        let array = format!("[{}]", mixed.join(" ,\n"));
        for (format, stream, expected) in [
            (Format::Ndjson, compact.join("\r\n").into_bytes(), &compact),
            (Format::JsonArray, array.clone().into_bytes(), &mixed),
            (Format::Json, array.into_bytes(), &mixed),
            (Format::Concatenated, mixed.join("\n").into_bytes(), &mixed),
            (Format::Sequence, records.concat().into_bytes(), &mixed),
            (Format::Delimited, framed, &mixed),
        ] {
            let outcome = split(format, ROOMY, cut(&stream, &cuts));
            prop_assert_eq!(texts(&outcome), expected.iter().collect::<Vec<_>>());
            prop_assert_eq!(&outcome.1, &None);
        }
    }

    #[test]
    fn chunks_make_no_difference_to_anything(
        stream in prop_oneof![
            r#"[\[\]{}",:\\ \n1te\x1eé]{0,24}"#.prop_map(String::into_bytes),
            prop::collection::vec(prop_oneof![0u8..8, any::<u8>()], 0..24),
        ],
        format in prop::sample::select(&ALL[..]),
        max in 0usize..12,
        cuts in cuts(),
    ) {
        let whole = split_everywhere(format, max, &stream);
        prop_assert_eq!(split(format, max, cut(&stream, &cuts)), whole);
    }

    #[test]
    fn concatenated_values_are_cut_as_serde_json_cuts_them(stream in r#"[\[\]{}",:\\ \n1-9.é]{0,24}"#) {
        let mut oracle = serde_json::Deserializer::from_str(&stream).into_iter::<Json>();
        let mut expected = Vec::new();
        while let Some(Ok(value)) = oracle.next() {
            expected.push(value);
        }
        let (messages, error) = split(Format::Concatenated, ROOMY, [stream.as_bytes()]);
        let parsed: Vec<Json> = messages
            .iter()
            .map_while(|(bytes, _)| serde_json::from_slice(bytes).ok())
            .collect();
        prop_assert_eq!(parsed.get(..expected.len()), Some(&expected[..]), "{:?}", messages);
        // What the oracle rejects is rejected here, or in a message that is no JSON.
        if oracle.byte_offset() < stream.trim_end().len() {
            prop_assert!(error.is_some() || parsed.len() < messages.len());
        }
    }
}
