//! `cargo xtask rules`: rules about text and names that no compiler checks.

mod allow;
mod metadata;
mod named_tests;
mod text;

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Result;
use mesh::home::Home;
use mesh::ui;

use crate::workspace::tokens::{Token, tokens};
use crate::workspace::{Package, Workspace, is_fuzz, is_product, is_shared, source};
use allow::{Allowed, Findings};

/// The findings that are accepted for now: the file may only shrink.
const ALLOWED: &str = "xtask/rules-allow.txt";
/// Threats and the tests that meet them.
const SECURITY: &str = "docs/security.md";
/// The table of terms; a type name that it lists may be declared more than once.
const GLOSSARY: &str = "docs/glossary.md";
/// Names that each command may declare: clap's for the arguments and the subcommands of one. They
/// are written with their module, as `fuzz::Args`.
const COMMAND_LINE: [&str; 2] = ["Args", "Verb"];
/// Most lines of a file without its tests.
const MAX_LINES: usize = 400;
/// Words that shared code must not use in names.
const GATEWAY_WORDS: [&str; 2] = ["gateway", "transcoder"];

#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Remove from the list of accepted findings what is no longer found; write the list if there
    /// is none
    #[arg(long)]
    update: bool,
}

/// Checks all rules; exits with 1 on a finding that is not accepted.
pub(crate) fn rules(args: &Args) -> Result<ExitCode> {
    let home = Home::find()?;
    let file = home.root().join(ALLOWED);
    let found = find(&Workspace::load(&home)?)?;
    for (rule, count) in found.totals() {
        ui::print(format!("{rule}: {count}"));
    }
    let mut allowed = Allowed::read(&file)?;
    if args.update {
        let updated = Allowed::update(allowed, &found);
        updated.write(&file)?;
        allowed = Some(updated);
    }
    let problems = allowed.unwrap_or_default().compare(&found);
    for problem in &problems {
        ui::print_error(&anyhow::anyhow!("{problem}"));
    }
    Ok(if problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn find(workspace: &Workspace) -> Result<Findings> {
    let mut found = Findings::default();
    let glossary = std::fs::read_to_string(workspace.root.join(GLOSSARY)).unwrap_or_default();
    for missing in named_tests::missing(&workspace.root, SECURITY)? {
        found.add("unknown-test", SECURITY, missing);
    }
    for package in &workspace.packages {
        let place = workspace.place(package);
        check_text(workspace, package, &mut found)?;
        check_code(place, package, &glossary, &mut found)?;
        for problem in metadata::problems(place, package) {
            found.add(
                "metadata",
                if place.is_empty() { "." } else { place },
                problem,
            );
        }
        for problem in migrations_of(package)? {
            found.add("migrations", place, problem);
        }
        if !workspace.is_default(package) {
            found.add(
                "no-default-member",
                place,
                "`cargo mesh test` would leave it out",
            );
        }
        if is_product(place) && !is_fuzz(place) && !package.dir().join("README.md").is_file() {
            found.add(
                "readme-missing",
                place,
                "every crate of the product has a README.md",
            );
        }
    }
    Ok(found)
}

/// Returns what is wrong with the migrations of a crate: each has a rollback.
fn migrations_of(package: &Package) -> Result<Vec<String>> {
    let dir = package.dir().join("migrations");
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let reviewed = migrations::review(&dir, None)?;
    let problems = reviewed.into_iter().map(|problem| problem.reason);
    let without = migrations::find(&dir)?;
    let without = without.into_iter().filter(|found| found.down.is_none());
    let without = without.map(|found| format!("migration {} has no rollback", found.version));
    Ok(problems.chain(without).collect())
}

/// Checks the comments of all files of a crate, tests included.
fn check_text(workspace: &Workspace, package: &Package, found: &mut Findings) -> Result<()> {
    for dir in ["src", "tests", "benches", "examples", "fuzz_targets"] {
        for path in source::files(&package.dir().join(dir))? {
            let text = std::fs::read_to_string(&path)?;
            let place = path.strip_prefix(&workspace.root).unwrap_or(&path);
            let place = place.display().to_string();
            for line in text::wide_comments(&text) {
                found.add("comment-width", &place, format!("first in line {line}"));
            }
            for line in text::doc_openings(&text) {
                found.add("doc-opening", &place, format!("first in line {line}"));
            }
            let is_test = ["tests/", "/tests.rs"]
                .iter()
                .any(|part| place.contains(part));
            for line in sleeps(&tokens(&text)).filter(|_| is_test) {
                found.add("test-sleeps", &place, format!("first in line {line}"));
            }
        }
    }
    Ok(())
}

/// Checks the product code of a crate: the length of its files, its type names, and that shared
/// code does not name the gateway.
fn check_code(place: &str, package: &Package, glossary: &str, found: &mut Findings) -> Result<()> {
    let crate_name = if place.is_empty() { "." } else { place };
    let mut types: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in source::read(&package.dir().join("src"))? {
        let code = file.code();
        for (name, line) in declared_types(&code) {
            let at = format!("{}:{line}", file.path.display());
            types.entry(name.to_owned()).or_default().push(at);
        }
        let lines = file.lines();
        if lines > MAX_LINES {
            let at = format!("{place}/src/{}", file.path.display());
            let found_lines = format!("{lines} lines without tests, at most {MAX_LINES}");
            found.add("file-too-long", at.trim_start_matches('/'), found_lines);
        }
        for token in code.iter().filter(|_| is_shared(place)) {
            if names_gateway(*token) {
                let at = format!("{}:{}", file.path.display(), token.line);
                found.add("shared-names-gateway", crate_name, at);
            }
        }
    }
    for (name, places) in types.iter().filter(|(_, places)| places.len() > 1) {
        if !COMMAND_LINE.contains(&name.as_str()) && !is_in_glossary(glossary, name) {
            for _ in 1..places.len() {
                let at = places.join(", ");
                found.add("type-name-twice", &format!("{crate_name}::{name}"), at);
            }
        }
    }
    Ok(())
}

/// Returns every type and trait that a file declares at the level of modules, with its line.
fn declared_types<'a>(code: &'a [Token<'a>]) -> Vec<(&'a str, usize)> {
    const KEYWORDS: [&str; 4] = ["struct", "enum", "trait", "union"];
    let mut found = Vec::new();
    let mut braces: Vec<bool> = Vec::new();
    for (at, token) in code.iter().enumerate() {
        if token.is(b'{') {
            let keyword = at.checked_sub(2).and_then(|at| code[at].ident());
            braces.push(keyword == Some("mod"));
        } else if token.is(b'}') {
            braces.pop();
        } else if braces.iter().all(|is_module| *is_module)
            && token.ident().is_some_and(|word| KEYWORDS.contains(&word))
            && let Some(name) = code.get(at + 1)
        {
            found.extend(name.ident().map(|ident| (ident, name.line)));
        }
    }
    found
}

/// Returns the lines of calls of a function `sleep`: tests wait for a condition, or on a paused
/// clock.
fn sleeps(code: &[Token<'_>]) -> impl Iterator<Item = usize> {
    let calls = code
        .windows(2)
        .filter(|pair| pair[0].ident() == Some("sleep") && pair[1].is(b'('));
    calls.map(|pair| pair[0].line)
}

fn names_gateway(token: Token<'_>) -> bool {
    let name = token.ident().unwrap_or_default().to_ascii_lowercase();
    GATEWAY_WORDS.iter().any(|word| name.contains(word))
}

/// A row of the glossary's table begins with the name in backquotes.
fn is_in_glossary(glossary: &str, name: &str) -> bool {
    let cell = format!("`{name}`");
    let rows = glossary.lines().filter(|line| line.starts_with('|'));
    let mut cells = rows.filter_map(|row| row.split('|').nth(1));
    cells.any(|first| first.contains(&cell))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_found_at_the_level_of_modules() {
        let text = "
            pub struct A<T>(T);
            enum B { X }
            mod m { trait C { type D; } }
            fn f() { struct E; }
            impl F for G { type H = u8; }
        ";
        let code = tokens(text);
        let names: Vec<&str> = declared_types(&code)
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, ["A", "B", "C"]);
    }

    #[test]
    fn shared_code_is_searched_for_the_words_of_the_gateway() {
        let names = |text| tokens(text).into_iter().any(names_gateway);
        assert!(names("use transcoder::Validator;"));
        assert!(names("struct GatewayError;"));
        assert!(!names("// the gateway\nlet s = \"gateway\";"));
    }

    #[test]
    fn calls_of_sleep_are_found() {
        let code = tokens("use tokio::time::sleep;\ntokio::time::sleep(PAUSE).await;\nsleep(1);");
        assert_eq!(sleeps(&code).collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn the_glossary_excuses_a_name() {
        let glossary =
            "| term | meaning |\n|---|---|\n| `State` | of a process |\nNo row: `Step`.\n";
        assert!(is_in_glossary(glossary, "State"));
        assert!(!is_in_glossary(glossary, "Step"));
    }
}
