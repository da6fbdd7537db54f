//! Sets of fields and of map keys, to find duplicates.

use std::borrow::Cow;
use std::collections::HashSet;

use smallvec::SmallVec;
use wire::{Read, Reader, WireType, short_word};

use crate::kind::Kind;

/// A set of small indices; only messages of more than 128 fields make it allocate.
#[derive(Debug, Default)]
pub struct Seen {
    low: [u64; 2],
    high: Vec<u64>,
}

const WORD: usize = u64::BITS as usize;

impl Seen {
    /// Returns whether `index` is new.
    #[inline]
    pub fn insert(&mut self, index: usize) -> bool {
        let bit = 1 << (index % WORD);
        let place = index / WORD;
        let word = match self.low.get_mut(place) {
            Some(word) => word,
            None => high_word(&mut self.high, place - self.low.len()),
        };
        let is_new = *word & bit == 0;
        *word |= bit;
        is_new
    }

    /// Returns whether `index` was inserted.
    pub fn contains(&self, index: usize) -> bool {
        let place = index / WORD;
        let word = match self.low.get(place) {
            Some(word) => *word,
            None => self.high.get(place - self.low.len()).copied().unwrap_or(0),
        };
        word & 1 << (index % WORD) != 0
    }
}

#[cold]
fn high_word(high: &mut Vec<u64>, place: usize) -> &mut u64 {
    if high.len() <= place {
        high.resize(place + 1, 0);
    }
    &mut high[place]
}

const NONE: &[u8] = &[];

/// Maps up to this size are compared pair by pair, without an allocation.
const FEW: usize = 8;

/// Keys of a map that are remembered on the stack. Most maps have no more.
const FIRST: usize = 64;

/// The first keys of a map, compared as they come.
#[derive(Debug)]
pub struct FirstKeys<'a> {
    keys: SmallVec<[&'a [u8]; FIRST]>,
    /// Whether all inserted keys are among them.
    kept_all: bool,
    /// A Bloom filter: an unset bit proves that the key is new.
    filter: [u64; 4],
}

impl Default for FirstKeys<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a> FirstKeys<'a> {
    /// Returns an empty set.
    #[inline]
    pub fn new() -> Self {
        FirstKeys {
            keys: SmallVec::new(),
            kept_all: true,
            filter: [0; 4],
        }
    }

    /// Returns whether no earlier key was equal. Only the first keys are compared: see
    /// [`FirstKeys::compared_all`].
    #[inline]
    pub fn insert(&mut self, key: &'a [u8]) -> bool {
        let hash = hash_of(key);
        let (word, bit) = (&mut self.filter[hash / WORD], 1 << (hash % WORD));
        let is_new = *word & bit == 0 || !self.keys.contains(&key);
        *word |= bit;
        if self.keys.len() < FIRST {
            self.keys.push(key);
        } else {
            self.kept_all = false;
        }
        is_new
    }

    /// Returns whether all keys of a map of `count` entries have been compared.
    #[inline]
    pub fn compared_all(&self, count: usize) -> bool {
        self.kept_all && self.keys.len() == count
    }
}

/// Hashes the length and the last 8 bytes, in which keys of one map mostly differ, into 8 bits.
#[inline]
fn hash_of(key: &[u8]) -> usize {
    let word = match key.last_chunk() {
        Some(chunk) => u64::from_le_bytes(*chunk),
        None => short_word(key),
    };
    let hash = (word ^ key.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (hash >> 56) as usize
}

/// Returns whether two map entries have the same key. `wire` is a sequence of tag, length, entry.
pub fn has_duplicate_key(wire: &[u8], kind: Kind) -> Read<bool> {
    let mut few = [const { Cow::Borrowed(NONE) }; FEW];
    let mut many = Vec::new();
    let mut count = 0;
    let mut reader = Reader::new(wire);
    while reader.tag()?.is_some() {
        let key = key_of(reader.delimited()?, kind)?;
        if few.iter().take(count).any(|known| *known == key) {
            return Ok(true);
        }
        match few.get_mut(count) {
            Some(place) => *place = key,
            None => many.push(key),
        }
        count += 1;
    }
    if many.is_empty() {
        return Ok(false);
    }
    // Hashing takes time linear in the bytes; its seed is random, so that no caller can make keys
    // collide.
    let mut seen = HashSet::with_capacity(many.len());
    Ok(!many.into_iter().all(|key| seen.insert(key)))
}

/// Returns the bytes of an entry's key; none for the default, which may also be left out.
pub fn key_of(entry: &[u8], kind: Kind) -> Read<Cow<'_, [u8]>> {
    let mut key = &entry[..0];
    let mut reader = Reader::new(entry);
    while let Some((number, wire_type)) = reader.tag()? {
        let before = reader.rest;
        if number == 1 && wire_type == WireType::Delimited && kind == Kind::String {
            key = reader.delimited()?;
        } else {
            reader.skip(number, wire_type)?;
            if number == 1 && wire_type == kind.wire_type() {
                key = &before[..before.len() - reader.rest.len()];
            }
        }
    }
    canonical_key(key, kind)
}

