//! The rules of `google/api/http.proto`, tried one by one: every route, with every length of its
//! `**`.

use std::collections::{BTreeMap, BTreeSet};

use super::{FIELDS, Rule};
use crate::percent::{Mode, decode};

/// A parsed template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    steps: Vec<Step>,
    variables: Vec<Variable>,
    verb: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Literal(String),
    One,
    Many,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Variable {
    path: String,
    start: usize,
    end: usize,
}

/// The expected outcome of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The path can't be served by anyone.
    Bad,
    /// The path is over a bound.
    TooLong,
    NotFound,
    /// Names for the `Allow` header.
    WrongMethod(Vec<String>),
    Found {
        rule: usize,
        /// Field path and decoded text.
        bound: BTreeMap<String, String>,
    },
}

/// How specific a way to match is; the least wins. The order of the variants and of the members is
/// the order of precedence.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    /// A reading with a verb is tried first.
    without_verb: bool,
    steps: Vec<Taken>,
    is_any_method: bool,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Taken {
    Literal,
    One,
    /// And of these, the shorter.
    Many(usize),
}

const MAX_BYTES: usize = 8 * 1024;
const MAX_SEGMENTS: usize = 64;

// === impl Pattern ===

impl Pattern {
    /// Parses a template; `None` where it is none, or binds what the request message does not have.
    pub(crate) fn parse(text: &str) -> Option<Pattern> {
        let (body, verb) = match text.split_once(':') {
            Some((body, verb)) => (body, Some(literal(verb)?)),
            None => (text, None),
        };
        let body = body.strip_prefix('/')?;
        let mut pattern = Pattern {
            steps: Vec::new(),
            variables: Vec::new(),
            verb,
        };
        if text != "/" {
            pattern.pieces(body)?;
        }
        let globs = pattern.steps.iter().filter(|step| **step == Step::Many);
        let paths: Vec<&str> = pattern.variables.iter().map(|v| &*v.path).collect();
        // Variables are text fields, of which none lies inside another: to be unique is all that is
        // left.
        let unique: BTreeSet<&str> = paths.iter().copied().collect();
        let is_fine = unique.len() == paths.len()
            && globs.count() <= 1
            && pattern.steps.len() <= MAX_SEGMENTS
            && paths.into_iter().all(is_text_field);
        is_fine.then_some(pattern)
    }

    fn pieces(&mut self, body: &str) -> Option<()> {
        let mut open: Option<Variable> = None;
        for piece in body.split('/') {
            let mut piece = piece;
            if let Some(inside) = piece.strip_prefix('{') {
                if open.is_some() {
                    return None;
                }
                let (path, rest) = match inside.split_once('=') {
                    Some((path, rest)) => (path, rest),
                    None => (inside.strip_suffix('}')?, "*}"),
                };
                let start = self.steps.len();
                open = Some(Variable {
                    path: path.to_owned(),
                    start,
                    end: start,
                });
                piece = rest;
            }
            let is_last = piece.ends_with('}');
            self.steps
                .push(step(piece.strip_suffix('}').unwrap_or(piece))?);
            if is_last {
                let end = self.steps.len();
                self.variables.push(Variable {
                    end,
                    ..open.take()?
                });
            }
        }
        open.is_none().then_some(())
    }

    /// Returns all ways in which the segments can be taken: what each step takes.
    fn matches(&self, segments: &[&str], has_verb: bool) -> Vec<Vec<Taken>> {
        let fixed = self
            .steps
            .iter()
            .filter(|step| **step != Step::Many)
            .count();
        let has_many = fixed < self.steps.len();
        let Some(spare) = segments.len().checked_sub(fixed) else {
            return Vec::new();
        };
        if spare > 0 && !has_many {
            return Vec::new();
        }
        self.taken(segments, spare, has_verb).into_iter().collect()
    }

    /// With at most one `**`, the number of segments says how many it takes.
    fn taken(&self, segments: &[&str], spare: usize, has_verb: bool) -> Option<Vec<Taken>> {
        let mut at = 0;
        let mut taken = Vec::new();
        for step in &self.steps {
            let count = if *step == Step::Many { spare } else { 1 };
            for (index, raw) in segments.iter().enumerate().skip(at).take(count) {
                // Only a `**` before a verb may match nothing: `/v1/:purge`.
                let may_be_empty = *step == Step::Many && has_verb && index + 1 == segments.len();
                if raw.is_empty() && !may_be_empty {
                    return None;
                }
            }
            taken.push(match step {
                Step::Literal(text) if decode(segments[at], Mode::All)? != *text => return None,
                Step::Literal(_) => Taken::Literal,
                Step::One => Taken::One,
                Step::Many => Taken::Many(spare),
            });
            at += count;
        }
        Some(taken)
    }

    fn bound(&self, segments: &[&str]) -> BTreeMap<String, String> {
        let spare = (segments.len() + 1).saturating_sub(self.steps.len());
        let widths: Vec<usize> = self
            .steps
            .iter()
            .map(|step| if *step == Step::Many { spare } else { 1 })
            .collect();
        let place = |step: usize| widths[..step].iter().sum::<usize>();
        let texts = self.variables.iter().map(|variable| {
            let raw = segments[place(variable.start)..place(variable.end)].join("/");
            let is_single =
                variable.end == variable.start + 1 && self.steps[variable.start] != Step::Many;
            let mode = if is_single {
                Mode::All
            } else {
                Mode::KeepSlash
            };
            let text = decode(&raw, mode).expect("every segment decodes");
            (variable.path.clone(), text)
        });
        texts.collect()
    }

