//! Arbitrary query strings.

use http::Method;
use transcoder::{MAX_QUERY_KEY_BYTES, MAX_QUERY_PAIRS, MAX_QUERY_VALUE_BYTES, RequestError, Rule};

use crate::message::{Datum, Record, Refusal, read};
use crate::percent::{Mode, decode, encode};
use crate::world::{Choice, Field, Root, Shape, Type, World};

/// Google's system parameters; those without a `$` are fields where the message declares them.
const SYSTEM: [&str; 13] = [
    "$alt",
    "alt",
    "$fields",
    "fields",
    "$prettyPrint",
    "prettyPrint",
    "$key",
    "key",
    "$access_token",
    "access_token",
    "$quotaUser",
    "quotaUser",
    "$.xgafv",
];
const TOO_MUCH: Refusal = "over a bound";
const BAD_ESCAPE: Refusal = "bad escape";
const MAX_NAMES: usize = transcoder::MAX_DEPTH;

/// A message and its options (see [`Choice`]) and a query: taken or rejected as the oracle takes or
/// rejects it, with the same message. The same pairs with every byte as an escape are the same
/// bytes.
pub fn query(data: &[u8]) {
    let (Choice { root, style }, text) = Choice::split(data);
    let world = &World::of(style);
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let kind = world.message(root.message);
    let expected = bind(world, kind, text)
        .and_then(|(record, pairs)| Ok((world.complete(kind, record)?, pairs)));
    match (send(world, root, text), expected) {
        (Ok(wire), Ok((expected, pairs))) => {
            let got = Record::decode(world, kind, &wire);
            assert_eq!(got, Ok(expected), "{text:?}");
            let escaped = pairs
                .iter()
                .map(|(key, value)| format!("{}={}", encode(key), encode(value)));
            let escaped = escaped.collect::<Vec<_>>().join("&");
            if escaped
                .split(['=', '&'])
                .all(|part| part.len() <= MAX_QUERY_KEY_BYTES)
            {
                assert_eq!(
                    send(world, root, &escaped),
                    Ok(wire),
                    "{text:?} as {escaped:?}"
                );
            }
        }
        (Err(error), Err(reason)) => {
            assert!(!error.description.is_empty(), "{error:?}");
            assert_eq!(error.offset, None, "there is no body");
            // A fault of one parameter names it; only escapes and bounds are about the
            // text.
            let is_textual = matches!(error.rule, Rule::LimitExceeded | Rule::InvalidValue);
            assert!(
                is_textual || !error.path.is_empty() || has_empty_key(text),
                "{text:?}: {error:?}"
            );
            let is_much = error.rule == Rule::LimitExceeded;
            assert_eq!(
                is_much,
                reason == TOO_MUCH,
                "{text:?}: {error:?}, but {reason}"
            );
        }
        (Err(error), Ok(_)) => panic!("{text:?} is refused: {error}"),
        (Ok(_), Err(reason)) => panic!("{text:?} is taken, but: {reason}"),
    }
}

fn has_empty_key(text: &str) -> bool {
    text.split('&').any(|pair| pair.starts_with('='))
}

fn send(world: &World, root: Root, query: &str) -> Result<Vec<u8>, RequestError> {
    let mut wire = Vec::new();
    let found = world.route(&Method::GET, root);
    found.encode_request(Some(query), b"", &mut wire)?;
    Ok(wire)
}

/// Binds all pairs to one message, each before the next is looked at; returns the pairs too.
fn bind(
    world: &World,
    kind: &Type,
    text: &str,
) -> Result<(Record, Vec<(String, String)>), Refusal> {
    let mut record = Record::default();
    let mut bound: Vec<Vec<&Field>> = Vec::new();
    let mut pairs = Vec::new();
    for (count, pair) in text.split('&').filter(|pair| !pair.is_empty()).enumerate() {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let is_much = key.len() > MAX_QUERY_KEY_BYTES || value.len() > MAX_QUERY_VALUE_BYTES;
        if count == MAX_QUERY_PAIRS || is_much {
            return Err(TOO_MUCH);
        }
        let key = decode(key, Mode::Form).ok_or(BAD_ESCAPE)?;
        let is_declared = !key.starts_with('$') && kind.by_name(&key, world.style).is_some();
        if SYSTEM.contains(&&*key) && !is_declared {
            continue;
        }
        let value = decode(value, Mode::Form).ok_or(BAD_ESCAPE)?;
        let path = resolve(world, kind, &key)?;
        bound
            .iter()
            .try_for_each(|earlier| check_pair(earlier, &path))?;
        put(world, &mut record, &path, &value)?;
        bound.push(path);
        pairs.push((key, value));
    }
    Ok((record, pairs))
}

fn resolve<'w>(world: &'w World, kind: &'w Type, key: &str) -> Result<Vec<&'w Field>, Refusal> {
    let mut path: Vec<&Field> = Vec::new();
    let mut kind = Some(kind);
    for name in key.split('.') {
        if path.last().is_some_and(|parent| !parent.shape.is_single()) {
            return Err("below a list or a map");
        }
        let field = kind
            .and_then(|kind| kind.by_name(name, world.style))
            .ok_or("no such field")?;
        if path.len() == MAX_NAMES {
            return Err(TOO_MUCH);
        }
        path.push(field);
        kind = field.message().map(|name| world.message(&name));
    }
    let leaf = path.last().ok_or("no such field")?;
    let is_without_text = |name: String| leaf.shape != Shape::List || !read::has_text(&name);
    if !leaf.shape.is_single() && leaf.message().is_some_and(is_without_text) {
        Err("a list of messages without a text, or a map")
    } else {
        Ok(path)
    }
}

/// Two parameters must not set the same field, nor two members of one oneof.
fn check_pair(earlier: &[&Field], path: &[&Field]) -> Result<(), Refusal> {
    let numbers = |path: &[&Field]| path.iter().map(|field| field.number).collect::<Vec<_>>();
    let (a, b) = (numbers(earlier), numbers(path));
    let is_list = path.last().is_some_and(|field| field.shape == Shape::List);
    if a == b && is_list {
        return Ok(());
    }
    if a.starts_with(&b) || b.starts_with(&a) {
        return Err("set twice");
    }
    let fork = a.iter().zip(&b).take_while(|(a, b)| a == b).count();
    let oneof = &path[fork].oneof;
    if oneof.is_some() && *oneof == earlier[fork].oneof {
        return Err("two members of one oneof");
    }
    Ok(())
}

fn put(world: &World, record: &mut Record, path: &[&Field], text: &str) -> Result<(), Refusal> {
    let (field, rest) = path.split_first().ok_or("no such field")?;
    if !rest.is_empty() {
        let inner = record.0.entry(field.number);
        let Datum::Message(inner) = inner.or_insert_with(|| Datum::Message(Record::default()))
        else {
            return Err("not a message");
        };
        return put(world, inner, rest, text);
    }
    let value = match field.message() {
        Some(_) if field.shape.is_group() => return Err("no text form"),
        Some(name) => Datum::Message(read::message_text(world, world.message(&name), text)?),
        None => read::scalar_text(&field.kind, text)?,
    };
    if field.shape == Shape::List {
        let list = record
            .0
            .entry(field.number)
            .or_insert_with(|| Datum::List(Vec::new()));
        if let Datum::List(elements) = list {
            elements.push(value);
        }
    } else {
        record.set(field, value);
    }
    Ok(())
}
