//! Acts of operators at the desk, each with a row in the audit.

use events::parking::{self, Replay};
use events::stopped::{self, Resolution};

use super::{Desk, Reply};
use crate::acts::{self, Action, Intent};
use crate::convert;
use crate::error::Error;
use crate::pb::mesh::ops::v1 as pb;

// === impl Desk ===

impl Desk {
    /// Replays a parked key, or tries to.
    pub(super) async fn replay(
        &self,
        operator: &str,
        request: &pb::ReplayParkedKeyRequest,
    ) -> Reply<Replay> {
        let (facts, consumer) = self.consumer(&request.consumer)?;
        let (settings, key) = (facts.bus.settings(), &request.key);
        let intent = Intent {
            operator,
            action: match request.dry_run {
                true => Action::Rehearse,
                false => Action::Replay,
            },
            scope: &request.consumer,
            key,
            detail: String::new(),
            reason: "",
        };
        let work = async {
            Ok(match request.dry_run {
                true => parking::rehearse(self.pool(), consumer, settings, key).await?,
                false => parking::replay(self.pool(), consumer, settings, key).await?,
            })
        };
        let replayed = acts::record(self.pool(), &intent, work, convert::describe).await?;
        // Handlers may have published.
        facts.bus.wake().await;
        Ok(replayed)
    }

    /// Goes past the first fact of a parked key, or past what is missing before it.
    pub(super) async fn leave(
        &self,
        operator: &str,
        action: Action,
        request: &pb::DiscardParkedFactRequest,
    ) -> Reply<Replay> {
        let (facts, consumer) = self.consumer(&request.consumer)?;
        let (settings, key, version) = (facts.bus.settings(), &request.key, request.version);
        let intent = Intent {
            operator,
            action,
            scope: &request.consumer,
            key,
            detail: version.to_string(),
            reason: &request.reason,
        };
        let work = async {
            let pool = self.pool();
            Ok(match action {
                Action::Skip => parking::skip(pool, consumer, settings, key, version).await?,
                _ => parking::discard(pool, consumer, settings, key, version).await?,
            })
        };
        let replayed = acts::record(self.pool(), &intent, work, convert::describe).await?;
        facts.bus.wake().await;
        Ok(replayed)
    }

    /// Reads the payloads of a key, which leaves a row in the audit.
    pub(super) async fn read<T>(
        &self,
        operator: &str,
        scope: &str,
        key: &str,
        work: impl Future<Output = Reply<Vec<T>>>,
    ) -> Reply<Vec<T>> {
        let intent = Intent {
            operator,
            action: Action::Read,
            scope,
            key,
            detail: String::new(),
            reason: "",
        };
        let describe = |found: &Vec<T>| format!("{} fact(s)", found.len());
        acts::record(self.pool(), &intent, work, describe).await
    }

    /// Decides about a stopped key.
    pub(super) async fn resume(
        &self,
        operator: &str,
        request: &pb::ResumeStoppedKeyRequest,
    ) -> Reply<()> {
        let resolution = convert::resolution(request.resolution());
        let (Some(facts), Some(resolution)) = (&self.facts, resolution) else {
            let (context, key) = (request.context.clone(), request.key.clone());
            return Err(events::Error::NotStopped { context, key }.into());
        };
        if resolution == Resolution::Discard && request.reason.is_empty() {
            return Err(Error::NoReason);
        }
        let intent = Intent {
            operator,
            action: Action::Resume,
            scope: &request.context,
            key: &request.key,
            detail: resolution.name().to_owned(),
            reason: &request.reason,
        };
        let (context, key) = (&request.context, &request.key);
        let work = async { Ok(stopped::resolve(self.pool(), context, key, resolution).await?) };
        acts::record(self.pool(), &intent, work, |()| "decided".to_owned()).await?;
        facts.bus.wake().await;
        Ok(())
    }
}
