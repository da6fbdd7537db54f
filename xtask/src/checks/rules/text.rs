//! Rules about the lines of comments.

/// Longest comment line, in characters with its indentation.
const MAX_WIDTH: usize = 100;
/// Words that no doc comment begins with: a doc comment begins with a verb (functions) or a noun (types).
const OPENINGS: [&str; 6] = ["What", "Who", "Whoever", "Whose", "Which", "Of"];

/// Returns the numbers of all comment lines that are too long.
pub(super) fn wide_comments(text: &str) -> impl Iterator<Item = usize> {
    let is_wide =
        |line: &str| line.trim_start().starts_with("//") && line.chars().count() > MAX_WIDTH;
    let lines = text.lines().enumerate();
    lines.filter_map(move |(at, line)| is_wide(line).then_some(at + 1))
}

/// Returns the numbers of the lines in which a doc comment begins with one of the excluded words.
pub(super) fn doc_openings(text: &str) -> Vec<usize> {
    let mut found = Vec::new();
    let mut inside = false;
    for (at, line) in text.lines().enumerate() {
        let line = line.trim_start();
        let doc = line
            .strip_prefix("///")
            .or_else(|| line.strip_prefix("//!"));
        let first = doc.and_then(|doc| doc.split_whitespace().next());
        let word = first
            .unwrap_or_default()
            .trim_end_matches(|c: char| !c.is_alphabetic());
        if doc.is_some() && !inside && OPENINGS.contains(&word) {
            found.push(at + 1);
        }
        inside = doc.is_some();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_comments_have_a_width() {
        let long = "x".repeat(98);
        let text = format!("// {long}\n    //{}\nlet s = \"{long}\";\n", &long[..94]);
        assert_eq!(wide_comments(&text).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn a_doc_comment_begins_with_a_verb_or_a_noun() {
        let text = "//! What it is.\n\n/// Returns\n/// What follows.\nfn f() {}\n    /// Of all.\n/// Offers.\n// Which\n";
        assert_eq!(doc_openings(text), [1, 6]);
    }
}
