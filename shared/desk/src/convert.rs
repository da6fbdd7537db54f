//! Conversions between the contract and the event library.

use chrono::{DateTime, Utc};
use events::parking::{self, ParkedFact, ParkedKey};
use events::stopped::{Resolution, StoppedFact, StoppedKey};
use events::{Consumer, Lag};
use prost_types::Timestamp;
use saga::State;
use saga::desk::{Report, Taken};

use crate::acts::ActRow;
use crate::payloads::Payloads;
use crate::pb::mesh::ops::v1 as pb;

/// Items of a list without a limit.
const DEFAULT_LIMIT: u32 = 100;

/// Returns the limit of a list; the contract bounds it.
pub(crate) fn limit(requested: i32) -> u32 {
    match u32::try_from(requested) {
        Ok(limit) if limit > 0 => limit,
        _ => DEFAULT_LIMIT,
    }
}

/// Cuts items to `limit`; returns whether there were more.
pub(crate) fn truncate<T>(items: &mut Vec<T>, limit: u32) -> bool {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let is_longer = items.len() > limit;
    items.truncate(limit);
    is_longer
}

pub(crate) fn consumer(consumer: &Consumer, lag: &Lag, parked_keys: i64) -> pb::Consumer {
    let (context, aggregate) = consumer.reads();
    pb::Consumer {
        consumer: consumer.name().to_owned(),
        context: context.to_owned(),
        aggregate: aggregate.to_owned(),
        pending: lag.pending.cast_signed(),
        in_progress: lag.in_progress.cast_signed(),
        acknowledged_sequence: lag.acknowledged.cast_signed(),
        parked_keys,
    }
}

pub(crate) fn parked_key(key: ParkedKey) -> pb::ParkedKey {
    pb::ParkedKey {
        consumer: key.consumer,
        context: key.context,
        aggregate: key.aggregate,
        key: key.key,
        version: key.version,
        r#type: key.kind,
        reason: key.reason,
        attempts: key.attempts,
        waiting: key.count,
        parked_at: Some(timestamp(key.since)),
    }
}

pub(crate) fn parked_fact(payloads: &Payloads, fact: ParkedFact) -> pb::ParkedFact {
    let payload = payloads.wrap(&fact.kind, fact.payload);
    pb::ParkedFact {
        version: fact.version,
        sequence: fact.sequence,
        r#type: fact.kind,
        payload: payload.message,
        raw_payload: payload.raw,
        reason: fact.reason.unwrap_or_default(),
        attempts: fact.attempts,
        parked_at: Some(timestamp(fact.parked_at)),
    }
}

pub(crate) fn replay(replay: &parking::Replay) -> pb::Replay {
    let failed = replay.stopped.as_ref();
    pb::Replay {
        applied: replay.applied.cast_signed(),
        failed_version: failed.map(|(version, _)| *version).unwrap_or_default(),
        reason: failed.map(|(_, error)| error.chain()).unwrap_or_default(),
    }
}

/// Describes a replay for the audit.
pub(crate) fn describe(replay: &parking::Replay) -> String {
    let applied = replay.applied;
    match &replay.stopped {
        None => format!("applied {applied}"),
        Some((version, error)) => {
            let reason = error.chain();
            format!("applied {applied}, version {version} failed: {reason}")
        }
    }
}

pub(crate) fn stopped_key(key: StoppedKey) -> pb::StoppedKey {
    let resolution = key.resolution.as_deref().and_then(Resolution::named);
    pb::StoppedKey {
        context: key.context,
        aggregate: key.aggregate,
        key: key.key,
        version: key.version,
        cause: key.cause,
        reason: key.reason,
        waiting: key.waiting,
        stopped_at: Some(timestamp(key.since)),
        resolution: resolution
            .map_or(pb::Resolution::Unspecified, |resolution| match resolution {
                Resolution::Retry => pb::Resolution::Retry,
                Resolution::Renumber => pb::Resolution::Renumber,
                Resolution::Discard => pb::Resolution::Discard,
            })
            .into(),
    }
}

pub(crate) fn stopped_fact(payloads: &Payloads, fact: StoppedFact) -> pb::StoppedFact {
    let payload = payloads.wrap(&fact.kind, fact.payload);
    pb::StoppedFact {
        aggregate: fact.aggregate,
        version: fact.version,
        r#type: fact.kind,
        payload: payload.message,
        raw_payload: payload.raw,
        created_at: Some(timestamp(fact.created_at)),
    }
}

/// Returns the decision of a request; validation has refused the others.
pub(crate) fn resolution(resolution: pb::Resolution) -> Option<Resolution> {
    match resolution {
        pb::Resolution::Unspecified => None,
        pb::Resolution::Retry => Some(Resolution::Retry),
        pb::Resolution::Renumber => Some(Resolution::Renumber),
        pb::Resolution::Discard => Some(Resolution::Discard),
    }
}

pub(crate) fn saga(report: Report) -> pb::Saga {
    pb::Saga {
        state: match report.state {
            State::Open => pb::SagaState::Open,
            State::NeedsOperator => pb::SagaState::Stuck,
            State::Ended => pb::SagaState::Ended,
        }
        .into(),
        name: report.name,
        saga_id: report.id.to_string(),
        key: report.key,
        definition: report.definition,
        step: report.step,
        outcome: report.outcome.unwrap_or_default(),
        outcome_reason: report.reason.unwrap_or_default(),
        problem: report.problem.unwrap_or_default(),
        attempts: report.attempts,
        begun_at: Some(timestamp(report.begun_at)),
        changed_at: Some(timestamp(report.changed_at)),
        deadline_at: Some(timestamp(report.deadline)),
    }
}

pub(crate) fn saga_step(taken: Taken) -> pb::SagaStep {
    pb::SagaStep {
        step: taken.step,
        answer: taken.answer,
        reason: taken.reason.unwrap_or_default(),
        taken_at: Some(timestamp(taken.at)),
    }
}

pub(crate) fn act(row: ActRow) -> pb::Act {
    pb::Act {
        begun_at: Some(timestamp(row.begun_at)),
        operator: row.operator,
        action: row.action,
        scope: row.scope,
        key: row.key,
        detail: row.detail,
        reason: row.reason,
        outcome: row.outcome.unwrap_or_default(),
    }
}

fn timestamp(time: DateTime<Utc>) -> Timestamp {
    Timestamp {
        seconds: time.timestamp(),
        // Below two billion, leap seconds included.
        nanos: time.timestamp_subsec_nanos().cast_signed(),
    }
}
