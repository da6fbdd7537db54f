//! `StringRules` and `BytesRules`.

use descriptors::Kind;

use super::constants::Reading;
use super::{Typed, between};
use crate::rules::known::{Format, Versions};
use crate::rules::pattern;
use crate::rules::table::{Test, Unit};

/// Number, rule, format and noun of the well-known formats.
const FORMATS: [(u32, &str, Format, &str); 19] = [
    (12, "email", Format::Email, "email address"),
    (13, "hostname", Format::Hostname, "hostname"),
    (14, "ip", Format::Ip(Versions::Both), "IP address"),
    (15, "ipv4", Format::Ip(Versions::V4), "IPv4 address"),
    (16, "ipv6", Format::Ip(Versions::V6), "IPv6 address"),
    (17, "uri", Format::Uri, "URI"),
    (18, "uri_ref", Format::UriRef, "URI Reference"),
    (21, "address", Format::Address, "hostname, or ip address"),
    (22, "uuid", Format::Uuid, "UUID"),
    (33, "tuuid", Format::TrimmedUuid, "trimmed UUID"),
    (
        26,
        "ip_with_prefixlen",
        Format::IpWithPrefixLength(Versions::Both),
        "IP prefix",
    ),
    (
        27,
        "ipv4_with_prefixlen",
        Format::IpWithPrefixLength(Versions::V4),
        "IPv4 address with prefix length",
    ),
    (
        28,
        "ipv6_with_prefixlen",
        Format::IpWithPrefixLength(Versions::V6),
        "IPv6 address with prefix length",
    ),
    (
        29,
        "ip_prefix",
        Format::IpPrefix(Versions::Both),
        "IP prefix",
    ),
    (
        30,
        "ipv4_prefix",
        Format::IpPrefix(Versions::V4),
        "IPv4 prefix",
    ),
    (
        31,
        "ipv6_prefix",
        Format::IpPrefix(Versions::V6),
        "IPv6 prefix",
    ),
    (
        32,
        "host_and_port",
        Format::HostAndPort,
        "host (hostname or IP address) and port pair",
    ),
    (35, "ulid", Format::Ulid, "ULID"),
    (
        37,
        "protobuf_fqn",
        Format::ProtobufName,
        "fully-qualified Protobuf name",
    ),
];

/// Beside the others because of its number.
const DOTTED_NAME: (u32, &str, Format, &str) = (
    38,
    "protobuf_dot_fqn",
    Format::ProtobufDottedName,
    "fully-qualified Protobuf name with a leading dot",
);

/// Number, rule, sizes and noun of the well-known forms of bytes.
const SIZES: [(u32, &str, &[usize], &str); 4] = [
    (10, "ip", &[4, 16], "IP address"),
    (11, "ipv4", &[4], "IPv4 address"),
    (12, "ipv6", &[16], "IPv6 address"),
    (15, "uuid", &[16], "UUID"),
];

/// The limit that a length rule sets.
#[derive(Clone, Copy)]
enum LengthLimit {
    Exactly,
    AtLeast,
    AtMost,
}

use LengthLimit::{AtLeast, AtMost, Exactly};

// === impl Typed ===

