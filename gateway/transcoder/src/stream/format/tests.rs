//! The format of each content type.

use super::*;
use crate::stream::Framing;

#[test]
fn the_content_type_names_the_format() {
    for (content_type, expected) in [
        ("application/json", Some(Format::Json)),
        ("Application/JSON; charset=utf-8", Some(Format::Json)),
        ("application/vnd.shop.order+json", Some(Format::Json)),
        ("application/x-ndjson", Some(Format::Ndjson)),
        ("application/jsonl;charset=utf-8", Some(Format::Ndjson)),
        ("application/json-seq", Some(Format::Sequence)),
        ("application/geo+json-seq", Some(Format::Sequence)),
        (
            "application/x-protobuf; delimited=true",
            Some(Format::Delimited),
        ),
        ("application/vnd.google.protobuf", Some(Format::Delimited)),
        ("image/svg+json", None),
        ("text/event-stream", None),
        ("", None),
    ] {
        assert_eq!(
            Format::of_content_type(content_type),
            expected,
            "{content_type}"
        );
    }
    for framing in [Framing::Ndjson, Framing::JsonArray, Framing::Delimited] {
        assert!(Format::of_content_type(framing.content_type()).is_some());
    }
}
