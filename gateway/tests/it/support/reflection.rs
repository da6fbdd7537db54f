//! A server of reflection that answers from a table: rightly, but for what a test wants otherwise.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::BoxStream;
use prost::Message;
use prost_types::FileDescriptorProto;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::server_reflection_server::ServerReflection;
use tonic_reflection::pb::v1::{
    ErrorResponse, FileDescriptorResponse, ListServiceResponse, ServerReflectionRequest,
    ServerReflectionResponse, ServiceResponse,
};

use super::stranger::{PROTOS, descriptors};

/// The table of a server.
#[derive(Clone)]
pub(crate) struct Told {
    services: Vec<String>,
    files: BTreeMap<String, Vec<u8>>,
    odd: Choose,
}

/// Chooses another answer to the question for a file or a symbol.
type Choose = Arc<dyn Fn(&str) -> Option<Odd> + Send + Sync>;

/// An answer in place of the right one.
pub(crate) enum Odd {
    /// These files.
    Files(Vec<Vec<u8>>),
    /// No such thing.
    Refused,
    /// None, and the stream stays open.
    Never,
    /// The stream ends in order.
    Ends,
    /// The stream ends with INTERNAL.
    Fails,
    /// An answer to another question.
    Services,
}

impl Told {
    /// Tells rightly about the stranger's service.
    pub(crate) fn stranger() -> Self {
        Self {
            services: vec!["stranger.v1.StrangerService".to_owned()],
            files: BTreeMap::new(),
            odd: Arc::new(|_| None),
        }
        .with(split(&descriptors("stranger")))
    }

    pub(crate) fn with(mut self, files: BTreeMap<String, Vec<u8>>) -> Self {
        self.files.extend(files);
        self
    }

    pub(crate) fn lists(mut self, service: &str) -> Self {
        self.services.push(service.to_owned());
        self
    }

    /// Answers about these files and symbols otherwise.
    pub(crate) fn odd(mut self, odd: impl Fn(&str) -> Option<Odd> + Send + Sync + 'static) -> Self {
        self.odd = Arc::new(odd);
        self
    }

    fn answer(&self, request: Option<MessageRequest>) -> Odd {
        match request {
            Some(MessageRequest::FileByFilename(name)) => {
                let right = || self.files.get(&name).cloned();
                (self.odd)(&name).unwrap_or_else(|| found(right()))
            }
            Some(MessageRequest::FileContainingSymbol(name)) => {
                (self.odd)(&name).unwrap_or_else(|| found(self.declaring(&name)))
            }
            _ => Odd::Services,
        }
    }

    fn declaring(&self, symbol: &str) -> Option<Vec<u8>> {
        let declares = |raw: &&Vec<u8>| {
            let file = FileDescriptorProto::decode(raw.as_slice()).unwrap_or_default();
            let services = file.service.iter().map(|own| own.name());
            let messages = file.message_type.iter().map(|own| own.name());
            let full = |own: &str| format!("{}.{own}", file.package());
            let is_within = |own: &str| {
                let rest = symbol.strip_prefix(&full(own));
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            services.chain(messages).any(is_within)
        };
        self.files.values().find(declares).cloned()
    }

    fn list(&self) -> MessageResponse {
        let service = self
            .services
            .iter()
            .map(|name| ServiceResponse { name: name.clone() });
        MessageResponse::ListServicesResponse(ListServiceResponse {
            service: service.collect(),
        })
    }
}

fn found(file: Option<Vec<u8>>) -> Odd {
    file.map_or(Odd::Refused, |file| Odd::Files(vec![file]))
}

#[tonic::async_trait]
impl ServerReflection for Told {
    type ServerReflectionInfoStream = BoxStream<'static, Result<ServerReflectionResponse, Status>>;

    async fn server_reflection_info(
        &self,
        request: Request<Streaming<ServerReflectionRequest>>,
    ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
        let told = self.clone();
        let answers = futures::stream::try_unfold(request.into_inner(), move |mut questions| {
            let told = told.clone();
            async move {
                let Some(question) = questions.message().await? else {
                    return Ok(None);
                };
                let response = match told.answer(question.message_request) {
                    Odd::Files(file_descriptor_proto) => {
                        MessageResponse::FileDescriptorResponse(FileDescriptorResponse {
                            file_descriptor_proto,
                        })
                    }
                    Odd::Refused => MessageResponse::ErrorResponse(ErrorResponse {
                        error_code: Code::NotFound as i32,
                        error_message: "not found".to_owned(),
                    }),
                    Odd::Services => told.list(),
                    Odd::Never => std::future::pending().await,
                    Odd::Ends => return Ok(None),
                    Odd::Fails => return Err(Status::internal("broken")),
                };
                let answer = ServerReflectionResponse {
                    message_response: Some(response),
                    ..ServerReflectionResponse::default()
                };
                Ok(Some((answer, questions)))
            }
        });
        Ok(Response::new(answers.boxed()))
    }
}

/// `google.protobuf.FileDescriptorSet` with files still encoded, extensions included.
#[derive(Clone, PartialEq, prost::Message)]
struct RawSet {
    #[prost(bytes = "vec", repeated, tag = "1")]
    files: Vec<Vec<u8>>,
}

/// The encoded files of a set by name.
fn split(set: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let set = RawSet::decode(set).unwrap();
    let name = |raw: &[u8]| FileDescriptorProto::decode(raw).unwrap().name().to_owned();
    let files = set.files.into_iter();
    files.map(|raw| (name(&raw), raw)).collect()
}

/// Compiles proto files, given with their paths, the last one imports all others; returns all
/// files, with imports, by name.
pub(crate) fn compile(sources: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
    let directory = tempfile::tempdir().unwrap();
    for (path, text) in sources {
        let path = directory.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let includes = [
        directory.path().to_str().unwrap().to_owned(),
        PROTOS.to_owned(),
        format!(
            "{}/../shared/compiler/third_party",
            env!("CARGO_MANIFEST_DIR")
        ),
    ];
    let mut compiler = protox::Compiler::new(includes).unwrap();
    compiler.include_imports(true);
    compiler.open_file(sources.last().unwrap().0).unwrap();
    split(&compiler.encode_file_descriptor_set())
}

/// Joins encoded files to a set.
pub(crate) fn join(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let files = files.values().cloned().collect();
    RawSet { files }.encode_to_vec()
}

/// Decodes a file, changes it, and encodes it again; extensions are lost.
pub(crate) fn changed(raw: &[u8], change: impl FnOnce(&mut FileDescriptorProto)) -> Vec<u8> {
    let mut file = FileDescriptorProto::decode(raw).unwrap();
    change(&mut file);
    file.encode_to_vec()
}
