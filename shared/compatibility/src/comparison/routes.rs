//! HTTP bindings of the methods that are still there.

use std::sync::Arc;

use descriptors::{MessagePlan, Types};
use routes::{Binding, Body};

use super::{Breakage, Comparison};

impl Comparison<'_> {
    pub(super) fn routes(&mut self) {
        let new_methods = self.after.methods();
        let mut routes: Vec<&Arc<Binding>> = self
            .before
            .contract
            .routes
            .router()
            .bindings()
            .iter()
            .collect();
        routes.retain(|route| {
            self.before.serves(&route.method) && new_methods.contains_key(route.method.path())
        });
        routes.sort_by_key(|route| (route.method.path(), route.number));
        let new_routes = self.after.contract.routes.router().bindings();
        for old in routes {
            match new_routes.iter().find(|new| takes_over(old, new)) {
                Some(new) => self.route(old, new),
                None => {
                    let after = bindings(new_routes.iter(), old.method.path());
                    self.route_change(old, Breakage::RouteRemoved, &binding(old), &after);
                }
            }
        }
    }

    fn route(&mut self, old: &Binding, new: &Binding) {
        let (before, after) = (self.before.contract.types, self.after.contract.types);
        let mut differ = |rule: Breakage, text: fn(&Types, &Binding) -> String| {
            let (was, is) = (text(before, old), text(after, new));
            if was != is {
                let prefix = binding(old);
                self.route_change(old, rule, &format!("{prefix}: {was}"), &is);
            }
        };
        differ(Breakage::RouteBody, body);
        differ(Breakage::RouteResponseBody, response_body);
        differ(Breakage::RouteVariables, variables);
    }

    fn route_change(&mut self, old: &Binding, rule: Breakage, before: &str, after: &str) {
        let path = old.method.path();
        let file = self.after.file_of_method(path);
        self.method_change(file, path, rule, before, after);
    }
}

/// Returns whether requests of the old route come to the same method by the new one.
fn takes_over(old: &Binding, new: &Binding) -> bool {
    let same_template =
        || old.template.segments == new.template.segments && old.template.verb == new.template.verb;
    new.method.path() == old.method.path()
        && (new.http_method == old.http_method || new.http_method.as_str() == "*")
        && same_template()
}

fn binding(route: &Binding) -> String {
    format!("{} {}", route.http_method, route.text)
}

fn bindings<'r>(routes: impl Iterator<Item = &'r Arc<Binding>>, path: &str) -> String {
    let own = routes.filter(|route| route.method.path() == path);
    let mut all: Vec<String> = own.map(|route| binding(route)).collect();
    all.sort();
    match all.is_empty() {
        true => "no binding".to_owned(),
        false => all.join(", "),
    }
}

fn input<'t>(types: &'t Types, route: &Binding) -> &'t MessagePlan {
    types.message(route.method.input)
}

fn body(types: &Types, route: &Binding) -> String {
    match route.body {
        Body::None => "no body".to_owned(),
        Body::Whole => "body *".to_owned(),
        Body::Field(index) => format!("body {}", input(types, route).fields[index].name),
    }
}

fn response_body(types: &Types, route: &Binding) -> String {
    let output = types.message(route.method.output);
    match route.response {
        None => "the whole response".to_owned(),
        Some(index) => format!("response body {}", output.fields[index].name),
    }
}

/// Returns the fields that the path sets, each with its segments.
fn variables(types: &Types, route: &Binding) -> String {
    let mut all: Vec<String> = route
        .variables
        .iter()
        .map(|variable| {
            let path = field_path(types, route.method.input, &variable.fields);
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
