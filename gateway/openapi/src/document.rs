//! The document: every HTTP binding as an operation, every type that it reaches as a component.

mod about;
mod answers;
mod components;
mod examples;
mod limits;
mod operations;
mod parameters;
mod paths;
mod presence;
mod requests;
mod responses;
mod rpc;
mod schemas;
mod security;
mod statuses;
mod streams;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use contract::{Access, MethodKind};
use descriptors::{
    CompileError, FieldDef, FieldPlan, MAX_PROBLEMS, MessageId, MethodDef, MethodPlan, Place, Pool,
    Problem, ServiceDef, Types,
};
use transcoder::{Route, Schema};

pub use self::about::title_of;
use self::components::{Component, Side};
use self::paths::PathText;
use crate::checked::Checker;
use crate::comments::Comment;
use crate::making::Sampler;
use crate::value::{Json, Object};

/// Facts about the API as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Info {
    /// Name of the API; empty for the names of its packages.
    pub title: String,
    /// Version of the API, not of OpenAPI; empty for the one that its packages share, else 1.
    pub version: String,
    /// For people, in CommonMark; may be empty.
    pub description: String,
    /// URLs under which the API is served; none means: where the document comes from.
    pub servers: Vec<String>,
    /// Full names of the services that are described; none means: all.
    pub services: Vec<String>,
    /// HTTP status by gRPC code where a service has its own, by the full name of the service.
    pub statuses: HashMap<String, BTreeMap<i32, u16>>,
    /// How callers prove who they are, and whom methods let in; `None` where nobody is
    /// authenticated.
    pub security: Option<Security>,
    /// Whether messages of response streams are lines `{"result": …}` and their errors
    /// `{"error": …}`, as in grpc-gateway.
    pub has_envelope: bool,
}

/// How callers prove who they are, and whom methods let in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Security {
    /// The header of an API key, if keys are accepted beside bearer tokens.
    pub api_key_header: Option<String>,
    /// By the path of the method.
    access: HashMap<String, Access>,
}

/// An OpenAPI document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenApi {
    /// The document as JSON text. Equal schemas give equal text.
    pub json: String,
    /// Remarks on omissions: invalid examples, routes that OpenAPI can't tell apart. At most a
    /// thousand.
    pub notes: Vec<Problem>,
    /// An example request of each method, in the order of the files.
    pub requests: Vec<Request>,
}

/// An example request of one method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Full name of the service.
    pub service: String,
    /// Name of the method in it.
    pub method: String,
    /// First sentence of its comment.
    pub summary: String,
    /// Kind of the method.
    pub kind: MethodKind,
    /// Method of HTTP.
    pub http_method: String,
    /// Template of its path, or the path of the method itself.
    pub template: String,
    /// Path and query; empty where no example is known.
    pub target: String,
    /// The JSON in the body; of a stream of requests its only line.
    pub body: Option<String>,
    /// The message as JSON, for callers of gRPC; empty where no example is known.
    pub message: String,
}

const VERSION: &str = "3.1.0";
/// The fixed fields of a path item.
const METHODS: [http::Method; 8] = [
    http::Method::GET,
    http::Method::PUT,
    http::Method::POST,
    http::Method::DELETE,
    http::Method::OPTIONS,
    http::Method::HEAD,
    http::Method::PATCH,
    http::Method::TRACE,
];

/// One binding and its definitions.
struct Binding<'a> {
    route: &'a Arc<Route>,
    service: &'a ServiceDef,
    method: &'a MethodDef,
    /// It has no rule, and is called by its own path.
    is_rpc: bool,
}

/// A document under construction.
struct Document<'a> {
    schema: &'a Schema,
    types: &'a Types,
    pool: &'a Pool,
    info: &'a Info,
    checker: Checker<'a>,
    samples: Sampler<'a>,
    /// By the message that they extend.
    extensions: HashMap<MessageId, Vec<&'a FieldDef>>,
    /// Components that are referred to and not written yet.
    pending: Vec<Component>,
    seen: HashSet<Component>,
    /// Whether the schema being written is for requests or responses.
    side: Side,
    /// The messages that responses hold, directly or deeper down.
    in_responses: HashSet<MessageId>,
    schemas: BTreeMap<String, Object>,
    operation_ids: HashSet<String>,
    uses_default_error: bool,
    uses_invalid_request: bool,
    uses_stream_error: bool,
    uses_rpc_error: bool,
    /// See [`Info::has_envelope`].
    has_envelope: bool,
    notes: Vec<Problem>,
    requests: Vec<Request>,
}

