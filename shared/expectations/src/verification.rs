//! Expectations compared with a contract.

use crate::contract::{Contract, Field};
use crate::file::{Expectations, Fields};

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
        let consumer = &self.consumer;
        let mut felt = Vec::new();
        let is_there = |name: &str| {
            let package = name.rsplit_once('.').map_or("", |(package, _)| package);
            contract.packages.contains(package)
        };
        for (name, uses) in &self.methods {
            let service = name.split('/').next().unwrap_or_default();
            let mut feel = |path: &str, reason: String| {
                felt.push(Felt {
                    element: format!("{name} {path}").trim_end().to_owned(),
                    reason: format!("consumer {consumer} {reason}"),
                });
            };
            let Some(method) = contract.methods.get(name) else {
                if is_there(service) {
                    feel("", "calls this method, which is gone".to_owned());
                }
                continue;
            };
            if method.kind != uses.kind {
                let reason = format!("calls it as {}; it is {} now", uses.kind, method.kind);
                feel("", reason);
            }
            for (path, reason) in differences(contract, &method.input, &uses.sends) {
                feel(
                    path,
                    format!(
                        "sends {reason} in the request{}",
                        now(contract, &method.input, path)
                    ),
                );
            }
            let reads = uses.reads.iter().filter(|(path, _)| !uses.ignores(path));
            let reads: Fields = reads
                .map(|(path, told)| (path.clone(), told.clone()))
                .collect();
            for (path, reason) in differences(contract, &method.output, &reads) {
                feel(
                    path,
                    format!(
                        "reads {reason} in the response{}",
                        now(contract, &method.output, path)
                    ),
                );
            }
            let package = service.rsplit_once('.').map_or("", |(package, _)| package);
            if let Some(comments) = contract.comments.get(package) {
                for reason in uses
                    .reasons
                    .iter()
                    .filter(|reason| !has_word(comments, reason))
                {
                    feel(
                        "",
                        format!(
                            "acts on the reason {reason}, which no comment of {package} names now"
                        ),
                    );
                }
            }
        }
        for (name, uses) in &self.events {
            if !is_there(name) {
                continue;
            }
            let mut feel = |path: &str, reason: String| {
                felt.push(Felt {
                    element: format!("{name} {path}").trim_end().to_owned(),
                    reason: format!("consumer {consumer} {reason}"),
                });
            };
            if !contract.messages.contains_key(name) {
                feel("", "reads this event, which is gone".to_owned());
                continue;
            }
            for (path, reason) in differences(contract, name, &uses.reads) {
                feel(
                    path,
                    format!("reads {reason} in the event{}", now(contract, name, path)),
                );
            }
        }
        felt
    }
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
