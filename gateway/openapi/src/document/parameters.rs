//! Parameters: the variables of the path, and every field of the request that the query can set.

use descriptors::{FieldDef, Kind, MessageId, Shape};
use routes::Body;
use transcoder::Route;

use super::Document;
use super::limits::{
    MAX_OPENAPI_PARAMETER_DEPTH, MAX_OPENAPI_PARAMETER_VISITS, MAX_OPENAPI_PARAMETERS,
};
use super::paths::{PathParameter, PathText};
use super::requests::ExampleRequest;
use super::schemas::described;
use crate::scalars::typed;
use crate::value::{Json, Object};

/// Walks the fields that a query may set.
struct Leaves<'r> {
    route: &'r Route,
    /// Examples of the parameters that must be there, by name.
    examples: &'r [(String, Json)],
    found: Vec<Json>,
    /// The messages around the one at hand: none is entered twice.
    around: Vec<MessageId>,
    /// Field indices from the request to the message at hand, and their names.
    path: Vec<usize>,
    names: Vec<String>,
    /// Fields visited, whether a query can set them or not.
    visited: usize,
    /// Whether a bound has kept some of them out.
    is_cut: bool,
}

impl<'a> Document<'a> {
    /// `names`: what the path item calls the parameters of the path.
    pub(super) fn parameters(
        &mut self,
        route: &Route,
        path: &PathText,
        names: &[String],
        request: &ExampleRequest,
    ) -> Vec<Json> {
        let mut parameters: Vec<Json> = Vec::new();
        let mut examples = request.path.iter();
        for (parameter, name) in path.parameters.iter().zip(names) {
            let mut own = self.path_parameter(route, path, parameter, name);
            if let Some(example) = examples.next() {
                own.set("example", example.clone());
            }
            parameters.push(own.into());
        }
        if route.body != Body::Whole || self.schema.http_options().query_beside_body {
            parameters.extend(self.query_parameters(route, request));
        }
        parameters
    }

    /// Returns the dotted name of each variable of the route.
    pub(super) fn variable_names(&self, route: &Route) -> Vec<String> {
        let name = |fields: &[usize]| {
            let mut message = Some(route.method.input);
            let mut names = Vec::new();
            for index in fields {
                let Some(field) = message.and_then(|id| self.types.message(id).fields.get(*index))
                else {
                    break;
                };
                names.push(self.property(field));
                message = field.message();
            }
            names.join(".")
        };
        route
            .variables
            .iter()
            .map(|variable| name(&variable.fields))
            .collect()
    }

    fn path_parameter(
        &mut self,
        route: &Route,
        path: &PathText,
        parameter: &PathParameter,
        name: &str,
    ) -> Object {
        let variable = parameter
            .variable
            .and_then(|index| route.variables.get(index));
        let leaf = variable.and_then(|variable| self.leaf(route.method.input, &variable.fields));
        let mut schema = match leaf {
            Some((id, index, definition)) if parameter.is_whole => {
                self.field(id, index, definition)
            }
            _ => typed("string").with("minLength", 1),
        };
        let own = schema.take_text("description");
        let mut sentences = Vec::new();
        if let Some(variable) = variable.filter(|_| !parameter.is_whole) {
            let of = self.variable_names(route);
            let of = parameter.variable.and_then(|index| of.get(index).cloned());
            let part = path.part(&route.template, (variable.start, variable.end));
            sentences.push(format!(
                "part of `{}`, which is `{part}`",
                of.unwrap_or_default()
            ));
        }
        if parameter.is_multi {
            sentences.push(
                "any number of segments; the slashes between them stay as they are".to_owned(),
            );
        }
        let mut object = Object::new()
            .with("name", name)
            .with("in", "path")
            .with("required", true);
        object.set_text("description", &described(&own, &sentences));
        if let Some(deprecated) = schema.remove("deprecated") {
            object.set("deprecated", deprecated);
        }
        object.set("schema", schema);
        if parameter.is_multi {
            object.set("x-multi-segment", true);
        }
        object
    }

    /// Returns the message, the index in it and the definition of the field at the end of a path.
    pub(super) fn leaf(
        &self,
        input: MessageId,
        fields: &[usize],
    ) -> Option<(MessageId, usize, &'a FieldDef)> {
        let (last, before) = fields.split_last()?;
        let mut id = input;
        for index in before {
            id = self.types.message(id).fields.get(*index)?.message()?;
        }
        let number = self.types.message(id).fields.get(*last)?.number;
        Some((id, *last, self.definition(id, number)?))
    }

