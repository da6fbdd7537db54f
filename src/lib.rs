//! The generated contracts of the order-to-cash mesh: a module per package, `METHODS` and
//! `FILE_DESCRIPTOR_SET`.

// Generated code: a contract need not comment every field, and lints of style are for people.
#![allow(missing_docs, unreachable_pub, clippy::all, clippy::too_many_lines)]

include!(concat!(env!("OUT_DIR"), "/protos.rs"));

use prost::Message as _;

/// The status of one request of a batch, with its details.
impl From<tonic::Status> for google::rpc::Status {
    fn from(status: tonic::Status) -> Self {
        // The details of a status are a whole `google.rpc.Status`; unreadable ones are left out.
        let details = Self::decode(status.details()).unwrap_or_default().details;
        Self {
            code: status.code().into(),
            message: status.message().to_owned(),
            details,
        }
    }
}

impl From<google::rpc::Status> for tonic::Status {
    fn from(status: google::rpc::Status) -> Self {
        let details = status.encode_to_vec().into();
        Self::with_details(status.code.into(), status.message, details)
    }
}
