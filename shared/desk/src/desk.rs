//! The service: reads, and acts with their audit.

mod decisions;

use chassis::server::{OperatorName, Server};
use descriptors::CompileError;
use events::{Bus, Consumer};
use events::{parking, stopped};
use saga::Outline;
use sqlx::PgPool;
use store::Database;
use tonic::{Extensions, Request, Response, Status};

use crate::acts::{self, Action};
use crate::convert;
use crate::error::Error;
use crate::payloads::Payloads;
use crate::pb::mesh::ops::v1 as pb;
use crate::pb::mesh::ops::v1::desk_service_server::{DeskService, DeskServiceServer};
use crate::pb::{FILE_DESCRIPTOR_SET, METHODS};
use crate::sagas::Sagas;

/// The desk of one process.
pub struct Desk {
    database: Database,
    payloads: Payloads,
    facts: Option<Facts>,
    sagas: Option<Sagas>,
}

/// The parts of a process that publishes or consumes facts.
struct Facts {
    bus: Bus,
    consumers: Vec<Consumer>,
}

// === impl Desk ===

impl Desk {
    /// Creates the desk of a process whose contract is this encoded `FileDescriptorSet`: payloads
    /// of its types can be read.
    ///
    /// # Errors
    /// A descriptor set that does not resolve.
    pub fn new(database: Database, descriptor_set: &[u8]) -> Result<Self, CompileError> {
        Ok(Self {
            database,
            payloads: Payloads::new(descriptor_set)?,
            facts: None,
            sagas: None,
        })
    }

    /// Adds the facts that the process publishes by `bus`, and the `consumers` that it runs.
    pub fn with_events(mut self, bus: Bus, consumers: impl IntoIterator<Item = Consumer>) -> Self {
        let consumers = consumers.into_iter().collect();
        self.facts = Some(Facts { bus, consumers });
        self
    }

    /// Adds the sagas that the process runs, by their definitions.
    pub fn with_sagas(mut self, outlines: Vec<Outline>) -> Self {
        self.sagas = Some(Sagas::new(self.pool().clone(), outlines));
        self
    }

    /// Adds the desk to the operators' side of `server`.
    pub fn serve_on(self, server: Server) -> Server {
        let database = self.database.clone();
        let service = database.guard(DeskServiceServer::new(self));
        server.for_operators(FILE_DESCRIPTOR_SET, METHODS, service)
    }

    fn pool(&self) -> &PgPool {
        self.database.pool()
    }

    /// Returns the sagas of the process, or an error that it has none of this name and id.
    fn sagas(&self, name: &str, id: &str) -> Result<&Sagas, Error> {
        let unknown = || Error::UnknownSaga(id.to_owned(), name.to_owned());
        self.sagas.as_ref().ok_or_else(unknown)
    }

    fn consumer(&self, name: &str) -> Result<(&Facts, &Consumer), Error> {
        let unknown = || Error::UnknownConsumer(name.to_owned());
        let facts = self.facts.as_ref().ok_or_else(unknown)?;
        let mut consumers = facts.consumers.iter();
        let consumer = consumers.find(|consumer| consumer.name() == name);
        Ok((facts, consumer.ok_or_else(unknown)?))
    }
}

type Reply<T> = Result<T, Error>;

/// Returns the name of the caller's token, which the server has checked.
fn operator(extensions: &Extensions) -> Result<String, Error> {
    let name = extensions.get::<OperatorName>();
    Ok(name.ok_or(Error::NoOperator)?.as_str().to_owned())
}

#[tonic::async_trait]
impl DeskService for Desk {
    async fn list_consumers(
        &self,
        _: Request<pb::ListConsumersRequest>,
    ) -> Result<Response<pb::ListConsumersResponse>, Status> {
        let mut consumers = Vec::new();
        if let Some(facts) = &self.facts {
            for consumer in &facts.consumers {
                let lag = facts.bus.lag(consumer).await.map_err(Error::from)?;
                let parked = parking::count(self.pool(), consumer.name()).await;
                let parked = parked.map_err(Error::from)?;
                consumers.push(convert::consumer(consumer, &lag, parked));
            }
        }
        Ok(Response::new(pb::ListConsumersResponse { consumers }))
    }

