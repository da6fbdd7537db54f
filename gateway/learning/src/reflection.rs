//! A client of gRPC server reflection, v1 or v1alpha, that keeps descriptors as the bytes that were
//! sent.

mod files;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use http::uri::PathAndQuery;
use rpc::headers::PROCESS;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Status, Streaming};
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use crate::api::{Learned, Server};
use crate::encoded::MAX_TOTAL_BYTES;
use files::Files;

/// Both versions of the protocol have the same messages; they differ in the name of the service
/// only.
const V1: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
const V1ALPHA: &str = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";

/// Services of every server, which the gateway itself answers.
pub(crate) const INFRASTRUCTURE: [&str; 2] = ["grpc.health.", "grpc.reflection."];

/// One answer of reflection may hold a file with all its dependencies.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// A failure to learn an upstream.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{}: {}", .0.code(), .0.message())]
    Call(#[source] Status),
    #[error(
        "the upstream does not offer server reflection, neither v1 nor v1alpha; a descriptor file (`--descriptors FILE` or `--proto DIR`) takes its place"
    )]
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
    #[error("reflection gave more than {0} bytes or {MAX_IMPORTS} imports")]
    TooLarge(usize),
    #[error("reflection lists {0} services; at most {MAX_SERVICES} are possible")]
    TooMany(usize),
}

/// An API learned by reflection.
#[derive(Debug)]
pub(crate) struct Reflected {
    pub(crate) learned: Learned,
    /// Whether every question was answered, if only by a refusal.
    pub(crate) is_whole: bool,
}

/// Services that an upstream may list; the largest public APIs have a thousand.
const MAX_SERVICES: usize = 5_000;

/// Imports of one API.
const MAX_IMPORTS: usize = 10_000;

/// Questions of one round, so that a server which invents names can't keep it busy.
const MAX_QUESTIONS: usize = 10_000;

/// Questions for one type: public APIs import a few dozen files.
const MAX_TYPE_QUESTIONS: usize = 200;

/// The longest waits of one round for answers, as parts of its time. The wait is halved after each
/// question without an answer, so that services without an answer leave time for the others.
const FIRST_WAIT: u32 = 4;
const LAST_WAIT: u32 = 64;

/// Streams of one round: servers may end the stream at a question that they can't answer.
const MAX_SESSIONS: usize = 64;

/// Asks for every service, its file and the files that it depends on, for at most `limit`. A
/// question that fails costs only what it asks for.
///
/// # Errors
/// Reflection itself is not offered or does not answer, or lists too many services.
pub(crate) async fn learn(server: Server<'_>, limit: Duration) -> Result<Reflected, Error> {
    let (mut asker, services) = Asker::open(server, limit, MAX_QUESTIONS).await?;
    if services.len() > MAX_SERVICES {
        return Err(Error::TooMany(services.len()));
    }
    let mut files = Files::new(MAX_TOTAL_BYTES);
    let mut left_out = BTreeMap::new();
    for service in &services {
        if files.declares(service) {
            continue;
        }
        let symbol = MessageRequest::FileContainingSymbol(service.clone());
        let refusal = match asker.ask(symbol, service).await {
            Ok(found) => files.add(found),
            Err(reason) => Some(reason),
        };
        if !files.declares(service) {
            let missing = || Error::Missing(service.clone()).to_string();
            left_out.insert(service.clone(), refusal.unwrap_or_else(missing));
        }
    }
    files.complete(&mut asker).await;
    left_out.retain(|service, _| !files.declares(service));
    let learned = Learned {
        files: files.raw,
        services,
        left_out,
        by_reflection: true,
        ..Learned::default()
    };
    let is_whole = asker.is_whole;
    Ok(Reflected { learned, is_whole })
}

/// Asks for the file that declares a message type and the files that it depends on, for at most
/// `limit`. An import without an answer is stood in for by an empty file.
///
/// # Errors
/// The reason why there is no such file.
pub(crate) async fn find(
    server: Server<'_>,
    name: &str,
    limit: Duration,
    max_bytes: usize,
) -> Result<BTreeMap<String, Bytes>, String> {
    let opened = Asker::open(server, limit, MAX_TYPE_QUESTIONS).await;
    let (mut asker, _) = opened.map_err(|error| error.to_string())?;
    // Nothing can be asked without the answer to the first question.
    asker.patience = limit;
    let mut files = Files::new(max_bytes);
    let symbol = MessageRequest::FileContainingSymbol(name.to_owned());
    if let Some(refusal) = files.add(asker.ask(symbol, name).await?) {
        return Err(refusal);
    }
    files.complete(&mut asker).await;
    files.fill();
    Ok(files.raw)
}

