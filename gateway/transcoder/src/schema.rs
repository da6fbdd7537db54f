//! A compiled schema: types, methods and routes of one descriptor set.

mod message;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use descriptors::{CompileError, MethodPlan, Pool, Problem, Types};
use masks::Mask;
use routes::{PathMatch, RequestNames, RouteError, Routes};
use validation::{Validation, Validator};

use crate::options::{HttpOptions, JsonOptions, Options};
use crate::route::{Explanation, Match, Route};
use crate::tables::{AnyTypes, Tables};

pub use message::MessageType;

/// Everything compiled from one descriptor set. Immutable; share it in an `Arc`.
#[derive(Debug)]
pub struct Schema {
    pub(crate) types: Arc<Tables>,
    compiled: Routes,
    /// In the order of the router's bindings.
    routes: Vec<Arc<Route>>,
    /// The route that each method has without a rule, by its path.
    rpc_routes: HashMap<Box<str>, Arc<Route>>,
    notes: Vec<Problem>,
}

// === impl Schema ===

impl Schema {
    /// Compiles an encoded `google.protobuf.FileDescriptorSet` (proto2, proto3, editions up to
    /// 2026), imports included. The well-known types may be left out, and files may come in any
    /// order.
    ///
    /// # Errors
    /// Every problem of the set: unresolvable types, contradicting definitions, unknown editions;
    /// if there are none of these, malformed or contradicting rules of `google.api.http` and
    /// `buf.validate` and ambiguous routes.
    pub fn compile(descriptor_set: &[u8]) -> Result<Schema, CompileError> {
        Self::compile_with(descriptor_set, Options::default())
    }

    /// [`Schema::compile`] with other options.
    ///
    /// # Errors
    /// As [`Schema::compile`].
    pub fn compile_with(descriptor_set: &[u8], options: Options) -> Result<Schema, CompileError> {
        let loaded = descriptors::load(descriptor_set)?;
        let (pool, mut notes, mut problems) = (loaded.pool, loaded.notes, loaded.problems);
        descriptors::check_answers(&pool, &mut problems);
        let types = Arc::new(Tables::new(&pool, options, &mut problems));
        notes.extend(types.validation.unenforced().cloned());
        let compiled = Routes::compile(&pool, &types, &types.routes, &mut problems);
        notes.extend(compiled.notes().iter().cloned());
        if !problems.is_empty() {
            return Err(CompileError { problems });
        }
        let bindings = compiled.router().bindings().iter();
        let routes = bindings.map(|binding| Arc::new(Route::new(types.clone(), binding.clone())));
        let methods = compiled.methods().cloned();
        let rpc_routes = methods.map(|method| {
            let path = method.path().into();
            (path, Arc::new(Route::of_method(types.clone(), method)))
        });
        Ok(Schema {
            routes: routes.collect(),
            rpc_routes: rpc_routes.collect(),
            types,
            compiled,
            notes,
        })
    }

