//! What a new contract would break for the callers of the one in force: on the wire and in JSON, in the methods they can reach.
//!
//! Compared are methods, HTTP routes, and every message and enum that a served method reaches, for requests and for responses
//! apart: a rule that only a sender keeps breaks nobody who receives. Additions break nothing. Source of the rules: the page on
//! updating a message type of protobuf.dev, ProtoJSON, AIP-180.

mod enums;
mod messages;
mod routes;
#[cfg(test)]
mod tests;
mod validation;

use std::{
    collections::{BTreeMap, HashSet},
    fmt,
};

use crate::{
    descriptor::{Pool, Source},
    error::CompileError,
    plan::{EnumId, Kind, MessageId},
    schema::{Idempotency, MethodKind, MethodPlan, Schema},
};

/// A compiled contract and which of its services are served.
#[derive(Clone, Copy)]
pub struct Contract<'a> {
    schema: &'a Schema,
    descriptor_set: &'a [u8],
    is_served: &'a dyn Fn(&str) -> bool,
}

/// One change that callers of the old contract would notice.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BreakingChange {
    /// Name of the proto file; the new one's, where it still has the definition.
    pub file: String,
    /// Full name of the definition that has changed.
    pub element: String,
    /// Which promise is broken.
    pub rule: Breakage,
    /// What it was.
    pub before: String,
    /// What it would be.
    pub after: String,
}

/// Which promise of a contract is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Breakage {
    /// A method, or the service with it, is gone.
    MethodRemoved,
    /// A side of a method streams that did not, or the other way round.
    MethodKind,
    /// A method takes another message.
    RequestType,
    /// A method returns another message.
    ResponseType,
    /// A method that only read, so that it could be called by GET and repeated, promises less.
    Idempotency,
    /// No binding of the method has this HTTP method and path.
    RouteRemoved,
    /// The body of a binding is another part of the request.
    RouteBody,
    /// The body of the response is another part of it.
    RouteResponseBody,
    /// The path sets other fields.
    RouteVariables,
    /// A field is gone, and its number and name are not both reserved.
    FieldRemoved,
    /// A field has another number.
    FieldNumber,
    /// A field has another name, in JSON or in the proto file: JSON takes both.
    FieldName,
    /// A field has another type.
    FieldType,
    /// A field is one value, a list or a map, and was another of these.
    FieldCardinality,
    /// A field has joined or left a oneof.
    FieldOneof,
    /// Requests need a field that they did not, or responses no longer always have one.
    FieldRequired,
    /// A name of an enum is gone, and its number and name are not both reserved.
    EnumValueRemoved,
    /// A name of an enum has another number.
    EnumValueNumber,
    /// A number of an enum has another name.
    EnumValueName,
    /// A rule of `buf.validate` refuses what was valid.
    Validation,
}

/// Finds what `after` breaks for the callers of `before`. Services that are not served are nobody's loss.
///
/// # Errors
/// A descriptor set is not the one that its schema was compiled from.
pub fn breaking_changes(
    before: Contract<'_>,
    after: Contract<'_>,
) -> Result<Vec<BreakingChange>, CompileError> {
    let mut comparison = Comparison {
        before: Side::new(before)?,
        after: Side::new(after)?,
        seen: HashSet::new(),
        pending: Vec::new(),
        reported: HashSet::new(),
        found: Vec::new(),
    };
    comparison.methods();
    comparison.routes();
    while let Some(pair) = comparison.pending.pop() {
        match pair {
            Pair::Messages(old, new, direction) => comparison.messages(old, new, direction),
            Pair::Enums(old, new) => comparison.enums(old, new),
        }
    }
    Ok(comparison.found)
}

/// Who sends a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Direction {
    /// The caller.
    Request,
    /// The upstream.
    Response,
}

/// Two definitions of which the new one stands where the old one did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Pair {
    Messages(MessageId, MessageId, Direction),
    Enums(EnumId, EnumId),
}

struct Side<'a> {
    contract: Contract<'a>,
    schema: &'a Schema,
    pool: Pool,
}

struct Comparison<'a> {
    before: Side<'a>,
    after: Side<'a>,
    seen: HashSet<Pair>,
    pending: Vec<Pair>,
    /// A message that requests and responses share is looked at twice.
    reported: HashSet<BreakingChange>,
    found: Vec<BreakingChange>,
}

// === impl Contract ===

impl<'a> Contract<'a> {
    /// `descriptor_set` is what `schema` was compiled from; `is_served` is asked by full names of services.
    pub fn new(
        schema: &'a Schema,
        descriptor_set: &'a [u8],
        is_served: &'a dyn Fn(&str) -> bool,
    ) -> Self {
        Self {
            schema,
            descriptor_set,
            is_served,
        }
    }
}

impl fmt::Debug for Contract<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let services = self.schema.services().collect::<Vec<_>>();
        formatter.debug_tuple("Contract").field(&services).finish()
    }
}

// === impl Side ===

impl<'a> Side<'a> {
    fn new(contract: Contract<'a>) -> Result<Self, CompileError> {
        let pool = contract.schema.pool(contract.descriptor_set)?;
        Ok(Self {
            schema: contract.schema,
            contract,
            pool,
        })
    }

