//! Descriptors, as much of them as is counted.

/// `google.protobuf.FileDescriptorProto`, as much of it as is counted; `prost_types` would drop the
/// option.
#[derive(prost::Message)]
pub(super) struct OutlineFile {
    #[prost(string, tag = "2")]
    pub(super) package: String,
    #[prost(message, repeated, tag = "6")]
    pub(super) service: Vec<OutlineService>,
}

#[derive(prost::Message)]
pub(super) struct OutlineService {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, repeated, tag = "2")]
    pub(super) method: Vec<OutlineMethod>,
}

#[derive(prost::Message)]
pub(super) struct OutlineMethod {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(message, optional, tag = "4")]
    pub(super) options: Option<OutlineOptions>,
}

#[derive(prost::Message)]
pub(super) struct OutlineOptions {
    /// `google.api.http`.
    #[prost(bytes = "vec", optional, tag = "72295728")]
    pub(super) http: Option<Vec<u8>>,
}

// === impl OutlineMethod ===

impl OutlineMethod {
    pub(super) fn has_http_rule(&self) -> bool {
        self.options
            .as_ref()
            .is_some_and(|options| options.http.is_some())
    }
}
