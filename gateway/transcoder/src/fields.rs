//! Response masks (the system parameter `$fields`): which fields of a response are written.

use descriptors::{FieldPlan, Label, MessageId, Shape};
use wire::MAX_DEPTH;

use crate::error::{Failure, RequestError, Rule};
use crate::limits::MAX_FIELDS_BYTES;
use crate::route::Route;
use crate::tables::Tables;

/// A compiled response mask of one route. See [`Route::fields`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fields {
    /// The first one is the root; none at all if everything is shown.
    nodes: Vec<Node>,
}

/// The chosen fields of one message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Node {
    is_whole: bool,
    /// Field indices, sorted, and the choice below each.
    children: Vec<(usize, Below)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Below {
    Everything,
    /// Index into [`Fields::nodes`].
    Some(usize),
}

/// Chooses fields while a message is written. A type and not a value, so that writing without a
/// mask does not pay for it.
pub(crate) trait Select: Copy {
    /// Returns the choice below a field; `None` if the field is not chosen.
    fn field(self, index: usize) -> Option<Self>;
}

/// Every field.
#[derive(Debug, Clone, Copy)]
pub(crate) struct All;

/// The fields of a mask, seen from one message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chosen<'a> {
    nodes: &'a [Node],
    below: Below,
}

// === impl Select ===

impl Select for All {
    #[inline]
    fn field(self, _: usize) -> Option<Self> {
        Some(All)
    }
}

impl Select for Chosen<'_> {
    #[inline]
    fn field(self, index: usize) -> Option<Self> {
        let Below::Some(node) = self.below else {
            return Some(self);
        };
        let node = self.nodes.get(node)?;
        let below = match node.children.binary_search_by_key(&index, |child| child.0) {
            _ if node.is_whole => Below::Everything,
            Ok(at) => node.children.get(at)?.1,
            Err(_) => return None,
        };
        Some(Chosen { below, ..self })
    }
}

// === impl Fields ===

impl Fields {
    /// Returns the root of the mask; `None` if it chooses everything.
    pub(crate) fn root(&self) -> Option<Chosen<'_>> {
        self.nodes.first().filter(|root| !root.is_whole)?;
        Some(Chosen {
            nodes: &self.nodes,
            below: Below::Some(0),
        })
    }

    pub(crate) fn compile(route: &Route, mask: &str) -> Result<Self, Failure> {
        if mask.len() > MAX_FIELDS_BYTES {
            let reason = format!("a response mask has at most {MAX_FIELDS_BYTES} bytes");
            return Err(RequestError::new(Rule::LimitExceeded, reason));
        }
        if mask.trim().is_empty() {
            return Ok(Fields { nodes: Vec::new() });
        }
        let types = &route.types;
        let output = route.method.output;
        let message = match route.response {
            None => shown_fields(types, output),
            Some(index) => message_below(types, &types.message(output).fields[index]),
        };
        let mut compiler = Compiler {
            types,
            rest: mask,
            nodes: vec![Node::default()],
            names: Vec::new(),
        };
        let root = Place {
            node: Some(0),
            message,
        };
        compiler.list(root, 0)?;
        match compiler.rest.trim_end() {
            "" => Ok(Fields {
                nodes: compiler.nodes,
            }),
            _ => Err(compiler.malformed("expected ',' in a response mask")),
        }
    }
}

/// Returns the message whose fields JSON shows below a field; through lists, and through maps to
/// their values.
fn message_below(types: &Tables, field: &FieldPlan) -> Option<MessageId> {
    let id = field.message()?;
    match field.label {
        Label::Map => shown_fields(types, types.message(id).fields.get(1)?.message()?),
        _ => shown_fields(types, id),
    }
}

/// Returns the message, if its JSON is an object of its fields.
fn shown_fields(types: &Tables, id: MessageId) -> Option<MessageId> {
    (types.message(id).shape == Shape::Object).then_some(id)
}

/// Reads `list = path *( "," path )`, `path = name *( ( "." / "/" ) name ) [ "(" list ")" ]`.
struct Compiler<'a> {
    types: &'a Tables,
    rest: &'a str,
    nodes: Vec<Node>,
    /// The path that is being read, for errors.
    names: Vec<&'a str>,
}

