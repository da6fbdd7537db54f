//! The metadata of an error, apart by the place where the upstream has sent them.

use std::sync::Arc;

use http::HeaderMap;
use tonic::Status;
use tonic::metadata::MetadataMap;

/// The metadata of an error by the place where the upstream has sent them, as the source of its
/// status.
#[derive(Clone, Debug, Default)]
pub(crate) struct ErrorMetadata {
    pub(crate) headers: HeaderMap,
    pub(crate) trailers: HeaderMap,
}

impl std::error::Error for ErrorMetadata {}

impl std::fmt::Display for ErrorMetadata {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the upstream ended the call with an error")
    }
}

impl ErrorMetadata {
    pub(crate) fn is_empty(&self) -> bool {
        self.headers.is_empty() && self.trailers.is_empty()
    }

    /// Takes the metadata out of a status. Those of a response that is trailers only are trailers.
    pub(crate) fn take(status: &mut Status) -> Self {
        let all = std::mem::take(status.metadata_mut()).into_headers();
        let source = std::error::Error::source(status);
        let sent = source.and_then(|source| source.downcast_ref::<Self>());
        sent.cloned().unwrap_or(Self {
            headers: HeaderMap::new(),
            trailers: all,
        })
    }
}

/// Adds the metadata that came before a status to that of the status.
pub(super) fn with_metadata(mut status: Status, metadata: HeaderMap) -> Status {
    let later = std::mem::take(status.metadata_mut()).into_headers();
    let mut all = metadata.clone();
    // Later values replace earlier ones.
    all.extend(later.clone());
    *status.metadata_mut() = MetadataMap::from_headers(all);
    if std::error::Error::source(&status).is_none() {
        status.set_source(Arc::new(ErrorMetadata {
            headers: metadata,
            trailers: later,
        }));
    }
    status
}
