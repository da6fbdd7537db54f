//! Stuck sagas: reads, and acts with their audit.

use chassis::page::Page;
use saga::Outline;
use saga::desk::{self, Cursor, Report};
use sqlx::PgPool;
use uuid::Uuid;

use crate::acts::{self, Action, Intent};
use crate::convert;
use crate::error::Error;
use crate::pb::mesh::ops::v1 as pb;

/// Most steps of one saga that are shown; a definition has far fewer.
const STEPS: u32 = 1_000;

/// The sagas of one process.
pub(crate) struct Sagas {
    pool: PgPool,
    outlines: Vec<Outline>,
}

// === impl Sagas ===

impl Sagas {
    pub(crate) fn new(pool: PgPool, outlines: Vec<Outline>) -> Self {
        Self { pool, outlines }
    }

    pub(crate) async fn stuck(
        &self,
        request: &pb::ListStuckSagasRequest,
    ) -> Result<pb::ListStuckSagasResponse, Error> {
        let page = Page::new(request.page_size);
        let name = Some(&*request.name).filter(|name| !name.is_empty());
        let after: Option<Cursor> = match &*request.page_token {
            "" => None,
            token => Some(token.parse().map_err(|_| Error::PageToken)?),
        };
        let found = desk::stuck(&self.pool, name, after.as_ref(), page.limit()).await?;
        let (found, next_page_token) = page.cut(found, |report| report.cursor().to_string());
        Ok(pb::ListStuckSagasResponse {
            sagas: found.into_iter().map(convert::saga).collect(),
            next_page_token,
        })
    }

    pub(crate) async fn show(
        &self,
        request: &pb::GetSagaRequest,
    ) -> Result<pb::GetSagaResponse, Error> {
        let id = id(&request.saga_id)?;
        let report = self.find(&request.name, id).await?;
        let steps = desk::history(&self.pool, &request.name, id, STEPS).await?;
        Ok(pb::GetSagaResponse {
            saga: Some(convert::saga(report)),
            steps: steps.into_iter().map(convert::saga_step).collect(),
        })
    }

    pub(crate) async fn resume(
        &self,
        operator: &str,
        request: &pb::ResumeSagaRequest,
    ) -> Result<(), Error> {
        let (name, id) = (&request.name, id(&request.saga_id)?);
        let intent = Intent {
            operator,
            action: Action::Resume,
            scope: name,
            key: &id.to_string(),
            detail: String::new(),
            reason: &request.reason,
        };
        let work = async {
            self.find_stuck(name, id).await?;
            match desk::resume(&self.pool, name, id).await? {
                true => Ok(()),
                false => Err(not_stuck(name, id)),
            }
        };
        acts::record(&self.pool, &intent, work, |()| "resumed".to_owned()).await
    }

    /// Returns the step that follows; empty if the saga ends.
    pub(crate) async fn give_up(
        &self,
        operator: &str,
        request: &pb::GiveUpSagaStepRequest,
    ) -> Result<String, Error> {
        let (name, step, id) = (&request.name, &request.step, id(&request.saga_id)?);
        let intent = Intent {
            operator,
            action: match request.dry_run {
                true => Action::Rehearse,
                false => Action::GiveUp,
            },
            scope: name,
            key: &id.to_string(),
            detail: step.clone(),
            reason: &request.reason,
        };
        let work = async {
            let report = self.find_stuck(name, id).await?;
            if report.step != *step {
                return Err(Error::OtherStep(report.step));
            }
            let next = self.after_giving_up(&report)?;
            if !request.dry_run
                && !desk::give_up(&self.pool, name, id, step, &request.reason).await?
            {
                return Err(not_stuck(name, id));
            }
            Ok(next.unwrap_or_default().to_owned())
        };
        acts::record(&self.pool, &intent, work, |next: &String| match &**next {
            "" => "the saga ends".to_owned(),
            next => format!("goes on at {next}"),
        })
        .await
    }

    fn after_giving_up(&self, report: &Report) -> Result<Option<&'static str>, Error> {
        let is_served = |outline: &&Outline| outline.is_of(&report.name, report.definition);
        let outline = self.outlines.iter().find(is_served);
        let next = outline.and_then(|outline| outline.after_giving_up(&report.step));
        next.ok_or_else(|| Error::StepNotServed {
            name: report.name.clone(),
            definition: report.definition,
            step: report.step.clone(),
        })
    }

    async fn find(&self, name: &str, id: Uuid) -> Result<Report, Error> {
        let found = desk::get(&self.pool, name, id).await?;
        found.ok_or_else(|| Error::UnknownSaga(id.to_string(), name.to_owned()))
    }

    async fn find_stuck(&self, name: &str, id: Uuid) -> Result<Report, Error> {
        let report = self.find(name, id).await?;
        match report.is_stuck() {
            true => Ok(report),
            false => Err(not_stuck(name, id)),
        }
    }
}

fn not_stuck(name: &str, id: Uuid) -> Error {
    Error::NotStuck(id.to_string(), name.to_owned())
}

/// Reads an id; validation has refused what is malformed.
fn id(text: &str) -> Result<Uuid, Error> {
    text.parse().map_err(|_| Error::SagaId)
}
