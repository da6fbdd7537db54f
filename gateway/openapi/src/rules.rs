//! Validation rules as keywords of JSON Schema; what it has no keyword for becomes a sentence of
//! the description.

mod patterns;
mod zeros;

use descriptors::EnumPlan;
use validation::rules::{
    Bounds, Check, Constant, Format, Ignore, Test, Unit, ValueRules, Versions,
};

pub(crate) use zeros::refuses_zero;

use crate::digits::{self, Range};
use crate::scalars::Look;
use crate::value::{Json, Object};

/// The constraints of rules on one value.
#[derive(Debug, Default)]
pub(crate) struct Constraints {
    pub(crate) keywords: Object,
    /// Each `must …`, without a full stop.
    pub(crate) sentences: Vec<String>,
}

/// Turns the rules for one value into constraints.
pub(crate) struct Translator<'a> {
    pub(crate) look: Look,
    /// The names of an enum.
    pub(crate) names: Option<&'a EnumPlan>,
    pub(crate) enums_as_numbers: bool,
    found: Constraints,
}

// === impl Constraints ===

impl Constraints {
    /// Puts the keywords next to those of the value's type, and returns the sentences.
    pub(crate) fn apply(self, schema: &mut Object) -> Vec<String> {
        schema.merge(self.keywords);
        self.sentences
    }

    /// Returns how many elements a list or a map has.
    pub(crate) fn counts(checks: &[Check], is_map: bool) -> Self {
        let (least, most) = match is_map {
            true => ("minProperties", "maxProperties"),
            false => ("minItems", "maxItems"),
        };
        let mut found = Constraints::default();
        for check in checks {
            if let Test::Length(_, min, max) = check.test {
                found.limit((least, min), (most, max));
            }
        }
        found
    }

    fn limit(&mut self, (least, min): (&str, u64), (most, max): (&str, u64)) {
        if min > 0 {
            self.keywords.set(least, min);
        }
        if max < u64::MAX {
            self.keywords.set(most, max);
        }
    }

    /// One value has one `pattern`; further ones go into `allOf`.
    fn pattern(&mut self, pattern: String) {
        if self.keywords.get("pattern").is_none() {
            self.keywords.set("pattern", pattern);
        } else {
            self.also(Object::new().with("pattern", pattern));
        }
    }

    fn also(&mut self, schema: Object) {
        let mut all = match self.keywords.remove("allOf") {
            Some(Json::List(all)) => all,
            _ => Vec::new(),
        };
        all.push(schema.into());
        self.keywords.set("allOf", all);
    }
}

// === impl Translator ===

impl<'a> Translator<'a> {
    pub(crate) fn new(look: Look, names: Option<&'a EnumPlan>, enums_as_numbers: bool) -> Self {
        Translator {
            look,
            names,
            enums_as_numbers,
            found: Constraints::default(),
        }
    }

    pub(crate) fn translate(mut self, rules: &ValueRules) -> Constraints {
        if rules.ignore == Ignore::Always {
            return self.found;
        }
        for check in &rules.checks {
            if !self.check(check) {
                self.found.sentences.push(check.text.to_string());
            }
        }
        let found = self.found;
        match rules.ignore {
            Ignore::IfZero if !found.keywords.is_empty() => or_zero(self.look, found),
            _ => found,
        }
    }

    /// Returns whether there are keywords that say all of it.
    fn check(&mut self, check: &Check) -> bool {
        match &check.test {
            Test::In(values) => self.values(values.constants(), false),
            Test::NotIn(values) => self.values(values.constants(), true),
            Test::Within(bounds) => self.bounds(bounds),
            Test::Finite => true,
            Test::Length(unit, least, most) => self.length(*unit, *least, *most),
            Test::Matches { source, .. } => self.matches(source),
            Test::Prefix(part) => self.part(part, |part| format!("^{part}")),
            Test::Suffix(part) => self.part(part, |part| format!("{part}$")),
            Test::Contains(part) => self.part(part, |part| part),
            Test::NotContains(part) => self.excluded(part),
            Test::Defined(numbers) => self.defined(numbers),
            Test::Format(format) => self.format(*format),
            Test::NotEmpty => {
                self.found.keywords.set("minLength", 1);
                true
            }
            Test::Unique => {
                self.found.keywords.set("uniqueItems", true);
                true
            }
            _ => false,
        }
    }

    fn values(&mut self, values: &[Constant], are_excluded: bool) -> bool {
        let shown: Option<Vec<Json>> = values.iter().map(|value| self.constant(value)).collect();
        let Some(shown) = shown else { return false };
        let set = Object::new().with("enum", shown);
        if are_excluded {
            self.found.also(Object::new().with("not", set));
        } else {
            self.found.keywords.merge(set);
        }
        true
    }

    fn constant(&self, value: &Constant) -> Option<Json> {
        match (value, self.look) {
            (Constant::Bool(value), Look::Bool) => Some((*value).into()),
            (Constant::Int(value), Look::Digits(_)) => Some(value.to_string().into()),
            (Constant::Int(value), Look::Enum) => self.enum_value(i32::try_from(*value).ok()?),
            (Constant::Int(_) | Constant::Real(_), Look::Number) => number(value),
            (Constant::Bytes(value), Look::Text) => Some(str::from_utf8(value).ok()?.into()),
            _ => None,
        }
    }

