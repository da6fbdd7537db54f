//! The fast path says what the walk says.

use proptest::prelude::*;

use super::wire::{MESSAGE, field, split};
use super::{World, options, set};
use crate::check::fast::Fast;
use crate::check::walk::Walk;
use crate::check::well_formed;
use crate::rules::table::Need;
use crate::rules::value::Now;
use crate::{Validation, Validator, Violations};

use ::wire::{Read, Tag, WireType, put_delimited};

/// Returns whether the fast path passes a message that an encoder has written.
pub(super) fn passes(world: &World, wire: &[u8]) -> bool {
    fast(&world.validator(), wire, false, world.refuses_nul)
}

fn fast(validator: &Validator, wire: &[u8], is_foreign: bool, refuses_nul: bool) -> bool {
    let (types, rules) = validator.parts();
    let now = Now::new(rules.clock);
    let fast = Fast {
        types,
        rules,
        now: &now,
        is_foreign,
        refuses_nul,
    };
    fast.passes(validator.input(), wire)
}

/// Returns the answer of the walk alone.
fn walk(validator: &Validator, wire: &[u8], refuses_nul: bool) -> Read<Violations> {
    let (types, rules) = validator.parts();
    let now = Now::new(rules.clock);
    well_formed::check(types, validator.input(), wire, 0)?;
    let need = match refuses_nul {
        true => Need::ALL,
        false => Need::RULES,
    };
    Walk::run(types, rules, validator.input(), wire, need, &now)
}

fn validator(refuse_nul: bool) -> Validator {
    let options = crate::ValidationOptions {
        refuse_nul,
        ..options()
    };
    let validation = Validation::compile(&set(MESSAGE), &options).unwrap();
    validation.validator("t.M").unwrap()
}

thread_local!(static VALIDATORS: [Validator; 2] = [validator(false), validator(true)]);

/// Lets both judge; what one passes the other must.
fn agree(wire: &[u8]) -> Result<(), TestCaseError> {
    VALIDATORS.with(|validators| {
        for (validator, nul) in validators.iter().zip([false, true]) {
            let judged = walk(validator, wire, nul);
            let is_good = judged.as_ref().is_ok_and(Violations::is_empty);
            prop_assert!(is_good || !fast(validator, wire, true, nul), "{judged:?}");
            prop_assert!(is_good || judged.is_err() || !fast(validator, wire, false, nul));
            prop_assert_eq!(validator.check(wire).ok(), judged.ok());
        }
        Ok(())
    })
}

proptest! {
    #[test]
    fn what_passes_fast_passes_the_walk(
        fields in prop::collection::vec(field(), 0..12),
        spoilt in any::<Option<(prop::sample::Index, u8)>>(),
    ) {
        agree(&fields.concat())?;
        let mut pieces: Vec<u8> = fields.iter().flat_map(|field| split(field)).collect();
        agree(&pieces)?;
        if let Some((at, byte)) = spoilt && !pieces.is_empty() {
            let at = at.index(pieces.len());
            pieces[at] = byte;
            agree(&pieces)?;
        }
    }

    #[test]
    fn in_messages_as_encoders_write_them_the_fast_path_misses_nothing(wire in written()) {
        VALIDATORS.with(|[validator, _]| {
            let judged = walk(validator, &wire, false).unwrap();
            for is_foreign in [true, false] {
                prop_assert_eq!(fast(validator, &wire, is_foreign, false), judged.is_empty(), "{:?}", judged);
            }
            Ok(())
        })?;
    }
}

/// Returns a message in order, each field, key and member once, that breaks few rules or none.
fn written() -> impl Strategy<Value = Vec<u8>> {
    let part = || {
        let value = prop::sample::select(vec![1u8, 1, 1, 1, 2, 0]);
        (value.clone(), value).prop_map(|(x, y)| vec![8, x, 16, y])
    };
    let entries = prop::collection::btree_map("[ab]", part(), 0..3).prop_map(|map| {
        let entry = |(key, part): (String, Vec<u8>)| {
            delimited(
                5,
                &[delimited(1, key.as_bytes()), delimited(2, &part)].concat(),
            )
        };
        map.into_iter().flat_map(entry).collect::<Vec<u8>>()
    });
    let choice = prop_oneof![
        Just(Vec::new()),
        "[a-c]{0,3}".prop_map(|text| delimited(6, text.as_bytes())),
        part().prop_map(|part| delimited(7, &part)),
    ];
    let list = prop::collection::vec(prop::sample::select(vec![0u8, 2, 4, 6, 8]), 0..4);
    let number = prop::sample::select(vec![6u8, 6, 6, 7, 5]).prop_map(|number| vec![8, number]);
    let parts = (
        number,
        "[a-zé]{1,4}".prop_map(|text| delimited(2, text.as_bytes())),
        part().prop_map(|part| delimited(3, &part)),
        list.prop_map(|run| delimited(4, &run)),
        entries,
        choice,
        prop::option::of(1..4u8).prop_map(|seconds| match seconds {
            Some(seconds) => delimited(8, &[8, seconds]),
            None => Vec::new(),
        }),
    );
    parts.prop_map(|(a, b, c, d, e, f, g)| [a, b, c, d, e, f, g].concat())
}

fn delimited(number: u32, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_delimited(&mut out, Tag::new(number, WireType::Delimited), content);
    out
}

#[test]
fn fields_may_come_in_any_order() {
    let world = World::new(MESSAGE);
    let fields = [
        &b"\x08\x06"[..],
        b"\x12\x02ab",
        b"\x1a\x04\x10\x01\x08\x01",
        b"\x22\x02\x02\x04",
        b"\x2a\x09\x0a\x01k\x12\x04\x08\x01\x10\x01",
        b"\x32\x01c",
    ];
    let reversed: Vec<&[u8]> = fields.iter().rev().copied().collect();
    assert!(passes(&world, &fields.concat()));
    assert!(passes(&world, &reversed.concat()));
    // Two members of a oneof are for the walk, and so are two parts of a message.
    let part = &b"\x3a\x04\x08\x01\x10\x01"[..];
    assert!(!passes(&world, &[&fields.concat()[..], part].concat()));
    assert!(!passes(&world, &[fields[2], &fields.concat()].concat()));
}

#[test]
fn a_message_of_more_fields_than_bits_is_judged_by_the_walk() {
    let fields: String = (1..=129)
        .map(|number| {
            format!("string f{number} = {number} [(buf.validate.field).string.max_len = 1];")
        })
        .collect();
    let world = World::new(&format!("message M {{ {fields} }}"));
    let wire = world.wire(r#"{"f1": "a", "f129": "ab"}"#);
    assert!(!passes(&world, &wire));
    assert_eq!(super::listed(&world.check(&wire)), ["f129 string.max_len"]);
}
