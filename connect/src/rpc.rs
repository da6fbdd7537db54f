//! The API of the sources.

mod convert;
mod quarantine;
mod send;
mod trial;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::error::Error;
use crate::pb::mesh::connect::v1 as pb;
use crate::pb::mesh::connect::v1::connect_service_server::ConnectService;
use crate::source::{Source, Sources};
use crate::store::{SourceRow, State, Store};

/// The service.
#[derive(Debug)]
pub(crate) struct Connect {
    pub(crate) store: Store,
    pub(crate) sources: Arc<Sources>,
    pub(crate) uploads: Arc<Semaphore>,
    pub(crate) spool_max_bytes: i64,
    pub(crate) call_timeout: Duration,
    pub(crate) draining: CancellationToken,
}

// === impl Connect ===

impl Connect {
    fn source(&self, name: &str) -> Result<&Arc<Source>, Error> {
        let unknown = || Error::UnknownSource(name.to_owned());
        self.sources.get(name).ok_or_else(unknown)
    }

    async fn row(&self, name: &str) -> Result<SourceRow, Error> {
        let rows = self.store.sources(&[name.to_owned()]).await?;
        let unknown = || Error::UnknownSource(name.to_owned());
        rows.into_iter().next().ok_or_else(unknown)
    }

    async fn set_state(&self, name: &str, state: State) -> Result<pb::Source, Error> {
        let source = self.source(name)?;
        let row = self.store.set_state(name, state).await?;
        let state: &str = state.into();
        tracing::info!(source = name, state, "source set by an operator");
        Ok(convert::source(source, row))
    }

    fn upload(&self) -> Result<OwnedSemaphorePermit, Error> {
        let permit = self.uploads.clone().try_acquire_owned();
        permit.map_err(|_| Error::TooManyCalls)
    }
}

#[tonic::async_trait]
impl ConnectService for Connect {
    async fn list_sources(
        &self,
        _: Request<pb::ListSourcesRequest>,
    ) -> Result<Response<pb::ListSourcesResponse>, Status> {
        let rows = self.store.sources(&self.sources.names()).await;
        let rows = rows.map_err(Error::from)?;
        let sources = rows.into_iter().filter_map(|row| {
            let source = self.sources.get(&row.name)?;
            Some(convert::source(source, row))
        });
        let sources = sources.collect();
        Ok(Response::new(pb::ListSourcesResponse { sources }))
    }

    async fn get_source(
        &self,
        request: Request<pb::GetSourceRequest>,
    ) -> Result<Response<pb::GetSourceResponse>, Status> {
        let name = &request.get_ref().source;
        let source = self.source(name)?;
        let row = self.row(name).await?;
        let units = self.store.latest_units(name).await.map_err(Error::from)?;
        Ok(Response::new(pb::GetSourceResponse {
            source: Some(convert::source(source, row)),
            units: units.into_iter().map(convert::unit).collect(),
        }))
    }

    async fn pause_source(
        &self,
        request: Request<pb::PauseSourceRequest>,
    ) -> Result<Response<pb::PauseSourceResponse>, Status> {
        let name = &request.get_ref().source;
        let source = Some(self.set_state(name, State::Paused).await?);
        Ok(Response::new(pb::PauseSourceResponse { source }))
    }

    async fn resume_source(
        &self,
        request: Request<pb::ResumeSourceRequest>,
    ) -> Result<Response<pb::ResumeSourceResponse>, Status> {
        let name = &request.get_ref().source;
        let source = Some(self.set_state(name, State::Running).await?);
        Ok(Response::new(pb::ResumeSourceResponse { source }))
    }

    async fn list_quarantined(
        &self,
        request: Request<pb::ListQuarantinedRequest>,
    ) -> Result<Response<pb::ListQuarantinedResponse>, Status> {
        Ok(Response::new(self.list(request.get_ref()).await?))
    }

    async fn get_quarantined(
        &self,
        request: Request<pb::GetQuarantinedRequest>,
    ) -> Result<Response<pb::GetQuarantinedResponse>, Status> {
        let record = Some(self.show(request.get_ref()).await?);
        Ok(Response::new(pb::GetQuarantinedResponse { record }))
    }

    async fn replay_quarantined(
        &self,
        request: Request<pb::ReplayQuarantinedRequest>,
    ) -> Result<Response<pb::ReplayQuarantinedResponse>, Status> {
        Ok(Response::new(self.replay(request.get_ref()).await?))
    }

    async fn discard_quarantined(
        &self,
        request: Request<pb::DiscardQuarantinedRequest>,
    ) -> Result<Response<pb::DiscardQuarantinedResponse>, Status> {
        let discarded = self.discard(request.get_ref()).await?;
        Ok(Response::new(pb::DiscardQuarantinedResponse { discarded }))
    }

    async fn send_file(
        &self,
        request: Request<Streaming<pb::SendFileRequest>>,
    ) -> Result<Response<pb::SendFileResponse>, Status> {
        let _permit = self.upload()?;
        Ok(Response::new(self.receive(request.into_inner()).await?))
    }

    async fn try_source(
        &self,
        request: Request<Streaming<pb::TrySourceRequest>>,
    ) -> Result<Response<pb::TrySourceResponse>, Status> {
        let _permit = self.upload()?;
        Ok(Response::new(self.attempt(request.into_inner()).await?))
    }
}
