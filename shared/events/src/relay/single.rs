//! Settles the rows of a rejected batch one by one; asks the stream where it disagrees with the
//! database.

use facts::envelope::{OutboxRow, Stored};
use facts::error::Error;

use crate::stopped::Cause;

use super::outbox::{BatchProgress, Tail};
use super::publisher::{Message, Predecessor, PublishError, Publisher};

/// How often a row may find new messages in its subject before the session ends: another relay,
/// which still believes to be the owner, is writing at the same time.
const MAX_MOVES: u32 = 3;

/// The decision about a row whose subject ends elsewhere than recorded.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// The stream holds the row, at this sequence.
    Published(u64),
    /// The row is next after this end.
    Retry(Tail),
    /// The stream holds something else in the row's place.
    Stop(Cause, String),
}

/// Publishes `rows` in order. A key whose stream disagrees is stopped, and its later rows are kept.
pub(super) async fn publish<'r>(
    publisher: &Publisher,
    rows: &'r [OutboxRow],
    progress: &mut BatchProgress<'r>,
) -> Result<(), Error> {
    for row in rows {
        let subject = row.subject();
        if progress.is_stopped(&subject) || row.version <= progress.tail(&subject).version {
            continue;
        }
        if let Some((cause, reason)) = settle(publisher, row, &subject, progress).await? {
            tracing::error!(
                subject,
                version = row.version,
                cause = cause.name(),
                reason,
                "key stopped: its facts are not published until an operator decides"
            );
            progress.stopped(&subject, row, cause, reason);
        }
    }
    Ok(())
}

/// Returns why the key has to stop, if it has to.
async fn settle(
    publisher: &Publisher,
    row: &OutboxRow,
    subject: &str,
    progress: &mut BatchProgress<'_>,
) -> Result<Option<(Cause, String)>, Error> {
    let mut tail = progress.tail(subject);
    let predecessor = Predecessor::At(tail.sequence);
    for _ in 0..MAX_MOVES {
        let message = Message {
            row,
            subject: subject.to_owned(),
            expected: Some(tail.sequence),
            predecessor,
        };
        match publisher.single(&message).await {
            Ok(sequence) => {
                progress.published(row, subject, sequence);
                return Ok(None);
            }
            Err(PublishError::Failed(error)) => return Err(error),
            Err(PublishError::Refused(reason)) => return Ok(Some((Cause::Refused, reason))),
            Err(PublishError::Fenced | PublishError::Repeated) => {}
        }
        let end = publisher.end(subject).await?;
        let is_earlier = end.as_ref().is_none_or(|end| end.sequence < tail.sequence);
        if is_earlier && tail.sequence > 0 {
            went_back(publisher, tail.sequence).await?;
        }
        let verdict = match end {
            Some(end) if end.version.is_some_and(|version| version > row.version) => {
                let after = publisher.next(subject, tail.sequence, row.version).await?;
                judge_earlier(row, &end, after.as_ref())
            }
            end => judge(row, end.as_ref(), tail.version),
        };
        match verdict {
            Verdict::Published(sequence) => {
                progress.published(row, subject, sequence);
                return Ok(None);
            }
            Verdict::Retry(end) => {
                tracing::warn!(subject, ?end, "the stream ends elsewhere than recorded");
                tail = end;
            }
            Verdict::Stop(cause, reason) => return Ok(Some((cause, reason))),
        }
    }
    Err(Error::jetstream(
        "publishing",
        format!("{subject} moved {MAX_MOVES} times while publishing to it"),
    ))
}

/// Fails if the stream has lost `acknowledged`: what is missing before the row has to be published
/// first. What left it by its limits is before its first message.
async fn went_back(publisher: &Publisher, acknowledged: u64) -> Result<(), Error> {
    match publisher.first_sequence().await? {
        first if first <= acknowledged => Err(Error::StreamWentBack { acknowledged }),
        _ => Ok(()),
    }
}

