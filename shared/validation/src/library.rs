//! The functions that protovalidate adds to CEL: formats, `unique`, `isNan`, `getField`.

use std::sync::{Arc, OnceLock};

use cel::engine::ExecutionError;
use cel::engine::common::types::{
    BOOL_TYPE, BYTES_TYPE, CelBool, CelBytes, CelDouble, CelInt, CelString, DOUBLE_TYPE, DYN_TYPE,
    INT_TYPE, LIST_TYPE, STRING_TYPE, Type,
};
use cel::engine::common::value::{CowVal, Val};
use cel::{Addition, Library, Matcher, Signature};

use crate::rules::known::{Format, Versions, is_host_with_port};
use crate::rules::pattern;

type Arguments<'b, 'v> = Vec<CowVal<'b, 'v>>;
type Outcome<'b, 'v> = Result<CowVal<'b, 'v>, ExecutionError>;

const SIGNATURES: &[Signature] = &[
    ("isNan", &["d.:b"]),
    ("isInf", &["d.:b", "d.i:b"]),
    ("isHostname", &["s.:b"]),
    ("isHostAndPort", &["s.b:b"]),
    ("isEmail", &["s.:b"]),
    ("isIp", &["s.:b", "s.i:b"]),
    ("isIpPrefix", &["s.:b", "s.i:b", "s.b:b", "s.ib:b"]),
    ("isUri", &["s.:b"]),
    ("isUriRef", &["s.:b"]),
    ("unique", &["l.:b"]),
    ("getField", &["xs:x"]),
];

/// Returns the library of rules: CEL's functions and those of protovalidate.
pub(crate) fn library() -> Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    LIBRARY
        .get_or_init(|| Library::with(SIGNATURES, additions(), matcher))
        .clone()
}

fn matcher(text: &str) -> Result<Matcher, String> {
    let pattern = pattern::compile(text)?;
    Ok(Arc::new(move |text: &str| {
        pattern.is_match(text.as_bytes())
    }))
}

fn additions() -> Vec<Addition> {
    let on = |name, receiver: Type, arguments: &[Type], function| Addition {
        name,
        receiver: Some(receiver),
        arguments: arguments.iter().map(ToOwned::to_owned).collect(),
        function,
    };
    let mut all = vec![
        on("isNan", DOUBLE_TYPE, &[], is_nan),
        on("isInf", DOUBLE_TYPE, &[], is_infinite),
        on("isInf", DOUBLE_TYPE, &[INT_TYPE], is_infinite),
        on("isHostname", STRING_TYPE, &[], is_hostname),
        on("isHostAndPort", STRING_TYPE, &[BOOL_TYPE], is_host_and_port),
        on("isEmail", STRING_TYPE, &[], is_email),
        on("isIp", STRING_TYPE, &[], is_ip),
        on("isIp", STRING_TYPE, &[INT_TYPE], is_ip),
        on("isIpPrefix", STRING_TYPE, &[], is_ip_prefix),
        on("isIpPrefix", STRING_TYPE, &[INT_TYPE], is_ip_prefix),
        on("isIpPrefix", STRING_TYPE, &[BOOL_TYPE], is_ip_prefix),
        on(
            "isIpPrefix",
            STRING_TYPE,
            &[INT_TYPE, BOOL_TYPE],
            is_ip_prefix,
        ),
        on("isUri", STRING_TYPE, &[], is_uri),
        on("isUriRef", STRING_TYPE, &[], is_uri_ref),
        on("unique", LIST_TYPE, &[], is_unique),
        on("contains", BYTES_TYPE, &[BYTES_TYPE], contains),
        on("startsWith", BYTES_TYPE, &[BYTES_TYPE], starts_with),
        on("endsWith", BYTES_TYPE, &[BYTES_TYPE], ends_with),
    ];
    all.push(Addition {
        name: "getField",
        receiver: None,
        arguments: vec![DYN_TYPE, STRING_TYPE],
        function: get_field,
    });
    all
}

fn wrong() -> ExecutionError {
    ExecutionError::no_such_overload("", Vec::new())
}

fn bool<'b, 'v>(value: bool) -> Outcome<'b, 'v> {
    Ok(CowVal::owned(CelBool::from(value)))
}

fn text<'a>(args: &'a Arguments<'_, '_>) -> Result<&'a str, ExecutionError> {
    let text = args
        .first()
        .and_then(|value| value.downcast_ref::<CelString>());
    text.map(CelString::inner).ok_or_else(wrong)
}

fn int(args: &Arguments<'_, '_>) -> Option<i64> {
    args.iter()
        .skip(1)
        .find_map(|value| value.downcast_ref::<CelInt>())
        .map(|number| *number.inner())
}

fn flag(args: &Arguments<'_, '_>) -> Option<bool> {
    args.iter()
        .skip(1)
        .find_map(|value| value.downcast_ref::<CelBool>())
        .map(|flag| *flag.inner())
}

fn versions(args: &Arguments<'_, '_>) -> Option<Versions> {
    match int(args) {
        None | Some(0) => Some(Versions::Both),
        Some(4) => Some(Versions::V4),
        Some(6) => Some(Versions::V6),
        Some(_) => None,
    }
}

fn double(args: &Arguments<'_, '_>) -> Result<f64, ExecutionError> {
    let number = args
        .first()
        .and_then(|value| value.downcast_ref::<CelDouble>());
    number.map(|number| *number.inner()).ok_or_else(wrong)
}

