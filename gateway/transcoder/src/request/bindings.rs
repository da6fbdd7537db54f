//! The fields that path, query and form bind, gathered before anything is written: the winner for a
//! field that is bound already is decided here.

mod target;

use std::ops::Range;

use descriptors::{Kind, Label, MessageId, key_of};
use routes::{Body, Overlap, chain, overlap, path_text};
use wire::Reader;

use super::leaf;
use crate::encode::Pin;
use crate::error::{Failure, RequestError, Rule};
use crate::options::{BindingConflict, DuplicateQuery};
use crate::route::Route;
use crate::tables::Tables;

pub(crate) use target::Target;

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A variable of the path.
    Path,
    /// A query parameter.
    Query,
    /// The request body.
    Body,
}

/// A field that a request sets by a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundField {
    /// Field path by JSON names, such as `book.name` or `labels["size"]`.
    pub path: String,
    /// The decoded text.
    pub value: String,
    /// The part of the request that sets it.
    pub source: Source,
}

/// All bindings of one request; three buffers, however many there are.
pub(crate) struct Bindings<'a> {
    pub(crate) route: &'a Route,
    /// Field indices of all bindings, one path after the other.
    fields: Vec<usize>,
    /// Tags and values of all bindings, without the messages around them.
    wire: Vec<u8>,
    list: Vec<Binding>,
    /// Filled where somebody asks.
    pub(crate) explained: Option<Vec<BoundField>>,
}

struct Binding {
    fields: Range<usize>,
    wire: Range<usize>,
    source: Source,
    /// An element of a list or of a map, of which there may be several.
    is_element: bool,
    is_dropped: bool,
}

/// A binding that gives way to the body.
pub(super) struct Claim<'b> {
    pub(super) fields: &'b [usize],
    pub(super) is_sent: bool,
    binding: usize,
}

/// Returns the claims whose field at `depth` is this one; they are sorted, and agree on all that is
/// above.
pub(super) fn claims_on<'c, 'b>(
    claims: &'c mut [Claim<'b>],
    depth: usize,
    field: usize,
) -> &'c mut [Claim<'b>] {
    let at = |claim: &Claim<'_>| claim.fields.get(depth).copied();
    let start = claims.partition_point(|claim| at(claim) < Some(field));
    let (_, behind) = claims.split_at_mut(start);
    let length = behind.partition_point(|claim| at(claim) == Some(field));
    behind.split_at_mut(length).0
}

/// Marks those that end at `depth` and returns those that go on below it.
pub(super) fn settle<'c, 'b>(claims: &'c mut [Claim<'b>], depth: usize) -> &'c mut [Claim<'b>] {
    let ended = claims.partition_point(|claim| claim.fields.len() <= depth + 1);
    let (here, below) = claims.split_at_mut(ended);
    for claim in here {
        claim.is_sent = true;
    }
    below
}

/// The binding that gives way.
enum Loser {
    Old,
    New,
}

// === impl Bindings ===

impl<'a> Bindings<'a> {
    pub(crate) fn new(route: &'a Route) -> Self {
        Bindings {
            route,
            fields: Vec::new(),
            wire: Vec::new(),
            list: Vec::new(),
            explained: None,
        }
    }

