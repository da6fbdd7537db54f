//! Arbitrary templates: which of them compile, and what they match.

use std::collections::BTreeMap;

use http::Method;
use transcoder::{RouteError, Schema};

use crate::message::delimited_fields;
use crate::routing::oracle::{self, Answer, Pattern};
use crate::routing::{self, Rule};

const MAX_RULES: usize = 12;
const MAX_REQUESTS: usize = 12;
/// The values of variables.
const WORDS: [&str; 4] = ["w", "%C3%A4%20b", "c%2Fd+", "e:f"];

/// Lines of rules (`GET /v1/{a}`), a blank line, lines of requests (`GET /v1/x`): compared with an
/// oracle that tries every rule on every request. Each template must also take a path made from
/// itself, and bind what that was made with.
pub fn template(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (rules, requests) = text.split_once("\n\n").unwrap_or((text, ""));
    let rules: Vec<Rule> = rules.split('\n').take(MAX_RULES).map(Rule::parse).collect();
    let schema = routing::compile(&rules);
    let patterns = oracle::compile(&rules);
    let (schema, patterns) = match (schema, patterns) {
        (Ok(schema), Some(patterns)) => (schema, patterns),
        (Err(error), None) => {
            assert!(!error.problems.is_empty(), "an error without a problem");
            return;
        }
        (Err(error), Some(_)) => panic!("{rules:?} should compile: {error}"),
        (Ok(_), None) => panic!("{rules:?} should be refused"),
    };
    for (rule, pattern) in rules.iter().zip(&patterns) {
        let path = pattern.expand(&WORDS);
        check(&schema, &rules, &patterns, &rule.method, &path);
        let answer = oracle::answer(&rules, &patterns, &rule.method, &path);
        assert!(
            matches!(answer, Answer::Found { .. } | Answer::TooLong),
            "{rule:?} does not take its own expansion {path:?}: {answer:?}"
        );
    }
    for request in requests.split('\n').take(MAX_REQUESTS) {
        let request = Rule::parse(request);
        check(
            &schema,
            &rules,
            &patterns,
            &request.method,
            &request.template,
        );
    }
}

/// Compares the transcoder's answer to one request with the oracle's.
pub(crate) fn check(
    schema: &Schema,
    rules: &[Rule],
    patterns: &[Pattern],
    method: &str,
    path: &str,
) {
    let Ok(verb) = Method::from_bytes(method.as_bytes()) else {
        return;
    };
    let got = match schema.route(&verb, path) {
        Err(RouteError::NotFound) => Answer::NotFound,
        Err(RouteError::BadPath { .. }) => Answer::Bad,
        Err(RouteError::PathTooLong { .. }) => Answer::TooLong,
        Err(RouteError::Redirect { location }) => unreachable!("no option asks for {location}"),
        Err(RouteError::MethodNotAllowed { allow }) => {
            Answer::WrongMethod(allow.iter().map(ToString::to_string).collect())
        }
        Ok(found) => {
            let index = found.method().path().trim_start_matches("/t.S/M");
            let mut wire = Vec::new();
            let encoded = found.encode_request(None, b"", &mut wire);
            encoded.expect("text binds to any text field");
            Answer::Found {
                rule: index.parse().expect("it is a number"),
                bound: bound(&wire),
            }
        }
    };
    let mut expected = oracle::answer(rules, patterns, method, path);
    if let Answer::Found { bound, .. } = &mut expected {
        // An empty text is a field's default, and so not on the wire.
        bound.retain(|_, text| !text.is_empty());
    }
    assert_eq!(got, expected, "{method} {path:?} among {rules:?}");
}

/// Returns the texts of a request message by their field paths.
fn bound(wire: &[u8]) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    collect(
        &delimited_fields(wire).expect("it is a message"),
        "",
        &mut texts,
    );
    texts
}

fn collect(record: &[(u32, Vec<u8>)], prefix: &str, texts: &mut BTreeMap<String, String>) {
    for (number, content) in record {
        match number {
            4 => {
                let inner = delimited_fields(content).expect("it is a message");
                collect(&inner, &format!("{prefix}in."), texts);
            }
            number => {
                let (name, _) = routing::FIELDS[*number as usize - 1];
                let text = String::from_utf8(content.clone()).expect("it is text");
                let earlier = texts.insert(format!("{prefix}{name}"), text);
                assert_eq!(earlier, None, "{prefix}{name} is bound twice");
            }
        }
    }
}
