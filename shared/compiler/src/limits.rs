//! Checks what `option (mesh.v1.rate_limit)` says.

use std::collections::HashMap;

use contract::RateLimit;
use descriptors::{MethodDef, Pool, Problem, RateLimitOption};

/// Returns the mistakes in the limits of all methods.
pub(crate) fn mistakes(pool: &Pool) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut named: HashMap<Box<str>, (RateLimit, &MethodDef)> = HashMap::new();
    let methods = pool.services.iter().flat_map(|service| &service.methods);
    for method in methods {
        let options = RateLimitOption::of(pool, method);
        let place = || {
            let name = method.name.clone();
            pool.place_of_option(&method.source, name, RateLimitOption::NUMBER)
        };
        let mut report = |why: String| {
            problems.push(place().problem(format!("(mesh.v1.rate_limit) {why}")));
        };
        match RateLimitOption::limits(&options, &method.name) {
            Err(reasons) => reasons.into_iter().for_each(report),
            Ok(limits) => {
                for limit in limits {
                    let (first, of) = named
                        .entry(limit.name.clone())
                        .or_insert_with(|| (limit.clone(), method));
                    if !is_same(first, &limit) {
                        report(format!(
                            "is another limit `{}` than that of {}: limits of one name share their \
                             budgets, and may differ in `cost` only",
                            limit.name, of.name
                        ));
                    }
                }
            }
        }
    }
    problems
}

fn is_same(one: &RateLimit, other: &RateLimit) -> bool {
    let other = RateLimit {
        cost: one.cost,
        ..other.clone()
    };
    *one == other
}
