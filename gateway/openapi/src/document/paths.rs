//! From path templates to the paths of OpenAPI.
//!
//! A parameter of OpenAPI never has a slash in it. A variable of several segments is therefore
//! taken apart: what is literal stays in the path, each `*` becomes a parameter named after the
//! literal before it, so that `{name=shelves/*/books/*}` is `shelves/{shelf}/books/{book}`. A
//! `**` is one parameter, marked `x-multi-segment`, for clients that can send it.

use routes::{Segment, Template};
use transcoder::Route;

use super::requests::escaped as escaped_value;

/// The path of one route.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct PathText {
    /// Literals between parameters: one more than there are parameters.
    literals: Vec<String>,
    pub(super) parameters: Vec<PathParameter>,
}

/// One parameter of a path.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PathParameter {
    pub(super) name: String,
    /// Index of its segment in the template.
    pub(super) segment: usize,
    /// Index of the route's variable; `None` for a wildcard outside of variables.
    pub(super) variable: Option<usize>,
    /// Whether the parameter is all of the variable.
    pub(super) is_whole: bool,
    /// Whether it stands for any number of segments.
    pub(super) is_multi: bool,
}

// === impl PathText ===

impl PathText {
    /// `variables` are the names of the route's variables.
    pub(super) fn of(route: &Route, variables: &[String]) -> Self {
        let mut path = PathText {
            literals: vec![String::new()],
            parameters: Vec::new(),
        };
        for (at, segment) in route.template.segments.iter().enumerate() {
            path.literal("/");
            match segment {
                Segment::Literal(text) => path.literal(&escaped(text)),
                Segment::Star | Segment::Glob => {
                    let parameter = parameter(route, at, variables);
                    path.parameters.push(parameter);
                    path.literals.push(String::new());
                }
            }
        }
        if route.template.segments.is_empty() {
            path.literal("/");
        }
        if let Some(verb) = &route.template.verb {
            path.literal(":");
            path.literal(&escaped(verb));
        }
        path.make_unique();
        path
    }

    /// Returns the text with the parameters under these names.
    pub(super) fn text<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> String {
        let mut names = names.into_iter();
        let mut text = String::new();
        for literal in &self.literals {
            text.push_str(literal);
            if let Some(name) = names.next() {
                text.push('{');
                text.push_str(name);
                text.push('}');
            }
        }
        text
    }

    /// Returns the path of a request with these values.
    pub(super) fn text_of_request(&self, values: &[String]) -> String {
        let mut values = self.parameters.iter().zip(values);
        let mut text = String::new();
        for literal in &self.literals {
            text.push_str(literal);
            match values.next() {
                Some((parameter, value)) if parameter.is_multi => {
                    let segments: Vec<String> = value.split('/').map(escaped_value).collect();
                    text.push_str(&segments.join("/"));
                }
                Some((_, value)) => text.push_str(&escaped_value(value)),
                None => {}
            }
        }
        text
    }

    /// Returns the key by which OpenAPI compares paths: names of parameters don't tell them apart.
    pub(super) fn key(&self) -> String {
        self.text(self.parameters.iter().map(|_| ""))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.parameters.iter().map(|parameter| &*parameter.name)
    }

    /// Returns the segments of a variable with its parameters in place: `shelves/{shelf}`.
    pub(super) fn part(&self, template: &Template, (start, end): (usize, usize)) -> String {
        let before = template.segments.iter().take(start).filter(|s| is_wild(s));
        let mut names = self.names().skip(before.count());
        let segments = template.segments.get(start..end).unwrap_or_default();
        let texts = segments.iter().map(|segment| match segment {
            Segment::Literal(text) => text.to_string(),
            _ => format!("{{{}}}", names.next().unwrap_or_default()),
        });
        texts.collect::<Vec<_>>().join("/")
    }

    fn literal(&mut self, text: &str) {
        if let Some(last) = self.literals.last_mut() {
            last.push_str(text);
        }
    }

    fn make_unique(&mut self) {
        for at in 1..self.parameters.len() {
            let (before, rest) = self.parameters.split_at_mut(at);
            let Some(own) = rest.first_mut() else {
                continue;
            };
            let plain = own.name.clone();
            let mut number = 2;
            while before.iter().any(|other| other.name == own.name) {
                own.name = format!("{plain}_{number}");
                number += 1;
            }
        }
    }
}

fn is_wild(segment: &Segment) -> bool {
    !matches!(segment, Segment::Literal(_))
}

fn parameter(route: &Route, at: usize, variables: &[String]) -> PathParameter {
    let segments = &route.template.segments;
    let of = |variable: &routes::RouteVariable| (variable.start..variable.end).contains(&at);
    let variable = route.variables.iter().position(of);
    let range = variable.and_then(|index| route.variables.get(index));
    let is_whole = range.is_some_and(|variable| variable.end - variable.start == 1);
    let own = variable.and_then(|index| variables.get(index));
    let before = at.checked_sub(1).and_then(|before| segments.get(before));
    let name = match (own, before) {
        (Some(own), _) if is_whole => own.clone(),
        (_, Some(Segment::Literal(collection))) => singular(collection),
        (Some(own), _) => own.clone(),
        (None, _) => "segment".to_owned(),
    };
    PathParameter {
        name,
        segment: at,
        variable,
        is_whole,
        is_multi: segments.get(at) == Some(&Segment::Glob),
    }
}

/// Returns the name of one element of a collection, by the commonest rules of English; letters,
/// digits and `_` alone.
fn singular(collection: &str) -> String {
    let replaced =
        |ending: &str, with: &str| Some(collection.strip_suffix(ending)?.to_owned() + with);
    let name = replaced("ies", "y")
        .or_else(|| replaced("lves", "lf"))
        .or_else(|| replaced("sses", "ss"))
        .or_else(|| replaced("xes", "x"))
        .or_else(|| replaced("ches", "ch"))
        .or_else(|| replaced("shes", "sh"))
        .or_else(|| collection.ends_with("ss").then(|| collection.to_owned()))
        .or_else(|| replaced("s", ""))
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| collection.to_owned());
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.chars()
        .map(|c| if is_plain(c) { c } else { '_' })
        .collect()
}

/// Returns a literal as it stands in a URL, braces and all else that a template of OpenAPI reads
/// differently escaped.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collections_have_elements() {
        let cases = [
            ("shelves", "shelf"),
            ("books", "book"),
            ("categories", "category"),
            ("boxes", "box"),
            ("addresses", "address"),
            ("access", "access"),
            ("s", "s"),
            ("user-groups", "user_group"),
        ];
        for (collection, element) in cases {
            assert_eq!(singular(collection), element);
        }
    }

    #[test]
    fn literals_are_escaped_for_templates() {
        assert_eq!(escaped("a{b}/ä"), "a%7Bb%7D%2F%C3%A4");
    }
}
