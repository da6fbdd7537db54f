//! The plans of all types, with the rules and the choices that readers and writers follow.

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
        }
    }
}

impl Deref for Tables {
    type Target = Types;

    #[inline]
    fn deref(&self) -> &Types {
        &self.plans
    }
}
