//! The program that protovalidate's conformance suite starts: a request on standard input, with a
//! descriptor set and messages, becomes a response on standard output.

#![allow(clippy::print_stdout, reason = "the suite reads standard output")]

use std::collections::HashSet;
use std::error::Error;
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::SystemTime;

use descriptors::{MessageId, NameOptions, Problem, Types};
use validation::{Clock, Validation, ValidationOptions};
use wire::{Reader, Tag, WireType, close, open, put_delimited};

/// One case: its name, and the message as an Any.
struct Case<'a> {
    name: &'a [u8],
    type_name: &'a str,
    message: &'a [u8],
}

/// Numbers of the oneof in `TestResult`.
const SUCCESS: u32 = 1;
const VALIDATION_ERROR: u32 = 2;
const COMPILATION_ERROR: u32 = 3;
const RUNTIME_ERROR: u32 = 4;
const UNEXPECTED_ERROR: u32 = 5;

/// The compiled rules of a descriptor set.
struct Testee {
    types: Arc<Types>,
    validation: Validation,
    problems: Vec<Problem>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut request = Vec::new();
    std::io::stdin().read_to_end(&mut request)?;
    let response = respond(&request)?;
    std::io::stdout().write_all(&response)?;
    Ok(())
}

/// Answers a `TestConformanceRequest` with a `TestConformanceResponse`.
fn respond(request: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let (mut set, mut cases) = (&request[..0], Vec::new());
    each(request, |number, raw| {
        match number {
            2 => set = raw,
            3 => cases.push(case(raw)?),
            _ => {}
        }
        Ok(())
    })?;
    let testee = Testee::new(set)?;
    let mut out = Vec::new();
    for case in &cases {
        nested(1, &mut out, |out| {
            put_delimited(out, Tag::new(1, WireType::Delimited), case.name);
            nested(2, out, |out| testee.judge(case, out));
        });
    }
    Ok(out)
}

// === impl Testee ===

impl Testee {
    fn new(set: &[u8]) -> Result<Self, Box<dyn Error>> {
        let loaded = descriptors::load(set)?;
        let types = Arc::new(Types::new(&loaded.pool, NameOptions::default()));
        let options = ValidationOptions {
            clock: Some(Clock(SystemTime::now)),
            ..ValidationOptions::default()
        };
        let mut problems = loaded.problems;
        let validation = Validation::new(&loaded.pool, types.clone(), &options, &mut problems);
        Ok(Testee {
            types,
            validation,
            problems,
        })
    }

    /// Appends the content of a `TestResult`.
    fn judge(&self, case: &Case<'_>, out: &mut Vec<u8>) {
        let Some(id) = self.types.by_name.get(case.type_name) else {
            return put_text(UNEXPECTED_ERROR, "no such type", out);
        };
        if let Some(problem) = self.problem(*id) {
            return put_text(COMPILATION_ERROR, &problem.to_string(), out);
        }
        let validator = self.validation.validator_of(*id);
        if let Some(rule) = validator.unenforced().first() {
            return put_text(UNEXPECTED_ERROR, &rule.to_string(), out);
        }
        match validator.check(case.message) {
            Err(error) => put_text(UNEXPECTED_ERROR, &error.to_string(), out),
            Ok(found) if found.is_empty() => Tag::new(SUCCESS, WireType::Varint).put_varint(1, out),
            Ok(found) => match found.listed.iter().find(|own| own.origin.has_no_result) {
                Some(rule) => put_text(RUNTIME_ERROR, &rule.to_string(), out),
                None => {
                    let tag = Tag::new(VALIDATION_ERROR, WireType::Delimited);
                    put_delimited(out, tag, &validator.protovalidate(&found).1);
                }
            },
        }
    }

    /// Returns a mistake in the rules of a message or of one below it.
    fn problem(&self, input: MessageId) -> Option<&Problem> {
        let (mut seen, mut pending) = (HashSet::from([input]), vec![input]);
        while let Some(id) = pending.pop() {
            let plan = self.types.message(id);
            let is_own = |problem: &&Problem| {
                let rest = problem.element.strip_prefix(&*plan.name);
                rest.is_some_and(|rest| {
                    rest.strip_prefix('.')
                        .map_or(rest.is_empty(), |member| !member.contains('.'))
                })
            };
            if let Some(found) = self.problems.iter().find(is_own) {
                return Some(found);
            }
            let below = plan.fields.iter().filter_map(|field| field.message());
            pending.extend(below.filter(|id| seen.insert(*id)));
        }
        None
    }
}

fn case(entry: &[u8]) -> Result<Case<'_>, Box<dyn Error>> {
    let mut found = Case {
        name: &entry[..0],
        type_name: "",
        message: &entry[..0],
    };
    let mut any = &entry[..0];
    each(entry, |number, raw| {
        match number {
            1 => found.name = raw,
            2 => any = raw,
            _ => {}
        }
        Ok(())
    })?;
    each(any, |number, raw| {
        match number {
            1 => found.type_name = str::from_utf8(raw)?.rsplit('/').next().unwrap_or_default(),
            2 => found.message = raw,
            _ => {}
        }
        Ok(())
    })?;
    Ok(found)
}

fn each<'a>(
    content: &'a [u8],
    mut take: impl FnMut(u32, &'a [u8]) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let mut reader = Reader::new(content);
    while let Some((number, wire_type)) = reader.tag()? {
        take(number, reader.value(number, wire_type)?)?;
    }
    Ok(())
}

fn nested(number: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    Tag::new(number, WireType::Delimited).put(out);
    let at = open(out);
    write(out);
    close(out, at);
}

fn put_text(number: u32, text: &str, out: &mut Vec<u8>) {
    put_delimited(out, Tag::new(number, WireType::Delimited), text.as_bytes());
}
