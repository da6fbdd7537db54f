//! Settles the rows of a rejected batch one by one; asks the stream where it disagrees with the
//! database.

use std::collections::HashMap;

use tokio::time::Instant;

use crate::envelope::OutboxRow;
use crate::error::Error;

use super::outbox::{BatchProgress, Tail};
use super::publisher::{Message, PublishError, Publisher, SubjectEnd};

/// How often a row may find new messages in its subject before the session ends: another relay,
/// which still believes to be the owner, is writing at the same time.
const MAX_MOVES: u32 = 3;

/// The decision about a row whose subject ends elsewhere than recorded.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// The stream has the row: it ends with it or with a later one of the same chain.
    Published(Tail),
    /// The row is next after this end.
    Retry(Tail),
    /// A foreign message at this sequence ends the subject.
    Foreign(u64),
}

/// Publishes `rows` in order. A lane with a foreign message is stopped, and its later rows are
/// kept.
pub(super) async fn publish(
    publisher: &Publisher,
    rows: &[OutboxRow],
    progress: &mut BatchProgress,
    stopped: &mut HashMap<i16, Instant>,
) -> Result<(), Error> {
    for row in rows {
        if stopped.contains_key(&row.lane) {
            continue;
        }
        if let Some(sequence) = settle(publisher, row, progress).await? {
            tracing::error!(
                lane = row.lane,
                subject = row.subject(),
                sequence,
                version = row.version,
                "lane stopped, its stream holds a message that no outbox wrote"
            );
            stopped.insert(row.lane, Instant::now());
        }
    }
    Ok(())
}

/// Returns the sequence of the foreign message at the end of the subject, if there is one.
async fn settle(
    publisher: &Publisher,
    row: &OutboxRow,
    progress: &mut BatchProgress,
) -> Result<Option<u64>, Error> {
    let subject = row.subject();
    let mut tail = progress.tail(&subject);
    for _ in 0..MAX_MOVES {
        if row.version <= tail.version {
            progress.overtaken(row, &subject, tail);
            return Ok(None);
        }
        let message = Message {
            row,
            subject: subject.clone(),
            expected: Some(tail.sequence),
        };
        match publisher.single(&message).await {
            Ok(sequence) => {
                progress.published(row, &subject, sequence);
                return Ok(None);
            }
            Err(PublishError::Failed(error)) => return Err(error),
            Err(PublishError::Fenced | PublishError::Repeated) => {}
        }
        match judge(row.version, &publisher.end(&subject).await?) {
            Verdict::Published(end) => tail = end,
            Verdict::Retry(end) => {
                tracing::warn!(subject, ?end, "the stream ends elsewhere than recorded");
                tail = end;
            }
            Verdict::Foreign(sequence) => return Ok(Some(sequence)),
        }
    }
    Err(Error::jetstream(
        "publishing",
        format!("{subject} moved {MAX_MOVES} times while publishing to it"),
    ))
}

fn judge(version: i64, end: &SubjectEnd) -> Verdict {
    match *end {
        // Its last message expired or was purged: the chain continues on an empty subject.
        SubjectEnd::Nothing => Verdict::Retry(Tail::NONE),
        // A chain only grows by its next version, so an end at or after this row includes it.
        SubjectEnd::Ours(tail) if tail.version >= version => Verdict::Published(tail),
        SubjectEnd::Ours(tail) => Verdict::Retry(tail),
        SubjectEnd::Foreign(sequence) => Verdict::Foreign(sequence),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn tail(version: i64) -> Tail {
        Tail {
            sequence: 40,
            version,
        }
    }

    #[test]
    fn the_end_of_a_subject_decides() {
        assert_eq!(judge(5, &SubjectEnd::Nothing), Verdict::Retry(Tail::NONE));
        assert_eq!(
            judge(5, &SubjectEnd::Ours(tail(4))),
            Verdict::Retry(tail(4))
        );
        assert_eq!(
            judge(5, &SubjectEnd::Ours(tail(3))),
            Verdict::Retry(tail(3))
        );
        assert_eq!(
            judge(5, &SubjectEnd::Ours(tail(5))),
            Verdict::Published(tail(5))
        );
        assert_eq!(
            judge(5, &SubjectEnd::Ours(tail(9))),
            Verdict::Published(tail(9))
        );
        assert_eq!(judge(5, &SubjectEnd::Foreign(41)), Verdict::Foreign(41));
    }
}
