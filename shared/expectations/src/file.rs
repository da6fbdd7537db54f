//! The expectations of a consumer, as its file has them.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::contract::Error;

/// First lines of a file.
const HEAD: &str = "# What this consumer uses of the contracts of others, recorded from its tests: `mesh check` refuses a change of these.\n\
    # `ignores` of a method and `events` are written by hand, and kept.\n\n";

/// Fields by path, each with the numbers on the way to it, its type, and the names of an enum that
/// were seen: `1.2 string`.
pub(crate) type Fields = BTreeMap<String, String>;

/// All that one consumer uses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectations {
    /// Name of the consumer.
    pub consumer: String,
    /// By `package.Service/Method`.
    #[serde(default)]
    pub methods: BTreeMap<String, MethodUse>,
    /// By the full name of the message.
    #[serde(default)]
    pub events: BTreeMap<String, EventUse>,
}

/// The use of a method.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MethodUse {
    /// `unary`, `server stream`, `client stream` or `bidirectional stream`.
    pub kind: String,
    /// The reasons of errors that it got.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub reasons: BTreeSet<String>,
    /// Fields of responses that it does not look at, with all below them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub ignores: BTreeSet<String>,
    /// Fields of requests.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sends: Fields,
    /// Fields of responses.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reads: Fields,
}

/// The use of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventUse {
    /// Its fields.
    #[serde(default)]
    pub reads: Fields,
}

// === impl Expectations ===

impl Expectations {
    /// Reads a file.
    ///
    /// # Errors
    /// When it is not valid; the error names key and place.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Ok(toml::from_str(text)?)
    }

    /// Returns the text of the file.
    ///
    /// # Errors
    /// Never, as all keys are text.
    pub fn text(&self) -> Result<String, Error> {
        Ok(format!("{HEAD}{}", toml::to_string(self)?))
    }

    /// Returns what is used here and not in `known`, a line each, but for what that ignores.
    pub fn beyond(&self, known: &Self) -> Vec<String> {
        let mut found = Vec::new();
        for (name, uses) in &self.methods {
            let Some(old) = known.methods.get(name) else {
                found.push(format!("calls {name}"));
                continue;
            };
            let reasons = uses.reasons.difference(&old.reasons);
            found.extend(reasons.map(|reason| format!("{name} answers {reason}")));
            for (now, then, verb) in [
                (&uses.sends, &old.sends, "sends"),
                (&uses.reads, &old.reads, "reads"),
            ] {
                let new = now.iter().filter(|(path, told)| {
                    let is_known = then.get(*path).is_some_and(|then| covers(then, told));
                    !is_known && !old.ignores(path)
                });
                found.extend(new.map(|(path, told)| format!("{name} {verb} {path} ({told})")));
            }
        }
        found
    }

    /// Adds what `other` uses; what this one ignores stays ignored.
    pub fn merge(&mut self, other: Self) {
        for (name, uses) in other.methods {
            let own = self.methods.entry(name).or_default();
            own.kind = uses.kind;
            own.reasons.extend(uses.reasons);
            for (path, told) in uses.sends {
                add(&mut own.sends, path, &told);
            }
            for (path, told) in uses.reads {
                if !own.ignores(&path) {
                    add(&mut own.reads, path, &told);
                }
            }
        }
    }
}

// === impl MethodUse ===

impl MethodUse {
    pub(crate) fn ignores(&self, path: &str) -> bool {
        self.ignores.iter().any(|ignored| {
            let rest = path.strip_prefix(ignored.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }
}

/// Adds a field, or further names of an enum.
pub(crate) fn add(fields: &mut Fields, path: String, told: &str) {
    let own = fields.entry(path).or_default();
    // Numbers and type are two words; the names of an enum follow.
    let mut known: BTreeSet<&str> = own.split(' ').skip(2).collect();
    let mut words = told.split(' ');
    let head: Vec<&str> = words.by_ref().take(2).collect();
    known.extend(words);
    let all: Vec<&str> = head.into_iter().chain(known).collect();
    let all = all.join(" ");
    *own = all;
}

fn covers(known: &str, told: &str) -> bool {
    let known: BTreeSet<&str> = known.split(' ').collect();
    told.split(' ').all(|word| known.contains(word))
}
