//! The source files of a crate: which are product code, in which module each is, and which lines
//! are tests.

use std::collections::BTreeSet;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::paths;
use super::tokens::{Token, tokens};

/// One file of a crate's `src`.
#[derive(Debug)]
pub(crate) struct SourceFile {
    /// The file, relative to `src`.
    pub(crate) path: PathBuf,
    /// The module of the file from the root of the crate; empty for `lib.rs` and `main.rs`.
    pub(crate) module: Vec<String>,
    /// The whole text.
    pub(crate) text: String,
}

/// Reads the product code of a crate: test files and programs below `src/bin` are left out.
///
/// # Errors
/// When a file can't be read.
pub(crate) fn read(src: &Path) -> Result<Vec<SourceFile>> {
    let mut sources = Vec::new();
    for path in files(src)? {
        let relative = path.strip_prefix(src).unwrap_or(&path).to_owned();
        let module = module_of(&relative);
        let is_program = module.first().is_some_and(|first| first == "bin");
        let is_test = module.iter().any(|part| part == "tests");
        if !is_program && !is_test {
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            sources.push(SourceFile {
                path: relative,
                module,
                text,
            });
        }
    }
    let tests: BTreeSet<Vec<String>> = sources.iter().flat_map(SourceFile::test_modules).collect();
    let is_test = |module: &[String]| (1..=module.len()).any(|n| tests.contains(&module[..n]));
    sources.retain(|source| !is_test(&source.module));
    Ok(sources)
}

/// Returns the top-level modules of a crate.
///
/// # Errors
/// When a file can't be read.
pub(crate) fn modules(src: &Path) -> Result<BTreeSet<String>> {
    let sources = read(src)?;
    let roots = sources.iter().filter(|source| source.module.is_empty());
    Ok(roots.flat_map(|root| paths::root(&root.code()).0).collect())
}

