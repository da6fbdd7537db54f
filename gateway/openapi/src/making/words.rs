//! Texts, bytes and paths for examples.

use descriptors::quoted;
use validation::rules::{Constant, Format, Test, Unit, ValueRules, Versions};

use super::numbers::constants;
use crate::texts;

/// Letters that fill a text up to its least length.
const FILLER: &str = "abcdefghijklmnopqrstuvwxyz";

/// Texts of the formats that rules know, for a rule that says less than it checks.
const FORMATTED: [&str; 14] = [
    "ana@example.com",
    "https://example.com/path",
    "example.com",
    "192.0.2.1",
    "2001:db8::1",
    "123e4567-e89b-12d3-a456-426614174000",
    "2026-01-31",
    "2026-01-31T09:30:00",
    "2026-01-31T09:30:00Z",
    "09:30",
    "EUR",
    "DE",
    "42",
    "A",
];

/// Texts by the ends of names that everybody uses for one thing.
const NAMED: [(&str, &str); 9] = [
    ("email", "ana@example.com"),
    ("url", "https://example.com/path"),
    ("uri", "https://example.com/path"),
    ("currency", "EUR"),
    ("currency_code", "EUR"),
    ("country", "DE"),
    ("country_code", "DE"),
    ("language_code", "en"),
    ("phone", "+493012345678"),
];

/// The limits of a length, in characters and in bytes.
struct Limits {
    least: usize,
    most: usize,
}

/// Returns texts that the rules likely accept, the nicest first.
pub(super) fn texts(rules: Option<&ValueRules>, name: &str) -> Vec<String> {
    let mut all: Vec<String> = listed(rules).into_iter().map(lossy).collect();
    let limits = Limits::of(rules);
    let parts = Parts::of(rules);
    let plain = parts.around(&word(name));
    let mut patterned = Vec::new();
    for test in tests(rules) {
        match test {
            Test::Format(format) => all.push(formatted(*format).to_owned()),
            Test::Matches { source, .. } => patterned.extend(texts::matching(source)),
            _ => {}
        }
    }
    all.push(limits.fit(&plain, &parts));
    // A pattern often means one of these, and says less: `[0-9]{4}-[0-9]{2}` is a month.
    all.extend(FORMATTED.map(str::to_owned));
    all.extend(patterned);
    all.push(limits.fit(&parts.around(""), &parts));
    all
}

/// Returns bytes as JSON: base64.
pub(super) fn bytes(rules: Option<&ValueRules>) -> Vec<String> {
    let mut all: Vec<Vec<u8>> = listed(rules).into_iter().map(<[u8]>::to_vec).collect();
    for test in tests(rules) {
        match test {
            Test::Format(Format::Ip(Versions::V6)) => all.push(vec![0x20; 16]),
            Test::Format(Format::Ip(_)) => all.push(vec![192, 0, 2, 1]),
            Test::Sizes(sizes) => all.extend(sizes.iter().map(|size| vec![1; *size])),
            Test::Matches { source, .. } => {
                all.extend(texts::matching(source).into_iter().map(String::into_bytes));
            }
            _ => {}
        }
    }
    let parts = Parts::of(rules);
    let plain = Limits::of(rules).fit(&parts.around("hello"), &parts);
    all.push(plain.into_bytes());
    all.extend([vec![192, 0, 2, 1], vec![0x20; 16]]);
    all.iter().map(|bytes| quoted(&base64(bytes))).collect()
}

/// Returns the paths of a field mask that rules name.
pub(super) fn mask_paths(rules: Option<&ValueRules>) -> Vec<String> {
    let mut found = Vec::new();
    for test in tests(rules) {
        match test {
            Test::PathsEqual(paths) => found.push(paths.join(",")),
            Test::PathsWithin(paths) => found.extend(paths.first().map(|path| path.to_string())),
            _ => {}
        }
    }
    found.iter().map(|path| lower_camel(path)).collect()
}

fn tests(rules: Option<&ValueRules>) -> impl Iterator<Item = &Test> {
    let checks = rules.into_iter().flat_map(|rules| &rules.checks);
    checks.map(|check| &check.test)
}

fn listed(rules: Option<&ValueRules>) -> Vec<&[u8]> {
    let listed = constants(rules).into_iter();
    let listed = listed.filter_map(|constant| match constant {
        Constant::Bytes(bytes) => Some(&**bytes),
        _ => None,
    });
    listed.collect()
}

