//! The use of a contract, read from messages on the wire.

use std::collections::BTreeMap;

use wire::{MAX_DEPTH, Read, Reader, WireType};

use crate::contract::{Contract, Field};
use crate::file::{Expectations, Fields, MethodUse, add};

/// Most fields that are recorded of one message.
const MAX_FIELDS: usize = 4_096;

/// The calls of a consumer.
#[derive(Clone, Debug)]
pub struct Recording<'a> {
    contract: &'a Contract,
    expectations: Expectations,
}

// === impl Recording ===

impl<'a> Recording<'a> {
    /// Begins without a call.
    pub fn new(consumer: &str, contract: &'a Contract) -> Self {
        let expectations = Expectations {
            consumer: consumer.to_owned(),
            methods: BTreeMap::new(),
            events: BTreeMap::new(),
        };
        Self {
            contract,
            expectations,
        }
    }

    /// Records a message to the method `package.Service/Method`. One that the contract does not
    /// have, such as health, is left out.
    pub fn request(&mut self, method: &str, message: &[u8]) {
        self.record(method, |contract, uses, found| {
            walk(contract, &found.input, message, &mut uses.sends);
        });
    }

    /// Records a message from a method.
    pub fn response(&mut self, method: &str, message: &[u8]) {
        self.record(method, |contract, uses, found| {
            walk(contract, &found.output, message, &mut uses.reads);
        });
    }

    /// Records the reason of an error: `google.rpc.ErrorInfo.reason`.
    pub fn reason(&mut self, method: &str, reason: &str) {
        self.record(method, |_, uses, _| {
            uses.reasons.insert(reason.to_owned());
        });
    }

    /// Returns what was used.
    pub fn expectations(self) -> Expectations {
        self.expectations
    }

    fn record(
        &mut self,
        method: &str,
        change: impl FnOnce(&Contract, &mut MethodUse, &crate::contract::Method),
    ) {
        let Some(found) = self.contract.methods.get(method) else {
            return;
        };
        let methods = &mut self.expectations.methods;
        let uses = methods.entry(method.to_owned()).or_default();
        found.kind.clone_into(&mut uses.kind);
        change(self.contract, uses, found);
    }
}

/// Adds the fields of a message. The rest of a malformed one is left out.
fn walk(contract: &Contract, name: &str, message: &[u8], fields: &mut Fields) {
    let way = Way {
        path: String::new(),
        numbers: String::new(),
        depth: 0,
    };
    // The program that reads the message reports what is malformed.
    let _ = walk_at(contract, name, message, &way, fields);
}

/// The way from the outermost message to a field.
struct Way {
    path: String,
    numbers: String,
    depth: usize,
}

fn walk_at(
    contract: &Contract,
    name: &str,
    message: &[u8],
    way: &Way,
    fields: &mut Fields,
) -> Read<()> {
    let Some(known) = contract
        .messages
        .get(name)
        .filter(|_| way.depth < MAX_DEPTH)
    else {
        return Ok(());
    };
    let mut reader = Reader::new(message);
    while let Some((number, wire_type)) = reader.tag()? {
        let value = reader.value(number, wire_type)?;
        let Some(field) = known.get(&number).filter(|_| fields.len() < MAX_FIELDS) else {
            continue;
        };
        let inner = way.then(number, field);
        if field.kind == "message" && wire_type == WireType::Delimited && !value.is_empty() {
            walk_at(contract, &field.type_name, value, &inner, fields)?;
            continue;
        }
        let mut told = format!("{} {}", inner.numbers, field.kind);
        if field.kind == "enum" {
            for name in names(contract, field, value, wire_type) {
                told.push(' ');
                told.push_str(&name);
            }
        }
        add(fields, inner.path, &told);
    }
    Ok(())
}

/// Returns the names of an enum in a value, or in a packed list of them: `NAME=number`.
fn names(contract: &Contract, field: &Field, value: &[u8], wire_type: WireType) -> Vec<String> {
    let known = contract.enums.get(&field.type_name);
    let mut reader = Reader::new(value);
    let mut found = Vec::new();
    let mut left = match wire_type {
        WireType::Delimited => value.iter().filter(|byte| **byte < 0x80).count(),
        _ => 1,
    };
    while left > 0 {
        left -= 1;
        let Ok(number) = reader.varint() else { break };
        // An enum is an int32, whose negative numbers fill ten bytes.
        #[allow(clippy::cast_possible_truncation, reason = "the wire form of an int32")]
        let number = number as i32;
        let name = known.and_then(|known| known.get(&number));
        found.extend(name.map(|name| format!("{name}={number}")));
    }
    found
}

// === impl Way ===

impl Way {
    fn then(&self, number: u32, field: &Field) -> Self {
        let list = if field.is_list { "[]" } else { "" };
        let (dot, point) = match self.path.as_str() {
            "" => ("", ""),
            _ => (".", "."),
        };
        Self {
            path: format!("{}{dot}{}{list}", self.path, field.name),
            numbers: format!("{}{point}{number}", self.numbers),
            depth: self.depth + 1,
        }
    }
}
