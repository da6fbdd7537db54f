//! Masks of real messages, read back by prost-reflect.

use std::sync::Arc;

use descriptors::{NameOptions, Types};
use proptest::prelude::*;
use prost_reflect::{DescriptorPool, DynamicMessage};

use super::Masks;

const CONTRACT: &str = "syntax = \"proto3\"; package t;
    import \"mesh/v1/options.proto\"; import \"google/protobuf/any.proto\";
    message Order {
      string id = 1;
      string note = 2 [(mesh.v1.visible).roles = \"clerk\", (mesh.v1.visible).roles = \"auditor\"];
      User buyer = 3;
      repeated User others = 4;
      map<string, User> by_name = 5;
      google.protobuf.Any held = 6;
      repeated int32 marks = 7 [(mesh.v1.visible).roles = \"clerk\"];
      Plain plain = 8;
    }
    message User { string name = 1; string mail = 2 [(mesh.v1.visible).roles = \"support\"]; }
    message Plain { string text = 1; }";

struct World {
    masks: Arc<Masks>,
    pool: DescriptorPool,
    types: Arc<Types>,
}

fn world() -> World {
    let set = samples::descriptor_set(&[("t.proto", CONTRACT)]);
    let loaded = descriptors::load(&set).unwrap();
    let types = Arc::new(Types::new(&loaded.pool, NameOptions::default()));
    let mut problems = Vec::new();
    let masks = Masks::new(&loaded.pool, types.clone(), &mut problems);
    assert!(problems.is_empty());
    World {
        masks: Arc::new(masks),
        pool: DescriptorPool::decode(&*set).unwrap(),
        types,
    }
}

/// Id "7", note "n", buyer, two others, one by name, a user in an Any, marks, plain text.
const ORDER: &[u8] = b"\x0a\x017\x12\x01n\x1a\x06\x0a\x01a\x12\x01m\x22\x06\x0a\x01b\x12\x01m\x22\x03\x12\x01m*\x0b\x0a\x01k\x12\x06\x0a\x01\
    c\x12\x01m2\x12\x0a\x08x/t.User\x12\x06\x0a\x01d\x12\x01m:\x02\x01\x02B\x03\x0a\x01t";

fn shown(world: &World, bytes: &[u8]) -> String {
    let order = world.pool.get_message_by_name("t.Order").unwrap();
    serde_json::to_string(&DynamicMessage::decode(order, bytes).unwrap()).unwrap()
}

#[test]
fn a_field_is_left_out_unless_the_reader_has_one_of_its_roles() {
    let world = world();
    let mask = world.masks.of(world.types.by_name["t.Order"]).unwrap();
    let order = ORDER;
    let all = shown(&world, order);
    assert!(
        all.contains("mail") && all.contains("marks") && all.contains("note"),
        "{all}"
    );

    let nothing = mask.apply(order, |_| false).unwrap().unwrap();
    let text = shown(&world, &nothing);
    for hidden in ["mail", "marks", "note"] {
        assert!(!text.contains(hidden), "{hidden}: {text}");
    }
    assert!(
        text.contains(r#""id":"7""#) && text.contains("text") && text.contains(r#""name":"c""#),
        "{text}"
    );
    assert!(
        !nothing.windows(2).any(|pair| pair == b"\x01m"),
        "the Any too"
    );

    let clerk = mask.apply(order, |role| role == "clerk").unwrap().unwrap();
    let text = shown(&world, &clerk);
    assert!(
        text.contains("note") && text.contains("marks") && !text.contains("mail"),
        "{text}"
    );
    let every = mask
        .apply(order, |role| {
            ["auditor", "clerk", "support"].contains(&role)
        })
        .unwrap();
    assert_eq!(every, None);
}

#[test]
fn a_message_without_hidden_fields_has_no_mask() {
    let world = world();
    assert!(world.masks.of(world.types.by_name["t.Plain"]).is_none());
    assert!(world.masks.of(world.types.by_name["t.User"]).is_some());
}

#[test]
fn truncated_bytes_are_an_error_and_never_pass() {
    let world = world();
    let mask = world.masks.of(world.types.by_name["t.Order"]).unwrap();
    assert!(mask.apply(b"\x0a\x05x", |_| false).is_err());
    assert!(mask.apply(b"\x1a\x03\x12\x05m", |_| false).is_err());
}

proptest! {
    #[test]
    fn nothing_hidden_gets_through(bytes in proptest::collection::vec(any::<u8>(), 0..48)) {
        let world = world();
        let mask = world.masks.of(world.types.by_name["t.User"]).unwrap();
        if let Ok(masked) = mask.apply(&bytes, |_| false) {
            let masked = masked.unwrap_or(bytes);
            let mut reader = wire::Reader::new(&masked);
            while let Some((number, wire_type)) = reader.tag().unwrap() {
                prop_assert_ne!(number, 2);
                reader.skip(number, wire_type).unwrap();
            }
        }
    }
}
