//! A compiled schema: types, methods and routes of one descriptor set.

mod bindings;
pub(crate) mod builtin;
mod rules;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use crate::{
    descriptor::{self, MethodDef, Place, Pool, ServiceDef},
    error::{CompileError, Problem, RouteError},
    options::{HttpRule, Options},
    plan::{self, MessageId, Types},
    route::{Match, Route, Router, RouterBuilder},
    validate::{self, Validator},
};

pub(crate) use rules::HttpConfig;

use bindings::Bindings;

/// Everything compiled from one descriptor set. Immutable; share it behind an `Arc`.
#[derive(Debug)]
pub struct Schema {
    pub(crate) types: Arc<Types>,
    services: Vec<Box<str>>,
    methods: HashMap<Box<str>, Arc<MethodPlan>>,
    router: Router,
    notes: Vec<Problem>,
}

/// One method of a service.
#[derive(Debug)]
pub struct MethodPlan {
    path: Box<str>,
    kind: MethodKind,
    idempotency: Idempotency,
    input_name: Box<str>,
    output_name: Box<str>,
    pub(crate) input: MessageId,
    pub(crate) output: MessageId,
}

/// Which sides of a method stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MethodKind {
    /// One request, one response.
    Unary,
    /// Many requests, one response.
    ClientStreaming,
    /// One request, many responses.
    ServerStreaming,
    /// Many of both.
    BidiStreaming,
}

/// `google.protobuf.MethodOptions.idempotency_level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idempotency {
    /// Nothing is promised.
    Unknown,
    /// The method only reads.
    NoSideEffects,
    /// Doing it twice is doing it once.
    Idempotent,
}

// === impl Schema ===

impl Schema {
    /// Compiles an encoded `google.protobuf.FileDescriptorSet` (proto2, proto3, editions up to 2026), imports included. The
    /// well-known types may be left out, and files may come in any order.
    ///
    /// # Errors
    /// Every problem of the set: unresolvable types, contradicting definitions, unknown editions; if there are none of these,
    /// malformed or contradicting rules of `google.api.http` and `buf.validate` and ambiguous routes.
    pub fn compile(descriptor_set: &[u8]) -> Result<Schema, CompileError> {
        Self::compile_with(descriptor_set, Options::default())
    }

    /// [`Schema::compile`] with choices of one's own.
    ///
    /// # Errors
    /// As [`Schema::compile`].
    pub fn compile_with(descriptor_set: &[u8], options: Options) -> Result<Schema, CompileError> {
        let (pool, mut notes) = descriptor::load(descriptor_set, builtin::files)?;
        let mut problems = builtin::check(&pool);
        let mut types = plan::build(&pool, options);
        types.rules = validate::load(&pool, &types, &types.options.validation, &mut problems);
        notes.extend(types.rules.unenforced().cloned());
        let mut schema = Schema {
            types: Arc::new(types),
            services: pool.services.iter().map(|s| s.name.clone()).collect(),
            methods: HashMap::new(),
            router: Router::default(),
            notes,
        };
        let mut router = RouterBuilder::default();
        let mut bindings = Bindings::new(&schema.types.options.http);
        for service in &pool.services {
            schema.add_service(&pool, service, &mut bindings, &mut router, &mut problems);
        }
        schema.add_default_bindings(&mut bindings, &mut router);
        problems.extend(bindings.unknown(&schema.services));
        schema.router = router.finish(&schema.types.options.http);
        if problems.is_empty() {
            Ok(schema)
        } else {
            Err(CompileError { problems })
        }
    }

