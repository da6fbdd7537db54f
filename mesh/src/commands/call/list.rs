//! The methods behind a gateway, by server reflection.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use prost::Message as _;
use prost_types::FileDescriptorProto;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

/// A method with the types of its messages; `stream` precedes the type of a stream.
#[derive(Debug)]
pub(super) struct Method {
    pub(super) name: String,
    pub(super) request: String,
    pub(super) response: String,
}

/// Asks for all services and the files that declare them.
///
/// # Errors
/// When the gateway does not answer, or its schema has no API yet.
pub(super) async fn methods(gateway: SocketAddr) -> Result<Vec<Method>> {
    let MessageResponse::ListServicesResponse(services) =
        ask(gateway, MessageRequest::ListServices(String::new())).await?
    else {
        bail!("the gateway answers something else than a list of services");
    };
    let mut methods = Vec::new();
    for service in services.service {
        let symbol = MessageRequest::FileContainingSymbol(service.name.clone());
        let MessageResponse::FileDescriptorResponse(files) = ask(gateway, symbol).await? else {
            bail!("the gateway does not know the file of {}", service.name);
        };
        for file in files.file_descriptor_proto {
            let file = FileDescriptorProto::decode(&file[..]).context("invalid descriptor")?;
            methods.extend(of_service(&file, &service.name));
        }
    }
    methods.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(methods)
}

/// Asks for the files of all services, and for those that they import.
///
/// # Errors
/// When the gateway does not answer, or serves no reflection.
pub(in crate::commands) async fn files(gateway: SocketAddr) -> Result<Vec<FileDescriptorProto>> {
    let MessageResponse::ListServicesResponse(services) =
        ask(gateway, MessageRequest::ListServices(String::new())).await?
    else {
        bail!("the gateway answers something else than a list of services");
    };
    let symbols = services.service.into_iter();
    let mut wanted: Vec<MessageRequest> = symbols
        .map(|service| MessageRequest::FileContainingSymbol(service.name))
        .collect();
    let mut found: BTreeMap<String, FileDescriptorProto> = BTreeMap::new();
    let mut asked = BTreeSet::new();
    while let Some(question) = wanted.pop() {
        let MessageResponse::FileDescriptorResponse(answer) = ask(gateway, question).await? else {
            bail!("the gateway answers something else than a file");
        };
        for file in answer.file_descriptor_proto {
            let file = FileDescriptorProto::decode(&file[..]).context("invalid descriptor")?;
            asked.insert(file.name().to_owned());
            let imports = file
                .dependency
                .iter()
                .filter(|name| !found.contains_key(*name));
            let imports: Vec<&String> = imports.collect();
            for name in imports {
                if asked.insert(name.clone()) {
                    wanted.push(MessageRequest::FileByFilename(name.clone()));
                }
            }
            found.insert(file.name().to_owned(), file);
        }
    }
    Ok(found.into_values().collect())
}

#[allow(
    clippy::disallowed_types,
    reason = "one question of a person: no retry, no breaker"
)]
async fn ask(gateway: SocketAddr, question: MessageRequest) -> Result<MessageResponse> {
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{gateway}"))?;
    let channel = channel
        .connect()
        .await
        .context("the gateway does not respond")?;
    let request = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(question),
    };
    let asked = ServerReflectionClient::new(channel)
        .server_reflection_info(tokio_stream::once(request))
        .await
        .context("the gateway does not serve reflection")?;
    let answer = asked
        .into_inner()
        .message()
        .await
        .context("reflection failed")?;
    let answer = answer.and_then(|answer| answer.message_response);
    match answer.context("the gateway gave no answer")? {
        MessageResponse::ErrorResponse(error) => bail!("reflection: {}", error.error_message),
        answer => Ok(answer),
    }
}

fn of_service(file: &FileDescriptorProto, name: &str) -> Vec<Method> {
    let found = file.service.iter().find(|service| {
        let full = match file.package() {
            "" => service.name().to_owned(),
            package => format!("{package}.{}", service.name()),
        };
        full == name
    });
    let methods = found
        .map(|service| service.method.as_slice())
        .unwrap_or_default();
    let shown = |kind: &str, is_stream: bool| {
        let kind = kind.trim_start_matches('.');
        if is_stream {
            format!("stream {kind}")
        } else {
            kind.to_owned()
        }
    };
    let all = methods.iter().map(|method| Method {
        name: format!("{name}/{}", method.name()),
        request: shown(method.input_type(), method.client_streaming()),
        response: shown(method.output_type(), method.server_streaming()),
    });
    all.collect()
}
