//! The routing tables: a trie in a few flat arrays, so that a lookup touches as few cache lines
//! with ten thousand routes as with ten.

use std::collections::HashMap;
use std::sync::Arc;

use http::Method;

use crate::binding::Binding;

/// No node, no verb.
pub(super) const NONE: u32 = u32::MAX;

#[derive(Debug, Default)]
pub(super) struct Tables {
    /// The root comes first, and every node before its children.
    pub(super) nodes: Vec<Node>,
    pub(super) literals: Literals,
    /// The leaves of nodes with several, without the first of each.
    pub(super) leaves: Vec<Leaf>,
    pub(super) routes: Vec<Arc<Binding>>,
    /// Every method and verb that a rule names; leaves refer to them by number.
    pub(super) methods: Vec<Method>,
    pub(super) verbs: HashMap<Box<str>, u32>,
    long_texts: Vec<Box<str>>,
}

/// One cache line.
#[derive(Debug)]
#[repr(align(64))]
pub(super) struct Node {
    pub(super) lengths: Lengths,
    pub(super) parent: u32,
    pub(super) star: u32,
    pub(super) glob: u32,
    /// The leaf, of nodes that have one: nearly all of those that have any.
    pub(super) leaf: Leaf,
    /// The number of further leaves, and their start in the list.
    pub(super) more: u32,
    pub(super) others: u32,
    /// The literal that leads here.
    pub(super) text: Text,
}

const INLINE: usize = 22;

#[derive(Debug, Clone, Copy)]
pub(super) enum Text {
    Inline([u8; INLINE], u8),
    /// Index of a text that is too long for the node.
    Long(u32),
}

/// The route of a full match, if verb and method agree.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leaf {
    pub(super) route: u32,
    pub(super) verb: u32,
    pub(super) method: u32,
}

/// All leaves of one node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leaves<'t> {
    first: Option<&'t Leaf>,
    others: &'t [Leaf],
}

/// The leaf of a node that has none.
const NO_LEAF: Leaf = Leaf {
    route: NONE,
    verb: NONE,
    method: NONE,
};

/// A set of numbers of segments; the highest bit stands for all numbers from 63 on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Lengths(u64);

/// From a node and the text of a segment to the child: open addressing, at most three quarters
/// full. The content comes from the schema and requests only look up, so that none of them can make
/// it collide.
#[derive(Debug)]
pub(super) struct Literals {
    slots: Box<[Slot]>,
    mask: usize,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    /// The upper half of the hash: nearly every probe for a wrong key ends here, without a look at
    /// the node.
    tag: u32,
    child: u32,
}

// === impl Tables ===

impl Tables {
    pub(super) fn text(&mut self, text: &str) -> Text {
        let mut inline = [0; INLINE];
        match inline.get_mut(..text.len()) {
            Some(place) => {
                place.copy_from_slice(text.as_bytes());
                Text::Inline(inline, text.len() as u8)
            }
            None => {
                self.long_texts.push(text.into());
                Text::Long(self.long_texts.len() as u32 - 1)
            }
        }
    }

    /// Returns the child of `node` for the literal `text`.
    pub(super) fn literal(&self, node: u32, text: &[u8]) -> Option<u32> {
        let hash = hash(node, text);
        let mut at = hash as usize & self.literals.mask;
        loop {
            let slot = *self.literals.slots.get(at)?;
            if slot.child == NONE {
                return None;
            }
            if slot.tag == (hash >> 32) as u32 && self.is_literal(slot.child, node, text) {
                return Some(slot.child);
            }
            at = (at + 1) & self.literals.mask;
        }
    }

    fn is_literal(&self, child: u32, parent: u32, text: &[u8]) -> bool {
        let Some(child) = self.nodes.get(child as usize) else {
            return false;
        };
        let own = match &child.text {
            Text::Inline(bytes, length) => bytes.get(..usize::from(*length)),
            Text::Long(index) => self.long_texts.get(*index as usize).map(|t| t.as_bytes()),
        };
        child.parent == parent && own == Some(text)
    }

