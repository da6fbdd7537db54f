//! Order files for tests, and calls about their imports.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::{Mesh, eventually, http::Response};

/// The header of a file of the declared source.
pub const HEADER: &str =
    "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n";

impl Mesh {
    /// Creates an import through the gateway; returns its id.
    ///
    /// # Errors
    /// When ingest rejects the call.
    pub async fn announce(&self, request_id: &str, file: &[u8]) -> Result<String> {
        let create = json!({"requestId": request_id, "source": "online-retail", "sizeBytes": file.len().to_string()});
        let created = self.http()?.post("/v1/imports", &create).await?;
        ensure!(created.status == 200, "{}", created.text());
        Ok(created.json()?["importId"]
            .as_str()
            .context("importId")?
            .to_owned())
    }

    /// Uploads bytes of a file from `offset` on.
    ///
    /// # Errors
    /// Without a complete response.
    pub async fn upload(&self, import: &str, offset: usize, bytes: Bytes) -> Result<Response> {
        self.http()?
            .upload(
                &format!("/v1/imports/{import}:upload?offset={offset}"),
                bytes,
            )
            .await
    }

    /// Returns the import as JSON.
    ///
    /// # Errors
    /// See [`announce`](Self::announce).
    pub async fn import(&self, import: &str) -> Result<Value> {
        self.http()?
            .get(&format!("/v1/imports/{import}"), "application/json")
            .await?
            .json()
    }

    /// Uploads missing bytes until none are, through failures of processes.
    ///
    /// # Errors
    /// When that does not happen in time.
    pub async fn resume(&self, import: &str, file: &Bytes) -> Result<()> {
        eventually("the whole file received", async || {
            let offset = received(&self.import(import).await?)?;
            if offset < file.len() {
                let sent = self.upload(import, offset, file.slice(offset..)).await?;
                ensure!(sent.status == 200, "{}", sent.text());
            }
            Ok(())
        })
        .await
    }

    /// Waits until every order and return of the file is settled.
    ///
    /// # Errors
    /// When that does not happen in time; names the last state of the import.
    pub async fn completed(&self, import: &str) -> Result<Value> {
        eventually("the import completed", async || {
            let import = self.import(import).await?;
            ensure!(import["state"] == "IMPORT_STATE_COMPLETED", "{import}");
            Ok(import)
        })
        .await
    }
}

/// Returns the number of bytes whose rows are durable.
///
/// # Errors
/// When the import has no such number.
pub fn received(import: &Value) -> Result<usize> {
    // An int64 is a string in JSON, and 0 is left out.
    Ok(import["receivedBytes"].as_str().unwrap_or("0").parse()?)
}