/// Where a name is looked up.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// `None` where everything is chosen already.
    node: Option<usize>,
    /// `None` where there are no fields.
    message: Option<MessageId>,
}

// === impl Compiler ===

impl<'a> Compiler<'a> {
    fn list(&mut self, place: Place, depth: usize) -> Result<(), Failure> {
        if depth > MAX_DEPTH {
            let reason = format!("a response mask nests at most {MAX_DEPTH} levels");
            return Err(RequestError::new(Rule::LimitExceeded, reason));
        }
        loop {
            let known = self.names.len();
            self.path(place, depth)?;
            self.names.truncate(known);
            if !self.take(',') {
                return Ok(());
            }
        }
    }

    fn path(&mut self, mut place: Place, depth: usize) -> Result<(), Failure> {
        loop {
            let name = self.name();
            self.names.push(name);
            // Also of a response that has no fields: a number, a timestamp.
            let is_root = place.node == Some(0);
            if name == "*" && (place.message.is_some() || is_root) {
                if let Some(node) = place.node.and_then(|node| self.nodes.get_mut(node)) {
                    node.is_whole = true;
                }
                return Ok(());
            }
            let Some((index, message)) = self.resolve(place, name) else {
                return Err(self.failure(Rule::UnknownField, "the response has no such field"));
            };
            if self.take('.') || self.take('/') {
                place = self.descend(place, index, message);
            } else if self.take('(') {
                let inner = self.descend(place, index, message);
                self.list(inner, depth + 1)?;
                return match self.take(')') {
                    true => Ok(()),
                    false => Err(self.malformed("expected ',' or ')' in a response mask")),
                };
            } else {
                self.choose(place, index, Below::Everything);
                return Ok(());
            }
        }
    }

    /// Returns the index of a field and the message below it.
    fn resolve(&self, place: Place, name: &str) -> Option<(usize, Option<MessageId>)> {
        let plan = self.types.message(place.message?);
        let index = plan.by_name(name)?;
        Some((index, message_below(self.types, plan.fields.get(index)?)))
    }

    /// Returns the place below a field.
    fn descend(&mut self, place: Place, index: usize, message: Option<MessageId>) -> Place {
        let new = Below::Some(self.nodes.len());
        let node = match self.choose(place, index, new) {
            Below::Everything => None,
            below if below == new => {
                self.nodes.push(Node::default());
                Some(self.nodes.len() - 1)
            }
            Below::Some(node) => Some(node),
        };
        Place { node, message }
    }

    /// Chooses a field, at least as far as `below`; returns how far it is chosen now.
    fn choose(&mut self, place: Place, index: usize, below: Below) -> Below {
        let Some(node) = place.node.and_then(|node| self.nodes.get_mut(node)) else {
            return Below::Everything;
        };
        match node.children.binary_search_by_key(&index, |child| child.0) {
            Err(at) => {
                node.children.insert(at, (index, below));
                below
            }
            Ok(at) => match node.children.get_mut(at) {
                Some((_, known)) => {
                    if below == Below::Everything {
                        *known = below;
                    }
                    *known
                }
                None => below,
            },
        }
    }

    /// Everything up to the next separator. Those inside brackets belong to the name of an
    /// extension.
    fn name(&mut self) -> &'a str {
        let text = self.rest.trim_start();
        let bracket = match text.starts_with('[') {
            true => text.find(']').unwrap_or(0),
            false => 0,
        };
        let end = text
            .bytes()
            .skip(bracket)
            .position(|b| b",./()".contains(&b));
        let (name, rest) = text.split_at(end.map_or(text.len(), |end| bracket + end));
        self.rest = rest;
        name.trim_end()
    }

    fn take(&mut self, separator: char) -> bool {
        match self.rest.trim_start().strip_prefix(separator) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn malformed(&self, reason: &str) -> Failure {
        self.failure(Rule::InvalidValue, reason)
    }

    fn failure(&self, rule: Rule, reason: &str) -> Failure {
        let (error, path) = (RequestError::new(rule, reason), self.names.join("."));
        match path.is_empty() {
            true => error,
            false => error.in_field(&path),
        }
    }
}

#[cfg(test)]
mod tests;
