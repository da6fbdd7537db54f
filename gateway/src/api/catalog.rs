//! The catalog: the merged and compiled API of all upstreams, and the upstream of each service.

mod outline;
mod refusal;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use access::Policies;
use bytes::Bytes;
use compatibility::{BreakingChange, Contract};
use learning::{Learned, TypeSource, copies, descriptor_set, qualified};
use prost::Message;
use quota::Limits;
use tonic::service::Routes;
use transcoder::{HttpRule, Idempotency, LeftOut, Schema, WireError};

use super::documents::Documents;
use super::policies::{self, ApiOptions};
use super::upstreams::UpstreamHandle;
use crate::failure::{Failure, MessageOrigin};
use outline::OutlineFile;

pub(crate) use refusal::Refusal;

/// The services that the gateway itself serves.
const OWN_SERVICES: [&str; 3] = [
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
];

/// Files of the language itself. Every compiler release words them anew, and they mean the same in
/// all of them.
const COMMON: &str = "google/";

/// One consistent view; a request keeps the view that it began with.
pub(crate) struct Catalog {
    pub(crate) schema: Schema,
    /// The callers of the methods.
    pub(crate) access: Policies,
    /// How often they may be called.
    pub(crate) limits: Limits,
    pub(crate) answers: policies::SelectedAnswers,
    pub(crate) names: transcoder::RequestNames,
    /// The encoded `google.protobuf.FileDescriptorSet` that the schema is compiled from.
    pub(crate) descriptor_set: Bytes,
    /// The upstream of each service, by its full name.
    owners: HashMap<String, UpstreamHandle>,
    /// The sources of types that only Anys hold, by the names of upstreams.
    pub(super) types: HashMap<String, Arc<TypeSource>>,
    /// Services that are not served because their descriptors do not resolve, with the reasons.
    left_out: BTreeMap<String, String>,
    /// Both versions of server reflection over all that the upstreams serve.
    pub(crate) reflection: Routes,
    /// The API as OpenAPI describes it.
    pub(crate) documents: Documents,
    /// Whether every configured upstream has been learned.
    pub(crate) complete: bool,
    /// Tells this API from others; the same descriptors have the same one.
    pub(crate) revision: u64,
}

/// The same file name with different content from two upstreams; the first one's is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileConflict {
    pub(crate) file: String,
    pub(crate) kept: usize,
    pub(crate) ignored: usize,
}

/// The union of what the upstreams offer.
#[derive(Clone, Debug, Default)]
pub(crate) struct MergedApi {
    files: BTreeMap<String, (usize, Bytes)>,
    owners: BTreeMap<String, usize>,
    pub(crate) conflicts: Vec<FileConflict>,
    /// The services that validate their requests themselves.
    unvalidated: BTreeSet<String>,
    /// Services that can't be served, with the reasons.
    left_out: BTreeMap<String, String>,
    /// Whether every upstream has been learned.
    complete: bool,
}

impl MergedApi {
    /// Merges in the order of the configuration, so that the result does not depend on who answered
    /// first.
    pub(crate) fn new(
        upstreams: &[UpstreamHandle],
        learned: &[Option<Learned>],
    ) -> Result<Self, Refusal> {
        let mut merged = Self {
            complete: learned.iter().all(Option::is_some),
            ..Self::default()
        };
        for (index, api) in learned.iter().enumerate() {
            if let Some(api) = api {
                merged.add(index, api, upstreams)?;
            }
        }
        merged.merge_copies();
        Ok(merged)
    }

