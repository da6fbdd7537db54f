//! The top-level modules of one crate and which of them use which.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;

use crate::workspace::{paths, source};

/// Modules and arrows of a crate.
#[derive(Debug, Default)]
pub(super) struct Graph {
    /// Every top-level module.
    modules: BTreeSet<String>,
    /// For each pair of user and used module one place where it stands, as `file:line`.
    arrows: BTreeMap<(String, String), String>,
    /// Lines of the crate without tests.
    pub(super) lines: usize,
}

impl Graph {
    /// Reads the sources of a crate.
    ///
    /// # Errors
    /// When a file can't be read.
    pub(super) fn read(src: &Path) -> Result<Self> {
        Ok(Self::of(&source::read(src)?))
    }

    /// Finds the arrows between the modules; the root files may use all.
    pub(super) fn of(sources: &[source::SourceFile]) -> Self {
        let mut graph = Self::default();
        let mut exports = BTreeMap::new();
        for file in sources.iter().filter(|file| file.module.is_empty()) {
            let (modules, imports) = paths::root(&file.code());
            graph.modules.extend(modules);
            exports.extend(imports);
        }
        for file in sources {
            graph.lines += file.lines();
            let Some(user) = file.module.first() else {
                continue;
            };
            for used in paths::uses(&file.code(), &file.module) {
                let module = match exports.get(&used.name) {
                    Some(module) if !graph.modules.contains(&used.name) => module,
                    _ => &used.name,
                };
                if module != user && graph.modules.contains(module) {
                    let place = format!("{}:{}", file.path.display(), used.line);
                    let arrow = (user.clone(), module.clone());
                    graph.arrows.entry(arrow).or_insert(place);
                }
            }
        }
        graph
    }

    /// Shows the modules from bottom to top, each with those that it uses.
    pub(super) fn show(&self, order: &[String]) -> String {
        let mut text = String::new();
        for module in order {
            let below = order
                .iter()
                .filter(|used| self.arrow(module, used).is_some());
            let below: Vec<&str> = below.map(String::as_str).collect();
            let arrows = if below.is_empty() { "" } else { " → " };
            text += &format!("  {module}{arrows}{}\n", below.join(", "));
        }
        text
    }

    /// Returns one line for each broken rule.
    pub(super) fn problems(&self, order: &[String], most: usize) -> Vec<String> {
        let mut problems = Vec::new();
        let place = |module: &String| order.iter().position(|other| other == module);
        for module in &self.modules {
            if place(module).is_none() {
                problems.push(format!("module {module} is missing in the order"));
            }
        }
        for module in order
            .iter()
            .filter(|module| !self.modules.contains(*module))
        {
            problems.push(format!("the order names {module}, which is no module"));
        }
        if self.modules.len() > most {
            let count = self.modules.len();
            problems.push(format!("{count} top-level modules; at most {most}"));
        }
        for ((user, used), at) in &self.arrows {
            if let (Some(low), Some(high)) = (place(user), place(used))
                && low < high
            {
                problems.push(format!("{user} uses {used}, which is above it ({at})"));
            }
        }
        problems
    }

    fn arrow(&self, user: &str, used: &str) -> Option<&String> {
        self.arrows.get(&(user.to_owned(), used.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    const MOST: usize = 3;

    fn graph(files: &[(&str, &str)]) -> Graph {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path: PathBuf = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        Graph::read(dir.path()).unwrap()
    }

    fn order(names: &str) -> Vec<String> {
        names.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn a_crate_whose_arrows_point_down_is_good() {
        let graph = graph(&[
            (
                "lib.rs",
                "mod a; mod b; mod c; pub use c::C; fn f() { b::g() }",
            ),
            (
                "a.rs",
                "//! Uses crate::c in a comment.\nconst X: &str = \"crate::c\";",
            ),
            ("b.rs", "use crate::a::A; mod d;"),
            ("b/d.rs", "use super::B; use super::super::a;"),
            ("c.rs", "use crate::{a, b::{d, e}};"),
        ]);
        let order = order("a b c");
        assert_eq!(graph.problems(&order, MOST), [""; 0]);
        assert_eq!(graph.show(&order), "  a\n  b → a\n  c → a, b\n");
        assert_eq!(graph.lines, 6);
    }

    #[test]
    fn an_arrow_up_is_found_with_its_place() {
        let lib = ("lib.rs", "mod a; mod b; pub use b::B;");
        let b = ("b.rs", "");
        for (path, text, at) in [
            ("a.rs", "\nuse crate::b::B;", "a.rs:2"),
            ("a.rs", "use crate::{x, b};", "a.rs:1"),
            ("a.rs", "use crate::B;", "a.rs:1"),
            ("a.rs", "fn f() { crate::b::g() }", "a.rs:1"),
            ("a.rs", "use super::b;", "a.rs:1"),
            ("a/c.rs", "use super::super::b::B;", "a/c.rs:1"),
        ] {
            let problems = graph(&[lib, b, (path, text)]).problems(&order("a b"), MOST);
            assert_eq!(
                problems,
                [format!("a uses b, which is above it ({at})")],
                "{text}"
            );
        }
    }

    #[test]
    fn tests_may_use_all() {
        let graph = graph(&[
            ("lib.rs", "mod a; mod b; #[cfg(test)] mod fixtures;"),
            (
                "a.rs",
                "#[cfg(test)] mod tests { use crate::b; }\n#[cfg(test)] mod cases;",
            ),
            ("a/tests.rs", "use crate::b;"),
            ("a/cases.rs", "use crate::b;"),
            ("b.rs", ""),
            ("fixtures.rs", "use crate::b;"),
        ]);
        assert_eq!(graph.problems(&order("a b"), MOST), [""; 0]);
    }

    #[test]
    fn the_order_names_every_module_once_and_there_are_not_too_many() {
        let graph = graph(&[("main.rs", "mod a; mod b; mod c; mod d;")]);
        assert_eq!(
            graph.problems(&order("a b c e"), MOST),
            [
                "module d is missing in the order",
                "the order names e, which is no module",
                "4 top-level modules; at most 3",
            ]
        );
    }
}
