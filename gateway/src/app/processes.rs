//! Requests of operators for other processes: forwarded to their operators' side, whose API is
//! learned whenever it is asked.

use std::collections::BTreeMap;
use std::sync::Arc;

use chassis::Process;
use chassis::config::ConfigError;
use chassis::error::Fault;
use chassis::observe;
use chassis::server::Operator;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::uri::{PathAndQuery, Uri};
use http::{HeaderValue, Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use learning::{Source, SourceOptions};
use quota::Limiter;
use rpc::headers::PROCESS;
use tokio::sync::Mutex;
use tonic::body::Body;

use super::Config;
use super::drain_on_close::drain_on_close;
use super::stages::{Generation, Steps};
use crate::api::{BreakingChanges, Directory, UpstreamHandle};
use crate::policy::client_address::drop_of_proxies;
use crate::policy::{Answers, Audit, Stages};

/// The page that lists the processes.
const LIST: &str = "/-/processes";
/// The prefix of the paths of processes.
const PREFIX: &str = "/-/processes/";
/// The prefix of their own paths.
const OWN_PREFIX: &str = "/-/";

/// The processes whose operators' side is known, by name.
#[derive(Default)]
pub(super) struct Processes(BTreeMap<String, OtherProcess>);

/// The operators' side of another process.
struct OtherProcess {
    generation: Generation,
    /// The process's name, as metadata.
    name: HeaderValue,
    upstream: UpstreamHandle,
    /// Locked while it is asked: operators are few, and a stream of questions is short.
    source: Mutex<Source>,
}

// === impl Processes ===

impl Processes {
    /// # Errors
    /// A configuration that does not fit, with the key that is wrong.
    pub(super) async fn new(
        config: &Config,
        stages: &Stages,
        limiter: &Limiter,
        process: &Process,
    ) -> Result<Self, ConfigError> {
        let all = config.process_settings(&process.settings().client)?;
        let mut processes = BTreeMap::new();
        for (name, settings) in config.processes.keys().zip(all) {
            let upstream = UpstreamHandle::connect(settings, process.metrics())?;
            let other = OtherProcess::new(config, name, upstream, stages, limiter, process).await?;
            processes.insert(name.clone(), other);
        }
        Ok(Self(processes))
    }

    /// Returns whether a request is an operator's that asks for the list or names a process.
    pub(super) fn concern(request: &Request<Incoming>) -> bool {
        request.extensions().get::<Operator>().is_some()
            && (is_list(request) || name(request).is_some())
    }

    /// Answers a request that concerns processes.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        own: &Generation,
    ) -> Response<Body> {
        if is_list(&request) {
            return self.list();
        }
        let name = name(&request).unwrap_or_default();
        let other = self.0.get(name).ok_or_else(|| self.unknown(name));
        let (mut head, body) = drain_on_close(observe::count_body(request)).into_parts();
        let generation = other.as_ref().map_or(own, |other| &other.generation);
        let ready = match &other {
            Ok(other) => {
                other.rewrite(&mut head);
                other.learn().await
            }
            Err(fault) => Err(fault.clone()),
        };
        generation.answer_operator(ready, &mut head, body).await
    }

    /// Returns the names of all processes, as JSON.
    fn list(&self) -> Response<Body> {
        let names: Vec<&String> = self.0.keys().collect();
        let list = serde_json::json!({ "processes": names }).to_string();
        let mut response = Response::new(Body::new(Full::from(list)));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }

    fn unknown(&self, name: &str) -> Fault {
        let known: Vec<&str> = self.0.keys().map(String::as_str).collect();
        let known = known.join(", ");
        let message =
            format!("no process `{name}` in the section `[processes]`, which has: {known}");
        Fault::not_found("PROCESS_NOT_FOUND", message)
    }
}

fn is_list(request: &Request<Incoming>) -> bool {
    request.method() == Method::GET && request.uri().path() == LIST
}

/// Returns the process that a request names, by its path or by metadata.
fn name(request: &Request<Incoming>) -> Option<&str> {
    let by_path = request.uri().path().strip_prefix(PREFIX);
    let by_path = by_path.map(|rest| rest.split_once('/').unwrap_or((rest, "")).0);
    by_path.or_else(|| request.headers().get(PROCESS)?.to_str().ok())
}

// === impl OtherProcess ===

impl OtherProcess {
    async fn new(
        config: &Config,
        name: &str,
        upstream: UpstreamHandle,
        stages: &Stages,
        limiter: &Limiter,
        process: &Process,
    ) -> Result<Self, ConfigError> {
        let refuse = |problem: String| ConfigError::new("processes", problem, "the configuration");
        let header = HeaderValue::from_str(name).map_err(|error| refuse(error.to_string()))?;
        let config = config.for_process();
        let source = Source::new(SourceOptions {
            descriptors: Vec::new(),
            own_files: 0,
            services: Default::default(),
            reflection: true,
            leaves_validation: false,
            process: Some(header.clone()),
            pace: config.pace(),
        });
        let directory = Directory::new(
            vec![upstream.clone()],
            vec![Default::default()],
            config.api(),
            BreakingChanges::Allow,
            process.metrics().clone(),
        );
        let directory = directory.await.map_err(|error| refuse(error.to_string()))?;
        let (directory, none) = (Arc::new(directory), Processes::default());
        let steps = Steps {
            authentication: None,
            stages: stages.clone(),
            limiter: limiter.clone(),
            // Operators see things as they are.
            answers: Answers::default(),
            // Their desks keep the audit of what operators do.
            audit: Audit::default(),
        };
        Ok(Self {
            generation: Generation::new(config, directory, none, steps, process)?,
            name: header,
            upstream,
            source: Mutex::new(source),
        })
    }

    /// Makes the head of a request one that the process itself would get.
    fn rewrite(&self, head: &mut Parts) {
        drop_of_proxies(&mut head.headers);
        head.headers.insert(PROCESS, self.name.clone());
        let target = head.uri.path_and_query().map(PathAndQuery::as_str);
        let rest = target.and_then(|target| target.strip_prefix(PREFIX));
        let Some(rest) = rest else {
            return;
        };
        let rest = rest.find(['/', '?']).map_or("", |at| &rest[at..]);
        let rest = rest.strip_prefix('/').unwrap_or(rest);
        if let Ok(uri) = format!("{OWN_PREFIX}{rest}").parse::<Uri>() {
            head.uri = uri;
        }
    }

    /// Learns the API that the process has now.
    async fn learn(&self) -> Result<(), Fault> {
        let directory = self.generation.directory();
        let mut source = self.source.lock().await;
        match source.learn(self.upstream.client()).await {
            Ok(learned) => {
                directory.offer(self.upstream.name(), learned).await;
                Ok(())
            }
            Err(error) => {
                let message = format!(
                    "the operators' side of {:?} does not answer: {error}",
                    self.name
                );
                Err(Fault::unavailable("PROCESS_UNAVAILABLE", message))
            }
        }
    }
}
