//! The check of chains, message by message of their stream.

use std::collections::BTreeMap;
use std::fmt;

use prost::Message;
use prost_types::Timestamp;

use super::{Digest, digest};
use crate::pb::mesh::audit::v1::entry::Content;
use crate::pb::mesh::audit::v1::{Batch, Entry, Link};

/// Checks the messages of a stream in their order.
#[derive(Debug)]
pub struct Checker {
    /// Nothing of the stream can have expired.
    is_whole: bool,
    /// Sequence of the first message that is there.
    first: u64,
    /// Sequence of the last message.
    last: Option<u64>,
    entries: u64,
    chains: BTreeMap<String, Progress>,
}

#[derive(Debug)]
struct Progress {
    next: u64,
    previous: Digest,
    report: ChainReport,
}

/// A stream whose chains are intact.
#[derive(Debug, Default)]
pub struct Report {
    /// Entries that were checked.
    pub entries: u64,
    /// Entries that the writers say they have not recorded.
    pub not_recorded: u64,
    /// The chains, by writer.
    pub chains: Vec<ChainReport>,
}

/// One intact chain.
#[derive(Clone, Debug)]
pub struct ChainReport {
    /// Its writer.
    pub writer: String,
    /// Its entries in the stream.
    pub entries: u64,
    /// Those before the first of them, which have expired.
    pub expired: u64,
    /// Time of the first entry.
    pub first: Timestamp,
    /// Time of the last entry.
    pub last: Timestamp,
    /// Entries that its writer has not recorded.
    pub not_recorded: u64,
    /// How it ends.
    pub state: ChainState,
}

/// The end of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChainState {
    /// Its writer was stopped.
    Ended,
    /// Its writer is running, or was killed.
    Unfinished,
}

/// The first mistake of a stream.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    /// Sequence of the message in the stream.
    pub message: u64,
    /// Writer and place of the entry, if it could be read.
    pub entry: Option<(String, u64)>,
    /// The mistake.
    pub problem: Problem,
}

/// A mistake of a stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The stream has had messages that it lacks.
    #[error("messages from {from} to {to} were removed from the stream")]
    MessagesRemoved {
        /// The first of them.
        from: u64,
        /// The last of them.
        to: u64,
    },
    /// Not a message of this trail, or of another writer than its subject says.
    #[error("not a message of the trail: {0}")]
    Foreign(&'static str),
    /// An entry is missing, twice there, or out of its order.
    #[error("entry {found} is where entry {due} was due")]
    OutOfOrder {
        /// Place in the chain that was due.
        due: u64,
        /// Place in the chain of the entry.
        found: u64,
    },
    /// The entry before is another one than the writer has written.
    #[error("the entry before is not the one that was written")]
    Changed,
    /// The chain begins in its middle, and nothing has expired yet.
    #[error("the beginning of the chain was removed")]
    NoBeginning,
    /// A chain goes on after its end.
    #[error("the chain goes on after its end")]
    AfterEnd,
    /// An entry that another chain has seen is missing.
    #[error("entry {sequence} of {writer}, which was before this one, is missing or another one")]
    LinkBroken {
        /// Writer of the missing entry.
        writer: String,
        /// Its place in the chain.
        sequence: u64,
    },
}

// === impl Checker ===

impl Checker {
    /// Begins a check. `is_whole` says that nothing of the stream can have expired yet.
    pub fn new(is_whole: bool) -> Self {
        Self {
            is_whole,
            first: 0,
            last: None,
            entries: 0,
            chains: BTreeMap::new(),
        }
    }

    /// Checks the next message, whose subject ends in `writer`; returns its entries.
    ///
    /// # Errors
    /// The first mistake.
    pub fn message(
        &mut self,
        sequence: u64,
        writer: &str,
        payload: &[u8],
    ) -> Result<Vec<Entry>, Finding> {
        self.follows(sequence)?;
        let finding = |entry, problem| Finding {
            message: sequence,
            entry,
            problem,
        };
        let Ok(batch) = Batch::decode(payload) else {
            return Err(finding(None, Problem::Foreign("malformed")));
        };
        let mut entries = Vec::with_capacity(batch.entries.len());
        for sealed in batch.entries {
            let Ok(entry) = Entry::decode(&*sealed) else {
                return Err(finding(None, Problem::Foreign("malformed entry")));
            };
            let place = Some((entry.writer.clone(), entry.sequence));
            if entry.writer != writer {
                let problem = Problem::Foreign("its subject is that of another writer");
                return Err(finding(place, problem));
            }
            let checked = self.entry(&entry, &sealed);
            checked.map_err(|problem| finding(place, problem))?;
            entries.push(entry);
        }
        Ok(entries)
    }

