//! Checks what `option (mesh.v1.access)` says, and finds the methods that say nothing.

use descriptors::{AccessOption, MethodDef, Place, Pool, Problem};

const ACCESS_OPTION: &str = "mesh.v1.access";

/// Returns the mistakes in the options of all methods.
pub(crate) fn mistakes(pool: &Pool) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (method, option) in methods(pool) {
        let Some(Err(reasons)) = option.map(|option| option.access()) else {
            continue;
        };
        let place = place(pool, method, AccessOption::NUMBER);
        let reasons = reasons.into_iter();
        problems.extend(reasons.map(|why| place.problem(format!("({ACCESS_OPTION}) {why}"))));
    }
    problems
}

/// Returns the methods without the option.
pub(crate) fn unruled(pool: &Pool) -> Vec<Problem> {
    let silent = methods(pool).filter(|(_, option)| option.is_none());
    let remarks = silent.map(|(method, _)| {
        let place = pool.place(&method.source, method.name.clone());
        place.problem(format!(
            "says nothing about who may call it, so that it is refused once callers are \
             authenticated; write `option ({ACCESS_OPTION}) = {{authenticated: true}};`, or \
             `public: true` or `roles: \"...\"` in the braces"
        ))
    });
    remarks.collect()
}

fn methods(pool: &Pool) -> impl Iterator<Item = (&MethodDef, Option<AccessOption>)> {
    let methods = pool.services.iter().flat_map(|service| &service.methods);
    methods.map(|method| (method, AccessOption::of(pool, method)))
}

fn place(pool: &Pool, method: &MethodDef, option: i32) -> Place {
    pool.place_of_option(&method.source, method.name.clone(), option)
}