/// Returns a text from the name of its field: `order_id` is `order-1`.
fn word(name: &str) -> String {
    let is_one = |ending: &str| {
        let rest = name.strip_suffix(ending);
        rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('_'))
    };
    if let Some((_, text)) = NAMED.iter().find(|(ending, _)| is_one(ending)) {
        return (*text).to_owned();
    }
    match name.strip_suffix("id") {
        Some("") => "id-1".to_owned(),
        Some(stem) if stem.ends_with('_') => {
            format!("{}-1", stem.trim_end_matches('_').replace('_', "-"))
        }
        _ => name.replace('_', " "),
    }
}

fn formatted(format: Format) -> &'static str {
    match format {
        Format::Email => "ana@example.com",
        Format::Hostname | Format::Address => "example.com",
        Format::Ip(Versions::V6) => "2001:db8::1",
        Format::Ip(_) => "192.0.2.1",
        Format::IpWithPrefixLength(Versions::V6) => "2001:db8::1/64",
        Format::IpWithPrefixLength(_) => "192.0.2.1/24",
        Format::IpPrefix(Versions::V6) => "2001:db8::/32",
        Format::IpPrefix(_) => "192.0.2.0/24",
        Format::Uri => "https://example.com/path",
        Format::UriRef => "/path",
        Format::HostAndPort => "example.com:443",
        Format::Uuid => "123e4567-e89b-12d3-a456-426614174000",
        Format::TrimmedUuid => "123e4567e89b12d3a456426614174000",
        Format::Ulid => "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        Format::ProtobufName => "example.v1.Message",
        Format::ProtobufDottedName => ".example.v1.Message",
        Format::HeaderName | Format::LooseHeaderName => "x-example",
        Format::HeaderValue | Format::LooseHeaderValue => "value",
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Returns the JSON form of a path of proto names.
fn lower_camel(path: &str) -> String {
    let mut out = String::new();
    let mut is_upper = false;
    for c in path.chars() {
        match c {
            '_' => is_upper = true,
            c if is_upper => {
                out.extend(c.to_uppercase());
                is_upper = false;
            }
            c => out.push(c),
        }
    }
    out
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or_default());
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let index = (word >> (18 - 6 * at)) as usize & 63;
            out.push(if at <= chunk.len() {
                char::from(ALPHABET[index])
            } else {
                '='
            });
        }
    }
    out
}

/// The parts that rules want in a text.
#[derive(Default)]
struct Parts {
    prefix: String,
    middle: String,
    suffix: String,
}

// === impl Parts ===

impl Parts {
    fn of(rules: Option<&ValueRules>) -> Self {
        let mut parts = Parts::default();
        for test in tests(rules) {
            match test {
                Test::Prefix(part) => parts.prefix = lossy(part),
                Test::Contains(part) => parts.middle.push_str(&lossy(part)),
                Test::Suffix(part) => parts.suffix = lossy(part),
                _ => {}
            }
        }
        parts
    }

    fn around(&self, text: &str) -> String {
        format!("{}{text}{}{}", self.prefix, self.middle, self.suffix)
    }
}

// === impl Limits ===

impl Limits {
    fn of(rules: Option<&ValueRules>) -> Self {
        let mut limits = Limits {
            least: 0,
            most: usize::MAX,
        };
        for test in tests(rules) {
            if let Test::Length(Unit::Characters | Unit::Bytes, least, most) = test {
                let size = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
                limits.least = limits.least.max(size(*least));
                limits.most = limits.most.min(size(*most));
            }
        }
        limits
    }

    /// Returns a text of a length within the limits: shorter, or longer by letters, before its
    /// suffix. Bounded: a rule that wants more has no example.
    fn fit(&self, text: &str, parts: &Parts) -> String {
        const MAX: usize = 1024;
        let length = text.chars().count();
        let before = text.strip_suffix(&*parts.suffix).unwrap_or(text);
        if length > self.most {
            let keep = self.most.saturating_sub(parts.suffix.chars().count());
            let short: String = before.chars().take(keep).collect();
            return short + &parts.suffix;
        }
        let missing = self.least.saturating_sub(length).min(MAX);
        let filler: String = FILLER.chars().cycle().take(missing).collect();
        format!("{before}{filler}{}", parts.suffix)
    }
}
