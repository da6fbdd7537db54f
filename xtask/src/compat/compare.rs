//! The differences of two answers, one for the status, each header and each value of the body.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;
use serde_json::Value;

use super::cases::Exchange;
use super::client::Reply;

/// Headers that say nothing about the answer: of the connection, and of the moment.
const IGNORED: [&str; 6] = [
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "transfer-encoding",
    "x-request-id",
];

#[derive(Debug, Serialize)]
pub(super) struct Difference {
    pub(super) case: String,
    /// `status`, `header NAME` or `body POINTER`; each value of a stream is an element.
    pub(super) part: String,
    pub(super) theirs: String,
    pub(super) ours: String,
}

/// Compares two answers to one request.
pub(super) fn compare(case: &Exchange, theirs: &Reply, ours: &Reply) -> Vec<Difference> {
    let mut found = Collector {
        case: &case.name,
        differences: Vec::new(),
    };
    if theirs.status != ours.status {
        found.push(
            "status".to_owned(),
            theirs.status.as_str(),
            ours.status.as_str(),
        );
    }
    let names: BTreeSet<_> = theirs.headers.keys().chain(ours.headers.keys()).collect();
    for name in names
        .into_iter()
        .filter(|name| !IGNORED.contains(&name.as_str()))
    {
        let value = |answer: &Reply| {
            let value = answer.headers.get(name);
            value.map_or("(none)".to_owned(), |value| {
                match case.volatile.contains(name) {
                    true => "(volatile)".to_owned(),
                    false => value.clone(),
                }
            })
        };
        let (theirs, ours) = (value(theirs), value(ours));
        if theirs != ours {
            found.push(format!("header {name}"), &theirs, &ours);
        }
    }
    let body = |answer: &Reply| {
        let mut body = Value::Array(answer.values.clone());
        normalize(&mut body, case);
        match &mut body {
            Value::Array(values) if values.len() == 1 => values.remove(0),
            _ => body,
        }
    };
    found.values("", &body(theirs), &body(ours));
    found.differences
}

/// Hides volatile values, and sorts what has no order.
fn normalize(value: &mut Value, case: &Exchange) {
    match value {
        Value::Array(items) => {
            items.iter_mut().for_each(|item| normalize(item, case));
            if case.unordered {
                items.sort_by_key(Value::to_string);
            }
        }
        Value::Object(members) => {
            for (key, member) in members {
                match case.volatile.contains(key) {
                    true => hide(member),
                    false => normalize(member, case),
                }
            }
        }
        _ => {}
    }
}

/// Replaces scalars, so that only their types are compared.
fn hide(value: &mut Value) {
    match value {
        Value::String(text) if !text.is_empty() => *text = "(volatile)".to_owned(),
        Value::Number(_) => *value = Value::from(0),
        Value::Array(items) => items.iter_mut().for_each(hide),
        Value::Object(members) => members.values_mut().for_each(hide),
        _ => {}
    }
}

struct Collector<'a> {
    case: &'a str,
    differences: Vec<Difference>,
}

impl Collector<'_> {
    fn push(&mut self, part: String, theirs: &str, ours: &str) {
        self.differences.push(Difference {
            case: self.case.to_owned(),
            part,
            theirs: theirs.to_owned(),
            ours: ours.to_owned(),
        });
    }

    fn values(&mut self, path: &str, theirs: &Value, ours: &Value) {
        match (theirs, ours) {
            (Value::Object(theirs), Value::Object(ours)) => {
                let keys: BTreeSet<_> = theirs.keys().chain(ours.keys()).collect();
                for key in keys {
                    let path = format!("{path}/{key}");
                    match (theirs.get(key), ours.get(key)) {
                        (Some(theirs), Some(ours)) => self.values(&path, theirs, ours),
                        (theirs, ours) => self.push(
                            format!("body {path}"),
                            &theirs.map_or("(none)".to_owned(), Value::to_string),
                            &ours.map_or("(none)".to_owned(), Value::to_string),
                        ),
                    }
                }
            }
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
                for (index, (theirs, ours)) in a.iter().zip(b).enumerate() {
                    self.values(&format!("{path}/{index}"), theirs, ours);
                }
            }
            _ if theirs == ours => {}
            _ => self.push(
                format!("body {path}"),
                &theirs.to_string(),
                &ours.to_string(),
            ),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "{}: {}", self.case, self.part)?;
        writeln!(formatter, "    theirs  {}", self.theirs)?;
        write!(formatter, "    ours    {}", self.ours)
    }
}
