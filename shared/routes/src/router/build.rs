//! Collects routes and lays them out as tables for the search.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use descriptors::Place;

use super::tables::{Leaf, Lengths, Literals, NONE, Node, Tables};
use crate::binding::Binding;
use crate::options::RouteOptions;
use crate::router::Router;
use crate::template::Segment;

/// Routes as they come in, in a trie that is easy to grow.
#[derive(Debug)]
pub(crate) struct RouterBuilder {
    nodes: Vec<Growing>,
}

#[derive(Debug, Default)]
struct Growing {
    literals: BTreeMap<Box<str>, usize>,
    star: Option<usize>,
    glob: Option<usize>,
    routes: Vec<(Arc<Binding>, Place)>,
    /// Index of the route by verb and method.
    numbers: HashMap<(Option<Box<str>>, http::Method), usize>,
}

// === impl RouterBuilder ===

impl Default for RouterBuilder {
    fn default() -> Self {
        RouterBuilder {
            nodes: vec![Growing::default()],
        }
    }
}

impl RouterBuilder {
    /// Adds a route. Two routes for the same method, shape and verb are an error that names both
    /// places.
    pub(crate) fn insert(&mut self, route: Binding, place: &Place) -> Result<(), String> {
        let mut at = 0;
        for segment in &route.template.segments {
            at = self.child(at, segment);
        }
        let node = &mut self.nodes[at];
        let next = node.routes.len();
        let key = (route.template.verb.clone(), route.http_method.clone());
        let known = *node.numbers.entry(key).or_insert(next);
        if let Some((other, place)) = node.routes.get(known) {
            let line = place.line.map_or(String::new(), |line| format!(":{line}"));
            return Err(format!(
                "{} {:?} is ambiguous with {:?} of {} in {}{line}; give one another path",
                route.http_method, route.text, other.text, place.element, place.file
            ));
        }
        node.routes.push((Arc::new(route), place.clone()));
        Ok(())
    }

    fn child(&mut self, at: usize, segment: &Segment) -> usize {
        let next = self.nodes.len();
        let node = &mut self.nodes[at];
        let child = match segment {
            Segment::Literal(text) => *node.literals.entry(text.clone()).or_insert(next),
            Segment::Star => *node.star.get_or_insert(next),
            Segment::Glob => *node.glob.get_or_insert(next),
        };
        if child == next {
            self.nodes.push(Growing::default());
        }
        child
    }

    /// Lays the trie out depth first, so that what one path visits lies together.
    pub(crate) fn finish(self, options: &RouteOptions) -> Router {
        let mut tables = Tables::default();
        let mut literals = Vec::new();
        // Nodes to lay out: the node, its parent, and the link from there.
        let mut pending = vec![(0, NONE, Link::Root)];
        while let Some((growing, parent, link)) = pending.pop() {
            let source = &self.nodes[growing];
            let at = tables.nodes.len() as u32;
            let mut node = Node::new(parent);
            match &link {
                Link::Root => {}
                Link::Literal(text) => {
                    node.text = tables.text(text);
                    literals.push((parent, text.clone(), at));
                }
                Link::Star => tables.nodes[parent as usize].star = at,
                Link::Glob => tables.nodes[parent as usize].glob = at,
            }
            node.others = tables.leaves.len() as u32;
            let mut leaves: Vec<Leaf> = source.routes.iter().map(|(r, _)| tables.leaf(r)).collect();
            leaves.sort_by_key(|leaf| leaf.verb);
            if let Some((first, others)) = leaves.split_first() {
                node.leaf = *first;
                node.more = others.len() as u32;
                tables.leaves.extend_from_slice(others);
            }
            tables.nodes.push(node);
            // The last one pushed is laid out next to its parent.
            let children = source.literals.iter().rev();
            pending.extend(children.map(|(text, child)| (*child, at, Link::Literal(text.clone()))));
            pending.extend(source.glob.map(|child| (child, at, Link::Glob)));
            pending.extend(source.star.map(|child| (child, at, Link::Star)));
        }
        tables.literals = Literals::new(&literals);
        set_lengths(&mut tables.nodes);
        Router::new(tables, options)
    }
}

enum Link {
    Root,
    Literal(Box<str>),
    Star,
    Glob,
}

/// Fills in how many segments may follow each node, backwards, as children come after their
/// parents.
fn set_lengths(nodes: &mut [Node]) {
    for at in (0..nodes.len()).rev() {
        let node = &mut nodes[at];
        if node.leaf.route != NONE {
            node.lengths = node.lengths.and(Lengths::ZERO);
        }
        let (parent, own) = (node.parent, node.lengths);
        let Some(parent) = nodes.get_mut(parent as usize) else {
            continue;
        };
        let through = if parent.glob == at as u32 {
            own.or_more()
        } else {
            own.and_one()
        };
        parent.lengths = parent.lengths.and(through);
    }
}

impl Tables {
    fn leaf(&mut self, route: &Arc<Binding>) -> Leaf {
        let number = self.routes.len() as u32;
        self.routes.push(route.clone());
        let next = self.verbs.len() as u32;
        let verb = route.template.verb.clone();
        let known = self.methods.iter().position(|m| *m == route.http_method);
        let method = known.unwrap_or_else(|| {
            self.methods.push(route.http_method.clone());
            self.methods.len() - 1
        });
        Leaf {
            route: number,
            verb: verb.map_or(NONE, |verb| *self.verbs.entry(verb).or_insert(next)),
            method: method as u32,
        }
    }
}
