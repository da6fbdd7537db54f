//! The API of one upstream, as it was learned.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use client::Upstream;
use http::HeaderValue;

use crate::declarations::Declarations;

/// The API of one upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Learned {
    /// Encoded `google.protobuf.FileDescriptorProto` by file name, options of extensions included.
    pub files: BTreeMap<String, Bytes>,
    /// Full names of the services that the upstream says it serves.
    pub services: BTreeSet<String>,
    /// Services that the upstream lists and that can't be served, with the reasons.
    pub left_out: BTreeMap<String, String>,
    /// Whether the upstream itself has told which services it serves.
    pub by_reflection: bool,
    /// Whether descriptor files have told what some of them are.
    pub by_files: bool,
    /// Whether requests are left for the upstream to validate.
    pub leaves_validation: bool,
    /// The process whose operators' side was asked; `None` for the public side of any.
    pub process: Option<HeaderValue>,
    /// All that descriptor files declare.
    pub declarations: Arc<Declarations>,
}

/// The server that is asked.
#[derive(Clone, Copy)]
pub(crate) struct Server<'a> {
    pub(crate) upstream: &'a Upstream,
    /// The process whose operators' side is asked; `None` for the public side of any.
    pub(crate) process: Option<&'a HeaderValue>,
}
