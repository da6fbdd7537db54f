//! The values that came before.

use std::collections::HashSet;

use smallvec::SmallVec;

/// Identity of values of one type, for `unique` and for the keys of maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Identity<'a> {
    Int(i128),
    Real(u64),
    Bytes(&'a [u8]),
}

/// Values that differ. The first ones are compared one by one: short lists and maps are the usual
/// ones, and cost no table. The others are in one, because comparing each with each lets one
/// request cost minutes.
#[derive(Debug, Default)]
pub(crate) struct Distinct<'a> {
    few: SmallVec<[Identity<'a>; 8]>,
    many: Option<HashSet<Identity<'a>>>,
}

// === impl Distinct ===

impl<'a> Distinct<'a> {
    /// Returns whether the value has not come yet.
    pub(crate) fn insert(&mut self, value: Identity<'a>) -> bool {
        if self.few.contains(&value) {
            return false;
        }
        if self.few.len() < self.few.inline_size() {
            self.few.push(value);
            return true;
        }
        self.many.get_or_insert_default().insert(value)
    }

    pub(crate) fn len(&self) -> usize {
        self.few.len() + self.many.as_ref().map_or(0, HashSet::len)
    }
}