/// Decides by the last message of the subject, which has no later version than `row`; `recorded` is
/// the version that it was expected to have.
fn judge(row: &OutboxRow, end: Option<&Stored>, recorded: i64) -> Verdict {
    let Some(end) = end else {
        // Its last message expired or was purged: the chain continues on an empty subject.
        return Verdict::Retry(Tail::NONE);
    };
    match end.version {
        // Those between may still come, from another relay.
        Some(version) if version + 1 < row.version && version != recorded => {
            let reason = format!(
                "the stream ends with version {version} (message {}), before {} is due",
                end.sequence, row.version
            );
            Verdict::Stop(Cause::Forked, reason)
        }
        Some(version) if version < row.version => Verdict::Retry(Tail {
            sequence: end.sequence,
            version,
        }),
        Some(_) => compare(row, end),
        None => {
            let reason = format!("message {} of the stream is not a fact", end.sequence);
            Verdict::Stop(Cause::Foreign, reason)
        }
    }
}

/// Decides by the message in the row's place, where the subject ends with a later version.
fn judge_earlier(row: &OutboxRow, end: &Stored, found: Option<&Stored>) -> Verdict {
    match found {
        Some(found) => compare(row, found),
        None => {
            let reason = format!(
                "the stream ends with version {} (message {}) and has no version {}",
                end.version.unwrap_or_default(),
                end.sequence,
                row.version
            );
            Verdict::Stop(Cause::Forked, reason)
        }
    }
}

/// Decides by a message of the same version: only the same fact counts as published. After a
/// restore the same fact may have been recorded anew, with another id and the same content.
fn compare(row: &OutboxRow, stored: &Stored) -> Verdict {
    if stored.is(row) {
        return Verdict::Published(stored.sequence);
    }
    let reason = format!(
        "message {} of the stream is version {} with other content: database or stream went back in time",
        stored.sequence, row.version
    );
    Verdict::Stop(Cause::Forked, reason)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use facts::envelope::testing::outgoing;

    fn stored(version: i64) -> Stored {
        let row = outgoing();
        Stored {
            sequence: 40,
            version: Some(version),
            id: Some(row.fact_id.to_string()),
            kind: Some(row.kind),
            payload: row.payload.into(),
        }
    }

    fn is_fork(verdict: &Verdict) -> bool {
        matches!(verdict, Verdict::Stop(Cause::Forked, _))
    }

    #[test]
    fn an_end_before_the_row_is_continued() {
        let row = outgoing();
        assert_eq!(judge(&row, None, 0), Verdict::Retry(Tail::NONE));
        for (version, recorded) in [(row.version - 1, 0), (row.version - 2, row.version - 2)] {
            let tail = Tail {
                sequence: 40,
                version,
            };
            assert_eq!(
                judge(&row, Some(&stored(version)), recorded),
                Verdict::Retry(tail)
            );
        }
    }

    #[test]
    fn a_gap_before_the_row_is_not_jumped() {
        let row = outgoing();
        assert!(is_fork(&judge(&row, Some(&stored(row.version - 2)), 0)));
    }

    #[test]
    fn only_the_same_fact_counts_as_published() {
        let row = outgoing();
        let same = stored(row.version);
        assert_eq!(judge(&row, Some(&same), 0), Verdict::Published(40));
        let recorded_anew = Stored {
            id: Some(Uuid::new_v4().to_string()),
            ..same.clone()
        };
        assert_eq!(judge(&row, Some(&recorded_anew), 0), Verdict::Published(40));
        let other = Stored {
            payload: b"other".as_slice().into(),
            ..recorded_anew.clone()
        };
        assert!(is_fork(&judge(&row, Some(&other), 0)));
        let other = Stored {
            kind: Some("ingest.v1.Other".to_owned()),
            ..recorded_anew
        };
        assert!(is_fork(&judge(&row, Some(&other), 0)));
    }

    #[test]
    fn a_later_end_without_the_row_is_a_fork() {
        let row = outgoing();
        let end = stored(row.version + 2);
        assert!(is_fork(&judge_earlier(&row, &end, None)));
        let found = stored(row.version);
        assert_eq!(
            judge_earlier(&row, &end, Some(&found)),
            Verdict::Published(40)
        );
    }

    #[test]
    fn a_message_that_is_no_fact_is_foreign() {
        let foreign = Stored {
            version: None,
            ..stored(1)
        };
        let verdict = judge(&outgoing(), Some(&foreign), 0);
        assert!(matches!(verdict, Verdict::Stop(Cause::Foreign, _)));
    }
}
