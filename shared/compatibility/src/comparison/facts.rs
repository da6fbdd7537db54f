//! Events, old and new: what is stored under a type, an aggregate and a key.

use std::collections::HashMap;

use descriptors::{EventOption, MessageDef};

use super::{Breakage, BreakingChange, Comparison, Direction, Pair};

impl Comparison<'_> {
    /// Compares the events that both contracts have as messages that are read.
    pub(super) fn facts(&mut self) {
        let events = self.after.pool.events();
        let after: HashMap<&str, _> = events.map(|event| (&*event.0.name, event)).collect();
        let (mut changes, mut pairs) = (Vec::new(), Vec::new());
        for (old, option) in self.before.pool.events() {
            let Some((new, now)) = after.get(&*old.name) else {
                let file = self.before.file(&old.source);
                changes.push(change(
                    file,
                    old,
                    Breakage::EventRemoved,
                    "an event",
                    "gone",
                ));
                continue;
            };
            let file = self.after.file(&new.source);
            if option.aggregate != now.aggregate {
                let (was, is) = (&option.aggregate, &now.aggregate);
                changes.push(change(file.clone(), new, Breakage::EventAggregate, was, is));
            }
            // By number: under another name it identifies the same entity.
            if key(old, &option) != key(new, now) {
                changes.push(change(file, new, Breakage::EventKey, &option.key, &now.key));
            }
            let id = |types: &descriptors::Types| types.by_name.get(&*old.name).copied();
            let (before, after) = (self.before.contract.types, self.after.contract.types);
            pairs.extend(id(before).zip(id(after)));
        }
        changes.into_iter().for_each(|change| self.report(change));
        for (old, new) in pairs {
            self.visit(Pair::Messages(old, new, Direction::Response));
        }
    }
}

fn key(message: &MessageDef, option: &EventOption) -> Option<u32> {
    let mut fields = message.fields.iter();
    let key = fields.find(|field| *field.name == *option.key);
    key.map(|field| field.number)
}

fn change(
    file: String,
    event: &MessageDef,
    rule: Breakage,
    before: &str,
    after: &str,
) -> BreakingChange {
    BreakingChange {
        file,
        element: event.name.to_string(),
        rule,
        before: before.to_owned(),
        after: after.to_owned(),
    }
}