    fn enum_value(&self, number: i32) -> Option<Json> {
        if self.enums_as_numbers {
            return Some(number.into());
        }
        let mut name = Vec::new();
        self.names?.quoted_name(number)?.put(&mut name);
        Some(Json::Raw(String::from_utf8(name).ok()?.into()))
    }

    fn bounds(&mut self, bounds: &Bounds) -> bool {
        match self.look {
            Look::Number if !bounds.exclude_the_middle() => {
                self.bound(&bounds.lower, "minimum", "exclusiveMinimum");
                self.bound(&bounds.upper, "maximum", "exclusiveMaximum");
                true
            }
            Look::Digits(range) if !bounds.exclude_the_middle() => self.digits(bounds, range),
            _ => false,
        }
    }

    /// Text has no minimum, but a pattern. Requests may have numbers too.
    fn digits(&mut self, bounds: &Bounds, (mut least, mut most): Range) -> bool {
        if let Some((Constant::Int(limit), is_inclusive)) = &bounds.lower {
            least = least.max(limit + i128::from(!is_inclusive));
        }
        if let Some((Constant::Int(limit), is_inclusive)) = &bounds.upper {
            most = most.min(limit - i128::from(!is_inclusive));
        }
        let keywords = &mut self.found.keywords;
        keywords.set("pattern", digits::pattern((least, most)));
        keywords.set("minimum", least);
        keywords.set("maximum", most);
        true
    }

    fn bound(&mut self, limit: &Option<(Constant, bool)>, inclusive: &str, exclusive: &str) {
        if let Some((limit, is_inclusive)) = limit
            && let Some(limit) = number(limit)
        {
            let keyword = if *is_inclusive { inclusive } else { exclusive };
            self.found.keywords.set(keyword, limit);
        }
    }

    fn length(&mut self, unit: Unit, least: u64, most: u64) -> bool {
        let (least, most, is_exact) = match (unit, self.look) {
            (Unit::Characters, Look::Text) => (least, most, true),
            // A character has one to four bytes.
            (Unit::Bytes, Look::Text) => (least.div_ceil(4), most, false),
            (Unit::Bytes, Look::Bytes) => (unpadded(least), padded(most), true),
            _ => return false,
        };
        self.found.limit(("minLength", least), ("maxLength", most));
        is_exact
    }

    fn matches(&mut self, source: &str) -> bool {
        if self.look != Look::Text {
            return false;
        }
        match patterns::portable(source) {
            Some(pattern) => {
                self.found.pattern(pattern);
                true
            }
            None => {
                self.found.keywords.set("x-re2-pattern", source);
                false
            }
        }
    }

    fn part(&mut self, part: &[u8], pattern: fn(String) -> String) -> bool {
        match (self.look, str::from_utf8(part)) {
            (Look::Text, Ok(part)) => {
                self.found.pattern(pattern(patterns::quoted(part)));
                true
            }
            _ => false,
        }
    }

    fn excluded(&mut self, part: &[u8]) -> bool {
        match (self.look, str::from_utf8(part)) {
            (Look::Text, Ok(part)) => {
                let pattern = Object::new().with("pattern", patterns::quoted(part));
                self.found.also(Object::new().with("not", pattern));
                true
            }
            _ => false,
        }
    }

    fn defined(&mut self, numbers: &[i32]) -> bool {
        if self.enums_as_numbers {
            let numbers = Json::list(numbers.iter().copied());
            self.found.keywords.set("enum", numbers);
        } else {
            // Names are listed by the enum's own schema; a number is what it has no name for.
            self.found.keywords.set("type", "string");
        }
        true
    }

    fn format(&mut self, format: Format) -> bool {
        let name = match format {
            Format::Email => "email",
            Format::Hostname => "hostname",
            Format::Ip(Versions::V4) => "ipv4",
            Format::Ip(Versions::V6) => "ipv6",
            Format::Uri => "uri",
            Format::UriRef => "uri-reference",
            Format::Uuid => "uuid",
            Format::TrimmedUuid => {
                self.found.pattern("^[0-9A-Fa-f]{32}$".to_owned());
                return true;
            }
            _ => return false,
        };
        self.found.keywords.set("format", name);
        true
    }
}

/// Rules that are passed over for a zero value.
fn or_zero(look: Look, found: Constraints) -> Constraints {
    let zero: Json = match look {
        Look::Number => 0.into(),
        Look::Digits(_) => "0".into(),
        Look::Text | Look::Bytes => "".into(),
        Look::Bool => false.into(),
        Look::Enum | Look::Other => return found,
    };
    let zero = Object::new().with("const", zero);
    let choices = Json::list([zero, found.keywords]);
    Constraints {
        keywords: Object::new().with("allOf", Json::list([Object::new().with("anyOf", choices)])),
        sentences: found.sentences,
    }
}

/// `None` where JSON has no such number.
fn number(value: &Constant) -> Option<Json> {
    match value {
        Constant::Int(value) => Some(Json::Raw(value.to_string().into())),
        Constant::Real(value) if value.is_finite() => {
            Some(Json::Raw(zmij::Buffer::new().format_finite(*value).into()))
        }
        _ => None,
    }
}

/// Characters of base64 for so many bytes.
fn padded(bytes: u64) -> u64 {
    match bytes {
        u64::MAX => bytes,
        _ => bytes.div_ceil(3).saturating_mul(4),
    }
}

/// [`padded`], without the signs that readers don't insist on.
fn unpadded(bytes: u64) -> u64 {
    bytes.saturating_mul(4).div_ceil(3)
}