    /// Ends the check of a stream whose last message had this sequence; returns what is there.
    ///
    /// # Errors
    /// The last messages are missing.
    pub fn finish(mut self, last: u64) -> Result<Report, Finding> {
        if self.last.unwrap_or(0) < last && (self.last.is_some() || self.is_whole) {
            self.follows(last + 1)?;
        }
        let chains = self.chains.into_values().map(|progress| progress.report);
        let chains: Vec<ChainReport> = chains.collect();
        Ok(Report {
            entries: self.entries,
            not_recorded: chains.iter().map(|chain| chain.not_recorded).sum(),
            chains,
        })
    }

    /// Sequences of a stream have no gap: what expires is at its beginning.
    fn follows(&mut self, sequence: u64) -> Result<(), Finding> {
        let due = match self.last {
            Some(last) => last + 1,
            None if self.is_whole => 1,
            None => sequence,
        };
        if self.last.replace(sequence).is_none() {
            self.first = sequence;
        }
        if sequence == due {
            return Ok(());
        }
        Err(Finding {
            message: due,
            entry: None,
            problem: Problem::MessagesRemoved {
                from: due,
                to: sequence.saturating_sub(1),
            },
        })
    }

    fn entry(&mut self, entry: &Entry, sealed: &[u8]) -> Result<(), Problem> {
        if let Some(Content::Began(began)) = &entry.content
            && let Some(after) = &began.after
        {
            self.linked(after)?;
        }
        let has_began = matches!(entry.content, Some(Content::Began(_)));
        let is_first = entry.sequence == 0;
        if has_began != is_first || is_first != entry.previous.is_empty() {
            return Err(Problem::Foreign("a beginning out of its place"));
        }
        let time = entry.time.unwrap_or_default();
        let progress = match self.chains.get_mut(&entry.writer) {
            Some(progress) => {
                progress.follows(entry)?;
                progress
            }
            None if self.is_whole && !is_first => return Err(Problem::NoBeginning),
            None => self.chains.entry(entry.writer.clone()).or_insert(Progress {
                next: 0,
                previous: Digest::default(),
                report: ChainReport {
                    writer: entry.writer.clone(),
                    entries: 0,
                    expired: entry.sequence,
                    first: time,
                    last: time,
                    not_recorded: 0,
                    state: ChainState::Unfinished,
                },
            }),
        };
        progress.next = entry.sequence + 1;
        progress.previous = digest(sealed);
        let report = &mut progress.report;
        report.entries += 1;
        report.last = time;
        report.not_recorded = entry.not_recorded;
        if matches!(entry.content, Some(Content::Ended(_))) {
            report.state = ChainState::Ended;
        }
        self.entries += 1;
        Ok(())
    }

    /// Checks that the entry is there which was the last of the stream when a chain began.
    fn linked(&self, after: &Link) -> Result<(), Problem> {
        let known = self.chains.get(&after.writer);
        let is_there = match known {
            None => !self.is_whole && after.message < self.first,
            Some(chain) if chain.next == after.sequence + 1 => {
                chain.previous.as_slice() == after.digest
            }
            Some(chain) => chain.next > after.sequence,
        };
        match is_there {
            true => Ok(()),
            false => Err(Problem::LinkBroken {
                writer: after.writer.clone(),
                sequence: after.sequence,
            }),
        }
    }
}

// === impl Progress ===

impl Progress {
    fn follows(&self, entry: &Entry) -> Result<(), Problem> {
        if self.report.state == ChainState::Ended {
            return Err(Problem::AfterEnd);
        }
        if entry.sequence != self.next {
            return Err(Problem::OutOfOrder {
                due: self.next,
                found: entry.sequence,
            });
        }
        match self.previous.as_slice() == entry.previous {
            true => Ok(()),
            false => Err(Problem::Changed),
        }
    }
}

// === impl Finding ===

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "message {}", self.message)?;
        if let Some((writer, sequence)) = &self.entry {
            write!(formatter, ", entry {sequence} of {writer}")?;
        }
        write!(formatter, ": {}", self.problem)
    }
}

impl std::error::Error for Finding {}