    fn add(
        &mut self,
        index: usize,
        api: &Learned,
        upstreams: &[UpstreamHandle],
    ) -> Result<(), Refusal> {
        for service in &api.services {
            if let Some(other) = self.owners.insert(service.clone(), index) {
                let name = |index: usize| upstreams[index].name().to_owned();
                let (first, second) = (name(other), name(index));
                return Err(Refusal::TwoOwners {
                    service: service.clone(),
                    first,
                    second,
                });
            }
        }
        self.left_out.extend(api.left_out.clone());
        if api.leaves_validation {
            self.unvalidated.extend(api.services.iter().cloned());
        }
        for (name, raw) in &api.files {
            match self.files.get(name) {
                None => {
                    self.files.insert(name.clone(), (index, raw.clone()));
                }
                Some((kept, other)) if other != raw && !name.starts_with(COMMON) => {
                    self.conflicts.push(FileConflict {
                        file: name.clone(),
                        kept: *kept,
                        ignored: index,
                    });
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    /// Several upstreams often bring one file under different names.
    fn merge_copies(&mut self) {
        let files = self.files.iter();
        let files = files.map(|(name, (_, raw))| (name.clone(), raw.clone()));
        for (name, stand_in) in copies(&files.collect()) {
            if let Some((_, raw)) = self.files.get_mut(&name) {
                *raw = stand_in;
            }
        }
    }

    /// How much of the API one upstream contributes.
    pub(crate) fn count(&self, index: usize) -> ApiSize {
        let own = |service: &str| self.owners.get(service) == Some(&index);
        let files = self
            .files
            .values()
            .filter_map(|(_, raw)| OutlineFile::decode(raw.clone()).ok());
        let mut count = ApiSize::default();
        for file in files {
            for service in file
                .service
                .iter()
                .filter(|service| own(&qualified(&file.package, &service.name)))
            {
                count.services += 1;
                count.methods += service.method.len();
                count.http_rules += service
                    .method
                    .iter()
                    .filter(|method| method.has_http_rule())
                    .count();
            }
        }
        count
    }

    /// The configured HTTP rules whose methods are served; the others wait for theirs.
    fn present_rules(&self, rules: &[HttpRule]) -> Vec<HttpRule> {
        let declared: HashSet<String> = self.declared_methods().collect();
        let present = |rule: &&HttpRule| declared.contains(&rule.selector);
        rules.iter().filter(present).cloned().collect()
    }

    /// Full names of the methods of all files.
    fn declared_methods(&self) -> impl Iterator<Item = String> {
        let files = self.files.values();
        let files = files.filter_map(|(_, raw)| OutlineFile::decode(raw.clone()).ok());
        files.flat_map(|file| {
            let package = file.package;
            file.service.into_iter().flat_map(move |service| {
                let service_name = qualified(&package, &service.name);
                let methods = service.method.into_iter();
                methods.map(move |method| qualified(&service_name, &method.name))
            })
        })
    }

    pub(crate) fn services(&self) -> impl Iterator<Item = &str> {
        self.owners.keys().map(String::as_str)
    }

    /// An encoded `google.protobuf.FileDescriptorSet`. Each file is copied as it came: decoding
    /// would drop its extensions.
    ///
    /// The first of two routes with one path is served, so the files of the upstreams that are
    /// served already come first.
    fn descriptor_set(&self, seniority: &[usize]) -> Vec<u8> {
        let rank = |index: usize| seniority.iter().position(|own| *own == index);
        let mut files: Vec<&(usize, Bytes)> = self.files.values().collect();
        files.sort_by_key(|(index, _)| rank(*index));
        descriptor_set(files.into_iter().map(|(_, raw)| raw))
    }
}

/// Numbers for the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ApiSize {
    pub(crate) services: usize,
    pub(crate) methods: usize,
    /// Methods with a `google.api.http` option.
    pub(crate) http_rules: usize,
}

impl Catalog {
    /// Returns the failure of a message of this type that the owner of the method has sent.
    pub(crate) fn violation(&self, method: &str, message: &str, error: &WireError) -> Failure {
        let upstream = self.owner(method).map_or("", UpstreamHandle::name);
        let origin = MessageOrigin {
            upstream,
            method,
            message,
        };
        Failure::bad_message(error, &origin)
    }

    pub(crate) fn compile(
        merged: &MergedApi,
        upstreams: &[UpstreamHandle],
        learned: &[Option<Learned>],
        options: &ApiOptions,
        seniority: &[usize],
    ) -> Result<Self, Refusal> {
        let set = Bytes::from(merged.descriptor_set(seniority));
        let (items, limits) = (&options.policies, &options.limits);
        let mut options = options.transcoding.clone();
        options.routes.rules = merged.present_rules(&options.routes.rules);
        options.unvalidated = merged.unvalidated.clone();
        let schema = Schema::compile_with(&set, options)?;
        if merged.complete {
            let is_served = |service: &str| merged.owners.contains_key(service);
            policies::check_all_select(&schema, items, is_served)?;
        }
        let types = upstreams.iter().zip(learned).filter_map(|(own, learned)| {
            let types = schema.any_types().clone();
            let source = TypeSource::new(own.client().clone(), learned.as_ref()?, types);
            Some((own.name().to_owned(), Arc::new(source)))
        });
        let answers = policies::answers(&schema, items)?;
        let key = |method| answers.key(method)?.field.as_deref();
        let names = schema.request_names(&set, key)?;
        Ok(Self {
            types: types.collect(),
            access: policies::access(&schema, items)?,
            limits: policies::limits(&schema, items, limits)?,
            names,
            answers,
            schema,
            owners: merged
                .owners
                .iter()
                .map(|(service, index)| (service.clone(), upstreams[*index].clone()))
                .collect(),
            left_out: merged.left_out.clone(),
            reflection: reflection(merged, &set)?,
            documents: Documents::new(set.clone(), merged.services().map(str::to_owned).collect()),
            revision: xxhash_rust::xxh3::xxh3_64(&set),
            descriptor_set: set,
            complete: merged.complete,
        })
    }

    /// Whether all upstreams are known and one of them serves something.
    pub(crate) fn is_ready(&self) -> bool {
        self.complete && !self.owners.is_empty()
    }

    /// Returns whether everyone may call a method.
    pub(crate) fn is_public(&self, method: Option<&str>) -> bool {
        let admitted = self.access.admit(method.unwrap_or_default(), None);
        admitted.is_ok()
    }

    /// Returns the changes in `next` that break callers of this catalog.
    pub(crate) fn breaking_changes(&self, next: &Self) -> Result<Vec<BreakingChange>, Refusal> {
        let is_served = |service: &str| self.owners.contains_key(service);
        let is_kept = |service: &str| next.owners.contains_key(service);
        let before = self.contract(&is_served);
        let after = next.contract(&is_kept);
        Ok(compatibility::breaking_changes(before, after)?)
    }

    fn contract<'a>(&'a self, is_served: &'a dyn Fn(&str) -> bool) -> Contract<'a> {
        Contract {
            descriptor_set: &self.descriptor_set,
            types: self.schema.types(),
            routes: self.schema.bindings(),
            validation: self.schema.validation(),
            is_served,
        }
    }

    /// Returns the bindings of this upstream's services that are not served.
    pub(crate) fn left_out(&self, upstream: &str) -> impl Iterator<Item = &LeftOut> {
        let bindings = self.schema.bindings().left_out().iter();
        bindings.filter(move |binding| {
            let owner = self.owner(binding.method.path());
            owner.is_some_and(|owner| owner.name() == upstream)
        })
    }

    /// Returns the services that are not served because their descriptors do not resolve, with the
    /// reasons.
    pub(crate) fn services_left_out(&self) -> impl Iterator<Item = (&str, &str)> {
        let services = self.left_out.iter();
        services.map(|(service, reason)| (service.as_str(), reason.as_str()))
    }

    /// Whether a request for this path has a route, or calls a method by Connect or gRPC-Web.
    pub(crate) fn serves(&self, method: &http::Method, path: &str) -> bool {
        let rpc = || {
            let plan = self.owner(path).and_then(|_| self.schema.method(path))?;
            let is_get = plan.idempotency() == Idempotency::NoSideEffects;
            Some(*method == http::Method::POST || (*method == http::Method::GET && is_get))
        };
        self.schema.route(method, path).is_ok() || rpc().unwrap_or(false)
    }

    /// The upstream that serves the method at `/package.Service/Method`.
    pub(crate) fn owner(&self, path: &str) -> Option<&UpstreamHandle> {
        let (service, _) = path.strip_prefix('/')?.split_once('/')?;
        self.owners.get(service)
    }
}

fn reflection(merged: &MergedApi, set: &[u8]) -> Result<Routes, Refusal> {
    use tonic_reflection::pb::{v1, v1alpha};
    let builder = || {
        let files = tonic_reflection::server::Builder::configure()
            .include_reflection_service(false)
            .register_encoded_file_descriptor_set(set)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(v1::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(v1alpha::FILE_DESCRIPTOR_SET);
        // Named one by one: files also declare services that their upstream does not serve.
        let names = OWN_SERVICES.into_iter().chain(merged.services());
        names.fold(files, |files, name| files.with_service_name(name))
    };
    Ok(Routes::new(builder().build_v1()?)
        .add_service(builder().build_v1alpha()?)
        .prepare())
}

#[cfg(test)]
mod tests;
