//! Query parameters and forms: keys are field paths, values are texts.

use std::borrow::Cow;

use descriptors::FieldPlan;
use routes::{is_system_parameter, percent};

use crate::error::{Failure, RequestError, Rule};
use crate::limits::{MAX_QUERY_KEY_BYTES, MAX_QUERY_PAIRS, MAX_QUERY_VALUE_BYTES};
use crate::options::UnknownQuery;
use crate::request::Source;
use crate::request::bindings::Bindings;
use crate::route::Route;

/// The parameters of a query that are about the response, for every method.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SystemParameters<'q> {
    /// `$alt` or `alt`: the form of the answer, such as `json`, `proto`, `media` or `sse`.
    pub alt: Option<Cow<'q, str>>,
    /// `$fields` or `fields`: which fields of the answer are wanted.
    pub fields: Option<Cow<'q, str>>,
    /// `$prettyPrint` or `prettyPrint` is there and not `false`.
    pub pretty_print: bool,
}

// === impl SystemParameters ===

impl<'q> SystemParameters<'q> {
    /// Reads the query of a request to a route, whose fields have precedence over parameters
    /// without a `$`; a parameter with malformed escapes is passed over here, as binding the
    /// request rejects it.
    pub fn of(route: &Route, query: Option<&'q str>) -> Self {
        let mut found = SystemParameters::default();
        for pair in query.unwrap_or_default().split('&').take(MAX_QUERY_PAIRS) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Ok(key), Ok(value)) = (
                percent::decode_query(key, true),
                percent::decode_query(value, true),
            ) else {
                continue;
            };
            if !is_system(route, None, &key) {
                continue;
            }
            match key.strip_prefix('$').unwrap_or(&key) {
                "alt" => found.alt = Some(value),
                "fields" => found.fields = Some(value),
                "prettyPrint" => found.pretty_print = value != "false",
                _ => {}
            }
        }
        found
    }
}

/// One pair, still encoded.
struct Pair<'q> {
    key: &'q str,
    value: &'q str,
    /// Where it stands.
    offset: usize,
}

/// Binds the parameters of a query.
pub(crate) fn bind(bindings: &mut Bindings<'_>, query: &str) -> Result<(), Failure> {
    for pair in pairs(query) {
        bind_pair(bindings, &pair?, None, Source::Query)?;
    }
    Ok(())
}

/// Binds the pairs of a form, which is the whole message or the top-level field `root` of it.
pub(crate) fn bind_form(
    bindings: &mut Bindings<'_>,
    root: Option<usize>,
    form: &str,
) -> Result<(), Failure> {
    for pair in pairs(form) {
        let pair = pair?;
        bind_pair(bindings, &pair, root, Source::Body)
            .map_err(|failure| failure.offset(pair.offset))?;
    }
    Ok(())
}

/// Returns whether a key is that of a system parameter. A declared field of the same name, of the
/// request or of its top-level field `root`, is the field: its value must not get lost.
fn is_system(route: &Route, root: Option<usize>, key: &str) -> bool {
    is_system_parameter(key) && (key.starts_with('$') || !declares(route, root, key))
}

fn declares(route: &Route, root: Option<usize>, name: &str) -> bool {
    let types = &route.types;
    let request = types.message(route.method.input);
    let message = match root {
        None => Some(request),
        Some(root) => {
            let child = request.fields.get(root).and_then(FieldPlan::message);
            child.map(|id| types.message(id))
        }
    };
    message.is_some_and(|message| message.by_name(name).is_some())
}

fn pairs(text: &str) -> impl Iterator<Item = Result<Pair<'_>, Failure>> {
    let mut next = 0;
    let placed = text.split('&').map(move |pair| {
        let offset = next;
        next += pair.len() + 1;
        (pair, offset)
    });
    let pairs = placed.filter(|(pair, _)| !pair.is_empty()).enumerate();
    pairs.map(|(count, (pair, offset))| {
        if count >= MAX_QUERY_PAIRS {
            let reason = format!("more than {MAX_QUERY_PAIRS} parameters");
            return Err(RequestError::new(Rule::LimitExceeded, reason));
        }
        // A key without '=' has an empty value.
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if key.len() > MAX_QUERY_KEY_BYTES || value.len() > MAX_QUERY_VALUE_BYTES {
            let reason = "a parameter is too long";
            return Err(RequestError::new(Rule::LimitExceeded, reason));
        }
        Ok(Pair { key, value, offset })
    })
}

fn bind_pair(
    bindings: &mut Bindings<'_>,
    pair: &Pair<'_>,
    root: Option<usize>,
    source: Source,
) -> Result<(), Failure> {
    let options = &bindings.route.types.http;
    let plus_is_space = options.plus_is_space || source == Source::Body;
    let invalid = |reason| RequestError::new(Rule::InvalidValue, reason);
    let key = percent::decode_query(pair.key, plus_is_space).map_err(invalid)?;
    let never_binds = is_system(bindings.route, root, &key)
        || options.ignored_query.iter().any(|name| **name == *key);
    if never_binds && source == Source::Query {
        return Ok(());
    }
    let value = percent::decode_query(pair.value, plus_is_space);
    let value = value.map_err(|reason| invalid(reason).in_field(&key))?;
    let target = match bindings.resolve(root, &key) {
        Ok(target) => match bindings.is_of_body(&target) {
            Some(reason) if source == Source::Query => {
                Err(RequestError::new(Rule::UnknownField, reason))
            }
            _ => Ok(target),
        },
        Err(failure) => Err(failure),
    };
    match target {
        Ok(target) => bindings.bind(target, &value, source),
        Err(failure) if failure.rule != Rule::UnknownField => Err(failure.in_field(&key)),
        // In a form it may be a field like any other.
        Err(_) if never_binds => Ok(()),
        Err(failure) => match options.unknown_query {
            UnknownQuery::Refuse => Err(failure.in_field(&key)),
            UnknownQuery::Ignore => Ok(()),
        },
    }
}
