//! Records in quarantine: listed, shown, replayed, discarded.

use tokio_util::sync::CancellationToken;

use super::{Connect, convert};
use crate::delivery::{Calls, Delivery, Halt};
use crate::error::Error;
use crate::pb::mesh::connect::v1 as pb;
use crate::source::{Origin, Source, decoded};
use crate::store::{Cursor, Held, HeldRow, Resolution, refuse_again, resolve};

/// Most records that one call replays.
const MAX_REPLAYS: i64 = 1_000;
/// Most refused records in a response.
const MAX_SHOWN: usize = 100;
/// Attempts of a replay while the service is away.
const PATIENCE: u32 = 3;

/// The reason in rows of replayed records.
const REPLAYED: &str = "";

/// Outcome of a replay.
enum Replay {
    Accepted,
    Refused(Box<HeldRow>),
}

// === impl Connect ===

impl Connect {
    pub(super) async fn list(
        &self,
        request: &pb::ListQuarantinedRequest,
    ) -> Result<pb::ListQuarantinedResponse, Error> {
        self.source(&request.source)?;
        let after = convert::cursor(&request.page_token).ok_or(Error::PageToken)?;
        let size = convert::page(request.page_size);
        let rule = &request.rule;
        let mut rows = self
            .store
            .list_held(&request.source, rule, &after, size + 1)
            .await?;
        let next_page_token = truncate(&mut rows, size);
        Ok(pb::ListQuarantinedResponse {
            records: rows.into_iter().map(convert::record).collect(),
            next_page_token,
        })
    }

    pub(super) async fn show(
        &self,
        request: &pb::GetQuarantinedRequest,
    ) -> Result<pb::QuarantinedRecord, Error> {
        self.source(&request.source)?;
        let (unit, number) = (&request.unit, request.number);
        let row = self.store.held(&request.source, unit, number).await?;
        let row = row.ok_or_else(|| unknown(unit, number))?;
        Ok(convert::record(row))
    }

    pub(super) async fn replay(
        &self,
        request: &pb::ReplayQuarantinedRequest,
    ) -> Result<pb::ReplayQuarantinedResponse, Error> {
        let source = self.source(&request.source)?;
        let after = convert::cursor(&request.page_token).ok_or(Error::PageToken)?;
        let mut response = pb::ReplayQuarantinedResponse::default();
        if !request.unit.is_empty() {
            let correction = Some(&*request.record).filter(|record| !record.is_empty());
            let replayed = self.replay_one(source, &request.unit, request.number, correction);
            let replayed = replayed.await?;
            let replayed = replayed.ok_or_else(|| unknown(&request.unit, request.number))?;
            response.add(replayed);
            return Ok(response);
        }
        let listed = self
            .store
            .list_held(&request.source, "", &after, MAX_REPLAYS + 1);
        let mut rows = listed.await?;
        response.next_page_token = truncate(&mut rows, MAX_REPLAYS);
        for row in rows {
            let replayed = self.replay_one(source, &row.unit, row.number, None);
            match replayed.await {
                // Another call has resolved it meanwhile.
                Ok(None) => {}
                Ok(Some(replayed)) => response.add(replayed),
                // Without its decoded form it waits for a correction.
                Err(Error::NotDecoded) => response.add(Replay::Refused(Box::new(row))),
                Err(error) => return Err(error),
            }
        }
        Ok(response)
    }

    pub(super) async fn discard(
        &self,
        request: &pb::DiscardQuarantinedRequest,
    ) -> Result<i64, Error> {
        let source = self.source(&request.source)?.name();
        let (unit, reason) = (&request.unit, &request.reason);
        if unit.is_empty() {
            let discarded = self.store.discard_all(source, reason).await?;
            tracing::info!(source, discarded, reason, "quarantine discarded");
            return Ok(discarded.cast_signed());
        }
        let locked = self.store.lock_held(source, unit, request.number).await?;
        let (tx, row) = locked.ok_or_else(|| unknown(unit, request.number))?;
        resolve(tx, source, &row, Resolution::Discarded, reason).await?;
        tracing::info!(
            source,
            unit,
            number = row.number,
            reason,
            "record discarded"
        );
        Ok(1)
    }

    /// Maps and delivers one record with its identity; `None` if it is not in quarantine. Its row
    /// is locked meanwhile: two replays take turns.
    async fn replay_one(
        &self,
        source: &Source,
        unit: &str,
        number: i64,
        correction: Option<&str>,
    ) -> Result<Option<Replay>, Error> {
        let Some((tx, row)) = self.store.lock_held(source.name(), unit, number).await? else {
            return Ok(None);
        };
        let text = correction.or(row.record.as_deref());
        let text = text.ok_or(Error::NotDecoded)?;
        let mut record = decoded(text).map_err(Error::InvalidRecord)?;
        record.number = number.unsigned_abs();
        let origin = Origin {
            source: source.name(),
            unit,
        };
        let held = match source.map(&origin, record) {
            Err(held) => Some(*held),
            Ok(message) => self.deliver(source, &origin, message).await?,
        };
        let Some(held) = held else {
            resolve(tx, source.name(), &row, Resolution::Replayed, REPLAYED).await?;
            return Ok(Some(Replay::Accepted));
        };
        // The correction is kept, so that the next one can begin with it.
        let record = correction.map(str::to_owned);
        let held = Held { record, ..held };
        let mapping = source.mapping_version();
        let row = refuse_again(tx, source.name(), unit, mapping, &held).await?;
        Ok(Some(Replay::Refused(Box::new(row))))
    }

    async fn deliver(
        &self,
        source: &Source,
        origin: &Origin<'_>,
        message: crate::source::Message,
    ) -> Result<Option<Held>, Error> {
        let never = CancellationToken::new();
        let delivery = Delivery {
            source,
            origin,
            calls: Calls {
                source,
                timeout: self.call_timeout,
            },
            cancelled: &never,
            patience: Some(PATIENCE),
        };
        let messages = [message];
        match delivery.deliver(&messages, false).await {
            Ok(refused) => {
                let [message] = messages;
                let reason = refused.into_iter().next();
                Ok(reason.map(|refused| refused.reason.held(&message)))
            }
            Err(Halt::Fatal(reason)) => Err(Error::TargetUnavailable(reason)),
            Err(Halt::Cancelled) => Err(Error::Stopping),
        }
    }
}

// === impl ReplayQuarantinedResponse ===

impl pb::ReplayQuarantinedResponse {
    fn add(&mut self, replay: Replay) {
        match replay {
            Replay::Accepted => self.replayed += 1,
            Replay::Refused(row) => {
                self.refused_records += 1;
                if self.refused.len() < MAX_SHOWN {
                    let row = HeldRow {
                        raw: None,
                        record: None,
                        ..*row
                    };
                    self.refused.push(convert::record(row));
                }
            }
        }
    }
}

/// Cuts a page to its size; returns the token of the next one, empty on the last page.
fn truncate(rows: &mut Vec<HeldRow>, size: i64) -> String {
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if rows.len() <= size {
        return String::new();
    }
    rows.truncate(size);
    let last = rows.last().map(|row| Cursor {
        unit: row.unit.clone(),
        number: row.number,
    });
    last.as_ref().map(convert::token).unwrap_or_default()
}

fn unknown(unit: &str, number: i64) -> Error {
    Error::UnknownRecord {
        unit: unit.to_owned(),
        number,
    }
}
