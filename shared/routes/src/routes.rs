//! All methods and HTTP bindings of a descriptor set.

mod request_names;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use descriptors::{MethodPlan, Place, Pool, Problem, ServiceDef, Types};

use crate::annotation::{HTTP_OPTION, HttpRule, annotation};
use crate::binding::LeftOut;
use crate::compile::Compiler;
use crate::defaults::{Defaults, is_configured};
use crate::options::{InvalidBindings, RouteOptions};
use crate::router::{Router, RouterBuilder};

pub use request_names::{OwnNames, RequestNames};

/// The services, methods and HTTP bindings of a descriptor set.
#[derive(Debug)]
pub struct Routes {
    services: Vec<Box<str>>,
    methods: HashMap<Box<str>, Arc<MethodPlan>>,
    router: Router,
    notes: Vec<Problem>,
    left_out: Vec<LeftOut>,
}

/// Routes under construction.
struct Builder<'a> {
    types: &'a Types,
    methods: HashMap<Box<str>, Arc<MethodPlan>>,
    router: RouterBuilder,
    problems: &'a mut Vec<Problem>,
    notes: Vec<Problem>,
    left_out: Vec<LeftOut>,
}

/// One rule, with the place where it is written.
type PlacedRule = (Arc<MethodPlan>, HttpRule, Place);

// === impl Routes ===

impl Routes {
    /// Compiles all bindings. `types` has the plans of the same pool. Malformed, contradicting and
    /// ambiguous rules are added to `problems`, unless the options leave them out. Of two rules for
    /// one path the rule of the configuration wins, then the one that comes first in the set.
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
            left_out: Vec::new(),
        };
        let services: Vec<Box<str>> = pool.services.iter().map(|s| s.name.clone()).collect();
        let mut defaults = Defaults::new(options);
        let mut rules: Vec<PlacedRule> = Vec::new();
        for service in &pool.services {
            rules.extend(builder.add_service(pool, service, &mut defaults));
        }
        let is_annotated = |(_, _, place): &PlacedRule| !is_configured(place);
        rules.sort_by_cached_key(is_annotated);
        for (method, rule, place) in rules {
            let faults = builder.add_rule(&method, &rule, &place);
            builder.left_out.extend(faults);
        }
        builder.add_defaults(&mut defaults);
        let left_out = builder.left_out;
        let left_out = match options.invalid_bindings {
            InvalidBindings::LeaveOut => left_out,
            InvalidBindings::Reject => {
                let faults = left_out.into_iter().map(|binding| binding.problem);
                builder.problems.extend(faults);
                Vec::new()
            }
        };
        builder.problems.extend(defaults.unknown(&services));
        Routes {
            services,
            methods: builder.methods,
            router: builder.router.finish(options),
            notes: builder.notes,
            left_out,
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

    /// Returns the bindings that are not served, each with the reason
    /// ([`InvalidBindings::LeaveOut`]).
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// Returns remarks about bindings that are legal and likely to surprise.
    pub fn notes(&self) -> &[Problem] {
        &self.notes
    }
}

// === impl Builder ===

impl Builder<'_> {
    /// Adds the methods of a service; returns their rules.
    fn add_service(
        &mut self,
        pool: &Pool,
        service: &ServiceDef,
        defaults: &mut Defaults,
    ) -> Vec<PlacedRule> {
        let mut rules = Vec::new();
        for definition in &service.methods {
            let place =
                pool.place_of_option(&definition.source, definition.name.clone(), HTTP_OPTION);
            let method = MethodPlan::new(pool, service, definition);
            self.methods.insert(method.path().into(), method.clone());
            let annotated = annotation(definition).unwrap_or_else(|reason| {
                let rule = HttpRule::default();
                self.left_out
                    .push(LeftOut::new(&method, &rule, &place, reason));
                None
            });
            if let Some((rule, place)) = defaults.rule(&method, annotated, &place) {
                rules.push((method, rule, place));
            }
        }
        rules
    }

    /// Adds the default bindings. One yields to a rule that has its path already.
    fn add_defaults(&mut self, defaults: &mut Defaults) {
        for (method, place, rule) in defaults.take_defaults() {
            let clashes = self.add_rule(&method, &rule, &place);
            self.notes
                .extend(clashes.into_iter().map(|own| own.problem));
        }
    }

    /// Adds the bindings of one rule; returns those that can't be.
    fn add_rule(
        &mut self,
        method: &Arc<MethodPlan>,
        rule: &HttpRule,
        place: &Place,
    ) -> Vec<LeftOut> {
        let mut faults = Vec::new();
        let mut compiler = Compiler {
            types: self.types,
            method,
            place,
            faults: &mut faults,
            notes: &mut self.notes,
        };
        for binding in compiler.compile(rule) {
            let number = binding.number;
            if let Err(reason) = self.router.insert(binding, place) {
                let own = number.checked_sub(1).map_or(rule, |additional| {
                    rule.additional_bindings.get(additional).unwrap_or(rule)
                });
                faults.push(LeftOut::new(method, own, place, reason));
            }
        }
        faults
    }
}