    async fn list_parked_keys(
        &self,
        request: Request<pb::ListParkedKeysRequest>,
    ) -> Result<Response<pb::ListParkedKeysResponse>, Status> {
        let request = request.into_inner();
        let (limit, mut keys) = (convert::limit(request.limit), Vec::new());
        if self.facts.is_some() {
            let consumer = Some(&*request.consumer).filter(|name| !name.is_empty());
            let found = parking::list(self.pool(), consumer, limit + 1).await;
            keys = found.map_err(Error::from)?;
        }
        let truncated = convert::truncate(&mut keys, limit);
        let keys = keys.into_iter().map(convert::parked_key).collect();
        Ok(Response::new(pb::ListParkedKeysResponse {
            keys,
            truncated,
        }))
    }

    async fn list_parked_facts(
        &self,
        request: Request<pb::ListParkedFactsRequest>,
    ) -> Result<Response<pb::ListParkedFactsResponse>, Status> {
        let operator = operator(request.extensions())?;
        let pb::ListParkedFactsRequest {
            consumer,
            key,
            limit,
        } = request.into_inner();
        let limit = convert::limit(limit);
        let work = async {
            let mut found = Vec::new();
            if self.facts.is_some() {
                found = parking::show(self.pool(), &consumer, &key, limit + 1).await?;
            }
            if found.is_empty() {
                let (consumer, key) = (consumer.clone(), key.clone());
                return Err(events::Error::NotParked { consumer, key }.into());
            }
            Ok(found)
        };
        let mut facts = self.read(&operator, &consumer, &key, work).await?;
        let truncated = convert::truncate(&mut facts, limit);
        let facts = facts.into_iter();
        let facts = facts
            .map(|fact| convert::parked_fact(&self.payloads, fact))
            .collect();
        Ok(Response::new(pb::ListParkedFactsResponse {
            facts,
            truncated,
        }))
    }

    async fn replay_parked_key(
        &self,
        request: Request<pb::ReplayParkedKeyRequest>,
    ) -> Result<Response<pb::ReplayParkedKeyResponse>, Status> {
        let operator = operator(request.extensions())?;
        let replay = self.replay(&operator, request.get_ref()).await?;
        let replay = Some(convert::replay(&replay));
        Ok(Response::new(pb::ReplayParkedKeyResponse { replay }))
    }

    async fn discard_parked_fact(
        &self,
        request: Request<pb::DiscardParkedFactRequest>,
    ) -> Result<Response<pb::DiscardParkedFactResponse>, Status> {
        let operator = operator(request.extensions())?;
        let replay = self
            .leave(&operator, Action::Discard, request.get_ref())
            .await?;
        let replay = Some(convert::replay(&replay));
        Ok(Response::new(pb::DiscardParkedFactResponse { replay }))
    }

    async fn skip_missing_facts(
        &self,
        request: Request<pb::SkipMissingFactsRequest>,
    ) -> Result<Response<pb::SkipMissingFactsResponse>, Status> {
        let operator = operator(request.extensions())?;
        let request = request.into_inner();
        let request = pb::DiscardParkedFactRequest {
            consumer: request.consumer,
            key: request.key,
            version: request.version,
            reason: request.reason,
        };
        let replay = self.leave(&operator, Action::Skip, &request).await?;
        let replay = Some(convert::replay(&replay));
        Ok(Response::new(pb::SkipMissingFactsResponse { replay }))
    }

    async fn list_stopped_keys(
        &self,
        request: Request<pb::ListStoppedKeysRequest>,
    ) -> Result<Response<pb::ListStoppedKeysResponse>, Status> {
        let (limit, mut keys) = (convert::limit(request.get_ref().limit), Vec::new());
        if self.facts.is_some() {
            let found = stopped::list(self.pool(), limit + 1).await;
            keys = found.map_err(Error::from)?;
        }
        let truncated = convert::truncate(&mut keys, limit);
        let keys = keys.into_iter().map(convert::stopped_key).collect();
        Ok(Response::new(pb::ListStoppedKeysResponse {
            keys,
            truncated,
        }))
    }