impl Typed<'_> {
    pub(crate) fn string(&mut self) -> Result<(), String> {
        let reading = Reading::Scalar(Kind::String);
        self.constants(reading, [Some(1), None, None], 34)?;
        for (number, rule, limit, unit) in [
            (19, "len", Exactly, Unit::Characters),
            (2, "min_len", AtLeast, Unit::Characters),
            (3, "max_len", AtMost, Unit::Characters),
            (20, "len_bytes", Exactly, Unit::Bytes),
            (4, "min_bytes", AtLeast, Unit::Bytes),
            (5, "max_bytes", AtMost, Unit::Bytes),
        ] {
            self.length(number, rule, limit, unit);
        }
        self.pattern(6)?;
        self.part(7, "prefix", "does not have prefix", Test::Prefix);
        self.part(8, "suffix", "does not have suffix", Test::Suffix);
        self.part(9, "contains", "does not contain substring", Test::Contains);
        self.part(23, "not_contains", "contains substring", Test::NotContains);
        self.constants(reading, [None, Some(10), Some(11)], 34)?;
        for (number, rule, format, noun) in FORMATS.into_iter().chain([DOTTED_NAME]) {
            if self.flag(number) {
                self.format(rule, format, noun);
            }
        }
        self.header();
        Ok(())
    }

    pub(crate) fn bytes(&mut self) -> Result<(), String> {
        let reading = Reading::Scalar(Kind::Bytes);
        self.constants(reading, [Some(1), None, None], 14)?;
        self.length(13, "len", Exactly, Unit::Bytes);
        self.length(2, "min_len", AtLeast, Unit::Bytes);
        self.length(3, "max_len", AtMost, Unit::Bytes);
        self.pattern(4)?;
        self.part(5, "prefix", "does not have prefix", Test::Prefix);
        self.part(6, "suffix", "does not have suffix", Test::Suffix);
        self.part(7, "contains", "does not contain", Test::Contains);
        self.constants(reading, [None, Some(8), Some(9)], 14)?;
        for (number, rule, sizes, noun) in SIZES {
            if self.flag(number) {
                self.add(rule, format!("must be a valid {noun}"), Test::Sizes(sizes));
                self.not_empty(rule, noun);
            }
        }
        Ok(())
    }

    fn length(&mut self, number: u32, rule: &str, limit: LengthLimit, unit: Unit) {
        let number = self.knows(number);
        let Some(length) = self.rules.varint(number) else {
            return;
        };
        let range = match limit {
            Exactly => (length, length),
            AtLeast => (length, u64::MAX),
            AtMost => (0, length),
        };
        let noun = match unit {
            Unit::Characters => "characters",
            Unit::Bytes | Unit::Elements => "bytes",
        };
        self.checks
            .push(between(self.name, rule, range, unit, noun));
    }

    fn pattern(&mut self, number: u32) -> Result<(), String> {
        let number = self.knows(number);
        let Some(text) = self.rules.text(number) else {
            return Ok(());
        };
        let compiled = pattern::compile(text)
            .map_err(|reason| format!("rule `{}.pattern`: {reason}", self.name))?;
        let words = match self.name {
            "bytes" => format!("must match regex pattern `{text}`"),
            _ => format!("does not match regex pattern `{text}`"),
        };
        let test = Test::Matches {
            pattern: compiled,
            source: text.into(),
        };
        self.add("pattern", words, test);
        Ok(())
    }

    fn part(&mut self, number: u32, rule: &str, words: &str, test: fn(Box<[u8]>) -> Test) {
        let number = self.knows(number);
        let Some(part) = self.rules.bytes(number) else {
            return;
        };
        let shown = match (self.name, str::from_utf8(part)) {
            ("string", Ok(text)) => format!("`{text}`"),
            _ => part.iter().map(|byte| format!("{byte:02x}")).collect(),
        };
        self.add(rule, format!("{words} {shown}"), test(part.into()));
    }

    fn format(&mut self, rule: &str, format: Format, noun: &str) {
        self.add(
            rule,
            format!("must be a valid {noun}"),
            Test::Format(format),
        );
        // The empty reference is one.
        if format != Format::UriRef {
            let noun = noun.replace(" (hostname or IP address)", "");
            self.not_empty(rule, &noun);
        }
    }

    fn not_empty(&mut self, rule: &str, noun: &str) {
        let words = format!("value is empty, which is not a valid {noun}");
        self.add(&format!("{rule}_empty"), words, Test::NotEmpty);
    }

    fn header(&mut self) {
        let (format, strict) = (self.knows(24), self.knows(25));
        let is_strict = self.rules.varint(strict) != Some(0);
        match (self.rules.varint(format), is_strict) {
            (Some(1), is_strict) => {
                let format = match is_strict {
                    true => Format::HeaderName,
                    false => Format::LooseHeaderName,
                };
                let rule = "well_known_regex.header_name";
                self.format(rule, format, "HTTP header name");
            }
            (Some(2), is_strict) => {
                let format = match is_strict {
                    true => Format::HeaderValue,
                    false => Format::LooseHeaderValue,
                };
                let rule = "well_known_regex.header_value";
                let words = "must be a valid HTTP header value";
                self.add(rule, words, Test::Format(format));
            }
            _ => {}
        }
    }
}
