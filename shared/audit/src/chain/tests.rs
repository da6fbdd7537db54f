//! The check of chains finds all that is done to a stream.

use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::pb::mesh::audit::v1::{Batch, Began, Call, Ended, Link, Outcome};

/// A message: its sequence, its writer, and its entries.
type Stored = (u64, String, Vec<Vec<u8>>);

/// A stream of two chains, the second begun by a link to the first; messages have one to three
/// entries.
fn stream() -> Vec<Stored> {
    let time = prost_types::Timestamp::default();
    let (mut first, mut second) = (Chain::new("a"), Chain::new("b"));
    let call = |number| {
        Content::Admitted(Call {
            number,
            ..Call::default()
        })
    };
    let outcome = |call| {
        Content::Outcome(Outcome {
            call,
            code: "OK".to_owned(),
        })
    };
    let mut began = vec![first.seal(time, 0, Content::Began(Began { after: None }))];
    began.push(first.seal(time, 0, call(1)));
    let mut messages = vec![("a", began)];
    messages.push(("a", vec![first.seal(time, 0, outcome(1))]));
    let after = Link {
        writer: "a".to_owned(),
        sequence: 2,
        digest: digest(&messages[1].1[0]).to_vec(),
        message: 2,
    };
    let after = Some(after);
    messages.push((
        "b",
        vec![second.seal(time, 0, Content::Began(Began { after }))],
    ));
    for number in 1..4 {
        let both = [call(number), outcome(number)];
        let sealed = both.map(|content| second.seal(time, 0, content));
        messages.push(("b", sealed.into()));
        messages.push(("a", vec![first.seal(time, number, call(number + 1))]));
    }
    messages.push(("b", vec![second.seal(time, 0, Content::Ended(Ended {}))]));
    (1..)
        .zip(messages)
        .map(|(sequence, (writer, entries))| (sequence, writer.to_owned(), entries))
        .collect()
}

/// Checks messages, of which the stream has had `last`.
fn check(messages: &[Stored], is_whole: bool, last: u64) -> Result<Report, Finding> {
    let mut checker = Checker::new(is_whole);
    for (sequence, writer, entries) in messages {
        let batch = Batch {
            entries: entries.clone(),
        };
        checker.message(*sequence, writer, &batch.encode_to_vec())?;
    }
    checker.finish(last)
}

/// The stream as someone would write it anew who wants no gap to be seen.
fn renumbered(messages: Vec<Stored>) -> Vec<Stored> {
    let numbered = (1..).zip(messages);
    numbered
        .map(|(sequence, (_, writer, entries))| (sequence, writer, entries))
        .collect()
}

/// The places of all entries: message and entry.
fn places(messages: &[Stored]) -> Vec<(usize, usize)> {
    let entries = messages.iter().enumerate();
    let entries =
        entries.flat_map(|(at, (_, _, own))| (0..own.len()).map(move |entry| (at, entry)));
    entries.collect()
}

/// The last entry of an unfinished chain, which nothing holds yet.
fn is_loose(messages: &[Stored], (at, _): (usize, usize)) -> bool {
    messages[at].1 == "a"
        && messages[at + 1..]
            .iter()
            .all(|(_, writer, _)| writer != "a")
}

#[test]
fn a_whole_stream_is_intact_and_says_how_chains_end() {
    let messages = stream();
    let report = check(&messages, true, 10).unwrap();
    assert_eq!((report.entries, report.not_recorded), (14, 3));
    let ends: Vec<_> = report
        .chains
        .iter()
        .map(|chain| (&*chain.writer, chain.state))
        .collect();
    assert_eq!(
        ends,
        [("a", ChainState::Unfinished), ("b", ChainState::Ended)]
    );
}

