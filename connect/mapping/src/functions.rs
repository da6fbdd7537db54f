//! The functions of expressions, beside those of CEL.

mod numbers;
mod prepared;
mod texts;
mod time;

use std::sync::Arc;

use cel::engine::ExecutionError;
use cel::engine::common::functions::Function;
use cel::engine::common::types::{
    CelBool, CelBytes, CelDouble, CelInt, CelNull, CelString, CelTimestamp, CelUInt, DYN_TYPE,
};
use cel::engine::common::value::{CowVal, Val};
use cel::{Addition, Library, MakeMatcher, Preparation, Prepare, Signature};
use regex::RegexBuilder;

use crate::decimal::{Decimal, failure};
use crate::error::rules;
use crate::limits::MAX_PATTERN_BYTES;
use crate::tables::Tables;

/// Arguments of a function, and its result.
type Args<'b, 'v> = Vec<CowVal<'b, 'v>>;
type Made<'b, 'v> = Result<CowVal<'b, 'v>, ExecutionError>;

/// See `docs/guides/mapping.md`.
const SIGNATURES: &[Signature] = &[
    ("trim", &["s:s"]),
    ("squeeze", &["s:s"]),
    ("upper", &["s:s"]),
    ("lower", &["s:s"]),
    ("text", &["x:s"]),
    ("decimal", &["x:e", "xi:i"]),
    ("round", &["ei:e"]),
    ("fixed", &["ei:s", "xi:s"]),
    ("whole", &["x:i"]),
    ("number", &["x:d"]),
    ("time", &["xs:t", "xss:t", "xsss:t"]),
    ("extract", &["ss:s"]),
    ("substitute", &["sss:s"]),
    ("lookup", &["sx:s", "sxx:x"]),
    ("or", &["xx:=", "xxx:=", "xxxx:="]),
    ("list", &["x:l"]),
];

/// Functions that get null for a column that is absent.
const LENIENT: &[&str] = &["or"];

/// Names of functions, the number of their arguments, and what they do.
const FUNCTIONS: &[(&str, usize, Function)] = &[
    ("trim", 1, texts::trim),
    ("squeeze", 1, texts::squeeze),
    ("upper", 1, texts::upper),
    ("lower", 1, texts::lower),
    ("text", 1, texts::text),
    ("decimal", 1, numbers::decimal),
    ("decimal", 2, numbers::minor),
    ("round", 2, numbers::round),
    ("fixed", 2, numbers::fixed),
    ("whole", 1, numbers::whole),
    ("number", 1, numbers::number),
    ("time", 2, time::with_offset),
    ("time", 3, time::local),
    ("time", 4, time::local),
    ("extract", 2, texts::extract),
    ("substitute", 3, texts::substitute),
    ("lookup", 2, texts::lookup),
    ("lookup", 3, texts::lookup),
    ("or", 2, texts::or),
    ("or", 3, texts::or),
    ("or", 4, texts::or),
    ("list", 1, texts::list),
];

/// Returns the functions that expressions of one mapping may call.
pub(crate) fn library(tables: &Tables) -> Library {
    let additions = FUNCTIONS.iter().map(|(name, count, function)| Addition {
        name,
        receiver: None,
        arguments: (0..*count).map(|_| DYN_TYPE.to_owned()).collect(),
        function: *function,
    });
    let matcher: MakeMatcher = |pattern| {
        let regex = regex_of(pattern)?;
        Ok(Arc::new(move |text| regex.is_match(text)))
    };
    let prepared = |function, argument, prepare: Prepare| Preparation {
        function,
        argument,
        prepare,
    };
    let tables = tables.clone();
    Library::with(SIGNATURES, additions.collect(), matcher)
        .preparing(vec![
            prepared("time", 1, Arc::new(prepared::formats)),
            prepared("time", 2, Arc::new(prepared::zone)),
            prepared("time", 3, Arc::new(prepared::policy)),
            prepared("extract", 1, Arc::new(prepared::pattern)),
            prepared("substitute", 1, Arc::new(prepared::pattern)),
            prepared("lookup", 0, Arc::new(move |name| prepared::table(name, &tables))),
        ])
        .lenient(LENIENT)
}

/// Compiles a pattern; its search takes time linear in the text.
fn regex_of(pattern: &str) -> Result<regex::Regex, String> {
    let built = RegexBuilder::new(pattern).size_limit(MAX_PATTERN_BYTES).build();
    built.map_err(|error| {
        let text = error.to_string();
        let reason = text.lines().filter_map(|line| line.strip_prefix("error: ")).next_back();
        let reason = reason.unwrap_or("it needs too much memory");
        format!("is no pattern: {reason}")
    })
}

/// Returns a text argument.
fn text_of<'a>(function: &str, value: &'a dyn Val) -> Result<&'a str, ExecutionError> {
    match value.downcast_ref::<CelString<'_>>() {
        Some(text) => Ok(text.inner()),
        None => Err(failure(function, rules::TYPE, &shown(value))),
    }
}

/// Returns a value as text for a person.
pub(crate) fn shown(value: &dyn Val) -> String {
    match plain(value) {
        Some(text) => text,
        None if value.downcast_ref::<CelNull>().is_some() => "null".to_owned(),
        None => format!("a value of type {}", value.get_type().name()),
    }
}

/// Returns the text of a single value.
fn plain(value: &dyn Val) -> Option<String> {
    if let Some(own) = value.downcast_ref::<CelString<'_>>() {
        return Some(own.inner().to_owned());
    }
    if let Some(own) = value.downcast_ref::<CelInt>() {
        return Some(own.inner().to_string());
    }
    if let Some(own) = value.downcast_ref::<CelUInt>() {
        return Some(own.inner().to_string());
    }
    if let Some(own) = value.downcast_ref::<CelDouble>() {
        return Some(own.inner().to_string());
    }
    if let Some(own) = value.downcast_ref::<CelBool>() {
        return Some(own.inner().to_string());
    }
    if let Some(own) = value.downcast_ref::<CelTimestamp>() {
        let time = own.inner().to_utc();
        return Some(time.format("%Y-%m-%dT%H:%M:%S%.fZ").to_string());
    }
    if let Some(own) = value.downcast_ref::<CelBytes<'_>>() {
        return str::from_utf8(own.inner()).ok().map(str::to_owned);
    }
    value.downcast_ref::<Decimal>().map(Decimal::to_string)
}

/// Returns the bound of a number of decimals.
fn scale_of(function: &str, value: &dyn Val) -> Result<u32, ExecutionError> {
    let scale = value.downcast_ref::<CelInt>();
    let scale = scale.and_then(|scale| u32::try_from(*scale.inner()).ok());
    let scale = scale.filter(|scale| *scale <= crate::limits::MAX_DIGITS as u32);
    scale.ok_or_else(|| failure(function, rules::OUT_OF_RANGE, &shown(value)))
}