    /// Returns a path that the template must take: `words` in turn stand for what is open.
    pub(crate) fn expand(&self, words: &[&str]) -> String {
        let mut words = words.iter().cycle();
        let mut path = String::new();
        for step in &self.steps {
            path.push('/');
            match step {
                Step::Literal(text) => path += &crate::percent::encode(text),
                _ => path += words.next().expect("there are words"),
            }
        }
        if let Some(verb) = &self.verb {
            path.push(':');
            path += &crate::percent::encode(verb);
        }
        if path.is_empty() { "/".into() } else { path }
    }
}

fn step(text: &str) -> Option<Step> {
    match text {
        "*" => Some(Step::One),
        "**" => Some(Step::Many),
        text => literal(text).map(Step::Literal),
    }
}

fn literal(text: &str) -> Option<String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_.~!$&'()+,;@%".contains(c);
    let is_literal = !text.is_empty() && text.chars().all(is_allowed);
    let decoded = is_literal.then(|| decode(text, Mode::All))?;
    decoded.filter(|text| text != "." && text != "..")
}

/// `a`, `in.a`, `in.in.b`: any number of `in`, then a text field.
fn is_text_field(path: &str) -> bool {
    let mut names = path.rsplit('.');
    let leaf = names.next().unwrap_or_default();
    let is_text = FIELDS
        .iter()
        .any(|(field, _)| *field == leaf && leaf != "in");
    is_text && names.all(|parent| parent == "in")
}

/// Returns whether a set of rules can be compiled, and into what.
pub(crate) fn compile(rules: &[Rule]) -> Option<Vec<Pattern>> {
    let mut patterns: Vec<Pattern> = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        http::Method::from_bytes(rule.method.as_bytes()).ok()?;
        let pattern = Pattern::parse(&rule.template)?;
        let is_ambiguous = patterns.iter().zip(rules).any(|(other, earlier)| {
            other.steps == pattern.steps
                && other.verb == pattern.verb
                && earlier.method == rules[index].method
        });
        if is_ambiguous {
            return None;
        }
        patterns.push(pattern);
    }
    Some(patterns)
}

/// Answers a request by trying everything.
pub(crate) fn answer(rules: &[Rule], patterns: &[Pattern], method: &str, path: &str) -> Answer {
    let segments = match split(path) {
        Ok(segments) => segments,
        Err(answer) => return answer,
    };
    for method in [Some(method), (method == "HEAD").then_some("GET")]
        .into_iter()
        .flatten()
    {
        let mut ways = ways(rules, patterns, &segments);
        // HEAD uses the rule of GET, not one for every method.
        ways.retain(|(rank, rule, _)| {
            rules[*rule].method == method || (rank.is_any_method && method != "HEAD")
        });
        ways.sort();
        if let Some((_, rule, segments)) = ways.first() {
            let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
            return Answer::Found {
                rule: *rule,
                bound: patterns[*rule].bound(&segments),
            };
        }
    }
    let mut allow: Vec<String> = ways(rules, patterns, &segments)
        .into_iter()
        .map(|(_, rule, _)| rules[rule].method.clone())
        .collect();
    if allow.is_empty() {
        return Answer::NotFound;
    }
    if allow.iter().any(|method| method == "GET") {
        allow.push("HEAD".into());
    }
    allow.sort();
    allow.dedup();
    Answer::WrongMethod(allow)
}

/// Returns every way in which some rule takes the path, whatever its method.
fn ways(
    rules: &[Rule],
    patterns: &[Pattern],
    segments: &[&str],
) -> Vec<(Rank, usize, Vec<String>)> {
    let mut found = Vec::new();
    for (rule, pattern) in patterns.iter().enumerate() {
        let mut segments = segments.to_vec();
        if let Some(verb) = &pattern.verb {
            let Some((before, raw)) = segments.pop().and_then(|last| last.rsplit_once(':')) else {
                continue;
            };
            if raw.is_empty() || decode(raw, Mode::All).as_ref() != Some(verb) {
                continue;
            }
            segments.push(before);
        }
        for steps in pattern.matches(&segments, pattern.verb.is_some()) {
            let rank = Rank {
                without_verb: pattern.verb.is_none(),
                steps,
                is_any_method: rules[rule].method == "*",
            };
            found.push((
                rank,
                rule,
                segments.iter().map(|raw| (*raw).to_owned()).collect(),
            ));
        }
    }
    found
}

/// Returns the raw segments of a path, or the answer to one that must be rejected: for the first
/// fault that it has.
fn split(path: &str) -> Result<Vec<&str>, Answer> {
    if path.len() > MAX_BYTES {
        return Err(Answer::TooLong);
    }
    let rest = path.strip_prefix('/').ok_or(Answer::Bad)?;
    let mut segments = Vec::new();
    for raw in rest.split('/').filter(|_| !rest.is_empty()) {
        let text = decode(raw, Mode::All).filter(|text| text != "." && text != "..");
        text.ok_or(Answer::Bad)?;
        if segments.len() == MAX_SEGMENTS {
            return Err(Answer::TooLong);
        }
        segments.push(raw);
    }
    // The text before a verb is a segment, too.
    let before = segments.last().and_then(|last| last.rsplit_once(':'));
    match before.and_then(|(before, _)| decode(before, Mode::All)) {
        Some(text) if text == "." || text == ".." => Err(Answer::Bad),
        _ => Ok(segments),
    }
}
