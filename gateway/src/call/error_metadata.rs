//! The metadata of an error, apart by the place where the upstream has sent them.

use http::HeaderMap;
use tonic::Status;

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
