//! Examples of lists and maps.

use descriptors::{FieldDef, FieldPlan, Kind, MessageId, quoted};
use validation::rules::{Check, OwnRules, Test};

use super::{Sampler, numbers, words};
use crate::scalars::{Look, look};

/// Values of a map that are tried with all keys.
const MAX_VALUES: usize = 8;

/// The most items that an example has for a rule that wants many.
const MAX_ITEMS: usize = 64;

impl Sampler<'_> {
    pub(super) fn lists(
        &mut self,
        (id, index): (MessageId, usize),
        plan: &FieldPlan,
        rules: Option<&OwnRules>,
        definition: &FieldDef,
    ) -> Vec<String> {
        let count = least(rules);
        let of_items = rules.map(|rules| &rules.items);
        let mut items = self.values(plan.kind, of_items, &definition.name, id);
        if count > 1 {
            items.extend(numbered(plan.kind, count));
        }
        let is_accepted = |item: &String| {
            let list = format!("[{item}]");
            self.checker.element(id, index, &list).is_ok()
        };
        let accepted: Vec<String> = items.into_iter().filter(is_accepted).collect();
        if count <= 1 {
            return accepted.iter().map(|item| format!("[{item}]")).collect();
        }
        let different: Vec<&str> = accepted.iter().take(count).map(String::as_str).collect();
        let same = accepted.first().map(|item| vec![item.as_str(); count]);
        let lists = [Some(different), same].into_iter().flatten();
        lists
            .map(|items| format!("[{}]", items.join(",")))
            .collect()
    }

    pub(super) fn maps(
        &mut self,
        (id, index): (MessageId, usize),
        plan: &FieldPlan,
        rules: Option<&OwnRules>,
        definition: &FieldDef,
    ) -> Vec<String> {
        let types = self.types;
        let Some(entry) = plan.message() else {
            return Vec::new();
        };
        let [key, value] = types.message(entry).fields.as_slice() else {
            return Vec::new();
        };
        let count = least(rules).max(1);
        let of_values = rules.map(|rules| &rules.items);
        let values = self.values(value.kind, of_values, &definition.name, entry);
        let of_keys = rules.map(|rules| &rules.keys);
        let mut keys = match key.kind {
            Kind::String => words::texts(of_keys, "key"),
            Kind::Bool => vec!["true".to_owned(), "false".to_owned()],
            kind => {
                let numbers = numbers::integers(kind, of_keys).into_iter();
                numbers
                    .map(|number| number.trim_matches('"').to_owned())
                    .collect()
            }
        };
        if count > 1 {
            let more = numbered(key.kind, count).into_iter();
            keys.extend(more.map(|key| key.trim_matches('"').to_owned()));
        }
        let mut maps = Vec::new();
        for value in values.iter().take(MAX_VALUES) {
            let mut members: Vec<String> = Vec::new();
            for key in &keys {
                let member = format!("{}:{value}", quoted(key));
                let is_new = !members.contains(&member) && members.len() < count;
                let alone = format!("{{{member}}}");
                if is_new && self.checker.element(id, index, &alone).is_ok() {
                    members.push(member);
                }
            }
            maps.push(format!("{{{}}}", members.join(",")));
        }
        maps
    }
}

/// Returns the least number of elements.
fn least(rules: Option<&OwnRules>) -> usize {
    let checks = rules.into_iter().flat_map(|rules| &rules.count);
    let least = checks.filter_map(|check: &Check| match check.test {
        Test::Length(_, least, _) => usize::try_from(least).ok(),
        _ => None,
    });
    least.max().unwrap_or_default().min(MAX_ITEMS)
}

/// Returns values that differ from each other.
fn numbered(kind: Kind, count: usize) -> Vec<String> {
    (1..=count)
        .filter_map(|number| match look(kind) {
            Look::Text => Some(format!("\"value-{number}\"")),
            Look::Number | Look::Digits(_) => Some(number.to_string()),
            _ => None,
        })
        .collect()
}
