//! Tests that a document names as `path.rs::name` are there.

use std::path::Path;

use anyhow::{Context, Result};

/// Returns the tests that `document` names and the checkout does not have.
pub(super) fn missing(root: &Path, document: &str) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(root.join(document))
        .with_context(|| format!("cannot read {document}"))?;
    let is_missing = |(file, test): &(&str, &str)| {
        let code = std::fs::read_to_string(root.join(file)).unwrap_or_default();
        !code.contains(&format!("fn {test}("))
    };
    let missing = named(&text).filter(is_missing);
    Ok(missing
        .map(|(file, test)| format!("{file}::{test}"))
        .collect())
}

/// Returns file and name of each test in backticks.
fn named(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter_map(|quoted| {
        let (file, test) = quoted.split_once("::")?;
        file.ends_with(".rs").then_some((file, test))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_a_file_and_a_name_in_backticks() {
        let text = "see `a/b.rs::holds`, `a/c.rs` and `Type::new`, and `d.rs::falls`";
        let found: Vec<_> = named(text).collect();
        assert_eq!(found, [("a/b.rs", "holds"), ("d.rs", "falls")]);
    }

    #[test]
    fn what_the_checkout_does_not_have_is_missing() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join("a.rs"), "fn holds() {}").unwrap();
        let text = "`a.rs::holds` `a.rs::falls` `b.rs::holds`";
        std::fs::write(root.path().join("doc.md"), text).unwrap();
        let missing = missing(root.path(), "doc.md").unwrap();
        assert_eq!(missing, ["a.rs::falls", "b.rs::holds"]);
    }
}