/// The operations under one path.
struct Item {
    text: String,
    /// Names of the parameters in the first route; later routes with the same path follow it.
    names: Vec<String>,
    operations: Object,
    others: Object,
}

/// Describes the HTTP API of a schema in OpenAPI 3.1. `descriptor_set` is the set that the schema
/// was compiled from: comments are not kept, to save memory.
///
/// # Errors
/// `descriptor_set` is not the one that the schema was compiled from.
pub fn document(
    schema: &Schema,
    descriptor_set: &[u8],
    info: &Info,
) -> Result<OpenApi, CompileError> {
    let pool = schema.pool(descriptor_set)?;
    let mut document = Document::new(schema, &pool, info);
    let root = document.root(info);
    let mut json = Vec::new();
    root.write(&mut json);
    Ok(OpenApi {
        json: String::from_utf8_lossy(&json).into_owned(),
        notes: document.notes,
        requests: document.requests,
    })
}

// === impl Document ===

impl<'a> Document<'a> {
    fn new(schema: &'a Schema, pool: &'a Pool, info: &'a Info) -> Self {
        let mut extensions: HashMap<MessageId, Vec<&FieldDef>> = HashMap::new();
        for extension in &pool.extensions {
            let own = extensions.entry(extension.extendee).or_default();
            own.push(&extension.field);
        }
        Document {
            schema,
            types: schema.types(),
            pool,
            info,
            checker: Checker::new(schema),
            samples: Sampler::new(schema, pool),
            extensions,
            pending: Vec::new(),
            seen: HashSet::new(),
            side: Side::Response,
            in_responses: HashSet::new(),
            schemas: BTreeMap::new(),
            operation_ids: HashSet::new(),
            uses_default_error: false,
            uses_invalid_request: false,
            uses_stream_error: false,
            uses_rpc_error: false,
            has_envelope: false,
            notes: Vec::new(),
            requests: Vec::new(),
        }
    }

    fn root(&mut self, info: &Info) -> Object {
        let mut root = Object::new()
            .with("openapi", VERSION)
            .with("info", self.about());
        if !info.servers.is_empty() {
            let server = |url: &String| Object::new().with("url", &**url);
            root.set("servers", Json::list(info.servers.iter().map(server)));
        }
        self.has_envelope = info.has_envelope;
        let bindings = self.bindings(&info.services);
        self.find_in_responses(bindings.iter().map(|binding| &**binding.route));
        root.set("tags", tags(&bindings));
        let mut paths = Object::new();
        for item in self.items(&bindings) {
            let mut object = item.operations;
            if !item.others.is_empty() {
                object.set("x-methods", item.others);
            }
            paths.push(item.text, object);
        }
        root.set("paths", paths);
        root.with("components", self.components())
    }