    /// Returns the full names of all services, in the order of the set.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.compiled.services()
    }

    /// Returns the method at `/package.Service/Method`.
    pub fn method(&self, path: &str) -> Option<&MethodPlan> {
        self.compiled.method(path).map(|method| &**method)
    }

    /// Returns the mask of a method's responses; `None` where every caller may see all of them.
    pub fn mask(&self, method: &MethodPlan) -> Option<Mask> {
        self.types.masks.of(method.output)
    }

    /// Returns all methods, sorted by path.
    pub fn methods(&self) -> impl Iterator<Item = &MethodPlan> {
        self.compiled.methods().map(|method| &**method)
    }

    /// Returns the validator of the type with this full name; `None` where the set has no such
    /// type.
    pub fn validator(&self, message: &str) -> Option<Validator> {
        self.types.validation.validator(message)
    }

    /// Returns whether requests of the method are checked by the rules of `buf.validate`.
    pub fn validates(&self, method: &MethodPlan) -> bool {
        self.types.validates(method.path())
    }

    /// Returns remarks for an operator that are no reason to reject the set.
    pub fn notes(&self) -> &[Problem] {
        &self.notes
    }

    /// Finds the route for a raw, undecoded path (without query). `HEAD` takes the route of `GET`
    /// unless it has its own.
    ///
    /// # Errors
    /// No such path, no such method on it, or a malformed path.
    pub fn route<'a>(
        &'a self,
        method: &http::Method,
        path: &'a str,
    ) -> Result<Match<'a>, RouteError> {
        let found = self.compiled.router().find(method, path)?;
        let route = self.routes.get(found.index).ok_or(RouteError::NotFound)?;
        Ok(Match::new(route, found))
    }

    /// Finds the method at `/package.Service/Method` as a route, with its message as JSON in the
    /// body of a POST; `None` where there is no such method. [`Schema::route`] goes first: a rule
    /// may bind the same path.
    pub fn rpc_route(&self, path: &str) -> Option<Match<'_>> {
        let route = self.rpc_routes.get(path)?;
        let found = PathMatch::of_literal(&route.binding).ok()?;
        Some(Match::new(route, found))
    }

    /// Finds the route as [`Schema::route`] does, or else for a POST the method of this path.
    ///
    /// # Errors
    /// As [`Schema::route`].
    pub fn route_or_rpc<'a>(
        &'a self,
        method: &http::Method,
        path: &'a str,
    ) -> Result<Match<'a>, RouteError> {
        self.route(method, path).or_else(|error| match *method {
            http::Method::POST => self.rpc_route(path).ok_or(error),
            _ => Err(error),
        })
    }

    /// Explains why a method and a raw path take the route that [`Schema::route`] finds, and how
    /// near every other route came. It compares with each template: for people, not for requests.
    pub fn explain<'a>(&'a self, method: &http::Method, path: &'a str) -> Explanation<'a> {
        let outcome = self.route(method, path);
        let taken = outcome.as_ref().ok().map(|found| &found.route.binding);
        let others = self.compiled.router().others(method, path, taken);
        Explanation { outcome, others }
    }

    /// Returns all routes, in no particular order.
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// Returns the services, methods and HTTP bindings.
    pub fn bindings(&self) -> &Routes {
        &self.compiled
    }

    /// Returns the plans of all types.
    pub fn types(&self) -> &Arc<Types> {
        &self.types.plans
    }

    /// Returns the types that Anys hold besides those of the schema.
    pub fn any_types(&self) -> &Arc<AnyTypes> {
        &self.types.any_types
    }

    /// Returns the rules of all messages.
    pub fn validation(&self) -> &Validation {
        &self.types.validation
    }

    /// Returns the fields by which requests name themselves; `key` returns that of a method's
    /// idempotency key. It reads the definitions, as [`Schema::pool`] does.
    ///
    /// # Errors
    /// As [`Schema::pool`].
    pub fn request_names<'s>(
        &'s self,
        descriptor_set: &[u8],
        key: impl Fn(&'s MethodPlan) -> Option<&'s str>,
    ) -> Result<RequestNames, CompileError> {
        let pool = self.pool(descriptor_set)?;
        Ok(RequestNames::new(&self.compiled, self.types(), &pool, key))
    }

    /// Returns the choices about JSON that the schema was compiled with.
    pub fn json_options(&self) -> &JsonOptions {
        &self.types.json
    }

    /// Returns the choices about queries and bodies that the schema was compiled with.
    pub fn http_options(&self) -> &HttpOptions {
        &self.types.http
    }

    /// Returns the definitions of this schema, from the set that it was compiled from: they are not
    /// kept, so that they cost no memory where nobody reads them.
    ///
    /// # Errors
    /// The schema was compiled from another set.
    pub fn pool(&self, descriptor_set: &[u8]) -> Result<Pool, CompileError> {
        self.types.pool(descriptor_set)
    }
}
