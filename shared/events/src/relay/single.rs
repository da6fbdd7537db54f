//! Settles the rows of a refused batch one by one, asking the stream wherever it disagrees with the database.

use std::collections::HashMap;

use tokio::time::Instant;

use crate::envelope::OutboxRow;
use crate::error::Error;

use super::outbox::{BatchProgress, Tail};
use super::publisher::{Message, PublishError, Publisher, SubjectEnd};

/// How often one row may find its subject moved before it is left to the next session: another relay, which still
/// believes to be the owner, is then writing at the same time.
const MAX_MOVES: u32 = 3;

/// What to do with a row whose subject does not end where the database says.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// The stream has the row: it ends with it or with a later one of the same chain.
    Published(Tail),
    /// The row is next after this end.
    Retry(Tail),
    /// Somebody else writes to the subject.
    Foreign(u64),
}

/// Publishes `rows` in order; a lane in which somebody else writes is stopped, with its later rows left alone.
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

/// Returns the sequence of the foreign message that is in the way, if one is.
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
        // Its tail has outlived max_age, or was purged: the chain goes on from an empty subject.
        SubjectEnd::Nothing => Verdict::Retry(Tail::NONE),
        // The chain only ever grows by its next version, so an end at or after this row includes it.
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