fn is_nan<'b, 'v>(args: Arguments<'b, 'v>) -> Outcome<'b, 'v> {
    bool(double(&args)?.is_nan())
}

fn is_infinite<'b, 'v>(args: Arguments<'b, 'v>) -> Outcome<'b, 'v> {
    let number = double(&args)?;
    let sign = int(&args).unwrap_or(0);
    bool(number.is_infinite() && (sign == 0 || (sign > 0) == (number > 0.0)))
}

fn is_hostname<'b, 'v>(args: Arguments<'b, 'v>) -> Outcome<'b, 'v> {
    bool(Format::Hostname.takes(text(&args)?))
}

fn is_host_and_port<'b, 'v>(args: Arguments<'b, 'v>) -> Outcome<'b, 'v> {
    bool(is_host_with_port(text(&args)?, flag(&args).unwrap_or(true)))
}

fn is_email<'b, 'v>(args: Arguments<'b, 'v>) -> Outcome<'b, 'v> {
    bool(Format::Email.takes(text(&args)?))
}

fn is_ip<'b, 'v>(args: Arguments<'b, 'v>) -> Outcome<'b, 'v> {
    let text = text(&args)?;
    bool(versions(&args).is_some_and(|versions| Format::Ip(versions).takes(text)))
}

fn is_ip_prefix<'b, 'v>(args: Arguments<'b, 'v>) -> Outcome<'b, 'v> {
    let text = text(&args)?;
    let is_strict = flag(&args).unwrap_or(false);
    let format = versions(&args).map(|versions| match is_strict {
        true => Format::IpPrefix(versions),
        false => Format::IpWithPrefixLength(versions),
    });
    bool(format.is_some_and(|format| format.takes(text)))
}

fn is_uri<'b, 'v>(args: Arguments<'b, 'v>) -> Outcome<'b, 'v> {
    bool(Format::Uri.takes(text(&args)?))
}

fn is_uri_ref<'b, 'v>(args: Arguments<'b, 'v>) -> Outcome<'b, 'v> {
    bool(Format::UriRef.takes(text(&args)?))
}

fn bytes_pair<'a>(args: &'a Arguments<'_, '_>) -> Result<(&'a [u8], &'a [u8]), ExecutionError> {
    let [one, other] = args.as_slice() else {
        return Err(wrong());
    };
    match (
        one.downcast_ref::<CelBytes>(),
        other.downcast_ref::<CelBytes>(),
    ) {
        (Some(one), Some(other)) => Ok((one.inner(), other.inner())),
        _ => Err(wrong()),
    }
}

fn contains<'b, 'v>(args: Arguments<'b, 'v>) -> Outcome<'b, 'v> {
    let (whole, part) = bytes_pair(&args)?;
    bool(memchr::memmem::find(whole, part).is_some())
}

fn starts_with<'b, 'v>(args: Arguments<'b, 'v>) -> Outcome<'b, 'v> {
    let (whole, part) = bytes_pair(&args)?;
    bool(whole.starts_with(part))
}

fn ends_with<'b, 'v>(args: Arguments<'b, 'v>) -> Outcome<'b, 'v> {
    let (whole, part) = bytes_pair(&args)?;
    bool(whole.ends_with(part))
}

/// One element of a list that is to be unique; zero and its negative are one.
#[derive(PartialEq, Eq, Hash)]
enum Item<'a> {
    Bool(bool),
    Int(i128),
    Real(u64),
    Bytes(&'a [u8]),
}

fn is_unique<'b, 'v>(args: Arguments<'b, 'v>) -> Outcome<'b, 'v> {
    let list = args
        .first()
        .and_then(|list| list.as_iterable())
        .ok_or_else(wrong)?;
    let mut seen = std::collections::HashSet::new();
    let mut items = list.iter();
    while let Some(item) = items.next() {
        let element = element(item).ok_or_else(wrong)?;
        if !seen.insert(element) {
            return bool(false);
        }
    }
    bool(true)
}

fn element<'a>(item: &'a (dyn Val + 'a)) -> Option<Item<'a>> {
    use cel::engine::common::types::CelUInt;
    if let Some(text) = item.downcast_ref::<CelString>() {
        return Some(Item::Bytes(text.inner().as_bytes()));
    }
    if let Some(bytes) = item.downcast_ref::<CelBytes>() {
        return Some(Item::Bytes(bytes.inner()));
    }
    if let Some(number) = item.downcast_ref::<CelInt>() {
        return Some(Item::Int(i128::from(*number.inner())));
    }
    if let Some(number) = item.downcast_ref::<CelUInt>() {
        return Some(Item::Int(i128::from(*number.inner())));
    }
    if let Some(number) = item.downcast_ref::<CelDouble>() {
        return Some(Item::Real((number.inner() + 0.0).to_bits()));
    }
    item.downcast_ref::<CelBool>()
        .map(|value| Item::Bool(*value.inner()))
}

fn get_field<'b, 'v>(args: Arguments<'b, 'v>) -> Outcome<'b, 'v> {
    let [record, name] = args.as_slice() else {
        return Err(wrong());
    };
    let found = record.as_indexer().ok_or_else(wrong)?.get(&**name)?;
    Ok(CowVal::Owned(found.into_owned()))
}
