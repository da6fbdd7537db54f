//! Reads `google.api.http` annotations and compiles each binding into a route, or says why it can't
//! be one.

use std::sync::Arc;

use descriptors::{MessageId, MessagePlan, MethodPlan, Place, Problem, Types, did_you_mean};

use crate::annotation::HttpRule;
use crate::binding::{Binding, Body, LeftOut, RouteVariable};
use crate::limits::MAX_PATH_SEGMENTS;
use crate::paths::{Overlap, has_text_form, is_system_parameter, overlap, path_text};
use crate::template::{Template, Variable};

/// Compiles the rules of one method.
pub(crate) struct Compiler<'a> {
    pub(crate) types: &'a Types,
    pub(crate) method: &'a Arc<MethodPlan>,
    pub(crate) place: &'a Place,
    pub(crate) faults: &'a mut Vec<LeftOut>,
    pub(crate) notes: &'a mut Vec<Problem>,
}

impl Compiler<'_> {
    /// Returns the routes of `rule` and of its additional bindings; problems go to the list.
    pub(crate) fn compile(&mut self, rule: &HttpRule) -> Vec<Binding> {
        let mut routes = Vec::new();
        for (index, binding) in std::iter::once(rule)
            .chain(&rule.additional_bindings)
            .enumerate()
        {
            if index > 0 && !binding.additional_bindings.is_empty() {
                self.fault(binding, "additional_bindings can't be nested");
            }
            match self.binding(binding) {
                Ok(route) => routes.push(Binding {
                    number: index,
                    ..route
                }),
                Err(reason) => self.fault(binding, reason),
            }
        }
        routes
    }

    fn fault(&mut self, rule: &HttpRule, reason: impl Into<String>) {
        self.faults
            .push(LeftOut::new(self.method, rule, self.place, reason));
    }

    fn note(&mut self, reason: impl Into<String>) {
        self.notes.push(self.place.problem(reason));
    }

    fn binding(&mut self, rule: &HttpRule) -> Result<Binding, String> {
        let text = rule.path.as_str();
        let http_method = http_method(rule)?;
        let at = |reason: String| format!("template {text:?}: {reason}");
        let template = Template::parse(text).map_err(at)?;
        if template.segments.len() > MAX_PATH_SEGMENTS {
            return Err(at(format!("more than {MAX_PATH_SEGMENTS} segments")));
        }
        let body = self.body(&rule.body)?;
        let variables = template
            .variables
            .iter()
            .map(|variable| self.variable(&template, variable, &body).map_err(at))
            .collect::<Result<Vec<_>, _>>()?;
        self.check_variables(&variables).map_err(at)?;
        let response = self.response(&rule.response_body)?;
        let route = Binding {
            method: self.method.clone(),
            http_method,
            text: text.into(),
            number: 0,
            template,
            variables,
            body,
            response,
        };
        self.remark(&route);
        Ok(route)
    }

    /// Notes bindings that are legal and likely to surprise.
    fn remark(&mut self, route: &Binding) {
        let (method, text) = (&route.http_method, &route.text);
        if route.body != Body::None && matches!(method.as_str(), "GET" | "HEAD" | "DELETE") {
            self.note(format!(
                "{method} {text:?} has a request body, which many clients and proxies drop"
            ));
        }
        if route.template.has_suffix() {
            self.note(format!(
                "{text:?} continues after '**', which not every gateway accepts"
            ));
        }
        let standard = method.as_str().to_ascii_uppercase();
        if standard != method.as_str() && STANDARD_METHODS.contains(&standard.as_str()) {
            self.note(format!(
                "custom kind {:?} is not {standard}: HTTP methods are case-sensitive",
                method.as_str()
            ));
        }
        for name in self.shadowed(route) {
            self.note(format!(
                "{text:?}: '{name}' in the query is the field; the system parameter is '${name}'"
            ));
        }
    }

    /// Returns the system parameters whose names are those of fields that a query can set.
    fn shadowed(&self, route: &Binding) -> Vec<String> {
        let types = self.types;
        let fields = match route.body {
            Body::Whole => &[],
            _ => types.message(route.method.input).fields.as_slice(),
        };
        let open = fields.iter().enumerate().filter(|(index, field)| {
            let is_bound = route.variables.iter().any(|v| v.fields == [*index])
                || route.body == Body::Field(*index);
            !is_bound && has_text_form(types, field.kind)
        });
        let names = open.flat_map(|(_, field)| {
            let json = Some(&field.json_name).filter(|json| **json != field.name);
            [Some(&field.name), json].into_iter().flatten()
        });
        let shadowed = names.filter(|name| !name.starts_with('$') && is_system_parameter(name));
        shadowed.map(ToString::to_string).collect()
    }

    fn body(&self, body: &str) -> Result<Body, String> {
        match body {
            "" => Ok(Body::None),
            "*" => Ok(Body::Whole),
            name => Ok(Body::Field(self.top_level(
                "body",
                self.method.input,
                name,
            )?)),
        }
    }

    fn response(&self, name: &str) -> Result<Option<usize>, String> {
        match name {
            "" => Ok(None),
            name => self
                .top_level("response_body", self.method.output, name)
                .map(Some),
        }
    }

    fn top_level(&self, option: &str, message: MessageId, name: &str) -> Result<usize, String> {
        let message = self.types.message(message);
        let found = message.fields.iter().position(|field| *field.name == *name);
        found.ok_or_else(|| {
            format!(
                "{option}: {} has no field '{name}' at its top level{}",
                message.name,
                meant(name, message)
            )
        })
    }

    fn variable(
        &self,
        template: &Template,
        variable: &Variable,
        body: &Body,
    ) -> Result<RouteVariable, String> {
        let path = variable.path.join(".");
        let mut message = Some(self.method.input);
        let mut fields = Vec::new();
        let mut leaf = None;
        for name in &variable.path {
            let Some(plan) = message.map(|id| self.types.message(id)) else {
                return Err(format!("'{path}': only messages have fields"));
            };
            let Some(index) = plan.fields.iter().position(|f| f.name == *name) else {
                return Err(format!(
                    "'{path}': {} has no field '{name}'{}",
                    plan.name,
                    meant(name, plan)
                ));
            };
            let field = &plan.fields[index];
            if !field.is_singular() {
                return Err(format!(
                    "'{path}': '{name}' is repeated; bind a field that has one value"
                ));
            }
            fields.push(index);
            message = field.message();
            leaf = Some(field);
        }
        if !leaf.is_some_and(|field| has_text_form(self.types, field.kind)) {
            return Err(format!(
                "'{path}' is a message, which a path can't carry; bind one of its fields, as '{path}.name'"
            ));
        }
        if let Body::Field(body) = *body {
            self.check_overlap(&path, &fields, body)?;
        }
        Ok(RouteVariable {
            start: variable.start,
            end: variable.end,
            is_multi: template.is_multi(variable),
            fields,
        })
    }

    /// Rejects variables whose fields exclude each other, as every request would set both.
    fn check_variables(&self, variables: &[RouteVariable]) -> Result<(), String> {
        let input = self.method.input;
        for (index, one) in variables.iter().enumerate() {
            for other in &variables[..index] {
                let reason = match overlap(self.types, input, &other.fields, &one.fields) {
                    Some(Overlap::Field) => "lie inside each other",
                    Some(Overlap::Oneof) => "are of the same oneof",
                    None => continue,
                };
                let name =
                    |variable: &RouteVariable| path_text(self.types, input, &variable.fields);
                return Err(format!("'{}' and '{}' {reason}", name(other), name(one)));
            }
        }
        Ok(())
    }

    /// Rejects a variable that is the body or excludes it; one inside the body is allowed.
    fn check_overlap(&self, path: &str, variable: &[usize], body: usize) -> Result<(), String> {
        let fields = &self.types.message(self.method.input).fields;
        match variable {
            [first] if *first == body => Err(format!("'{path}' is the body")),
            [first, ..]
                if *first != body
                    && fields[*first].oneof.is_some()
                    && fields[*first].oneof == fields[body].oneof =>
            {
                Err(format!("'{path}' is of the same oneof as the body"))
            }
            _ => Ok(()),
        }
    }
}

/// Names of fields that one error lists.
const MAX_NAMES: usize = 8;

const STANDARD_METHODS: [&str; 9] = [
    "GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "CONNECT",
];

/// Returns the name that a contract may have meant, or else those that there are.
fn meant(name: &str, message: &MessagePlan) -> String {
    let names = || message.fields.iter().map(|field| &*field.name);
    match did_you_mean(name, names()) {
        none if none.is_empty() && !message.fields.is_empty() => {
            let listed: Vec<&str> = names().take(MAX_NAMES).collect();
            let more = if message.fields.len() > MAX_NAMES {
                ", …"
            } else {
                ""
            };
            format!("; its fields are {}{more}", listed.join(", "))
        }
        suggestion => suggestion,
    }
}

fn http_method(rule: &HttpRule) -> Result<http::Method, String> {
    if rule.http_method.is_empty() && rule.path.is_empty() {
        return Err(
            "the rule names no method and path; write one, as `get: \"/v1/things\"`".into(),
        );
    }
    http::Method::from_bytes(rule.http_method.as_bytes())
        .map_err(|_| format!("custom kind {:?} is not an HTTP method", rule.http_method))
}
