//! All methods and HTTP bindings of a descriptor set.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use descriptors::{MethodPlan, Place, Pool, Problem, ServiceDef, Types};

use crate::annotation::{HTTP_OPTION, HttpRule, annotation};
use crate::compile::Compiler;
use crate::defaults::Defaults;
use crate::options::RouteOptions;
use crate::router::{Router, RouterBuilder};

/// The services, methods and HTTP bindings of a descriptor set.
#[derive(Debug)]
pub struct Routes {
    services: Vec<Box<str>>,
    methods: HashMap<Box<str>, Arc<MethodPlan>>,
    router: Router,
    notes: Vec<Problem>,
}

/// Routes under construction.
struct Builder<'a> {
    types: &'a Types,
    methods: HashMap<Box<str>, Arc<MethodPlan>>,
    router: RouterBuilder,
    problems: &'a mut Vec<Problem>,
    notes: Vec<Problem>,
}

// === impl Routes ===

impl Routes {
    /// Compiles all bindings. `types` has the plans of the same pool. Malformed, contradicting and
    /// ambiguous rules are added to `problems`.
    pub fn compile(
        pool: &Pool,
        types: &Types,
        options: &RouteOptions,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut builder = Builder {
            types,
            methods: HashMap::new(),
            router: RouterBuilder::default(),
            problems,
            notes: Vec::new(),
        };
        let services: Vec<Box<str>> = pool.services.iter().map(|s| s.name.clone()).collect();
        let mut defaults = Defaults::new(options);
        for service in &pool.services {
            builder.add_service(pool, service, &mut defaults);
        }
        builder.add_defaults(&mut defaults);
        builder.problems.extend(defaults.unknown(&services));
        Routes {
            services,
            methods: builder.methods,
            router: builder.router.finish(options),
            notes: builder.notes,
        }
    }

    /// Returns the full names of all services, in the order of the set.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.services.iter().map(|name| &**name)
    }

    /// Returns the method at `/package.Service/Method`.
    pub fn method(&self, path: &str) -> Option<&Arc<MethodPlan>> {
        self.methods.get(path)
    }

    /// Returns all methods, sorted by path.
    pub fn methods(&self) -> impl Iterator<Item = &Arc<MethodPlan>> {
        let sorted: BTreeMap<_, _> = self.methods.iter().collect();
        sorted.into_values()
    }

    /// Returns the router over all bindings.
    pub fn router(&self) -> &Router {
        &self.router
    }

    /// Returns remarks about bindings that are legal and likely to surprise.
    pub fn notes(&self) -> &[Problem] {
        &self.notes
    }
}

// === impl Builder ===

impl Builder<'_> {
    fn add_service(&mut self, pool: &Pool, service: &ServiceDef, defaults: &mut Defaults) {
        for definition in &service.methods {
            let place =
                pool.place_of_option(&definition.source, definition.name.clone(), HTTP_OPTION);
            let annotated = annotation(definition).unwrap_or_else(|reason| {
                self.problems.push(place.problem(reason));
                None
            });
            let method = MethodPlan::new(pool, service, definition);
            self.methods.insert(method.path().into(), method.clone());
            if let Some((rule, place)) = defaults.rule(&method, annotated, &place) {
                for reason in self.add_rule(&method, &rule, &place) {
                    self.problems.push(place.problem(reason));
                }
            }
        }
    }

    /// Adds the default bindings. One yields to a rule that has its path already.
    fn add_defaults(&mut self, defaults: &mut Defaults) {
        for (method, place, rule) in defaults.take_defaults() {
            let clashes = self.add_rule(&method, &rule, &place);
            let clashes = clashes.into_iter().map(|reason| place.problem(reason));
            self.notes.extend(clashes);
        }
    }

    /// Adds the bindings of one rule; returns why some of them can't be.
    fn add_rule(
        &mut self,
        method: &Arc<MethodPlan>,
        rule: &HttpRule,
        place: &Place,
    ) -> Vec<String> {
        let mut reasons = Vec::new();
        let mut compiler = Compiler {
            types: self.types,
            method,
            place,
            reasons: &mut reasons,
            notes: &mut self.notes,
        };
        for binding in compiler.compile(rule) {
            if let Err(reason) = self.router.insert(binding, place) {
                reasons.push(reason);
            }
        }
        reasons
    }
}
