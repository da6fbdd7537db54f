//! Checks what `option (mesh.v1.access)` says, and finds the methods that say nothing.

use std::sync::Arc;

use cel::Condition;
use contract::Access;
use descriptors::{AccessOption, MethodDef, Place, Pool, Problem, Types};

const ACCESS_OPTION: &str = "mesh.v1.access";

/// Returns the mistakes in the options of all methods.
pub(crate) fn mistakes(pool: &Pool, types: &Arc<Types>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (method, option) in methods(pool) {
        let access = option.map(|option| option.access());
        let reasons = match &access {
            None => continue,
            Some(Ok(access)) => Vec::from_iter(condition(access, types, method)),
            Some(Err(reasons)) => reasons.clone(),
        };
        let place = place(pool, method, AccessOption::NUMBER);
        let reasons = reasons.into_iter();
        problems.extend(reasons.map(|why| place.problem(format!("({ACCESS_OPTION}) {why}"))));
    }
    problems
}

/// Returns why the condition can't be compiled.
fn condition(access: &Access, types: &Arc<Types>, method: &MethodDef) -> Option<String> {
    let source = access.condition.as_deref()?;
    let error = Condition::compile(source, types, method.input).err()?;
    Some(format!("has a `condition` that can't be compiled: {error}"))
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
