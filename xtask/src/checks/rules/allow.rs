//! Findings of the rules, and the list of those that are accepted until somebody mends them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context, Result, bail};

const HEADER: &str = "\
# Findings of `cargo xtask rules` that are accepted until they are mended: rule, place, count.
# This list may only shrink: `cargo xtask rules --update` removes what is no longer found.
";

/// How often each rule is broken at each place.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Findings(BTreeMap<(String, String), Tally>);

#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    count: usize,
    /// Where the first one is, for people.
    example: String,
}

/// The accepted number of findings for each rule and place.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Allowed(BTreeMap<(String, String), usize>);

impl Findings {
    /// Adds one finding of `rule` at `place`.
    pub(super) fn add(&mut self, rule: &str, place: &str, example: impl Into<String>) {
        let key = (rule.to_owned(), place.to_owned());
        let finding = self.0.entry(key).or_insert_with(|| Tally {
            count: 0,
            example: example.into(),
        });
        finding.count += 1;
    }

    /// Returns the number of findings of each rule.
    pub(super) fn totals(&self) -> BTreeMap<&str, usize> {
        let mut totals = BTreeMap::new();
        for ((rule, _), finding) in &self.0 {
            *totals.entry(rule.as_str()).or_default() += finding.count;
        }
        totals
    }
}

impl Allowed {
    /// Reads the list; `None` if there is no such file.
    ///
    /// # Errors
    /// When it can't be read, or a line is malformed.
    pub(super) fn read(file: &Path) -> Result<Option<Self>> {
        match fs::read_to_string(file) {
            Ok(text) => Self::parse(&text)
                .map(Some)
                .with_context(|| format!("malformed {}", file.display())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
        }
    }

    fn parse(text: &str) -> Result<Self> {
        let mut allowed = BTreeMap::new();
        for line in text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            let [rule, place, count] = line.split_whitespace().collect::<Vec<_>>()[..] else {
                bail!("expected rule, place and count: {line:?}");
            };
            let count = count.parse().with_context(|| format!("{line:?}"))?;
            allowed.insert((rule.to_owned(), place.to_owned()), count);
        }
        Ok(Self(allowed))
    }

    /// Lowers every entry to what is found; without a list, accepts all that is found.
    pub(super) fn update(allowed: Option<Self>, found: &Findings) -> Self {
        let bound = |key: &(String, String), count: usize| match &allowed {
            Some(Self(allowed)) => count.min(allowed.get(key).copied().unwrap_or(0)),
            None => count,
        };
        let entries = found.0.iter();
        let entries = entries.map(|(key, finding)| (key.clone(), bound(key, finding.count)));
        Self(entries.filter(|(_, count)| *count > 0).collect())
    }

    /// Writes the list.
    ///
    /// # Errors
    /// When it can't be written.
    pub(super) fn write(&self, file: &Path) -> Result<()> {
        let mut text = HEADER.to_owned();
        for ((rule, place), count) in &self.0 {
            text += &format!("{rule} {place} {count}\n");
        }
        fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
    }

    /// Returns one line for each place where more is found than accepted, or less.
    pub(super) fn compare(&self, found: &Findings) -> Vec<String> {
        let mut problems = Vec::new();
        for (key, finding) in &found.0 {
            let most = self.0.get(key).copied().unwrap_or(0);
            if finding.count > most {
                let ((rule, place), count) = (key, finding.count);
                let example = &finding.example;
                problems.push(format!(
                    "{rule}: {place}: {count}, at most {most}; {example}"
                ));
            }
        }
        for (key, most) in &self.0 {
            let count = found.0.get(key).map_or(0, |finding| finding.count);
            if count < *most {
                let (rule, place) = key;
                problems.push(format!(
                    "{rule}: {place}: only {count} of {most} accepted are left; run `cargo xtask rules --update`"
                ));
            }
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(places: &[&str]) -> Findings {
        let mut found = Findings::default();
        for place in places {
            found.add("width", place, "an example");
        }
        found
    }

    #[test]
    fn more_than_accepted_is_a_problem_and_so_is_less() {
        let allowed = Allowed::parse("# list\nwidth a.rs 2\n").unwrap();
        assert_eq!(allowed.compare(&found(&["a.rs", "a.rs"])), [""; 0]);
        assert_eq!(
            allowed.compare(&found(&["a.rs", "b.rs"])),
            [
                "width: b.rs: 1, at most 0; an example",
                "width: a.rs: only 1 of 2 accepted are left; run `cargo xtask rules --update`",
            ]
        );
    }

    #[test]
    fn the_list_only_shrinks() {
        let allowed = Allowed::parse("width a.rs 2\nwidth c.rs 1\n").unwrap();
        let updated = Allowed::update(Some(allowed), &found(&["a.rs", "b.rs"]));
        assert_eq!(updated, Allowed::parse("width a.rs 1").unwrap());
        let first = Allowed::update(None, &found(&["a.rs", "b.rs"]));
        assert_eq!(first, Allowed::parse("width a.rs 1\nwidth b.rs 1").unwrap());
    }

    #[test]
    fn a_malformed_line_is_an_error() {
        assert!(Allowed::parse("width a.rs").is_err());
        assert!(Allowed::parse("width a.rs many").is_err());
    }
}
