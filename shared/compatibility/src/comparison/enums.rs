//! Values of one enum, old and new: numbers on the wire, names in JSON.

use descriptors::{EnumDef, EnumId, EnumValueDef};

use super::{Breakage, BreakingChange, Comparison};

impl Comparison<'_> {
    pub(super) fn enums(&mut self, old: EnumId, new: EnumId) {
        let (before, after) = (&self.before.pool.enums[old], &self.after.pool.enums[new]);
        let file = self.after.file(&after.source);
        let changes: Vec<_> = before
            .values
            .iter()
            .filter_map(|value| {
                let (rule, before, now) = value_change(value, after)?;
                Some(BreakingChange {
                    file: file.clone(),
                    element: format!("{}.{}", after.name, value.name),
                    rule,
                    before,
                    after: now,
                })
            })
            .collect();
        for change in changes {
            self.report(change);
        }
    }
}

fn value_change(value: &EnumValueDef, after: &EnumDef) -> Option<(Breakage, String, String)> {
    let number = value.number.to_string();
    if let Some(own) = after.values.iter().find(|own| own.name == value.name) {
        let is_other = own.number != value.number;
        return is_other.then(|| (Breakage::EnumValueNumber, number, own.number.to_string()));
    }
    if let Some(own) = after.values.iter().find(|own| own.number == value.number) {
        let (was, is) = (value.name.to_string(), own.name.to_string());
        return Some((Breakage::EnumValueName, was, is));
    }
    let reserved = &after.reserved;
    if reserved.has_number(value.number.into()) && reserved.has_name(&value.name) {
        return None;
    }
    let was = format!("{} = {number}", value.name);
    let is = "neither present nor reserved".to_owned();
    Some((Breakage::EnumValueRemoved, was, is))
}
