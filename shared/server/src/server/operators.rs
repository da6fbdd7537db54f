//! The operators' side of a server: one service, and reflection that knows the types of both
//! contracts.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;

use anyhow::Context;
use contract::Method;
use http::{Request, Response};
use prost::Message;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::{Routes, RoutesBuilder};
use tonic_reflection::pb::{v1, v1alpha};
use tower::Service;

use super::{Contract, REFLECTION, STANDARD_SERVICES};
use crate::layers::Endpoints;
use crate::layers::validation::Rules;

/// The service of operators.
pub(super) struct OperatorSide {
    contract: Contract,
    services: RoutesBuilder,
    name: &'static str,
}

/// A `google.protobuf.FileDescriptorSet` whose files stay bytes, which keep their options.
#[derive(prost::Message)]
struct RawSet {
    #[prost(bytes = "vec", repeated, tag = "1")]
    file: Vec<Vec<u8>>,
}

/// The parts of a `google.protobuf.FileDescriptorProto` that [`with_imports`] reads.
#[derive(prost::Message)]
struct Outline {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "vec", repeated, tag = "6")]
    service: Vec<Vec<u8>>,
}

/// A `google.protobuf.FileDescriptorProto` that has imports only.
#[derive(prost::Message)]
struct Imports {
    #[prost(string, repeated, tag = "3")]
    dependency: Vec<String>,
}

// === impl OperatorSide ===

impl OperatorSide {
    pub(super) fn new<S>(contract: Contract, service: S) -> Self
    where
        S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
        S: NamedService + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        let mut services = RoutesBuilder::default();
        services.add_service(service);
        Self {
            contract,
            services,
            name: S::NAME,
        }
    }

    /// Returns the name of the service.
    pub(super) fn service(&self) -> &'static str {
        self.name
    }

    /// Returns the paths of its methods.
    pub(super) fn paths(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.contract.methods.iter().map(|method| method.path)
    }
}

/// Returns the services of the operators' side; without any, nothing is served there.
///
/// # Errors
/// A malformed descriptor set, or an invalid validation rule.
pub(super) fn endpoints(
    side: Option<OperatorSide>,
    public: Option<Contract>,
    max_message_bytes: usize,
) -> anyhow::Result<Endpoints> {
    let Some(mut side) = side else {
        return Ok(Endpoints {
            names: Arc::default(),
            single: HashSet::new(),
            rules: Rules::compile(&[], &[], max_message_bytes)?,
            routes: Routes::default(),
        });
    };
    let public = public.unwrap_or(Contract::new(&[], &[]));
    let own: &[Method] = side.contract.methods;
    let set = with_imports(&side.contract.descriptor_set, &public.descriptor_set)
        .context("the descriptor sets of both sides")?;
    add_reflection(
        &mut side.services,
        &[&set, &public.descriptor_set],
        &[side.name],
    )?;
    let names = REFLECTION.into_iter().chain([side.name]);
    Ok(Endpoints {
        names: Arc::new(names.collect()),
        single: side.contract.single(),
        rules: Rules::compile(&side.contract.descriptor_set, own, max_message_bytes)?,
        routes: side.services.routes().prepare(),
    })
}

/// Adds reflection over these descriptor sets; of two files with one name, the first counts.
pub(super) fn add_reflection(
    services: &mut RoutesBuilder,
    sets: &[&[u8]],
    names: &[&'static str],
) -> anyhow::Result<()> {
    // tonic-reflection 0.14 has one builder per version; grpcurl 1.8 speaks only v1alpha.
    let builder = || {
        let mut files = tonic_reflection::server::Builder::configure();
        for set in sets {
            files = files.register_encoded_file_descriptor_set(set);
        }
        let files = files
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(v1::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(v1alpha::FILE_DESCRIPTOR_SET);
        // Named one by one: the files of a contract also declare services of other processes.
        let names = names.iter().copied().chain(STANDARD_SERVICES);
        names.fold(files, |files, name| files.with_service_name(name))
    };
    services.add_service(builder().build_v1().context("reflection")?);
    services.add_service(builder().build_v1alpha().context("reflection")?);
    Ok(())
}

/// Makes the files of `own` that declare services import all files of `public`: clients of
/// reflection that follow imports then know the types inside of `google.protobuf.Any`.
fn with_imports(own: &[u8], public: &[u8]) -> Result<Vec<u8>, prost::DecodeError> {
    let outlines = |set: &RawSet| -> Result<Vec<Outline>, _> {
        set.file
            .iter()
            .map(|file| Outline::decode(&**file))
            .collect()
    };
    let (mut own, public) = (RawSet::decode(own)?, RawSet::decode(public)?);
    let known = outlines(&own)?;
    let mut dependency: Vec<String> = outlines(&public)?
        .into_iter()
        .map(|file| file.name)
        .collect();
    dependency.retain(|name| known.iter().all(|file| file.name != *name));
    let imports = Imports { dependency }.encode_to_vec();
    for (file, outline) in own.file.iter_mut().zip(&known) {
        if !outline.service.is_empty() {
            // A message merges with what is appended to it.
            file.extend_from_slice(&imports);
        }
    }
    Ok(own.encode_to_vec())
}

#[cfg(test)]
mod tests {
    use prost_reflect::DescriptorPool;

    use super::*;

    #[test]
    fn the_service_of_operators_imports_the_public_contract() {
        let own = samples::descriptor_set(&[(
            "ops/v1/ops.proto",
            r#"syntax = "proto3"; package ops.v1; import "google/protobuf/any.proto";
               message Shown { google.protobuf.Any payload = 1; }
               service Desk { rpc Show(Shown) returns (Shown); }"#,
        )]);
        let public = samples::descriptor_set(&[(
            "shop/v1/shop.proto",
            r#"syntax = "proto3"; package shop.v1; import "google/protobuf/any.proto";
               message Sold { google.protobuf.Any of = 1; }"#,
        )]);
        let joined = with_imports(&own, &public).unwrap();
        let mut pool = DescriptorPool::new();
        pool.decode_file_descriptor_set(&*public).unwrap();
        pool.decode_file_descriptor_set(&*joined).unwrap();
        let service = pool.get_service_by_name("ops.v1.Desk").unwrap();
        let file = service.parent_file();
        let imports: Vec<String> = file
            .dependencies()
            .map(|file| file.name().to_owned())
            .collect();
        assert_eq!(imports, ["google/protobuf/any.proto", "shop/v1/shop.proto"]);
    }
}
