//! The fast path says what the walk says.

use proptest::prelude::*;

use super::{
    World, options, set,
    wire::{MESSAGE, field, number_of, split},
};
use crate::{
    Schema, Violations,
    validate::{Validator, fast::Fast, table::Need, value::Now, walk::Walk, well_formed},
    wire::Read,
};

/// Whether the fast path passes a message that this crate has written.
pub(super) fn passes(world: &World, wire: &[u8]) -> bool {
    let validator = world.judge.validator(&world.subject.1).unwrap();
    fast(&validator, wire, false)
}

fn fast(validator: &Validator, wire: &[u8], is_foreign: bool) -> bool {
    let types = &validator.types;
    let now = Now::new(types.options.validation.clock);
    let fast = Fast {
        types,
        rules: &types.rules,
        now: &now,
        is_foreign,
        refuses_nul: types.options.validation.refuse_nul,
    };
    fast.passes(validator.input, wire)
}

/// What the walk says alone.
fn walk(validator: &Validator, wire: &[u8]) -> Read<Violations> {
    let types = &validator.types;
    let now = Now::new(types.options.validation.clock);
    well_formed::check(types, validator.input, wire, 0)?;
    let need = match types.options.validation.refuse_nul {
        true => Need::ALL,
        false => Need::RULES,
    };
    Walk::run(types, validator.input, wire, need, &now)
}

fn validator(refuse_nul: bool) -> Validator {
    let mut options = options(true);
    options.validation.refuse_nul = refuse_nul;
    let schema = Schema::compile_with(&set(MESSAGE), options).unwrap();
    schema.validator("t.M").unwrap()
}

thread_local!(static VALIDATORS: [Validator; 2] = [validator(false), validator(true)]);

/// Lets both judge; returns whether both find nothing.
fn agree(wire: &[u8]) -> Result<(), TestCaseError> {
    VALIDATORS.with(|validators| {
        for validator in validators {
            let judged = walk(validator, wire);
            let is_good = judged.as_ref().is_ok_and(Violations::is_empty);
            prop_assert!(is_good || !fast(validator, wire, true), "{judged:?}");
            if judged.is_ok() {
                prop_assert!(is_good || !fast(validator, wire, false), "{judged:?}");
                prop_assert_eq!(validator.check(wire).unwrap(), judged.unwrap());
            } else {
                prop_assert!(validator.check(wire).is_err());
            }
        }
        Ok(())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

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
    fn what_is_in_order_and_good_passes_fast(
        mut fields in prop::collection::vec(field(), 0..12),
    ) {
        let is_list = |field: &[u8]| [4, 5].contains(&number_of(field));
        let class = |field: &[u8]| match number_of(field) { 7 => 6, number => number };
        fields.sort_by_key(|field| class(field));
        fields.dedup_by(|one, other| class(one) == class(other) && !is_list(one));
        let wire = fields.concat();
        VALIDATORS.with(|validators| {
            let judged = walk(&validators[0], &wire).unwrap();
            // Fields of one part may still come twice, which is for the walk to merge.
            let twice = fields.iter().any(|field| split(field).len() > field.len() + 8);
            prop_assert!(twice || fast(&validators[0], &wire, true) == judged.is_empty(), "{judged:?}");
            Ok(())
        })?;
    }
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
