//! Promises of a contract that contradict each other: routes and `idempotency_level`, and rules
//! that no value satisfies.

use std::collections::HashMap;

use contract::Idempotency;
use descriptors::{MethodDef, Place, Pool, Problem, Types};
use http::Method;
use routes::Routes;
use validation::Validation;
use validation::rules::{Check, OwnRules, Test};

/// Number of `google.protobuf.MethodOptions.idempotency_level`.
const IDEMPOTENCY_LEVEL: i32 = 34;
/// Number of the option `buf.validate.field`.
const RULES: i32 = 1159;

/// Returns the methods whose routes promise something else than their `idempotency_level`.
pub(crate) fn idempotency(pool: &Pool, routes: &Routes) -> Vec<Problem> {
    let methods = pool.services.iter().flat_map(|service| &service.methods);
    let by_name: HashMap<&str, &MethodDef> = methods.map(|own| (&*own.name, own)).collect();
    let bindings = routes.router().bindings().iter();
    let contradictions = bindings.filter_map(|binding| {
        let method = &binding.method;
        let name = method.path().trim_start_matches('/').replace('/', ".");
        let reason = contradiction(method.idempotency(), &binding.http_method)?;
        let definition = by_name.get(&*name)?;
        let place = pool.place_of_option(&definition.source, name, IDEMPOTENCY_LEVEL);
        Some(place.problem(reason))
    });
    contradictions.collect()
}

/// Compares a promise with the semantics of the HTTP method (RFC 9110 section 9.2).
fn contradiction(promised: Idempotency, http_method: &Method) -> Option<String> {
    match (promised, http_method.as_str()) {
        (Idempotency::NoSideEffects, "PUT" | "PATCH" | "DELETE") => Some(format!(
            "NO_SIDE_EFFECTS says that nothing changes, and {http_method} that something does; write \
             `idempotency_level = IDEMPOTENT`, or bind `get`"
        )),
        (Idempotency::Idempotent, "GET" | "HEAD") => Some(format!(
            "IDEMPOTENT says that a call changes something, and {http_method} that none does; write \
             `idempotency_level = NO_SIDE_EFFECTS`, or bind `post` or `put`"
        )),
        _ => None,
    }
}

/// Returns the fields whose bounds of length exclude each other.
pub(crate) fn lengths(pool: &Pool, types: &Types, validation: &Validation) -> Vec<Problem> {
    let mut problems = Vec::new();
    let compiled = validation.rules().messages.iter();
    for ((definition, plan), rules) in pool.messages.iter().zip(&types.messages).zip(compiled) {
        for (field, rules) in plan.fields.iter().zip(&rules.fields) {
            let Some(own) = &rules.own else {
                continue;
            };
            let mut fields = definition.fields.iter();
            let Some(declared) = fields.find(|other| other.number == field.number) else {
                continue;
            };
            let name = format!("{}.{}", definition.name, declared.name);
            let place = pool.place_of_option(&declared.source, name, RULES);
            problems.extend(impossible(own, &place));
        }
    }
    problems
}

fn impossible(own: &OwnRules, place: &Place) -> Vec<Problem> {
    let lists = [
        &own.count,
        &own.value.checks,
        &own.items.checks,
        &own.keys.checks,
    ];
    let pairs = lists.into_iter().filter_map(|checks| excluding(checks));
    let problem = |(one, other): (&Check, &Check)| {
        place.problem(format!(
            "buf.validate: no value satisfies both `{}` ({}) and `{}` ({}); raise the one or lower the other",
            one.id, one.text, other.id, other.text
        ))
    };
    pairs.map(problem).collect()
}

/// Returns two bounds of one length that exclude each other.
fn excluding(checks: &[Check]) -> Option<(&Check, &Check)> {
    let pairs = checks
        .iter()
        .flat_map(|one| checks.iter().map(move |other| (one, other)));
    pairs.into_iter().find(|(one, other)| {
        matches!((&one.test, &other.test), (Test::Length(unit, least, _), Test::Length(same, _, most))
            if unit == same && least > most)
    })
}
