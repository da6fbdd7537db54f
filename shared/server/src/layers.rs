//! The layers that every request passes, in their order.

pub(crate) mod access;
pub(crate) mod deadline;
mod guard;
mod held;
pub(crate) mod identity;
pub(crate) mod overload;
mod truncated;
pub(crate) mod validation;

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;

use ::admission::Budget;
use futures::FutureExt;
use http::{Request, Response};
use hyper::body::Incoming;
use rpc::body::stalled::{self, Pace};
use telemetry::observe::{self, Observer};
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tower::{Service, ServiceExt};

use self::access::Access;
use self::identity::Callers;
use self::overload::Overload;
use self::validation::Rules;
use crate::admission::Admission;
use crate::admission::hosts::AllowedHosts;
use crate::handler::Handler;
use crate::operator::{self, Operator, Tokens};
use crate::probes::Probes;

/// The layers of a server. The limit of connections is in the listener, where a rejection is
/// cheapest.
pub(crate) struct Layers {
    pub(crate) admission: Admission,
    pub(crate) allowed_hosts: AllowedHosts,
    pub(crate) probes: Probes,
    pub(crate) observer: Arc<Observer>,
    pub(crate) public: Endpoints,
    pub(crate) operators: Endpoints,
    /// The services that only operators may call.
    pub(crate) restricted: HashSet<&'static str>,
    /// The name of this process.
    pub(crate) process: String,
    pub(crate) tokens: Tokens,
    pub(crate) fallback: Option<Handler>,
    pub(crate) pace: Pace,
    pub(crate) budget: Budget,
    pub(crate) overload: Overload,
    pub(crate) callers: Callers,
    pub(crate) access: Access,
}

/// The gRPC services of one side of a process.
pub(crate) struct Endpoints {
    pub(crate) names: Arc<HashSet<&'static str>>,
    /// Paths of the methods whose request is one message.
    pub(crate) single: HashSet<&'static str>,
    pub(crate) rules: Rules,
    pub(crate) routes: Routes,
}

impl Layers {
    /// Serves a request. This list and that of [`Layers::call`] are the order, from the outside to
    /// the inside.
    pub(crate) async fn serve(
        self: Arc<Self>,
        mut request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        // 1. Admission. First, so that nothing parses a request that two readers could understand
        // differently.
        if let Some(rejection) = self.admission.reject(&request) {
            return Ok(rejection);
        }
        // 2. Operator mark. Before the probes, which show metrics to operators.
        operator::mark(&mut request, self.probes.has_admin, &self.restricted);
        // 3. Probes. Before the record, which they would flood: every prober asks each second.
        if let Some(answer) = self.probes.answer(&request) {
            return Ok(answer);
        }
        // 4. Allowed hosts. After the probes, which are asked by address, and not for operators,
        // whose hosts are checked already.
        let is_operator = request.extensions().get::<Operator>().is_some();
        if !is_operator && let Some(rejection) = self.allowed_hosts.reject(&request) {
            return Ok(rejection);
        }
        // 5. Record: metrics, access log and trace. Around everything that can reject a call, so
        // that rejections are recorded too.
        let record = observe::open(&self.observer, &request);
        // 6. Panic guard. Inside the record, which notes INTERNAL.
        record.around(guard::catch_panic(self.route(request))).await
    }

    /// Serves a call that no listener has read, from the record on (5): what is before it is about
    /// connections.
    pub(crate) async fn serve_call(
        &self,
        request: Request<Body>,
    ) -> Result<Response<Body>, Infallible> {
        let record = observe::open(&self.observer, &request);
        let answer = self.call(&self.public, request);
        record.around(guard::catch_panic(answer)).await
    }

    /// Routes a request (7). The fallback serves all protocols but gRPC, without the layers of
    /// gRPC.
    async fn route(&self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let name = operator::service_name(&request);
        let is_operator = request.extensions().get::<Operator>().is_some();
        if is_operator && self.operators.names.contains(name) {
            return self.call_as_operator(request).boxed().await;
        }
        let is_ours = self.public.names.contains(name);
        match self.fallback.as_ref().filter(|_| !is_ours) {
            Some(handler) => handler.clone().call(request).await,
            // Boxed to keep the future of the fallback small.
            None => {
                let request = observe::count_body(request);
                self.call(&self.public, request).boxed().await
            }
        }
    }

    /// Serves a call of the operators' side. All but reflection, which shows the contract only,
    /// needs the token of an operator.
    async fn call_as_operator(
        &self,
        mut request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        let refusal = match operator::misdirected(request.headers(), &self.process) {
            Some(fault) => Some(fault),
            None if !self.restricted.contains(operator::service_name(&request)) => None,
            None => match self.tokens.authenticate(request.headers()) {
                Ok(name) => {
                    request.extensions_mut().insert(name);
                    None
                }
                Err(fault) => Some(fault),
            },
        };
        match refusal {
            Some(fault) => Ok(Status::from(fault).into_http()),
            None => {
                let request = observe::count_body(request);
                self.call(&self.operators, request).await
            }
        }
    }

    /// Serves a gRPC call. It borrows the layers, so that a call clones none of them.
    async fn call(
        &self,
        endpoints: &Endpoints,
        request: Request<Body>,
    ) -> Result<Response<Body>, Infallible> {
        // 8. Deadline. Around the rest, whose time counts; inside the record, so that a late call
        // has a trace.
        deadline::enforce(request, |request| {
            // 9. Overload. Inside the deadline, which bounds the wait for a slot; around
            // everything that costs something.
            self.overload.limit(request, |request| {
                // 10. Identity. Inside overload, as a token that is new costs the check of a
                // signature; before memory, so that no body of a refused call is read.
                self.callers.identify(request, async |request| {
                    // 11. Access. After identity, which it judges; before memory as well.
                    let (path, extensions) = (request.uri().path(), request.extensions());
                    let conditional = match self.access.admit(path, extensions) {
                        Ok(policy) => policy,
                        Err(fault) => return Ok(Status::from(fault).into_http()),
                    };
                    // 12. Memory. Before anything waits for a whole message.
                    held::count(&self.budget, request, async |request| {
                        // 13. Truncation. Before validation passes the body to tonic, which reads
                        // CANCEL as a regular end.
                        let request = truncated::mark(request);
                        // 14. Stall timeout. Before anything waits for a whole message.
                        let is_single = endpoints.single.contains(request.uri().path());
                        let request = request.map(|body| match is_single {
                            true => stalled::bound(body, self.pace),
                            false => stalled::bound_messages(body, self.pace),
                        });
                        // 15. Validation. Late: its cost is for calls that reach the handler.
                        let mut request = validation::validate(&endpoints.rules, request);
                        // 16. Condition of access. After validation, as at the gateway: it reads
                        // a message that is one.
                        if let Some(policy) = conditional {
                            let admitted = access::admit_message(policy, request).boxed();
                            request = match admitted.await {
                                Ok(request) => request,
                                Err(status) => return Ok(status.into_http()),
                            };
                        }
                        // 17. The service.
                        endpoints.routes.clone().oneshot(request).await
                    })
                    .await
                })
            })
        })
        .await
    }
}
