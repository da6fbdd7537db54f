//! A client of gRPC server reflection, v1 or v1alpha, that keeps descriptors as the bytes that were
//! sent.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use chassis::client::Upstream;
use http::uri::PathAndQuery;
use prost::Message;
use prost_types::FileDescriptorProto;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status, Streaming};
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use super::MAX_TOTAL_BYTES;

/// Both versions of the protocol have the same messages; they differ in the name of the service
/// only.
const V1: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const V1ALPHA: &str = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";

/// Services of every server, which the gateway itself answers.
pub(crate) const INFRASTRUCTURE: [&str; 2] = ["grpc.health.", "grpc.reflection."];

/// One answer of reflection may hold a file with all its dependencies.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// The API of one upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Learned {
    /// Encoded `google.protobuf.FileDescriptorProto` by file name, options of extensions included.
    pub(crate) files: BTreeMap<String, Bytes>,
    /// Full names of the services that the upstream says it serves.
    pub(crate) services: BTreeSet<String>,
    /// Whether the upstream itself has told which services it serves.
    pub(crate) by_reflection: bool,
    /// Whether descriptor files have told what some of them are.
    pub(crate) by_files: bool,
    /// Whether requests are left for the upstream to validate.
    pub(crate) leaves_validation: bool,
}

/// A failure to learn an upstream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{}: {}", .0.code(), .0.message())]
    Call(#[source] Status),
    #[error("the upstream does not offer server reflection, neither v1 nor v1alpha")]
    NotOffered,
    #[error("reflection ended before it answered")]
    Ended,
    #[error("reflection gave another answer than was asked for")]
    Mismatch,
    #[error("reflection refused `{asked}`: {message}")]
    Refused { asked: String, message: String },
    #[error("reflection gave a file descriptor that cannot be decoded")]
    Malformed(#[source] prost::DecodeError),
    #[error("reflection gave no file that holds `{0}`")]
    Missing(String),
    #[error("reflection gave more than {MAX_TOTAL_BYTES} bytes of descriptors")]
    TooLarge,
}

/// Asks for every service, its file and the files that it depends on.
pub(crate) async fn learn(upstream: &Upstream) -> Result<Learned, Error> {
    let (mut session, services) = match Session::open(upstream, V1).await {
        Err(Error::Call(status)) if status.code() == Code::Unimplemented => {
            Session::open(upstream, V1ALPHA)
                .await
                .map_err(|error| match error {
                    Error::Call(status) if status.code() == Code::Unimplemented => {
                        Error::NotOffered
                    }
                    other => other,
                })?
        }
        opened => opened?,
    };
    let mut files = Files::default();
    for service in &services {
        if !files.declares(service) {
            let symbol = MessageRequest::FileContainingSymbol(service.clone());
            files.add(session.files(symbol, service).await?)?;
        }
        if !files.declares(service) {
            return Err(Error::Missing(service.clone()));
        }
    }
    while let Some(name) = files.missing() {
        let by_name = MessageRequest::FileByFilename(name.clone());
        files.add(session.files(by_name, &name).await?)?;
        if !files.raw.contains_key(&name) {
            return Err(Error::Missing(name));
        }
    }
    Ok(Learned {
        files: files.raw,
        services,
        by_reflection: true,
        by_files: false,
        leaves_validation: false,
    })
}

/// One stream of questions and answers, in lock step.
struct Session {
    requests: mpsc::Sender<ServerReflectionRequest>,
    answers: Streaming<ServerReflectionResponse>,
}

impl Session {
    /// The first question is queued before the call: servers may send no headers before they have
    /// read it.
    async fn open(
        upstream: &Upstream,
        path: &'static str,
    ) -> Result<(Self, BTreeSet<String>), Error> {
        let (requests, queue) = mpsc::channel(1);
        let list = MessageRequest::ListServices(String::new());
        requests
            .send(question(list))
            .await
            .map_err(|_| Error::Ended)?;
        let mut grpc = tonic::client::Grpc::new(upstream.main_version())
            .max_decoding_message_size(MAX_ANSWER_BYTES);
        grpc.ready().await.map_err(Error::Call)?;
        let codec =
            tonic_prost::ProstCodec::<ServerReflectionRequest, ServerReflectionResponse>::new();
        let request = Request::new(ReceiverStream::new(queue));
        let response = grpc
            .streaming(request, PathAndQuery::from_static(path), codec)
            .await;
        let mut session = Self {
            requests,
            answers: response.map_err(Error::Call)?.into_inner(),
        };
        let MessageResponse::ListServicesResponse(list) = session.answer("services").await? else {
            return Err(Error::Mismatch);
        };
        let names = list.service.into_iter().map(|service| service.name);
        let own =
            names.filter(|name| !INFRASTRUCTURE.iter().any(|prefix| name.starts_with(prefix)));
        Ok((session, own.collect()))
    }

    async fn files(&mut self, request: MessageRequest, asked: &str) -> Result<Vec<Vec<u8>>, Error> {
        self.requests
            .send(question(request))
            .await
            .map_err(|_| Error::Ended)?;
        match self.answer(asked).await? {
            MessageResponse::FileDescriptorResponse(files) => Ok(files.file_descriptor_proto),
            _ => Err(Error::Mismatch),
        }
    }

    async fn answer(&mut self, asked: &str) -> Result<MessageResponse, Error> {
        let answer = self
            .answers
            .message()
            .await
            .map_err(Error::Call)?
            .ok_or(Error::Ended)?;
        match answer.message_response.ok_or(Error::Mismatch)? {
            MessageResponse::ErrorResponse(error) => Err(Error::Refused {
                asked: asked.to_owned(),
                message: error.error_message,
            }),
            response => Ok(response),
        }
    }
}

fn question(request: MessageRequest) -> ServerReflectionRequest {
    ServerReflectionRequest {
        host: String::new(),
        message_request: Some(request),
    }
}

/// The files got so far and what they need.
#[derive(Default)]
struct Files {
    raw: BTreeMap<String, Bytes>,
    needed: BTreeSet<String>,
    services: BTreeSet<String>,
    bytes: usize,
}

impl Files {
    /// A server may send one file or a file with its dependencies, and may repeat itself.
    fn add(&mut self, files: Vec<Vec<u8>>) -> Result<(), Error> {
        for raw in files {
            let file = FileDescriptorProto::decode(raw.as_slice()).map_err(Error::Malformed)?;
            let package = file.package().to_owned();
            self.services.extend(
                file.service
                    .iter()
                    .map(|service| qualified(&package, service.name())),
            );
            if self.raw.contains_key(file.name()) {
                continue;
            }
            self.bytes += raw.len();
            if self.bytes > MAX_TOTAL_BYTES {
                return Err(Error::TooLarge);
            }
            let name = file.name().to_owned();
            self.needed.extend(file.dependency);
            self.raw.insert(name, Bytes::from(raw));
        }
        Ok(())
    }

    fn declares(&self, service: &str) -> bool {
        self.services.contains(service)
    }

    fn missing(&mut self) -> Option<String> {
        self.needed.retain(|name| !self.raw.contains_key(name));
        self.needed.first().cloned()
    }
}

/// The full name of something that a file declares at its top.
pub(crate) fn qualified(package: &str, name: &str) -> String {
    if package.is_empty() {
        name.to_owned()
    } else {
        format!("{package}.{name}")
    }
}