/// Returns the key in canonical form: empty for a number's default value, varints in their shortest
/// form.
#[inline]
pub fn canonical_key(key: &[u8], kind: Kind) -> Read<Cow<'_, [u8]>> {
    if kind.wire_type() == WireType::Varint && !key.is_empty() {
        return canonical_varint(key, kind);
    }
    let is_default = kind != Kind::String && key.iter().all(|byte| *byte == 0);
    Ok(Cow::Borrowed(if is_default { NONE } else { key }))
}

/// Re-encodes a varint in its shortest form. The input may have padding bytes, or bits beyond its
/// type.
fn canonical_varint(key: &[u8], kind: Kind) -> Read<Cow<'_, [u8]>> {
    let raw = Reader::new(key).varint()?;
    let value = match kind {
        Kind::Bool => u64::from(raw != 0),
        Kind::Int32 => i64::from(raw as i32) as u64,
        Kind::Uint32 | Kind::Sint32 => u64::from(raw as u32),
        _ => raw,
    };
    if value == 0 {
        return Ok(Cow::Borrowed(&key[..0]));
    }
    let mut encoded = [0; 10];
    let mut rest = value;
    let mut length = 0;
    for byte in &mut encoded {
        length += 1;
        *byte = (rest & 0x7f) as u8;
        rest >>= 7;
        if rest == 0 {
            break;
        }
        *byte |= 0x80;
    }
    let encoded = &encoded[..length];
    Ok(if encoded == key {
        Cow::Borrowed(key)
    } else {
        Cow::Owned(encoded.to_vec())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_new_once() {
        let mut seen = Seen::default();
        for index in [0, 1, 127, 128, 300, 2] {
            assert!(seen.insert(index), "{index}");
            assert!(!seen.insert(index), "{index}");
        }
    }

    #[test]
    fn equal_keys_are_found_in_small_and_large_maps() {
        for count in [1u8, 2, FEW as u8, 20] {
            let entries: Vec<u8> = (0..count).flat_map(|key| [0x0a, 2, 0x08, key]).collect();
            assert_eq!(has_duplicate_key(&entries, Kind::Int32), Ok(false));
            for repeated in [0, count - 1] {
                let mut twice = entries.clone();
                twice.extend([0x0a, 2, 0x08, repeated]);
                assert_eq!(has_duplicate_key(&twice, Kind::Int32), Ok(true), "{count}");
            }
            let mut absent = entries;
            absent.extend([0x0a, 0]);
            assert_eq!(has_duplicate_key(&absent, Kind::Int32), Ok(true), "{count}");
        }
    }

    #[test]
    fn first_keys_are_told_apart_until_there_are_too_many() {
        let names: Vec<String> = (0..80).map(|n| format!("a longer key {n}")).collect();
        for count in [1, 2, FIRST, FIRST + 1, names.len()] {
            let mut keys = FirstKeys::new();
            for name in &names[..count] {
                assert!(keys.insert(name.as_bytes()));
            }
            assert_eq!(keys.compared_all(count), count <= FIRST);
            assert!(!keys.compared_all(count + 1));
            for name in &names[..count.min(FIRST)] {
                assert!(!keys.insert(name.as_bytes()));
            }
        }
    }

    #[test]
    fn keys_are_equal_when_their_values_are() {
        let same: [(Kind, &[u8], &[u8]); 6] = [
            (Kind::Bool, &[1], &[2]),
            (Kind::Int64, &[5], &[0x85, 0x00]),
            (Kind::Uint64, &[], &[0x80, 0x00]),
            (
                Kind::Uint64,
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
            ),
            (Kind::Uint32, &[7], &[0x87, 0x80, 0x80, 0x80, 0x10]),
            (
                Kind::Int32,
                &[0xff, 0xff, 0xff, 0xff, 0x0f],
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            ),
        ];
        let entry = |key: &[u8]| match key {
            [] => Vec::new(),
            key => [&[0x08], key].concat(),
        };
        for (kind, one, two) in same {
            let (one, two) = (entry(one), entry(two));
            assert_eq!(key_of(&one, kind), key_of(&two, kind), "{kind:?}");
            assert_ne!(key_of(&one, kind), key_of(&[0x08, 9], Kind::Int64));
        }
    }
}