    fn types(&self) -> &'a Tables {
        &self.route.types
    }

    fn input(&self) -> MessageId {
        self.route.method.input
    }

    /// Binds a variable of the path.
    pub(crate) fn add_path(&mut self, fields: &[usize], text: &str) -> Result<(), Failure> {
        let start = self.fields.len();
        self.fields.extend_from_slice(fields);
        let target = Target {
            fields: start..self.fields.len(),
            key: None,
            is_element: false,
        };
        self.bind(target, text, Source::Path)
    }

    /// Binds what [`Bindings::resolve`] has found.
    pub(crate) fn bind(
        &mut self,
        target: Target<'_>,
        text: &str,
        source: Source,
    ) -> Result<(), Failure> {
        let place = self.describe(&target);
        let start = self.wire.len();
        let bound = self.put(&target, text).and_then(|()| {
            let new = Binding {
                fields: target.fields.clone(),
                wire: start..self.wire.len(),
                source,
                is_element: target.is_element,
                is_dropped: false,
            };
            self.admit(new)
        });
        match bound {
            Ok(true) => {
                if let Some(explained) = &mut self.explained {
                    explained.push(BoundField {
                        path: place(self.route, &self.fields),
                        value: text.to_owned(),
                        source,
                    });
                }
                Ok(())
            }
            Ok(false) => Ok(()),
            Err(failure) => Err(failure.in_field(&place(self.route, &self.fields))),
        }
    }

    /// How errors name the target; put off until there is one.
    fn describe<'k>(&self, target: &Target<'k>) -> impl Fn(&Route, &[usize]) -> String + use<'k> {
        let (fields, key) = (target.fields.clone(), target.key);
        move |route, all| {
            let path = path_text(&route.types, route.method.input, &all[fields.clone()]);
            match key {
                Some(key) => format!("{path}[{key:?}]"),
                None => path,
            }
        }
    }

    fn put(&mut self, target: &Target<'_>, text: &str) -> Result<(), Failure> {
        let types = self.types();
        let path = &self.fields[target.fields.clone()];
        let Some(field) = chain(types, self.input(), path).last() else {
            return Ok(());
        };
        match target.key {
            Some(key) => leaf::put_entry(types, field, key, text, &mut self.wire),
            None => leaf::put_leaf(types, field, text, &mut self.wire),
        }
    }

    /// Adds a binding unless one of the others wins over it; returns whether it was added.
    fn admit(&mut self, mut new: Binding) -> Result<bool, Failure> {
        self.check_oneof_of_body(&new)?;
        for at in 0..self.list.len() {
            if self.list[at].is_dropped {
                continue;
            }
            match self.conflict(&self.list[at], &new)? {
                None => {}
                Some(Loser::Old) => self.list[at].is_dropped = true,
                Some(Loser::New) => new.is_dropped = true,
            }
        }
        let is_added = !new.is_dropped;
        self.list.push(new);
        Ok(is_added)
    }

    /// Rejects other members of a oneof whose member is the body: a body is always sent and
    /// excludes the other members.
    fn check_oneof_of_body(&self, new: &Binding) -> Result<(), Failure> {
        let Body::Field(body) = self.route.body else {
            return Ok(());
        };
        let path = &self.fields[new.fields.clone()];
        match overlap(self.types(), self.input(), path, &[body]) {
            Some(Overlap::Oneof) => Err(RequestError::new(
                Rule::Duplicate,
                "the body is another field of the same oneof",
            )),
            _ => Ok(()),
        }
    }

    fn conflict(&self, old: &Binding, new: &Binding) -> Result<Option<Loser>, Failure> {
        let (a, b) = (
            &self.fields[old.fields.clone()],
            &self.fields[new.fields.clone()],
        );
        let Some(overlap) = overlap(self.types(), self.input(), a, b) else {
            return Ok(None);
        };
        let is_element = old.is_element && new.is_element && a == b;
        if is_element && old.source == new.source && !self.is_same_key(old, new) {
            return Ok(None);
        }
        let options = &self.types().http;
        let is_exact = overlap == Overlap::Field && a == b;
        let (rule, text) = match (old.source, new.source) {
            (Source::Path, Source::Body)
                if options.binding_conflict == BindingConflict::BodyWins =>
            {
                return Ok(Some(Loser::Old));
            }
            (Source::Path, _) if options.binding_conflict != BindingConflict::Refuse => {
                return Ok(Some(Loser::New));
            }
            (Source::Path, _) => (Rule::PathConflict, "the path sets this field"),
            (Source::Query, Source::Body) => return Ok(Some(Loser::Old)),
            _ if is_exact && options.duplicate_query == DuplicateQuery::LastWins => {
                return Ok(Some(Loser::Old));
            }
            _ => (Rule::Duplicate, "the parameter is repeated"),
        };
        Err(match overlap {
            Overlap::Field => RequestError::new(rule, text),
            Overlap::Oneof => RequestError::new(rule, "another field of the same oneof is set"),
        })
    }

    /// Returns whether two elements of one field exclude each other: entries of a map with the same
    /// key.
    fn is_same_key(&self, old: &Binding, new: &Binding) -> bool {
        let path = &self.fields[new.fields.clone()];
        let field = chain(self.types(), self.input(), path).last();
        let Some(field) = field.filter(|field| field.label == Label::Map) else {
            return false;
        };
        let entry = field.message().map(|id| &self.types().message(id).fields);
        let kind = entry
            .and_then(|fields| fields.first())
            .map_or(Kind::String, |key| key.kind);
        let key = |binding: &Binding| {
            let mut reader = Reader::new(&self.wire[binding.wire.clone()]);
            reader.tag().ok()?;
            key_of(reader.delimited().ok()?, kind).ok()
        };
        key(old) == key(new)
    }

    /// Drops what the body sets itself: everything of the query, and of the path where the body
    /// wins over it. `mark` looks through the body, once for all claims.
    pub(super) fn yield_to(
        &mut self,
        mark: impl FnOnce(&mut [Claim<'_>]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let conflict = self.types().http.binding_conflict;
        let yields = |source| match source {
            Source::Path => conflict == BindingConflict::BodyWins,
            Source::Query => self.route.body == Body::Whole,
            Source::Body => false,
        };
        let bindings = self.list.iter().enumerate();
        let open = bindings.filter(|(_, binding)| !binding.is_dropped && yields(binding.source));
        let mut claims: Vec<Claim<'_>> = open
            .map(|(binding, Binding { fields, .. })| Claim {
                fields: &self.fields[fields.clone()],
                binding,
                is_sent: false,
            })
            .collect();
        if claims.is_empty() {
            return Ok(());
        }
        claims.sort_by_key(|claim| claim.fields);
        mark(&mut claims)?;
        let sent = claims.iter().filter(|claim| claim.is_sent);
        for binding in sent.map(|claim| claim.binding) {
            self.list[binding].is_dropped = true;
        }
        Ok(())
    }

    /// Returns the fields that the body must not change, sorted; without the first index where one
    /// field is the body.
    pub(super) fn pins(&self) -> Vec<Pin<'_>> {
        let conflict = self.types().http.binding_conflict;
        let paths = self
            .list
            .iter()
            .filter(|b| b.source == Source::Path && !b.is_dropped);
        let pins = paths
            .filter(|_| conflict != BindingConflict::BodyWins)
            .map(|binding| Pin {
                fields: &self.fields[binding.fields.clone()],
                wire: &self.wire[binding.wire.clone()],
                is_silent: conflict == BindingConflict::PathWins,
            });
        let mut pins: Vec<Pin<'_>> = pins.collect();
        pins.sort_by_key(|pin| pin.fields);
        pins
    }

    /// Returns whether the top-level field `index` is bound, as a whole or in part.
    pub(super) fn touches(&self, index: usize) -> bool {
        let mut bound = self.list.iter().filter(|binding| !binding.is_dropped);
        bound.any(|binding| self.fields.get(binding.fields.start) == Some(&index))
    }

    /// Returns whether exactly this field is bound.
    pub(crate) fn binds(&self, path: &[usize]) -> bool {
        let mut bound = self.list.iter().filter(|binding| !binding.is_dropped);
        bound.any(|binding| self.fields[binding.fields.clone()] == *path)
    }

    /// Appends all that is bound.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        for binding in self.list.iter().filter(|binding| !binding.is_dropped) {
            let fields = &self.fields[binding.fields.clone()];
            let leaf = &self.wire[binding.wire.clone()];
            leaf::put_nested(self.types(), self.input(), fields, leaf, out);
        }
    }
}
