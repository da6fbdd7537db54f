//! The names of a descriptor set, and how a name that is written in one scope finds its definition.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::source::FileId;
use crate::kind::{EnumId, MessageId};

/// The definition under a full name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Symbol {
    Package,
    Message(MessageId),
    Enum(EnumId),
    /// Service, extension or enum value: no type, but no other definition may have its name.
    Other,
}

/// Where a name was defined first.
#[derive(Debug, Clone, Copy)]
pub(super) struct First {
    pub(super) symbol: Symbol,
    pub(super) file: FileId,
    pub(super) line: Option<u32>,
}

/// All definitions by full name.
#[derive(Debug, Default)]
pub(super) struct Symbols(HashMap<Box<str>, First>);

// === impl Symbols ===

impl Symbols {
    /// Enters a package and those around it. A package may be entered many times.
    pub(super) fn add_package(&mut self, name: &str, file: FileId) -> Result<(), First> {
        let ends = name.match_indices('.').map(|(at, _)| at);
        for end in ends.chain((!name.is_empty()).then_some(name.len())) {
            let Some(package) = name.get(..end) else {
                continue;
            };
            match self.0.get(package) {
                Some(first) if first.symbol == Symbol::Package => {}
                Some(first) => return Err(*first),
                None => {
                    let first = First {
                        symbol: Symbol::Package,
                        file,
                        line: None,
                    };
                    self.0.insert(package.into(), first);
                }
            }
        }
        Ok(())
    }

    /// Enters a definition; the earlier one stays where the name is already used.
    pub(super) fn add(&mut self, name: &str, new: First) -> Result<(), First> {
        match self.0.entry(name.into()) {
            Entry::Occupied(taken) => Err(*taken.get()),
            Entry::Vacant(vacant) => {
                vacant.insert(new);
                Ok(())
            }
        }
    }

    /// Returns the message or enum that `name` means inside `scope`. Compilers write `.full.names`;
    /// a relative one is looked for from the innermost scope outwards, and the scope that knows its
    /// first part decides, as in the language.
    pub(super) fn resolve(&self, name: &str, scope: &str) -> Option<Symbol> {
        if let Some(full) = name.strip_prefix('.') {
            return self.type_named(full);
        }
        let first = name.split('.').next()?;
        let mut scope = scope;
        loop {
            match self.get(&join(scope, first)) {
                Some(Symbol::Package | Symbol::Message(_)) if first != name => {
                    return self.type_named(&join(scope, name));
                }
                Some(found @ (Symbol::Message(_) | Symbol::Enum(_))) if first == name => {
                    return Some(found);
                }
                _ if scope.is_empty() => return None,
                _ => scope = scope.rsplit_once('.').map_or("", |(outer, _)| outer),
            }
        }
    }

    fn type_named(&self, full_name: &str) -> Option<Symbol> {
        self.get(full_name)
            .filter(|symbol| matches!(symbol, Symbol::Message(_) | Symbol::Enum(_)))
    }

    fn get(&self, full_name: &str) -> Option<Symbol> {
        self.0.get(full_name).map(|first| first.symbol)
    }
}

/// `scope.name`, or `name` at the top.
pub(super) fn join(scope: &str, name: &str) -> String {
    if scope.is_empty() {
        name.to_owned()
    } else {
        format!("{scope}.{name}")
    }
}
