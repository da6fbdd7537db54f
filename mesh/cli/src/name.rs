//! The names of projects and services.

use anyhow::{Result, bail};

/// Longest name: that of a service is also a database role and a token of subjects.
const MAX_LEN: usize = 40;

/// Names of the mesh's own processes, of databases and of packages that contracts import.
const RESERVED: &[&str] = &[
    "buf",
    "dashboard",
    "gateway",
    "google",
    "mesh",
    "nats",
    "operator",
    "postgres",
    "protos",
    "template0",
    "template1",
    "valkey",
];
/// Crates that a package of this name would hide.
const CRATES: &[&str] = &[
    "alloc",
    "codegen",
    "core",
    "proc_macro",
    "protomesh",
    "std",
    "test",
];
/// Words of Rust.
const RUST: &[&str] = &[
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
    "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl",
    "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
    "return", "self", "static", "struct", "super", "trait", "true", "try", "type", "typeof",
    "union", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];
/// Words of Python.
const PYTHON: &[&str] = &[
    "and", "assert", "case", "class", "def", "del", "elif", "except", "finally", "from", "global",
    "import", "is", "lambda", "none", "nonlocal", "not", "or", "pass", "raise", "with",
];
/// Modules of Python that a package of generated code would hide.
const MODULES: &[&str] = &[
    "array",
    "calendar",
    "code",
    "copy",
    "email",
    "grpc",
    "html",
    "http",
    "io",
    "json",
    "locale",
    "logging",
    "mailbox",
    "numbers",
    "platform",
    "profile",
    "queue",
    "random",
    "resource",
    "sched",
    "secrets",
    "select",
    "shelve",
    "signal",
    "site",
    "statistics",
    "string",
    "symbol",
    "sys",
    "time",
    "token",
    "types",
    "uuid",
    "warnings",
];
/// Words of Go.
const GO: &[&str] = &[
    "chan",
    "default",
    "defer",
    "fallthrough",
    "func",
    "go",
    "goto",
    "interface",
    "internal",
    "main",
    "map",
    "package",
    "range",
    "select",
    "switch",
    "vendor",
];

/// Checks the name of a project, which is also that of its directory.
///
/// # Errors
/// When it breaks a rule, which the error names.
pub(crate) fn project(name: &str) -> Result<()> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    check("project", name, is_plain, "a-z, 0-9, - and _")
}

/// Checks the name of a service, which is also that of its package in contracts.
///
/// # Errors
/// See [`project`].
pub(crate) fn service(name: &str) -> Result<()> {
    if name.contains('-') {
        let better = name.replace('-', "_");
        bail!("service {name:?}: contracts can't have `-` in a package; try `{better}`");
    }
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    check("service", name, is_plain, "a-z, 0-9 and _")?;
    let taken = [
        (RESERVED, "the mesh uses it"),
        (CRATES, "a crate has it"),
        (RUST, "it is a word of Rust"),
        (PYTHON, "it is a word of Python"),
        (MODULES, "a module of Python has it"),
        (GO, "it is a word of Go"),
    ];
    match taken.iter().find(|(names, _)| names.contains(&name)) {
        Some((_, why)) => bail!("service {name:?}: choose another name, {why}"),
        None => Ok(()),
    }
}

fn check(kind: &str, name: &str, is_plain: fn(char) -> bool, plain: &str) -> Result<()> {
    let is_word = name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(is_plain);
    if !is_word || name.len() > MAX_LEN || name.ends_with(['_', '-']) || name.contains("__") {
        bail!(
            "{kind} {name:?}: expected 1 to {MAX_LEN} of {plain}, that begin with a letter and \
             end with a letter or digit"
        );
    }
    Ok(())
}

/// Returns a name in the form of Rust's types: `line_item` is `LineItem`.
pub(crate) fn camel(name: &str) -> String {
    let mut out = String::new();
    for word in name.split('_') {
        let mut chars = word.chars();
        out.extend(chars.next().map(|first| first.to_ascii_uppercase()));
        out.push_str(chars.as_str());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_some_language_can_not_use_are_rejected() {
        for name in ["orders", "line_item", "v2", "a"] {
            service(name).unwrap();
        }
        for name in [
            "", "Orders", "1st", "a b", "ä", "a__b", "a_", "type", "lambda", "chan", "queue",
        ] {
            service(name).unwrap_err();
        }
        service(&"a".repeat(41)).unwrap_err();
        project("my-shop").unwrap();
        project("../shop").unwrap_err();
    }

    #[test]
    fn a_hyphen_gets_a_suggestion() {
        let error = service("line-item").unwrap_err().to_string();
        assert!(error.contains("try `line_item`"), "{error}");
    }

    #[test]
    fn camel_case_begins_each_word() {
        assert_eq!(camel("line_item"), "LineItem");
    }
}
