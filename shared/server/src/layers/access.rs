//! Enforces the contract's rules of who may call a method, again in the service.

use std::collections::HashSet;
use std::sync::Arc;

use ::access::{Call, Denial, Policies, Policy};
use anyhow::ensure;
use auth::Identity;
use auth::internal::Called;
use contract::Method;
use descriptors::{MethodPlan, NameOptions, Types};
use http::{Extensions, Request};
use rpc::body::first;
use rpc::error::Fault;
use telemetry::observe;
use tonic::Status;
use tonic::body::Body;

/// The rules of the methods of a contract.
pub(crate) struct Access {
    /// `None` where they are not enforced.
    policies: Option<Policies>,
    paths: HashSet<&'static str>,
}

// === impl Access ===

impl Access {
    /// Compiles the rules of a contract, to be enforced.
    ///
    /// # Errors
    /// A descriptor set that does not compile.
    pub(crate) fn enforce(
        descriptor_set: &[u8],
        methods: &'static [Method],
    ) -> anyhow::Result<Self> {
        let loaded = descriptors::load(descriptor_set)?;
        ensure!(
            loaded.problems.is_empty(),
            "descriptor set: {:?}",
            loaded.problems
        );
        let pool = &loaded.pool;
        let types = Arc::new(Types::new(pool, NameOptions::default()));
        let plans: Vec<Arc<MethodPlan>> = pool
            .services
            .iter()
            .flat_map(|service| service.methods.iter().map(move |method| (service, method)))
            .map(|(service, method)| MethodPlan::new(pool, service, method))
            .collect();
        Ok(Self {
            policies: Some(Policies::of_contract(
                &types,
                plans.iter().map(|plan| &**plan),
            )),
            paths: methods.iter().map(|method| method.path).collect(),
        })
    }

    /// Creates the layer that asks nothing.
    pub(crate) fn open() -> Self {
        Self {
            policies: None,
            paths: HashSet::new(),
        }
    }

    /// Decides a call by its caller, whom the layer of identity has found. Without a token, which
    /// that layer has let pass, nothing is known to decide by. Returns the policy whose condition
    /// is to be decided by [`admit_message`].
    ///
    /// # Errors
    /// The reason why the caller is not let in.
    pub(crate) fn admit(
        &self,
        path: &str,
        extensions: &Extensions,
    ) -> Result<Option<&Policy>, Fault> {
        let Some(policies) = &self.policies else {
            return Ok(None);
        };
        if !self.paths.contains(path) || extensions.get::<Arc<Called>>().is_none() {
            return Ok(None);
        }
        let identity = extensions.get::<Arc<Identity>>().map(Arc::as_ref);
        match policies.admit(path, identity) {
            Ok(policy) => Ok(Some(policy).filter(|policy| policy.has_condition())),
            Err(denial) => Err(refused(&denial)),
        }
    }

    /// Returns whether a method has a condition that is enforced.
    pub(crate) fn has_condition(&self, path: &str) -> bool {
        let policies = self.policies.as_ref();
        let policy = policies.and_then(|policies| policies.ruling(path).policy().ok());
        policy.is_some_and(Policy::has_condition)
    }
}

/// Decides a call by its first message, before the handler gets anything of the call; returns the
/// request as it was. Its body has whole frames.
///
/// # Errors
/// The condition does not hold, or the body fails before its first message.
pub(crate) async fn admit_message(
    policy: &Policy,
    request: Request<Body>,
) -> Result<Request<Body>, Status> {
    let (head, body) = request.into_parts();
    let (frame, body) = first::hold(body).await?;
    let identity = head.extensions.get::<Arc<Identity>>();
    let decided = policy.admit_message(&Call {
        identity: identity.map(Arc::as_ref),
        metadata: &head.headers,
        request: first::message(&frame),
    });
    decided.map_err(|denial| Status::from(refused(&denial)))?;
    Ok(Request::from_parts(head, body))
}

fn refused(denial: &Denial) -> Fault {
    observe::current().decision(denial.reason());
    denial.into()
}
