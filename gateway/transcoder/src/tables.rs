//! The plans of all types, with the rules and the choices that readers and writers follow.

mod any_types;

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;

use descriptors::{MessageId, NameOptions, Pool, Problem, Types};
use masks::Masks;
use validation::Validation;

use crate::options::{HttpOptions, JsonOptions, Options};

pub use any_types::AnyTypes;
pub(crate) use any_types::missing_type;

/// The plans of all types of one schema; it derefs to them.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) plans: Arc<Types>,
    pub(crate) validation: Validation,
    pub(crate) masks: Arc<Masks>,
    pub(crate) json: JsonOptions,
    pub(crate) http: HttpOptions,
    pub(crate) routes: routes::RouteOptions,
    unvalidated: BTreeSet<String>,
    /// Types that only Anys hold, added while the schema is in use.
    pub(crate) any_types: Arc<AnyTypes>,
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
        let masks = Masks::new(pool, plans.clone(), problems);
        Tables {
            plans,
            validation,
            masks: Arc::new(masks),
            any_types: Arc::new(AnyTypes::new(options.json.clone())),
            json: options.json,
            http: options.http,
            routes: options.routes,
            unvalidated: options.unvalidated,
        }
    }

    /// Returns the type that an Any's URL names, which is what follows the last slash, and the
    /// tables that have it where these do not.
    pub(crate) fn any_type(&self, url: &str) -> Option<(Option<Arc<Tables>>, MessageId)> {
        let (_, name) = url.rsplit_once('/')?;
        self.named_type(name)
    }

    /// Returns the type with this full name, and the tables that have it where these do not.
    pub(crate) fn named_type(&self, name: &str) -> Option<(Option<Arc<Tables>>, MessageId)> {
        if let Some(id) = self.by_name.get(name) {
            return Some((None, *id));
        }
        let added = self.any_types.get(name)?;
        let id = *added.by_name.get(name)?;
        Some((Some(added), id))
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
