//! Checks the events after which cached answers are out of date.

use std::collections::HashMap;

use descriptors::{MethodDef, Pool, Problem, did_you_mean};
use routes::Routes;

/// Number of the option `mesh.v1.cache`.
const CACHE: i32 = 50_104;

/// Returns the methods whose cache waits for an event that no message is.
pub(crate) fn unknown_events(pool: &Pool, routes: &Routes) -> Vec<Problem> {
    let methods = pool.services.iter().flat_map(|service| &service.methods);
    let by_name: HashMap<&str, &MethodDef> = methods.map(|own| (&*own.name, own)).collect();
    let events: Vec<&str> = pool.events().map(|(message, _)| &*message.name).collect();
    let mut problems = Vec::new();
    for method in routes.methods() {
        let name = method.path().trim_start_matches('/').replace('/', ".");
        let (Some(cache), Some(definition)) = (method.cache(), by_name.get(&*name)) else {
            continue;
        };
        let unknown = cache.invalidated_by.iter().map(|own| &own.event);
        for event in unknown.filter(|event| !events.contains(&event.as_str())) {
            let place = pool.place_of_option(&definition.source, name.clone(), CACHE);
            let meant = did_you_mean(event, events.iter().copied());
            problems.push(place.problem(format!(
                "(mesh.v1.cache).invalidated_by.event must be the full name of an event, and there is \
                 no `{event}`{meant}"
            )));
        }
    }
    problems
}
