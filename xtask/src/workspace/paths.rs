//! Paths in code that lead to another top-level module of the same crate.

use super::source::group_end;
use super::tokens::{Kind, Token};

/// The first name of a path below the root of the crate, and the line it stands in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Use {
    pub(crate) name: String,
    pub(crate) line: usize,
}

/// Returns every `crate::name` of the code, and every `super::…::name` that reaches the root from `module`.
pub(crate) fn uses(tokens: &[Token<'_>], module: &[String]) -> Vec<Use> {
    let mut found = Vec::new();
    let mut inline = InlineModules::default();
    for (at, token) in tokens.iter().enumerate() {
        inline.step(tokens, at);
        let is_first = at == 0 || tokens[at - 1].kind != Kind::Colons;
        match token.ident() {
            Some("crate") => found.extend(names(tokens, at + 1)),
            Some("super") if is_first => {
                let (levels, end) = supers(tokens, at);
                if levels == module.len() + inline.depth() {
                    found.extend(names(tokens, end));
                }
            }
            _ => {}
        }
    }
    found
}

/// Returns how many `super` follow each other here, and the place after the last one.
fn supers(tokens: &[Token<'_>], at: usize) -> (usize, usize) {
    let mut levels = 1;
    let mut end = at + 1;
    while tokens
        .get(end)
        .is_some_and(|token| token.kind == Kind::Colons)
        && tokens.get(end + 1).and_then(|token| token.ident()) == Some("super")
    {
        levels += 1;
        end += 2;
    }
    (levels, end)
}

/// Returns the names that follow `::` here: one, or the first of each element of a group.
fn names(tokens: &[Token<'_>], colons: usize) -> Vec<Use> {
    let name = |token: &Token<'_>| {
        token.ident().map(|name| Use {
            name: name.to_owned(),
            line: token.line,
        })
    };
    let Some([colons_token, first, ..]) = tokens.get(colons..) else {
        return Vec::new();
    };
    if colons_token.kind != Kind::Colons {
        return Vec::new();
    }
    if !first.is(b'{') {
        return name(first).into_iter().collect();
    }
    let mut found = Vec::new();
    let (mut at, end) = (colons + 2, group_end(tokens, colons + 1));
    while at < end {
        found.extend(name(&tokens[at]));
        while at < end && !tokens[at].is(b',') {
            at = if tokens[at].is(b'{') {
                group_end(tokens, at)
            } else {
                at + 1
            };
        }
        at += 1;
    }
    found
}

/// The modules with a body (`mod name { … }`) around a place.
#[derive(Debug, Default)]
struct InlineModules {
    braces: usize,
    open: Vec<usize>,
}

impl InlineModules {
    fn step(&mut self, tokens: &[Token<'_>], at: usize) {
        if tokens[at].is(b'{') {
            self.braces += 1;
            let keyword = at.checked_sub(2).and_then(|at| tokens[at].ident());
            if keyword == Some("mod") {
                self.open.push(self.braces);
            }
        } else if tokens[at].is(b'}') {
            if self.open.last() == Some(&self.braces) {
                self.open.pop();
            }
            self.braces = self.braces.saturating_sub(1);
        }
    }

    fn depth(&self) -> usize {
        self.open.len()
    }
}

/// Returns the modules that a file declares, and the names that it imports from them: `pub use a::{B, c::D as E}`.
pub(crate) fn root(tokens: &[Token<'_>]) -> (Vec<String>, Vec<(String, String)>) {
    let (mut modules, mut imports) = (Vec::new(), Vec::new());
    let mut at = 0;
    while at < tokens.len() {
        match (
            tokens[at].ident(),
            tokens.get(at + 1).and_then(|token| token.ident()),
        ) {
            (Some("mod"), Some(name)) => {
                modules.push(name.to_owned());
                at += 2;
                if tokens.get(at).is_some_and(|token| token.is(b'{')) {
                    at = group_end(tokens, at);
                }
            }
            (Some("use"), _) => {
                let length = tokens[at..].iter().position(|token| token.is(b';'));
                let end = at + length.unwrap_or(tokens.len() - at);
                imports.extend(leaves(&tokens[at + 1..end]));
                at = end;
            }
            _ if tokens[at].is(b'{') => at = group_end(tokens, at),
            _ => at += 1,
        }
    }
    (modules, imports)
}

/// Returns for each name that a `use` brings in the first name of its path: `a::{B, c::D as E}` gives `B` and `E` of `a`.
fn leaves(tree: &[Token<'_>]) -> Vec<(String, String)> {
    let mut path = tree.iter().filter_map(|token| token.ident());
    let Some(first) = path.find(|name| !["crate", "self"].contains(name)) else {
        return Vec::new();
    };
    let is_end = |at: usize| {
        tree.get(at + 1)
            .is_none_or(|next| next.is(b',') || next.is(b'}'))
    };
    let ends = tree.iter().enumerate().filter(|(at, _)| is_end(*at));
    let names = ends.filter_map(|(_, token)| token.ident());
    names
        .map(|name| (name.to_owned(), first.to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::tokens::tokens;
    use super::*;

    fn used(text: &str, module: &[&str]) -> Vec<String> {
        let module: Vec<String> = module.iter().map(|part| (*part).to_owned()).collect();
        let uses = uses(&tokens(text), &module);
        uses.into_iter().map(|used| used.name).collect()
    }

    #[test]
    fn paths_from_the_root_are_found_everywhere() {
        let text = "
            use crate::a::X;
            use crate::{b::{Y, z}, c, d::*};
            pub(in crate::e) fn f(x: crate::g::T) { $crate::h::i!(); }
        ";
        assert_eq!(used(text, &["m"]), ["a", "b", "c", "d", "e", "g", "h"]);
    }

    #[test]
    fn super_counts_when_it_reaches_the_root() {
        assert_eq!(used("use super::a::X;", &["m"]), ["a"]);
        assert_eq!(used("use super::a::X;", &["m", "n"]), [""; 0]);
        assert_eq!(
            used("use super::super::{a, b::C};", &["m", "n"]),
            ["a", "b"]
        );
        let inline = "mod n { use super::x; use super::super::a; } use super::b;";
        assert_eq!(used(inline, &["m"]), ["a", "b"]);
    }

    #[test]
    fn visibility_is_no_path() {
        assert_eq!(
            used("pub(crate) mod a; pub(super) fn b() {}", &["m"]),
            [""; 0]
        );
    }

    #[test]
    fn a_root_file_names_its_modules_and_their_exports() {
        let text = "
            mod a;
            pub mod b { mod inner; }
            pub use a::{X, y::Z as W};
            pub use self::b::V;
            fn f() { use c::d; }
        ";
        let (modules, imports) = root(&tokens(text));
        assert_eq!(modules, ["a", "b"]);
        let imports: Vec<(&str, &str)> = imports
            .iter()
            .map(|(name, module)| (name.as_str(), module.as_str()))
            .collect();
        assert_eq!(imports, [("X", "a"), ("W", "a"), ("V", "b")]);
    }
}
