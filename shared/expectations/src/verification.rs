//! Expectations compared with a contract.

use crate::contract::{Contract, Field};
use crate::file::{Expectations, Fields, MethodUse};

/// A change that a consumer would feel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Felt {
    /// The method or the event, and the path of the field if one is meant.
    pub element: String,
    /// The change, with the name of the consumer.
    pub reason: String,
}

// === impl Expectations ===

impl Expectations {
    /// Returns what the consumer would feel of this contract. Packages that the contract does not
    /// have belong to others.
    pub fn verify(&self, contract: &Contract) -> Vec<Felt> {
        let mut felt = List {
            consumer: &self.consumer,
            felt: Vec::new(),
        };
        for (name, uses) in &self.methods {
            let service = name.split('/').next().unwrap_or_default();
            if contract.packages.contains(package(service)) {
                verify_method(contract, name, uses, &mut felt);
            }
        }
        for (name, uses) in &self.events {
            if !contract.packages.contains(package(name)) {
                continue;
            }
            if contract.has_message(name) {
                let place = (name.as_str(), name.as_str());
                verify_fields(contract, place, &uses.reads, ("reads", "event"), &mut felt);
            } else {
                felt.add(name, "", "reads this event, which is gone");
            }
        }
        felt.felt
    }
}

/// The changes that one consumer would feel.
struct List<'a> {
    consumer: &'a str,
    felt: Vec<Felt>,
}

// === impl List ===

impl List<'_> {
    fn add(&mut self, name: &str, path: &str, reason: &str) {
        self.felt.push(Felt {
            element: format!("{name} {path}").trim_end().to_owned(),
            reason: format!("consumer {} {reason}", self.consumer),
        });
    }
}

fn verify_method(contract: &Contract, name: &str, uses: &MethodUse, felt: &mut List<'_>) {
    let Some(method) = contract.methods.get(name) else {
        return felt.add(name, "", "calls this method, which is gone");
    };
    if method.kind != uses.kind {
        let reason = format!("calls it as {}; it is {} now", uses.kind, method.kind);
        felt.add(name, "", &reason);
    }
    let (input, output) = (method.input.as_str(), method.output.as_str());
    verify_fields(
        contract,
        (name, input),
        &uses.sends,
        ("sends", "request"),
        felt,
    );
    let reads = uses.reads.iter().filter(|(path, _)| !uses.ignores(path));
    let reads = reads
        .map(|(path, told)| (path.clone(), told.clone()))
        .collect();
    verify_fields(
        contract,
        (name, output),
        &reads,
        ("reads", "response"),
        felt,
    );
    let package = package(name.split('/').next().unwrap_or_default());
    if let Some(comments) = contract.comments.get(package) {
        let reasons = uses.reasons.iter();
        for reason in reasons.filter(|reason| !has_word(comments, reason)) {
            let told = format!("acts on the reason {reason}, which no comment of {package} names");
            felt.add(name, "", &told);
        }
    }
}

/// Compares the fields of a message; `place` has the name of the method or event, and of the
/// message.
fn verify_fields(
    contract: &Contract,
    place: (&str, &str),
    fields: &Fields,
    words: (&str, &str),
    felt: &mut List<'_>,
) {
    let ((name, message), (verb, side)) = (place, words);
    for (path, told) in differences(contract, message, fields) {
        let now = now(contract, message, path);
        felt.add(name, path, &format!("{verb} {told} in the {side}{now}"));
    }
}

fn package(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(package, _)| package)
}

/// Returns the paths of fields that are no longer as they were, with what they were.
fn differences<'a>(
    contract: &Contract,
    message: &str,
    fields: &'a Fields,
) -> Vec<(&'a str, String)> {
    let changed = fields.iter().filter(|(path, told)| {
        let Some((is, field)) = find(contract, message, path) else {
            return true;
        };
        let was = told.split(' ').take(2).collect::<Vec<_>>().join(" ");
        let names = contract.enums.get(&field.type_name);
        let mut names_are_there = told.split(' ').skip(2).map(|name| {
            let (name, number) = name.split_once('=').unwrap_or((name, ""));
            let is = number
                .parse()
                .ok()
                .and_then(|number: i32| names?.get(&number));
            is.is_some_and(|is| is == name)
        });
        is != was || !names_are_there.all(|is_there| is_there)
    });
    changed
        .map(|(path, told)| (path.as_str(), format!("`{told}`")))
        .collect()
}

fn now(contract: &Contract, message: &str, path: &str) -> String {
    match find(contract, message, path) {
        None => "; it is gone".to_owned(),
        Some((is, field)) => {
            let names = contract.enums.get(&field.type_name).into_iter().flatten();
            let names: String = names
                .map(|(number, name)| format!(" {name}={number}"))
                .collect();
            format!("; it is `{is}{names}` now")
        }
    }
}

/// Finds a field by its path; returns the numbers on the way and its type.
fn find<'a>(contract: &'a Contract, message: &str, path: &str) -> Option<(String, &'a Field)> {
    let mut message = message;
    let mut numbers = Vec::new();
    let mut found: Option<&Field> = None;
    for segment in path.split('.') {
        let name = segment.trim_end_matches("[]");
        let is_list = segment.ends_with("[]");
        let fields = contract.messages.get(message)?;
        let (number, field) = fields.iter().find(|(_, field)| field.name == name)?;
        if field.is_list != is_list {
            return None;
        }
        numbers.push(number.to_string());
        message = &field.type_name;
        found = Some(field);
    }
    let field = found?;
    Some((format!("{} {}", numbers.join("."), field.kind), field))
}

fn has_word(text: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !is_part(c)).any(|other| other == word)
}
