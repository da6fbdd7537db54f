//! Enforces the contract's roles and scopes of who may call a method, again in the service.

use std::collections::HashSet;
use std::sync::Arc;

use ::access::Policies;
use anyhow::ensure;
use auth::Identity;
use auth::internal::Called;
use contract::Method;
use descriptors::{MethodPlan, NameOptions, Types};
use http::Extensions;
use rpc::error::Fault;

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
    /// that layer has let pass, nothing is known to decide by.
    ///
    /// # Errors
    /// The reason why the caller is not let in.
    pub(crate) fn admit(&self, path: &str, extensions: &Extensions) -> Result<(), Fault> {
        let Some(policies) = &self.policies else {
            return Ok(());
        };
        if !self.paths.contains(path) || extensions.get::<Arc<Called>>().is_none() {
            return Ok(());
        }
        let identity = extensions.get::<Arc<Identity>>().map(Arc::as_ref);
        let admitted = policies.admit(path, identity);
        admitted.map(drop).map_err(|denial| Fault::from(&denial))
    }
}