/// Returns all Rust files below a directory, sorted; none if there is no such directory.
///
/// # Errors
/// When a directory can't be read.
pub(crate) fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if dir.is_dir() {
        let describe = || format!("cannot read {}", dir.display());
        for entry in fs::read_dir(dir).with_context(describe)? {
            let path = entry.with_context(describe)?.path();
            if path.is_dir() {
                found.extend(files(&path)?);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn module_of(relative: &Path) -> Vec<String> {
    let without_extension = relative.with_extension("");
    let parts = without_extension.iter().map(|part| part.to_string_lossy());
    let mut module: Vec<String> = parts.map(|part| part.into_owned()).collect();
    if module.len() == 1 && ["lib", "main"].contains(&module[0].as_str()) {
        module.clear();
    }
    module
}

impl SourceFile {
    /// Returns the tokens without those of tests.
    pub(crate) fn code(&self) -> Vec<Token<'_>> {
        let all = tokens(&self.text);
        let tests = test_items(&all);
        let is_test = |at: usize| tests.iter().any(|item| item.contains(&at));
        let kept = all.iter().enumerate().filter(|(at, _)| !is_test(*at));
        kept.map(|(_, token)| *token).collect()
    }

    /// Returns the number of lines without those of tests.
    pub(crate) fn lines(&self) -> usize {
        let all = tokens(&self.text);
        let tests = test_items(&all).into_iter().filter(|item| !item.is_empty());
        let lines = |item: Range<usize>| all[item.end - 1].line - all[item.start].line + 1;
        self.text.lines().count() - tests.map(lines).sum::<usize>()
    }

    /// Returns the modules that this file declares for tests only.
    fn test_modules(&self) -> Vec<Vec<String>> {
        let all = tokens(&self.text);
        let name = |item: Range<usize>| match &all[item] {
            [.., keyword, name, end] if keyword.ident() == Some("mod") && end.is(b';') => {
                name.ident()
            }
            _ => None,
        };
        let names = test_items(&all).into_iter().filter_map(name);
        let module = |name: &str| [self.module.as_slice(), &[name.to_owned()]].concat();
        names.map(module).collect()
    }
}

/// Returns the places of all items under `#[cfg(test)]`, attributes included.
fn test_items(tokens: &[Token<'_>]) -> Vec<Range<usize>> {
    let mut items = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        match attribute(tokens, at) {
            Some(end) if is_test_only(&tokens[at..end]) => {
                let end = item_end(tokens, end);
                items.push(at..end);
                at = end;
            }
            Some(end) => at = end,
            None => at += 1,
        }
    }
    items
}

/// Returns the end of the outer attribute that begins here.
fn attribute(tokens: &[Token<'_>], at: usize) -> Option<usize> {
    let is_attribute = tokens.get(at)?.is(b'#') && tokens.get(at + 1)?.is(b'[');
    is_attribute.then(|| group_end(tokens, at + 1))
}

/// `cfg(test)`, or `cfg` of a combination that needs `test`.
fn is_test_only(attribute: &[Token<'_>]) -> bool {
    let mut idents = attribute.iter().filter_map(|token| token.ident());
    if idents.next() != Some("cfg") {
        return false;
    }
    let words: Vec<&str> = idents.collect();
    words.contains(&"test") && !words.contains(&"not") && !words.contains(&"any")
}

/// Returns the end of the item whose first attribute ended at `at`.
fn item_end(tokens: &[Token<'_>], mut at: usize) -> usize {
    while let Some(end) = attribute(tokens, at) {
        at = end;
    }
    let keyword = tokens[at..]
        .iter()
        .find_map(|token| token.ident().filter(|word| *word != "pub"));
    let ends_with_semicolon = matches!(keyword, Some("use" | "const" | "static" | "type" | "let"))
        && !is_const_fn(&tokens[at..]);
    while let Some(token) = tokens.get(at) {
        if token.is(b';') || token.is(b',') {
            return at + 1;
        }
        if token.is(b'}') || token.is(b')') {
            return at;
        }
        let is_body = token.is(b'{');
        at = if is_body || token.is(b'(') || token.is(b'[') {
            group_end(tokens, at)
        } else {
            at + 1
        };
        if is_body && !ends_with_semicolon {
            return at;
        }
    }
    at
}

fn is_const_fn(item: &[Token<'_>]) -> bool {
    let mut idents = item.iter().filter_map(|token| token.ident());
    idents.any(|word| word == "const") && idents.next() == Some("fn")
}

/// Returns the place after the bracket that closes the one here.
pub(super) fn group_end(tokens: &[Token<'_>], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        if [b'(', b'[', b'{'].iter().any(|bracket| token.is(*bracket)) {
            depth += 1;
        } else if [b')', b']', b'}'].iter().any(|bracket| token.is(*bracket)) {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return at + 1;
            }
        }
    }
    tokens.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> SourceFile {
        SourceFile {
            path: PathBuf::from("a.rs"),
            module: vec!["a".to_owned()],
            text: text.to_owned(),
        }
    }

    #[test]
    fn items_for_tests_are_no_code() {
        let text = "
            fn a() {}
            #[cfg(test)]
            #[derive(Debug)]
            struct T { x: [u8; 2] }
            #[cfg(test)]
            use crate::{x, y};
            #[cfg(all(test, unix))]
            pub(crate) const fn f() -> u8 { 1 }
            #[cfg(test)]
            mod fixtures;
            #[cfg(not(test))]
            fn b() {}
            fn c(#[cfg(test)] x: u8) {}
            #[cfg(test)]
            mod tests { fn d() { crate::z(); } }
        ";
        let source = source(text);
        let code = source.code();
        let idents: Vec<&str> = code.iter().filter_map(|token| token.ident()).collect();
        assert_eq!(
            idents,
            ["fn", "a", "cfg", "not", "test", "fn", "b", "fn", "c"]
        );
        assert_eq!(source.test_modules(), [["a", "fixtures"]]);
    }

    #[test]
    fn lines_of_tests_are_not_counted() {
        assert_eq!(
            source("fn a() {}\n\n#[cfg(test)]\nmod tests {\n}\n").lines(),
            2
        );
    }

    #[test]
    fn files_are_modules_by_their_place() {
        assert_eq!(module_of(Path::new("lib.rs")), [""; 0]);
        assert_eq!(module_of(Path::new("a/b.rs")), ["a", "b"]);
    }
}