    /// Returns all bindings: services and methods in the order of the files, bindings in the order
    /// of the rule; of a method without a rule the one that it has by its path.
    fn bindings(&self, chosen: &[String]) -> Vec<Binding<'a>> {
        let mut by_method: HashMap<&str, Vec<&'a Arc<Route>>> = HashMap::new();
        for route in self.schema.routes() {
            by_method
                .entry(route.method.path())
                .or_default()
                .push(route);
        }
        let is_chosen = |name: &str| chosen.is_empty() || chosen.iter().any(|known| known == name);
        let services = self.pool.services.iter();
        let mut found = Vec::new();
        for service in services.filter(|service| is_chosen(&service.name)) {
            for method in &service.methods {
                let name = method.name.rsplit('.').next().unwrap_or_default();
                let path = format!("/{}/{name}", service.name);
                let mut routes = by_method.remove(&*path).unwrap_or_default();
                routes.sort_by_key(|route| route.number);
                let is_rpc = routes.is_empty();
                if is_rpc {
                    routes.extend(self.schema.rpc_route(&path).map(|found| found.route()));
                }
                found.extend(routes.into_iter().map(|route| Binding {
                    route,
                    service,
                    method,
                    is_rpc,
                }));
            }
        }
        found
    }

    fn items(&mut self, bindings: &[Binding<'_>]) -> Vec<Item> {
        let mut items: Vec<Item> = Vec::new();
        let mut by_key: HashMap<String, usize> = HashMap::new();
        for binding in bindings {
            let variables = self.variable_names(binding.route);
            let path = PathText::of(binding.route, &variables);
            let at = *by_key.entry(path.key()).or_insert_with(|| {
                items.push(Item::new(&path));
                items.len() - 1
            });
            if let Some(item) = items.get_mut(at) {
                self.add(item, binding, &path);
            }
        }
        items
    }

    fn add(&mut self, item: &mut Item, binding: &Binding<'_>, path: &PathText) {
        let method = &binding.route.http_method;
        let is_known = METHODS.contains(method);
        let (name, list) = match is_known {
            true => (method.as_str().to_ascii_lowercase(), &item.operations),
            false => (method.as_str().to_owned(), &item.others),
        };
        if list.get(&name).is_some() {
            let place = self.place_of(&binding.route.method);
            let reason = format!(
                "{method} {:?} is left out: OpenAPI can't tell it from another route under {:?}",
                &*binding.route.text, item.text
            );
            self.note(&place, reason);
            return;
        }
        let operation = self.operation(binding, path, &item.names);
        let list = match is_known {
            true => &mut item.operations,
            false => &mut item.others,
        };
        list.set(name, operation);
    }

    /// Returns the definitions of a message's fields, in the order of the file, and of its
    /// extensions.
    fn fields(&self, id: MessageId) -> impl Iterator<Item = &'a FieldDef> + use<'a> {
        let own = &self.pool.message(id).fields;
        let extensions = self.extensions.get(&id).cloned().unwrap_or_default();
        own.iter().chain(extensions)
    }

    fn definition(&self, id: MessageId, number: u32) -> Option<&'a FieldDef> {
        self.fields(id).find(|field| field.number == number)
    }

    /// Returns the name of a field in JSON.
    fn property<'f>(&self, field: &'f FieldPlan) -> &'f str {
        match self.schema.json_options().preserve_proto_field_names && !field.is_extension {
            true => &field.name,
            false => &field.json_name,
        }
    }

    fn enums_as_numbers(&self) -> bool {
        self.schema.json_options().enums_as_numbers
    }

    fn place_of(&self, method: &MethodPlan) -> Place {
        let name = method.path().trim_start_matches('/').replace('/', ".");
        let methods = self
            .pool
            .services
            .iter()
            .flat_map(|service| &service.methods);
        let definition = methods.into_iter().find(|method| *method.name == *name);
        let source = definition
            .map(|method| method.source.clone())
            .unwrap_or_default();
        self.pool.place(&source, name)
    }

    fn note(&mut self, place: &Place, reason: impl Into<String>) {
        let note = place.problem(reason);
        // A field is written once per place where it stands: in its message, in a body, as a
        // parameter.
        if self.notes.len() < MAX_PROBLEMS && !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}

// === impl Item ===

impl Item {
    fn new(path: &PathText) -> Self {
        Item {
            text: path.text(path.names()),
            names: path.names().map(str::to_owned).collect(),
            operations: Object::new(),
            others: Object::new(),
        }
    }
}

/// One tag per service that has operations.
fn tags(bindings: &[Binding<'_>]) -> Json {
    let mut services: Vec<&ServiceDef> = bindings.iter().map(|binding| binding.service).collect();
    services.dedup_by_key(|service| &service.name);
    Json::list(services.into_iter().map(|service| {
        let mut tag = Object::new().with("name", &*service.name);
        tag.set_text("description", &Comment::of(&service.source).text());
        tag
    }))
}