    /// Full names of all services, in the order of the set.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.services.iter().map(|name| &**name)
    }

    /// The method at `/package.Service/Method`.
    pub fn method(&self, path: &str) -> Option<&MethodPlan> {
        self.methods.get(path).map(|method| &**method)
    }

    /// What checks messages of the type with this full name; `None` where the set has no such type.
    pub fn validator(&self, message: &str) -> Option<Validator> {
        let id = self.types.by_name.get(message)?;
        Some(Validator::new(self.types.clone(), *id))
    }

    /// All methods, sorted by path.
    pub fn methods(&self) -> impl Iterator<Item = &MethodPlan> {
        let sorted: BTreeMap<_, _> = self.methods.iter().collect();
        sorted.into_values().map(|method| &**method)
    }

    /// What is worth an operator's attention, but no reason to refuse the set.
    pub fn notes(&self) -> &[Problem] {
        &self.notes
    }

    /// Finds the route for a raw, undecoded path (without query). `HEAD` takes the route of `GET` unless it has its own.
    ///
    /// # Errors
    /// No such path, no such method on it, or a malformed path.
    pub fn route<'a>(
        &'a self,
        method: &http::Method,
        path: &'a str,
    ) -> Result<Match<'a>, RouteError> {
        self.router.find(method, path)
    }

    /// All routes, in no order that says something.
    pub(crate) fn routes(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.router.routes()
    }

    /// The definitions behind this schema, from the set that it was compiled from: they are not kept, so that they cost no memory
    /// where nobody reads them.
    pub(crate) fn pool(&self, descriptor_set: &[u8]) -> Result<Pool, CompileError> {
        let (pool, _) = descriptor::load(descriptor_set, builtin::files)?;
        let known = self.types.messages.iter().map(|message| &message.name);
        if pool.messages.iter().map(|message| &message.name).eq(known) {
            return Ok(pool);
        }
        Err(CompileError {
            problems: vec![Problem {
                file: String::new(),
                line: None,
                element: String::new(),
                reason: "the schema was compiled from another descriptor set".to_owned(),
            }],
        })
    }

    #[cfg(test)]
    pub(crate) fn router(&self) -> &Router {
        &self.router
    }

    fn add_service(
        &mut self,
        pool: &Pool,
        service: &ServiceDef,
        bindings: &mut Bindings,
        router: &mut RouterBuilder,
        problems: &mut Vec<Problem>,
    ) {
        for definition in &service.methods {
            let place = pool.place_of_option(
                &definition.source,
                definition.name.clone(),
                rules::HTTP_OPTION,
            );
            let options = rules::read_options(definition).unwrap_or_else(|reason| {
                problems.push(place.problem(reason));
                rules::MethodOptions::default()
            });
            let method = Arc::new(method_plan(
                pool,
                service,
                definition,
                options.idempotency(),
            ));
            self.methods.insert(method.path.clone(), method.clone());
            if let Some((rule, place)) = bindings.rule(&method, options.into_rule(), &place) {
                self.add_rule(&method, &rule, &place, router, problems);
            }
        }
    }

    /// A default binding yields to a rule that has its path already.
    fn add_default_bindings(&mut self, bindings: &mut Bindings, router: &mut RouterBuilder) {
        for (method, place, rule) in bindings.take_defaults() {
            let mut clashes = Vec::new();
            self.add_rule(&method, &rule, &place, router, &mut clashes);
            self.notes.extend(clashes);
        }
    }

    fn add_rule(
        &mut self,
        method: &Arc<MethodPlan>,
        rule: &HttpRule,
        place: &Place,
        router: &mut RouterBuilder,
        problems: &mut Vec<Problem>,
    ) {
        let mut compiler = rules::Compiler {
            types: &self.types,
            method,
            place,
            problems,
            notes: &mut self.notes,
        };
        for route in compiler.compile(rule) {
            if let Err(reason) = router.insert(route, place) {
                problems.push(place.problem(reason));
            }
        }
    }
}

fn method_plan(
    pool: &Pool,
    service: &ServiceDef,
    definition: &MethodDef,
    idempotency: Idempotency,
) -> MethodPlan {
    let name = definition.name.rsplit('.').next().unwrap_or_default();
    MethodPlan {
        path: format!("/{}/{name}", service.name).into(),
        kind: match (
            definition.is_client_streaming,
            definition.is_server_streaming,
        ) {
            (false, false) => MethodKind::Unary,
            (true, false) => MethodKind::ClientStreaming,
            (false, true) => MethodKind::ServerStreaming,
            (true, true) => MethodKind::BidiStreaming,
        },
        idempotency,
        input: definition.input,
        output: definition.output,
        input_name: pool.message(definition.input).name.clone(),
        output_name: pool.message(definition.output).name.clone(),
    }
}

// === impl MethodPlan ===

impl MethodPlan {
    /// `/package.Service/Method`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Which sides stream.
    pub fn kind(&self) -> MethodKind {
        self.kind
    }

    /// What the contract promises about repeating a call.
    pub fn idempotency(&self) -> Idempotency {
        self.idempotency
    }

    /// Full name of the request message.
    pub fn input(&self) -> &str {
        &self.input_name
    }

    /// Full name of the response message.
    pub fn output(&self) -> &str {
        &self.output_name
    }
}

#[cfg(test)]
mod tests;
