//! The methods of the contract: decode, call model or store, encode.

use std::sync::Arc;

use chassis::{
    changes::Watchers,
    page::{self, Page},
};
use events::Bus;
use futures::{StreamExt, future::BoxFuture, stream::BoxStream};
use protos::ingest::v1::{
    AppendRowsRequest, AppendRowsResponse, CreateImportRequest, CreateImportResponse,
    GetImportRequest, GetImportResponse, ListRejectedRowsRequest, ListRejectedRowsResponse,
    SummarizeSourceRequest, SummarizeSourceResponse, UploadImportRequest, UploadImportResponse,
    WatchImportRequest, WatchImportResponse, ingest_service_server::IngestService,
};
use sqlx::PgPool;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    convert,
    error::Error,
    model::{AppendedRow, Import, Mapping, NewImport, Sources, State, append},
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
        let new = NewImport::from(request.into_inner());
        self.mapping(&new.source)?;
        let import = store::create(&self.pool, &new).await?;
        Ok(Response::new(CreateImportResponse {
            import: Some(import.into()),
        }))
    }

    async fn upload_import(
        &self,
        request: Request<Streaming<UploadImportRequest>>,
    ) -> Result<Response<UploadImportResponse>, Status> {
        let _permit = permit(&self.uploads, "uploads")?;
        let import = upload::run(self, request.into_inner()).await?;
        Ok(Response::new(UploadImportResponse {
            import: Some(import.into()),
        }))
    }

    async fn append_rows(
        &self,
        request: Request<AppendRowsRequest>,
    ) -> Result<Response<AppendRowsResponse>, Status> {
        let request = request.into_inner();
        let mapping = self.mapping(&request.source)?;
        let rows: Vec<AppendedRow> = request.rows.into_iter().map(Into::into).collect();
        append::check_order(&rows).map_err(Error::from)?;
        let (import_id, changed) =
            store::append(&self.pool, mapping, &request.unit, &rows, request.ends).await?;
        if changed {
            self.bus.wake().await;
            self.watchers.wake();
        }
        let import = store::import(&self.pool, import_id).await?;
        Ok(Response::new(AppendRowsResponse {
            import: Some(import.into()),
        }))
    }

    async fn get_import(
        &self,
        request: Request<GetImportRequest>,
    ) -> Result<Response<GetImportResponse>, Status> {
        let import = store::import(
            &self.pool,
            convert::import_id(&request.into_inner().import_id)?,
        )
        .await?;
        Ok(Response::new(GetImportResponse {
            import: Some(import.into()),
        }))
    }

    type WatchImportStream = BoxStream<'static, Result<WatchImportResponse, Status>>;

    async fn watch_import(
        &self,
        request: Request<WatchImportRequest>,
    ) -> Result<Response<Self::WatchImportStream>, Status> {
        let first = store::import(
            &self.pool,
            convert::import_id(&request.into_inner().import_id)?,
        )
        .await?;
        let pool = self.pool.clone();
        let look = move |last: Import| -> BoxFuture<'static, _> {
            let pool = pool.clone();
            Box::pin(async move {
                let import = store::import(&pool, last.import_id).await?;
                Ok((import != last).then_some(import))
            })
        };
        let is_end = |import: &Import| import.state() == State::Completed;
        let imports = self.watchers.watch(first, is_end, Box::new(look))?;
        let messages = imports.map(|import| {
            let import = Some(import?.into());
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
        let rows = store::rejected_rows(
            &self.pool,
            convert::import_id(&request.import_id)?,
            after,
            page.limit(),
        )
        .await?;
        let (rows, next_page_token) = page.cut(rows, |row| row.row_number.to_string());
        Ok(Response::new(ListRejectedRowsResponse {
            rejected_rows: rows.into_iter().map(Into::into).collect(),
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
            rows_missing: totals.rows_missing,
            rejected: convert::rejected(totals.rejected),
        }))
    }
}

fn permit(semaphore: &Arc<Semaphore>, what: &'static str) -> Result<OwnedSemaphorePermit, Error> {
    semaphore
        .clone()
        .try_acquire_owned()
        .map_err(|_| Error::TooMany(what))
}
