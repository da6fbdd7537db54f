//! The constants of `in` and `not_in`.

use std::collections::HashSet;

use super::table::Constant;
use super::value::Value;

/// Constants of one type, in the order of the contract.
#[derive(Debug)]
pub struct Set {
    constants: Vec<Constant>,
    lookup: Lookup,
}

/// How values are found among them.
#[derive(Debug)]
enum Lookup {
    /// One by one.
    Any,
    /// Whole numbers, sorted.
    Ints(Box<[i128]>),
    /// Text and bytes so short that each is a word, sorted: codes of countries, currencies and
    /// languages.
    Words(Box<[u128]>),
    /// Text and bytes.
    Bytes(HashSet<Box<[u8]>>),
}

/// Bytes that fit a word beside their number.
const WORD: usize = 8;

/// Up to so many words are compared one by one, which needs no guess of where to go on.
const FEW: usize = 16;

// === impl Set ===

impl Set {
    pub(crate) fn new(constants: Vec<Constant>) -> Self {
        let lookup = Lookup::new(&constants);
        Set { constants, lookup }
    }

    /// Returns the values in the order of the contract.
    pub fn constants(&self) -> &[Constant] {
        &self.constants
    }

    pub(crate) fn has(&self, value: &Value<'_>) -> bool {
        match (&self.lookup, value) {
            (Lookup::Any, _) => self.constants.iter().any(|constant| value.equals(constant)),
            (Lookup::Ints(ints), Value::Int(number)) => ints.binary_search(number).is_ok(),
            (_, Value::Text(bytes) | Value::Bytes(bytes)) => self.has_bytes(bytes),
            _ => false,
        }
    }

    pub(crate) fn has_bytes(&self, bytes: &[u8]) -> bool {
        match &self.lookup {
            Lookup::Words(words) => word(bytes).is_some_and(|word| match words.len() {
                0..=FEW => words.contains(&word),
                _ => words.binary_search(&word).is_ok(),
            }),
            Lookup::Bytes(set) => set.contains(bytes),
            Lookup::Ints(_) | Lookup::Any => false,
        }
    }
}

// === impl Lookup ===

impl Lookup {
    fn new(constants: &[Constant]) -> Self {
        let ints = constants.iter().map(|constant| match constant {
            Constant::Int(number) => Some(*number),
            _ => None,
        });
        if let Some(mut ints) = ints.collect::<Option<Vec<_>>>() {
            ints.sort_unstable();
            return Lookup::Ints(ints.into());
        }
        let bytes = constants.iter().map(|constant| match constant {
            Constant::Bytes(bytes) => Some(&**bytes),
            _ => None,
        });
        let Some(bytes) = bytes.collect::<Option<Vec<&[u8]>>>() else {
            return Lookup::Any;
        };
        let words = bytes.iter().map(|bytes| word(bytes));
        match words.collect::<Option<Vec<u128>>>() {
            Some(mut words) => {
                words.sort_unstable();
                Lookup::Words(words.into())
            }
            None => Lookup::Bytes(bytes.into_iter().map(Box::from).collect()),
        }
    }
}

/// Short bytes as one number, another one for each.
#[inline]
fn word(bytes: &[u8]) -> Option<u128> {
    let packed = |bytes: &[u8]| {
        let bytes = bytes.iter();
        bytes.fold(0, |word, byte| word << 8 | u128::from(*byte))
    };
    (bytes.len() <= WORD).then(|| packed(bytes) << 8 | bytes.len() as u128)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(texts: &[&str]) -> Set {
        let constant = |text: &&str| Constant::Bytes(text.as_bytes().into());
        Set::new(texts.iter().map(constant).collect())
    }

    #[test]
    fn texts_are_told_apart_whatever_their_number_and_length() {
        let many: Vec<String> = (0..500).map(|number| format!("{number:x}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for texts in [
            &["", "a", "\0", "\0\0", "a\0", "12345678"][..],
            &["a", "123456789", ""],
            &many,
        ] {
            let set = set(texts);
            let others = ["b", "aa", "\0\0\0", "1234567", "23456789", "g", "1f4"];
            for text in texts.iter().chain(&others) {
                let expected = texts.contains(text);
                assert_eq!(set.has_bytes(text.as_bytes()), expected, "{text:?}");
                assert_eq!(set.has(&Value::Text(text.as_bytes())), expected, "{text:?}");
            }
        }
    }

    #[test]
    fn numbers_are_found_in_any_order() {
        let set = Set::new([5, -1, 1 << 63].map(Constant::Int).into());
        for (number, expected) in [(5, true), (-1, true), (0, false), (1 << 63, true)] {
            assert_eq!(set.has(&Value::Int(number)), expected, "{number}");
        }
        let reals = Set::new([0.5, f64::NAN].map(Constant::Real).into());
        assert!(reals.has(&Value::Real(0.5)));
        assert!(!reals.has(&Value::Real(f64::NAN)));
    }
}