#[test]
fn what_has_expired_is_not_missed_and_what_cannot_have_is() {
    let messages = stream();
    let report = check(&messages[3..], false, 10).unwrap();
    assert_eq!(report.chains[1].expired, 1);
    let finding = check(&messages[3..], true, 10).unwrap_err();
    assert_eq!(finding.problem, Problem::MessagesRemoved { from: 1, to: 3 });
    // Written anew, with sequences from 1.
    let finding = check(&renumbered(messages[3..].to_vec()), true, 7).unwrap_err();
    assert_eq!(finding.problem, Problem::NoBeginning);
}

#[test]
fn a_chain_that_is_missing_as_a_whole_is_found_by_the_next() {
    let messages = stream();
    let of_second = messages.into_iter().filter(|(_, writer, _)| writer == "b");
    let finding = check(&renumbered(of_second.collect()), true, 5).unwrap_err();
    let writer = "a".to_owned();
    assert_eq!(
        finding.problem,
        Problem::LinkBroken {
            writer,
            sequence: 2
        }
    );
}

#[test]
fn last_messages_that_are_missing_are_found_by_the_stream() {
    let messages = stream();
    for left in 0..messages.len() {
        let finding = check(&messages[..left], true, 10).unwrap_err();
        let from = left as u64 + 1;
        assert_eq!(finding.problem, Problem::MessagesRemoved { from, to: 10 });
    }
}

proptest! {
    #[test]
    fn a_removed_message_is_found(at in 0..9_usize) {
        let mut messages = stream();
        messages.remove(at);
        prop_assert!(check(&messages, true, 10).is_err());
    }

    #[test]
    fn a_removed_entry_is_found(pick in any::<prop::sample::Index>()) {
        let mut messages = stream();
        let places = places(&messages);
        let (at, entry) = places[pick.index(places.len())];
        prop_assume!(!is_loose(&messages, (at, entry)));
        let is_end = at == messages.len() - 1;
        messages[at].2.remove(entry);
        // A chain without its end is unfinished; the stream was told that it has a message there.
        prop_assert!(is_end || check(&messages, true, 10).is_err());
    }

    #[test]
    fn a_changed_bit_is_found(pick in any::<prop::sample::Index>(), bit in any::<prop::sample::Index>()) {
        let mut messages = stream();
        let places = places(&messages);
        let (at, entry) = places[pick.index(places.len())];
        prop_assume!(!is_loose(&messages, (at, entry)) && at != messages.len() - 1);
        let sealed = &mut messages[at].2[entry];
        let bit = bit.index(sealed.len() * 8);
        sealed[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(check(&messages, true, 10).is_err());
    }

    #[test]
    fn entries_in_another_order_are_found(one in any::<prop::sample::Index>(), other in any::<prop::sample::Index>()) {
        let mut messages = stream();
        let places = places(&messages);
        let (one, other) = (places[one.index(places.len())], places[other.index(places.len())]);
        prop_assume!(one != other);
        let kept = messages[one.0].2[one.1].clone();
        messages[one.0].2[one.1] = std::mem::replace(&mut messages[other.0].2[other.1], kept);
        prop_assert!(check(&messages, true, 10).is_err());
    }

    #[test]
    fn a_doubled_entry_or_message_is_found(pick in any::<prop::sample::Index>(), to in any::<prop::sample::Index>()) {
        let original = stream();
        let places = places(&original);
        let (at, entry) = places[pick.index(places.len())];
        let mut messages = original.clone();
        let doubled = messages[at].2[entry].clone();
        let to = messages.len().min(at + 1 + to.index(9));
        messages.insert(to, (0, messages[at].1.clone(), vec![doubled]));
        prop_assert!(check(&renumbered(messages), true, 11).is_err());
        let mut messages = original;
        messages.insert(at + 1, messages[at].clone());
        prop_assert!(check(&renumbered(messages), true, 11).is_err());
    }

    #[test]
    fn no_bytes_make_the_check_panic(payload in any::<Vec<u8>>()) {
        let _ = Checker::new(true).message(1, "a", &payload);
    }
}
