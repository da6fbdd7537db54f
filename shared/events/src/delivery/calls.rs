//! Divides facts into the calls of their handlers.

use std::collections::HashMap;

use facts::envelope::Fact;

/// Divides the facts of several keys into calls, each with facts of one type: as many as the order
/// in each key permits.
pub(super) fn calls<'f>(
    keys: impl Iterator<Item = &'f [&'f Fact]>,
) -> Vec<(&'f str, Vec<&'f Fact>)> {
    let mut rest: Vec<&[&Fact]> = keys.collect();
    let mut calls = Vec::new();
    loop {
        let mut heads: HashMap<&str, usize> = HashMap::new();
        for facts in &rest {
            if let Some(first) = facts.first() {
                *heads.entry(&first.kind).or_default() += leading(facts, &first.kind);
            }
        }
        let widest = heads.into_iter().max_by_key(|&(kind, count)| (count, kind));
        let Some((kind, _)) = widest else {
            return calls;
        };
        let mut call = Vec::new();
        for facts in &mut rest {
            let (now, later) = facts.split_at(leading(facts, kind));
            call.extend_from_slice(now);
            *facts = later;
        }
        calls.push((kind, call));
    }
}

/// Returns how many of `facts` are of type `kind`, before the first that is not.
fn leading(facts: &[&Fact], kind: &str) -> usize {
    facts.iter().take_while(|fact| fact.kind == kind).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use facts::envelope::testing::fact;

    #[test]
    fn calls_hold_one_type_and_keep_the_order_of_each_key() {
        let facts = |key: &str, kinds: &[&str]| -> Vec<Fact> {
            let numbered = (1..).zip(kinds);
            numbered
                .map(|(version, kind)| fact(key, version, kind))
                .collect()
        };
        let keys = [
            facts("a", &["A", "B", "A"]),
            facts("b", &["A", "A"]),
            facts("c", &["B"]),
        ];
        let keys: Vec<Vec<&Fact>> = keys.iter().map(|facts| facts.iter().collect()).collect();
        let calls = calls(keys.iter().map(Vec::as_slice));
        let seen: Vec<(&str, Vec<(&str, i64)>)> = calls
            .iter()
            .map(|(kind, facts)| {
                let facts = facts.iter().map(|fact| (&*fact.key, fact.version));
                (*kind, facts.collect())
            })
            .collect();
        assert_eq!(
            seen,
            [
                ("A", vec![("a", 1), ("b", 1), ("b", 2)]),
                ("B", vec![("a", 2), ("c", 1)]),
                ("A", vec![("a", 3)]),
            ]
        );
    }
}