    pub(super) fn leaves<'t>(&'t self, node: &'t Node) -> Leaves<'t> {
        let start = node.others as usize;
        let others = self.leaves.get(start..start + node.more as usize);
        Leaves {
            first: (node.leaf.route != NONE).then_some(&node.leaf),
            others: others.unwrap_or_default(),
        }
    }
}

// === impl Leaves ===

impl<'t> Leaves<'t> {
    /// Those of one verb, or those without. They are sorted by verb: a path may have thousands.
    pub(super) fn of(self, verb: u32) -> impl Iterator<Item = &'t Leaf> + Clone {
        let start = self.others.partition_point(|leaf| leaf.verb < verb);
        let (_, others) = self.others.split_at(start);
        let others = others.iter().take_while(move |leaf| leaf.verb == verb);
        let first = self.first.filter(|leaf| leaf.verb == verb);
        first.into_iter().chain(others)
    }
}

// === impl Node ===

impl Node {
    pub(super) fn new(parent: u32) -> Self {
        Node {
            lengths: Lengths::default(),
            parent,
            star: NONE,
            glob: NONE,
            leaf: NO_LEAF,
            more: 0,
            others: 0,
            text: Text::Long(NONE),
        }
    }
}

// === impl Lengths ===

impl Lengths {
    pub(super) const ZERO: Lengths = Lengths(1);

    pub(super) fn has(self, count: usize) -> bool {
        self.0 & (1 << count.min(63)) != 0
    }

    pub(super) fn and(self, other: Lengths) -> Lengths {
        Lengths(self.0 | other.0)
    }

    /// Returns each number plus one.
    pub(super) fn and_one(self) -> Lengths {
        Lengths(self.0 << 1 | self.0 & 1 << 63)
    }

    /// Returns all numbers from the smallest on.
    pub(super) fn or_more(self) -> Lengths {
        Lengths(match self.0.trailing_zeros() {
            64 => 0,
            least => u64::MAX << least,
        })
    }
}

// === impl Literals ===

impl Default for Literals {
    fn default() -> Self {
        Literals::new(&[])
    }
}

impl Literals {
    pub(super) fn new(literals: &[(u32, Box<str>, u32)]) -> Self {
        let size = (literals.len() * 4 / 3 + 1).next_power_of_two();
        let vacant = Slot {
            tag: 0,
            child: NONE,
        };
        let mut slots: Box<[Slot]> = vec![vacant; size].into();
        let mask = size - 1;
        for (parent, text, child) in literals {
            let hash = hash(*parent, text.as_bytes());
            let mut at = hash as usize & mask;
            while slots[at].child != NONE {
                at = (at + 1) & mask;
            }
            slots[at] = Slot {
                tag: (hash >> 32) as u32,
                child: *child,
            };
        }
        Literals { slots, mask }
    }
}

/// Eight bytes at a time: multiply, and fold the upper half into the lower.
fn hash(node: u32, text: &[u8]) -> u64 {
    const PRIME: u64 = 0x9e37_79b9_7f4a_7c15;
    let mix = |state: u64, word: u64| {
        let product = u128::from(state ^ word).wrapping_mul(u128::from(PRIME));
        product as u64 ^ (product >> 64) as u64
    };
    let mut state = mix(u64::from(node) ^ PRIME, text.len() as u64);
    let (words, rest) = text.as_chunks::<8>();
    for word in words {
        state = mix(state.rotate_left(5), u64::from_le_bytes(*word));
    }
    let tail = rest
        .iter()
        .fold(0, |tail, byte| tail << 8 | u64::from(*byte));
    mix(state.rotate_left(5), tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_is_one_cache_line() {
        assert_eq!(size_of::<Node>(), 64);
    }

    #[test]
    fn lengths_add_up_and_saturate() {
        let two = Lengths::ZERO.and_one().and_one();
        assert!(two.has(2) && !two.has(1) && !two.has(3));
        let more = two.or_more();
        assert!(more.has(2) && more.has(64) && !more.has(1));
        let mut far = Lengths::ZERO;
        for _ in 0..64 {
            far = far.and_one();
        }
        assert!(far.has(63) && far.has(64) && !far.has(62));
        assert_eq!(Lengths::default().or_more(), Lengths::default());
    }
}
