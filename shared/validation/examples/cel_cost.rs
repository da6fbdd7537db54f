//! The time that one rule takes: a standard rule, and the same in CEL.

#![allow(clippy::print_stdout, reason = "a figure for people")]

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use validation::{Validation, ValidationOptions};

const FIELDS: &str = "string sku = 1; int32 pieces = 2; string owner = 3; int64 price = 4;";

/// The message, and what it is about.
const CASES: [(&str, &str); 6] = [
    ("no rule", ""),
    (
        "standard rule of a field",
        "int32 more = 5 [(buf.validate.field).int32.gte = 0];",
    ),
    (
        "the same in CEL",
        "int32 more = 5 [(buf.validate.field).cel_expression = 'this >= 0'];",
    ),
    (
        "CEL over two fields of the message",
        "option (buf.validate.message).cel_expression = 'this.pieces < this.price'; int32 more = 5;",
    ),
    (
        "the format of a text, standard",
        "int32 more = 5; string mail = 6 [(buf.validate.field).string.email = true];",
    ),
    (
        "the format of a text, in CEL",
        "int32 more = 5; string mail = 6 [(buf.validate.field).cel_expression = 'this.isEmail()'];",
    ),
];

/// `sku` "abc", 3 pieces, `owner` "alice", `price` 900, `more` 7, `mail` "a@b.example".
const MESSAGE: &[u8] = b"\x0a\x03abc\x10\x03\x1a\x05alice\x20\x84\x07\x28\x07\x32\x0ba@b.example";

const ROUNDS: usize = 9;
const CHECKS: u32 = 100_000;

fn main() -> Result<(), Box<dyn Error>> {
    for (name, rule) in CASES {
        let body = Box::leak(format!("message M {{ {FIELDS} {rule} }}").into_boxed_str());
        let set = samples::descriptor_set(&[("t.proto", samples::ruled(body))]);
        let validation = Validation::compile(&set, &ValidationOptions::default())?;
        let validator = validation.validator("t.M").ok_or("no such type")?;
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            for _ in 0..CHECKS {
                assert!(validator.check(black_box(MESSAGE))?.is_empty());
            }
            rounds.push(begun.elapsed().as_nanos() / u128::from(CHECKS));
        }
        rounds.sort_unstable();
        println!("{:>6} ns  {name}", rounds.get(ROUNDS / 2).unwrap_or(&0));
    }
    Ok(())
}