/// Asks question by question, on a new stream where the last one has ended.
struct Asker<'a> {
    server: Server<'a>,
    path: &'static str,
    /// The end of the round.
    end: Instant,
    limit: Duration,
    /// The longest wait for the next answer.
    patience: Duration,
    session: Option<Session>,
    questions: usize,
    max_questions: usize,
    sessions: usize,
    is_whole: bool,
}

impl<'a> Asker<'a> {
    async fn open(
        server: Server<'a>,
        limit: Duration,
        max_questions: usize,
    ) -> Result<(Self, BTreeSet<String>), Error> {
        let end = Instant::now() + limit;
        let opened = timeout_at(end, Self::open_any(server)).await;
        let (path, session, services) = opened.unwrap_or_else(|_| Err(late(limit)))?;
        let asker = Self {
            server,
            path,
            end,
            limit,
            patience: limit / FIRST_WAIT,
            session: Some(session),
            questions: 0,
            max_questions,
            sessions: 1,
            is_whole: true,
        };
        Ok((asker, services))
    }

    async fn open_any(
        server: Server<'a>,
    ) -> Result<(&'static str, Session, BTreeSet<String>), Error> {
        let is_unknown = |error: &Error| matches!(error, Error::Call(status) if status.code() == Code::Unimplemented);
        for path in [V1, V1ALPHA] {
            match Session::open(server, path).await {
                Err(error) if is_unknown(&error) => {}
                opened => return opened.map(|(session, services)| (path, session, services)),
            }
        }
        Err(Error::NotOffered)
    }

    /// Returns the files that answer a question, or the reason why there are none.
    async fn ask(&mut self, request: MessageRequest, asked: &str) -> Result<Vec<Vec<u8>>, String> {
        self.questions += 1;
        let reason = if self.questions > self.max_questions {
            let most = self.max_questions;
            format!("not asked: the upstream needs more than {most} questions")
        } else if self.end <= Instant::now() {
            format!("not asked: {}", late(self.limit))
        } else {
            let wait = self.end.min(Instant::now() + self.patience);
            match timeout_at(wait, self.answer(request, asked)).await {
                Ok(Ok(answer)) => return answer,
                Ok(Err(reason)) => reason,
                Err(_) => {
                    let waited = self.patience.as_millis();
                    self.patience = (self.patience / 2).max(self.limit / LAST_WAIT);
                    format!("no answer to `{asked}` within {waited} ms")
                }
            }
        };
        self.is_whole = false;
        Err(reason)
    }

    /// Returns the answer, which may be a refusal, or the reason why there is none. A stream that
    /// fails may have failed by itself, so the question is asked once more on a new one.
    async fn answer(
        &mut self,
        request: MessageRequest,
        asked: &str,
    ) -> Result<Result<Vec<Vec<u8>>, String>, String> {
        let mut failure = String::new();
        for _ in 0..2 {
            let opened = self.session().await.map_err(|error| error.to_string())?;
            let Some(mut session) = opened else {
                return Err(format!(
                    "not asked: reflection has ended {MAX_SESSIONS} streams"
                ));
            };
            match session.files(request.clone(), asked).await {
                Err(error @ (Error::Call(_) | Error::Ended)) => failure = error.to_string(),
                answer => {
                    self.session = Some(session);
                    return Ok(answer.map_err(|error| error.to_string()));
                }
            }
        }
        Err(failure)
    }

    async fn session(&mut self) -> Result<Option<Session>, Error> {
        if self.session.is_some() {
            return Ok(self.session.take());
        }
        self.sessions += 1;
        if self.sessions > MAX_SESSIONS {
            return Ok(None);
        }
        let (session, _) = Session::open(self.server, self.path).await?;
        Ok(Some(session))
    }
}

fn late(limit: Duration) -> Error {
    let message = format!("no answer within {} ms", limit.as_millis());
    Error::Call(Status::deadline_exceeded(message))
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
        server: Server<'_>,
        path: &'static str,
    ) -> Result<(Self, BTreeSet<String>), Error> {
        let (requests, queue) = mpsc::channel(1);
        let list = MessageRequest::ListServices(String::new());
        requests
            .send(question(list))
            .await
            .map_err(|_| Error::Ended)?;
        let mut grpc = tonic::client::Grpc::new(server.upstream.main_version())
            .max_decoding_message_size(MAX_ANSWER_BYTES);
        grpc.ready().await.map_err(Error::Call)?;
        let codec =
            tonic_prost::ProstCodec::<ServerReflectionRequest, ServerReflectionResponse>::new();
        let mut request = Request::new(ReceiverStream::new(queue));
        if let Some(process) = server.process {
            let mut headers = request.metadata().clone().into_headers();
            headers.insert(PROCESS, process.clone());
            *request.metadata_mut() = MetadataMap::from_headers(headers);
        }
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