    fn serves(&self, method: &MethodPlan) -> bool {
        let service = method.path().trim_start_matches('/').split('/').next();
        service.is_some_and(|service| (self.contract.is_served)(service))
    }

    fn methods(&self) -> BTreeMap<&'a str, &'a MethodPlan> {
        let served = self.schema.methods().filter(|method| self.serves(method));
        served.map(|method| (method.path(), method)).collect()
    }

    fn file(&self, source: &Source) -> String {
        let file = self.pool.files.get(source.file);
        file.map_or_else(String::new, |file| file.name.to_string())
    }

    /// The file that declares the method at this path.
    fn file_of_method(&self, path: &str) -> String {
        let name = path.trim_start_matches('/').replace('/', ".");
        let mut methods = self
            .pool
            .services
            .iter()
            .flat_map(|service| &service.methods);
        let method = methods.find(|method| *method.name == *name);
        method.map_or_else(String::new, |method| self.file(&method.source))
    }

    fn type_name(&self, kind: Kind) -> String {
        match kind {
            Kind::Enum(id) => self.pool.enums[id].name.to_string(),
            Kind::Message(id) => self.pool.messages[id].name.to_string(),
            Kind::Group(id) => format!("group {}", self.pool.messages[id].name),
            scalar => format!("{scalar:?}").to_ascii_lowercase(),
        }
    }
}

// === impl Comparison ===

impl Comparison<'_> {
    fn methods(&mut self) {
        let (old, new) = (self.before.methods(), self.after.methods());
        for (path, old) in old {
            let Some(new) = new.get(path) else {
                let file = self.before.file_of_method(path);
                self.method_change(file, path, Breakage::MethodRemoved, "served", "not served");
                continue;
            };
            let file = self.after.file_of_method(path);
            let mut differ = |rule: Breakage, before: &str, after: &str| {
                if before != after {
                    self.method_change(file.clone(), path, rule, before, after);
                }
            };
            differ(Breakage::MethodKind, kind(old), kind(new));
            differ(Breakage::RequestType, old.input(), new.input());
            differ(Breakage::ResponseType, old.output(), new.output());
            if old.idempotency() == Idempotency::NoSideEffects {
                let text = |method: &MethodPlan| format!("{:?}", method.idempotency());
                differ(Breakage::Idempotency, &text(old), &text(new));
            }
            self.visit(Pair::Messages(old.input, new.input, Direction::Request));
            self.visit(Pair::Messages(old.output, new.output, Direction::Response));
        }
    }

    fn method_change(&mut self, file: String, path: &str, rule: Breakage, old: &str, new: &str) {
        let element = path.trim_start_matches('/').replace('/', ".");
        self.report(BreakingChange {
            file,
            element,
            rule,
            before: old.to_owned(),
            after: new.to_owned(),
        });
    }

    fn visit(&mut self, pair: Pair) {
        if self.seen.insert(pair) {
            self.pending.push(pair);
        }
    }

    fn report(&mut self, change: BreakingChange) {
        if self.reported.insert(change.clone()) {
            self.found.push(change);
        }
    }
}

fn kind(method: &MethodPlan) -> &'static str {
    match method.kind() {
        MethodKind::Unary => "unary",
        MethodKind::ClientStreaming => "client streaming",
        MethodKind::ServerStreaming => "server streaming",
        MethodKind::BidiStreaming => "bidi streaming",
    }
}

// === impl BreakingChange ===

impl fmt::Display for BreakingChange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            element,
            rule,
            before,
            after,
        } = self;
        if !file.is_empty() {
            write!(formatter, "{file}: ")?;
        }
        write!(
            formatter,
            "{element}: {}: {before} → {after}",
            rule.as_str()
        )
    }
}

// === impl Breakage ===

impl Breakage {
    /// Stable name, for logs and pages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MethodRemoved => "METHOD_REMOVED",
            Self::MethodKind => "METHOD_KIND",
            Self::RequestType => "REQUEST_TYPE",
            Self::ResponseType => "RESPONSE_TYPE",
            Self::Idempotency => "IDEMPOTENCY",
            Self::RouteRemoved => "ROUTE_REMOVED",
            Self::RouteBody => "ROUTE_BODY",
            Self::RouteResponseBody => "ROUTE_RESPONSE_BODY",
            Self::RouteVariables => "ROUTE_VARIABLES",
            Self::FieldRemoved => "FIELD_REMOVED",
            Self::FieldNumber => "FIELD_NUMBER",
            Self::FieldName => "FIELD_NAME",
            Self::FieldType => "FIELD_TYPE",
            Self::FieldCardinality => "FIELD_CARDINALITY",
            Self::FieldOneof => "FIELD_ONEOF",
            Self::FieldRequired => "FIELD_REQUIRED",
            Self::EnumValueRemoved => "ENUM_VALUE_REMOVED",
            Self::EnumValueNumber => "ENUM_VALUE_NUMBER",
            Self::EnumValueName => "ENUM_VALUE_NAME",
            Self::Validation => "VALIDATION",
        }
    }
}
