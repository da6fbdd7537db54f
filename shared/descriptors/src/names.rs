//! A read-only hash table from field and enum value names to indices, built once per message.

/// Open addressing over a power-of-two table that is at most half full, so a miss ends after a few
/// probes.
#[derive(Debug)]
pub(crate) struct NameTable {
    slots: Box<[Slot]>,
    mask: usize,
}

#[derive(Debug, Clone)]
struct Slot {
    name: Box<str>,
    index: u32,
}

const EMPTY: u32 = u32::MAX;

impl NameTable {
    /// Where a name comes twice, the first one counts.
    pub(crate) fn new<'a>(names: impl Iterator<Item = (&'a str, u32)> + Clone) -> Self {
        let size = (names.clone().count() * 2).next_power_of_two();
        let vacant = Slot {
            name: Box::default(),
            index: EMPTY,
        };
        let mut table = NameTable {
            slots: vec![vacant; size].into(),
            mask: size - 1,
        };
        for (name, index) in names {
            let at = table.probe(name);
            if table.slots[at].index == EMPTY {
                table.slots[at] = Slot {
                    name: name.into(),
                    index,
                };
            }
        }
        table
    }

    #[inline]
    pub(crate) fn get(&self, name: &str) -> Option<usize> {
        let slot = &self.slots[self.probe(name)];
        (slot.index != EMPTY).then_some(slot.index as usize)
    }

    /// Returns the slot that holds `name`, or the vacant one where it would go.
    #[inline]
    fn probe(&self, name: &str) -> usize {
        let mut at = hash(name.as_bytes()) & self.mask;
        while self.slots[at].index != EMPTY && *self.slots[at].name != *name {
            at = (at + 1) & self.mask;
        }
        at
    }
}

/// Folds words of eight bytes. The table's content comes from the schema, so that no caller can
/// make it collide.
#[inline]
fn hash(bytes: &[u8]) -> usize {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |state: u64, word: u64| (state ^ word).wrapping_mul(FACTOR).rotate_left(29);
    let mut state = bytes.len() as u64;
    let mut rest = bytes;
    while let Some((chunk, tail)) = rest.split_first_chunk() {
        state = mix(state, u64::from_le_bytes(*chunk));
        rest = tail;
    }
    let last = rest
        .iter()
        .fold(0, |word, byte| word << 8 | u64::from(*byte));
    state = mix(state, last).wrapping_mul(FACTOR);
    (state >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_name_and_nothing_else() {
        let names: Vec<String> = (0..100).map(|n| format!("field_{n}")).collect();
        let table = NameTable::new(
            (0..)
                .zip(&names)
                .map(|(index, name)| (name.as_str(), index)),
        );
        for (index, name) in names.iter().enumerate() {
            assert_eq!(table.get(name), Some(index));
        }
        assert_eq!(table.get("field_100"), None);
        assert_eq!(table.get(""), None);
    }

    #[test]
    fn first_of_two_equal_names_counts() {
        let table = NameTable::new([("a", 1), ("a", 2)].into_iter());
        assert_eq!(table.get("a"), Some(1));
    }

    #[test]
    fn empty_table_finds_nothing() {
        assert_eq!(NameTable::new([].into_iter()).get("a"), None);
    }
}
