//! The messages of the test protos, by hand: the gateway must not need generated code, so neither
//! do its tests.

use std::collections::HashMap;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GreetRequest {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(int32, tag = "2")]
    pub(crate) times: i32,
    #[prost(int32, tag = "3")]
    pub(crate) mood: i32,
    #[prost(message, optional, tag = "4")]
    pub(crate) list: Option<List>,
    #[prost(message, optional, tag = "5")]
    pub(crate) extra: Option<prost_types::Any>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct List {
    #[prost(string, repeated, tag = "1")]
    pub(crate) names: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct GreetResponse {
    #[prost(string, tag = "1")]
    pub(crate) text: String,
    #[prost(map = "string, string", tag = "2")]
    pub(crate) metadata: HashMap<String, String>,
    #[prost(int32, tag = "3")]
    pub(crate) mood: i32,
    #[prost(message, optional, tag = "4")]
    pub(crate) extra: Option<prost_types::Any>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CountRequest {
    #[prost(int32, tag = "1")]
    pub(crate) to: i32,
    #[prost(int32, tag = "2")]
    pub(crate) fail_at: i32,
    #[prost(int32, tag = "3")]
    pub(crate) hold_at: i32,
    #[prost(int32, tag = "4")]
    pub(crate) padding: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct CountResponse {
    #[prost(int32, tag = "1")]
    pub(crate) number: i32,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) padding: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct HttpBody {
    #[prost(string, tag = "1")]
    pub(crate) content_type: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) data: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StoreRequest {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(message, optional, tag = "2")]
    pub(crate) content: Option<HttpBody>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StoreResponse {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) content_type: String,
    #[prost(int64, tag = "3")]
    pub(crate) bytes: i64,
    #[prost(int32, tag = "4")]
    pub(crate) messages: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct FetchRequest {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
}
