//! HTTP bindings of the methods that are still there.

use std::sync::Arc;

use super::{Breakage, Comparison};
use crate::{
    plan::{MessagePlan, Types},
    route::{Body, Route},
};

impl Comparison<'_> {
    pub(super) fn routes(&mut self) {
        let new_methods = self.after.methods();
        let mut routes: Vec<&Arc<Route>> = self.before.schema.routes().collect();
        routes.retain(|route| {
            self.before.serves(&route.method) && new_methods.contains_key(route.method.path())
        });
        routes.sort_by_key(|route| (route.method.path(), route.binding));
        let schema = self.after.schema;
        for old in routes {
            match schema.routes().find(|new| takes_over(old, new)) {
                Some(new) => self.route(old, new),
                None => {
                    let after = bindings(schema.routes(), old.method.path());
                    self.route_change(old, Breakage::RouteRemoved, &binding(old), &after);
                }
            }
        }
    }

    fn route(&mut self, old: &Route, new: &Route) {
        let mut differ = |rule: Breakage, text: fn(&Route) -> String| {
            let (was, is) = (text(old), text(new));
            if was != is {
                let prefix = binding(old);
                self.route_change(old, rule, &format!("{prefix}: {was}"), &is);
            }
        };
        differ(Breakage::RouteBody, body);
        differ(Breakage::RouteResponseBody, response_body);
        differ(Breakage::RouteVariables, variables);
    }

    fn route_change(&mut self, old: &Route, rule: Breakage, before: &str, after: &str) {
        let path = old.method.path();
        let file = self.after.file_of_method(path);
        self.method_change(file, path, rule, before, after);
    }
}

/// Whether requests of the old route come to the same method by the new one.
fn takes_over(old: &Route, new: &Route) -> bool {
    let same_template =
        || old.template.segments == new.template.segments && old.template.verb == new.template.verb;
    new.method.path() == old.method.path()
        && (new.http_method == old.http_method || new.http_method.as_str() == "*")
        && same_template()
}

fn binding(route: &Route) -> String {
    format!("{} {}", route.http_method, route.text)
}

fn bindings<'r>(routes: impl Iterator<Item = &'r Arc<Route>>, path: &str) -> String {
    let own = routes.filter(|route| route.method.path() == path);
    let mut all: Vec<String> = own.map(|route| binding(route)).collect();
    all.sort();
    match all.is_empty() {
        true => "no binding".to_owned(),
        false => all.join(", "),
    }
}

fn input(route: &Route) -> &MessagePlan {
    route.types.message(route.method.input)
}

fn body(route: &Route) -> String {
    match route.body {
        Body::None => "no body".to_owned(),
        Body::Whole => "body *".to_owned(),
        Body::Field(index) => format!("body {}", input(route).fields[index].name),
    }
}

fn response_body(route: &Route) -> String {
    let output = route.types.message(route.method.output);
    match route.response {
        None => "the whole response".to_owned(),
        Some(index) => format!("response body {}", output.fields[index].name),
    }
}

/// Which fields the path sets, each with the segments that it takes.
fn variables(route: &Route) -> String {
    let mut all: Vec<String> = route
        .variables
        .iter()
        .map(|variable| {
            let path = field_path(&route.types, route.method.input, &variable.fields);
            format!("{path} from segments {}..{}", variable.start, variable.end)
        })
        .collect();
    all.sort();
    all.join(", ")
}

fn field_path(types: &Types, input: usize, fields: &[usize]) -> String {
    let mut message = Some(input);
    let mut names = Vec::new();
    for index in fields {
        let plan = message.map(|id| types.message(id));
        let Some(field) = plan.and_then(|plan| plan.fields.get(*index)) else {
            break;
        };
        names.push(&*field.name);
        message = field.message();
    }
    names.join(".")
}
