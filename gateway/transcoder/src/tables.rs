//! The plans of all types, with the rules and the choices that readers and writers follow.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;

use descriptors::{NameOptions, Pool, Problem, Types};
use validation::Validation;

use crate::options::{HttpOptions, JsonOptions, Options};

/// The plans of all types of one schema; it derefs to them.
#[derive(Debug)]
pub(crate) struct Tables {
    plans: Arc<Types>,
    pub(crate) validation: Validation,
    pub(crate) json: JsonOptions,
    pub(crate) http: HttpOptions,
    pub(crate) routes: routes::RouteOptions,
    unvalidated: BTreeSet<String>,
}

// === impl Tables ===

impl Tables {
    pub(crate) fn new(pool: &Pool, options: Options, problems: &mut Vec<Problem>) -> Self {
        let names = NameOptions {
            shows_proto_names: options.json.preserve_proto_field_names,
            is_strict: options.json.strict_names,
        };
        let plans = Arc::new(Types::new(pool, names));
        let validation = Validation::new(pool, plans.clone(), &options.validation, problems);
        Tables {
            plans,
            validation,
            json: options.json,
            http: options.http,
            routes: options.routes,
            unvalidated: options.unvalidated,
        }
    }

    /// Returns whether requests of the method at `/package.Service/Method` are checked by rules.
    #[inline]
    pub(crate) fn validates(&self, path: &str) -> bool {
        self.unvalidated.is_empty() || !self.is_unvalidated(path)
    }

    fn is_unvalidated(&self, path: &str) -> bool {
        let service = path
            .strip_prefix('/')
            .and_then(|path| path.split('/').next());
        service.is_some_and(|service| self.unvalidated.contains(service))
    }
}

impl Deref for Tables {
    type Target = Types;

    #[inline]
    fn deref(&self) -> &Types {
        &self.plans
    }
}