    async fn list_stopped_facts(
        &self,
        request: Request<pb::ListStoppedFactsRequest>,
    ) -> Result<Response<pb::ListStoppedFactsResponse>, Status> {
        let operator = operator(request.extensions())?;
        let pb::ListStoppedFactsRequest {
            context,
            key,
            limit,
        } = request.into_inner();
        let limit = convert::limit(limit);
        let work = async {
            let mut found = Vec::new();
            if self.facts.is_some() {
                found = stopped::show(self.pool(), &context, &key, limit + 1).await?;
            }
            if found.is_empty() {
                let (context, key) = (context.clone(), key.clone());
                return Err(events::Error::NotStopped { context, key }.into());
            }
            Ok(found)
        };
        let mut facts = self.read(&operator, &context, &key, work).await?;
        let truncated = convert::truncate(&mut facts, limit);
        let facts = facts.into_iter();
        let facts = facts
            .map(|fact| convert::stopped_fact(&self.payloads, fact))
            .collect();
        Ok(Response::new(pb::ListStoppedFactsResponse {
            facts,
            truncated,
        }))
    }

    async fn resume_stopped_key(
        &self,
        request: Request<pb::ResumeStoppedKeyRequest>,
    ) -> Result<Response<pb::ResumeStoppedKeyResponse>, Status> {
        let operator = operator(request.extensions())?;
        self.resume(&operator, request.get_ref()).await?;
        Ok(Response::new(pb::ResumeStoppedKeyResponse {}))
    }

    async fn list_stuck_sagas(
        &self,
        request: Request<pb::ListStuckSagasRequest>,
    ) -> Result<Response<pb::ListStuckSagasResponse>, Status> {
        Ok(Response::new(match &self.sagas {
            Some(sagas) => sagas.stuck(request.get_ref()).await?,
            None => pb::ListStuckSagasResponse::default(),
        }))
    }

    async fn get_saga(
        &self,
        request: Request<pb::GetSagaRequest>,
    ) -> Result<Response<pb::GetSagaResponse>, Status> {
        let request = request.get_ref();
        let sagas = self.sagas(&request.name, &request.saga_id)?;
        Ok(Response::new(sagas.show(request).await?))
    }

    async fn resume_saga(
        &self,
        request: Request<pb::ResumeSagaRequest>,
    ) -> Result<Response<pb::ResumeSagaResponse>, Status> {
        let operator = operator(request.extensions())?;
        let request = request.get_ref();
        let sagas = self.sagas(&request.name, &request.saga_id)?;
        sagas.resume(&operator, request).await?;
        Ok(Response::new(pb::ResumeSagaResponse {}))
    }

    async fn give_up_saga_step(
        &self,
        request: Request<pb::GiveUpSagaStepRequest>,
    ) -> Result<Response<pb::GiveUpSagaStepResponse>, Status> {
        let operator = operator(request.extensions())?;
        let request = request.get_ref();
        let sagas = self.sagas(&request.name, &request.saga_id)?;
        let next_step = sagas.give_up(&operator, request).await?;
        Ok(Response::new(pb::GiveUpSagaStepResponse { next_step }))
    }

    async fn list_acts(
        &self,
        request: Request<pb::ListActsRequest>,
    ) -> Result<Response<pb::ListActsResponse>, Status> {
        let limit = convert::limit(request.get_ref().limit);
        let mut acts = acts::list(self.pool(), limit + 1)
            .await
            .map_err(Error::from)?;
        let truncated = convert::truncate(&mut acts, limit);
        let acts = acts.into_iter().map(convert::act).collect();
        Ok(Response::new(pb::ListActsResponse { acts, truncated }))
    }
}
