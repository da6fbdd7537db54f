//! The methods of the contract: decode, call model or store, encode.

use std::sync::Arc;

use chassis::{
    changes::Watchers,
    page::{self, Page},
};
use events::Bus;
use futures::{StreamExt, future::BoxFuture, stream::BoxStream};
use protos::ingest::v1::{
    self as pb, CreateImportRequest, CreateImportResponse, GetImportRequest, GetImportResponse,
    ListRejectedRowsRequest, ListRejectedRowsResponse, SummarizeSourceRequest,
    SummarizeSourceResponse, UploadImportRequest, UploadImportResponse, WatchImportRequest,
    WatchImportResponse, ingest_service_server::IngestService,
};
use sqlx::PgPool;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use crate::{
    error::Error,
    model::{Mapping, Sources, State},
    store,
};

mod upload;

/// The ingest service on its own database.
#[derive(Debug)]
pub struct Ingest {
    pool: PgPool,
    bus: Bus,
    sources: Arc<Sources>,
    uploads: Arc<Semaphore>,
    watchers: Watchers,
    draining: CancellationToken,
}

impl Ingest {
    /// Creates the service for `sources`, with at most so many `uploads` and `watchers` at once.
    pub fn new(
        pool: PgPool,
        bus: Bus,
        sources: Arc<Sources>,
        uploads: usize,
        watchers: usize,
        draining: CancellationToken,
    ) -> Self {
        Self {
            pool,
            bus,
            sources,
            uploads: Arc::new(Semaphore::new(uploads)),
            watchers: Watchers::new(watchers, draining.clone()),
            draining,
        }
    }

    fn mapping(&self, source: &str) -> Result<&Arc<Mapping>, Error> {
        self.sources
            .get(source)
            .ok_or_else(|| Error::UnknownSource(source.to_owned()))
    }
}

#[tonic::async_trait]
impl IngestService for Ingest {
    async fn create_import(
        &self,
        request: Request<CreateImportRequest>,
    ) -> Result<Response<CreateImportResponse>, Status> {
        let CreateImportRequest {
            request_id,
            source,
            file_name,
            size_bytes,
        } = request.into_inner();
        self.mapping(&source)?;
        let import = store::create(
            &self.pool,
            &store::NewImport {
                request_id,
                source,
                file_name,
                size_bytes,
            },
        )
        .await?;
        Ok(Response::new(CreateImportResponse {
            import: Some(import_to_proto(import)),
        }))
    }

    async fn upload_import(
        &self,
        request: Request<Streaming<UploadImportRequest>>,
    ) -> Result<Response<UploadImportResponse>, Status> {
        let _permit = permit(&self.uploads, "uploads")?;
        let import = upload::run(self, request.into_inner()).await?;
        Ok(Response::new(UploadImportResponse {
            import: Some(import_to_proto(import)),
        }))
    }

    async fn get_import(
        &self,
        request: Request<GetImportRequest>,
    ) -> Result<Response<GetImportResponse>, Status> {
        let import = store::import(&self.pool, id(&request.into_inner().import_id)?).await?;
        Ok(Response::new(GetImportResponse {
            import: Some(import_to_proto(import)),
        }))
    }

    type WatchImportStream = BoxStream<'static, Result<WatchImportResponse, Status>>;

    async fn watch_import(
        &self,
        request: Request<WatchImportRequest>,
    ) -> Result<Response<Self::WatchImportStream>, Status> {
        let first = store::import(&self.pool, id(&request.into_inner().import_id)?).await?;
        let pool = self.pool.clone();
        let look = move |last: store::Import| -> BoxFuture<'static, _> {
            let pool = pool.clone();
            Box::pin(async move {
                let import = store::import(&pool, last.import_id).await?;
                Ok((import != last).then_some(import))
            })
        };
        let is_end = |import: &store::Import| import.state() == State::Completed;
        let imports = self.watchers.watch(first, is_end, Box::new(look))?;
        let messages = imports.map(|import| {
            let import = Some(import_to_proto(import?));
            Ok(WatchImportResponse { import })
        });
        Ok(Response::new(messages.boxed()))
    }

    async fn list_rejected_rows(
        &self,
        request: Request<ListRejectedRowsRequest>,
    ) -> Result<Response<ListRejectedRowsResponse>, Status> {
        let request = request.into_inner();
        let page = Page::new(request.page_size);
        let after = page::number(&request.page_token)?.unwrap_or(0);
        let rows =
            store::rejected_rows(&self.pool, id(&request.import_id)?, after, page.limit()).await?;
        let (rows, next_page_token) = page.cut(rows, |row| row.row_number.to_string());
        Ok(Response::new(ListRejectedRowsResponse {
            rejected_rows: rows.into_iter().map(rejected_row_to_proto).collect(),
            next_page_token,
        }))
    }

    async fn summarize_source(
        &self,
        request: Request<SummarizeSourceRequest>,
    ) -> Result<Response<SummarizeSourceResponse>, Status> {
        let source = request.into_inner().source;
        self.mapping(&source)?;
        let totals = store::totals(&self.pool, &source).await?;
        Ok(Response::new(SummarizeSourceResponse {
            rows_read: totals.rows_read,
            rows_accepted: totals.rows_accepted(),
            rejected: rejected_to_proto(totals.rejected),
        }))
    }
}

fn id(import_id: &str) -> Result<Uuid, Error> {
    Uuid::parse_str(import_id).map_err(|_| Error::UnknownImport(import_id.to_owned()))
}

fn permit(semaphore: &Arc<Semaphore>, what: &'static str) -> Result<OwnedSemaphorePermit, Error> {
    semaphore
        .clone()
        .try_acquire_owned()
        .map_err(|_| Error::TooMany(what))
}

fn import_to_proto(import: store::Import) -> pb::Import {
    pb::Import {
        import_id: import.import_id.to_string(),
        state: state_to_proto(import.state()).into(),
        rows_read: import.totals.rows_read,
        rows_accepted: import.totals.rows_accepted(),
        rejected: rejected_to_proto(import.totals.rejected),
        source: import.source,
        file_name: import.file_name,
        size_bytes: import.size_bytes,
        received_bytes: import.received_bytes,
        invoices_published: import.invoices_published,
        invoices_settled: import.invoices_settled,
    }
}

fn state_to_proto(state: State) -> pb::ImportState {
    match state {
        State::Receiving => pb::ImportState::Receiving,
        State::Settling => pb::ImportState::Settling,
        State::Completed => pb::ImportState::Completed,
    }
}

fn rejected_to_proto(rejected: Vec<(String, i64)>) -> Vec<pb::RejectionCount> {
    rejected
        .into_iter()
        .map(|(rule, rows)| pb::RejectionCount { rule, rows })
        .collect()
}

fn rejected_row_to_proto(row: store::RejectedRow) -> pb::RejectedRow {
    pb::RejectedRow {
        row_number: row.row_number,
        column: row.column,
        rule: row.rule,
        value: row.value,
    }
}
