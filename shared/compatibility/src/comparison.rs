//! Compares two contracts, definition by definition.

mod access;
mod enums;
mod facts;
mod messages;
mod routes;
mod validation;

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use contract::{Idempotency, MethodKind};
use descriptors::{CompileError, EnumId, Kind, MessageId, MethodPlan, Pool, Source, Types};

use crate::change::{Breakage, BreakingChange};

use ::routes::Routes;
use ::validation::Validation;

/// A compiled contract and which of its services are served.
#[derive(Clone, Copy)]
pub struct Contract<'a> {
    /// The set that everything else was compiled from.
    pub descriptor_set: &'a [u8],
    /// Its types.
    pub types: &'a Types,
    /// Its methods and HTTP bindings.
    pub routes: &'a Routes,
    /// Its rules.
    pub validation: &'a Validation,
    /// Returns whether the service with a full name is served.
    pub is_served: &'a dyn Fn(&str) -> bool,
}

/// Returns the changes in `after` that break callers of `before`. Only served services count.
///
/// # Errors
/// A descriptor set is not the one that its schema was compiled from.
pub fn breaking_changes(
    before: Contract<'_>,
    after: Contract<'_>,
) -> Result<Vec<BreakingChange>, CompileError> {
    let mut comparison = Comparison::new(before, after)?;
    comparison.methods();
    comparison.routes();
    Ok(comparison.finish())
}

/// Returns the changes in `after` by which events of `before` can't be read, or are about something
/// else: those that streams retain, those of parked keys, and those that older services still
/// publish or consume.
///
/// # Errors
/// As [`breaking_changes`].
pub fn breaking_facts(
    before: Contract<'_>,
    after: Contract<'_>,
) -> Result<Vec<BreakingChange>, CompileError> {
    let mut comparison = Comparison::new(before, after)?;
    comparison.facts();
    Ok(comparison.finish())
}

/// Returns the methods whose callers have changed (`mesh.v1.access`). They are apart from
/// [`breaking_changes`]: a rule that is tightened on purpose must not wait for its callers.
///
/// # Errors
/// As [`breaking_changes`].
pub fn access_changes(
    before: Contract<'_>,
    after: Contract<'_>,
) -> Result<Vec<BreakingChange>, CompileError> {
    let mut comparison = Comparison::new(before, after)?;
    comparison.access();
    Ok(comparison.finish())
}

/// The sender of a message.
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
    pool: Pool,
}

struct Comparison<'a> {
    before: Side<'a>,
    after: Side<'a>,
    seen: HashSet<Pair>,
    pending: Vec<Pair>,
    /// A message that requests and responses share is visited twice.
    reported: HashSet<BreakingChange>,
    found: Vec<BreakingChange>,
}

impl fmt::Debug for Contract<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let services = self.routes.services().collect::<Vec<_>>();
        formatter.debug_tuple("Contract").field(&services).finish()
    }
}

// === impl Side ===

impl<'a> Side<'a> {
    fn new(contract: Contract<'a>) -> Result<Self, CompileError> {
        let pool = contract.types.pool(contract.descriptor_set)?;
        Ok(Self { contract, pool })
    }

    fn serves(&self, method: &MethodPlan) -> bool {
        (self.contract.is_served)(method.service())
    }

    fn methods(&self) -> BTreeMap<&'a str, &'a MethodPlan> {
        let served = self
            .contract
            .routes
            .methods()
            .filter(|method| self.serves(method));
        served.map(|method| (method.path(), &**method)).collect()
    }

    fn file(&self, source: &Source) -> String {
        let file = self.pool.files.get(source.file);
        file.map_or_else(String::new, |file| file.name.to_string())
    }

    /// Returns the file that declares the method at this path.
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

impl<'a> Comparison<'a> {
    fn new(before: Contract<'a>, after: Contract<'a>) -> Result<Self, CompileError> {
        Ok(Comparison {
            before: Side::new(before)?,
            after: Side::new(after)?,
            seen: HashSet::new(),
            pending: Vec::new(),
            reported: HashSet::new(),
            found: Vec::new(),
        })
    }

    /// Compares everything that the pairs so far lead to.
    fn finish(mut self) -> Vec<BreakingChange> {
        while let Some(pair) = self.pending.pop() {
            match pair {
                Pair::Messages(old, new, direction) => self.messages(old, new, direction),
                Pair::Enums(old, new) => self.enums(old, new),
            }
        }
        self.found
    }

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