    fn query_parameters(&mut self, route: &Route, request: &ExampleRequest) -> Vec<Json> {
        let input = route.method.input;
        let mut leaves = Leaves {
            route,
            examples: &request.query,
            found: Vec::new(),
            around: vec![input],
            path: Vec::new(),
            names: Vec::new(),
            visited: 0,
            is_cut: false,
        };
        self.query_fields(input, &mut leaves);
        if leaves.is_cut {
            let place = self.place_of(&route.method);
            let reason = format!(
                "{:?} has more query parameters than are listed",
                &*route.text
            );
            self.note(&place, reason);
        }
        leaves.found
    }

    fn query_fields(&mut self, id: MessageId, leaves: &mut Leaves<'_>) {
        let plan = self.types.message(id);
        for definition in self.fields(id) {
            let Some(index) = plan.by_number(definition.number) else {
                continue;
            };
            leaves.visited += 1;
            if leaves.visited > MAX_OPENAPI_PARAMETER_VISITS
                || leaves.found.len() >= MAX_OPENAPI_PARAMETERS
            {
                leaves.is_cut = true;
                return;
            }
            let field = &plan.fields[index];
            // Dots separate the names of a key, and those of extensions have some inside. A name
            // with a `$` is that of a system parameter.
            let name = self.property(field);
            let name = Some(name).filter(|name| !name.contains('.') && !name.starts_with('$'));
            let Some(name) = name.or(Some(&*field.name)).filter(|_| !field.is_extension) else {
                continue;
            };
            leaves.path.push(index);
            leaves.names.push(name.to_owned());
            if !leaves.is_bound() {
                self.query_field(id, index, definition, leaves);
            }
            leaves.path.pop();
            leaves.names.pop();
        }
    }

    fn query_field(
        &mut self,
        id: MessageId,
        index: usize,
        definition: &FieldDef,
        leaves: &mut Leaves<'_>,
    ) {
        let plan = self.types.message(id);
        let field = &plan.fields[index];
        let shape = field.message().map(|id| self.types.message(id).shape);
        match (field.kind, shape) {
            (Kind::Message(child) | Kind::Group(child), Some(Shape::Object)) => {
                if !field.is_singular() || leaves.around.contains(&child) {
                    return;
                }
                if leaves.around.len() >= MAX_OPENAPI_PARAMETER_DEPTH {
                    leaves.is_cut = true;
                    return;
                }
                leaves.around.push(child);
                self.query_fields(child, leaves);
                leaves.around.pop();
            }
            (
                _,
                None | Some(Shape::Timestamp | Shape::Duration | Shape::FieldMask | Shape::Wrapper),
            ) => {
                if shape.is_some() && !field.is_singular() {
                    return;
                }
                let parameter = self.query_parameter(id, index, definition, leaves);
                leaves.found.push(parameter.into());
            }
            (_, Some(Shape::Struct | Shape::Value | Shape::ListValue)) if field.is_singular() => {
                // JSON text.
                let mut parameter = self.query_parameter(id, index, definition, leaves);
                if let Some(schema) = parameter.remove("schema") {
                    let media = Object::new().with("schema", schema);
                    parameter.set("content", Object::new().with("application/json", media));
                }
                leaves.found.push(parameter.into());
            }
            // The others have no form in a query.
            _ => {}
        }
    }

    fn query_parameter(
        &mut self,
        id: MessageId,
        index: usize,
        definition: &FieldDef,
        leaves: &Leaves<'_>,
    ) -> Object {
        let mut schema = self.field(id, index, definition);
        // Inside of an optional message nothing is required, as long as the message isn't there.
        let is_required = leaves.path.len() == 1 && self.is_required(id, index, definition);
        let name = leaves.names.join(".");
        let mut object = Object::new().with("name", &*name).with("in", "query");
        let mut description = schema.take_text("description");
        if leaves.path.first().copied() == leaves.route.update_mask() && leaves.path.len() == 1 {
            let left_out = "default: the fields in the body".to_owned();
            description = described(&description, &[left_out]);
        }
        object.set_text("description", &description);
        object.set("required", is_required);
        if let Some(deprecated) = schema.remove("deprecated") {
            object.set("deprecated", deprecated);
        }
        if let Some((_, example)) = leaves.examples.iter().find(|(own, _)| *own == name) {
            object.set("example", example.clone());
        }
        object.with("schema", schema)
    }
}

// === impl Leaves ===

impl Leaves<'_> {
    /// Returns whether path or body have the field at hand.
    fn is_bound(&self) -> bool {
        let is_body = matches!((self.route.body, self.path.as_slice()), (Body::Field(body), [only]) if body == *only);
        is_body
            || self
                .route
                .variables
                .iter()
                .any(|variable| variable.fields == self.path)
    }
}
