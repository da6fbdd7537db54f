//! The formats of text that rules know by name: addresses, hosts, URIs, ids, HTTP headers.

mod uri;

use std::net::{Ipv4Addr, Ipv6Addr};

use descriptors::is_identifier;

/// A named format. Emptiness is judged apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// An email address (HTML).
    Email,
    /// A host name (RFC 1034).
    Hostname,
    /// An IP address.
    Ip(Versions),
    /// An IP address with the length of its network prefix.
    IpWithPrefixLength(Versions),
    /// An IP network: all bits after the prefix are zero.
    IpPrefix(Versions),
    /// A URI (RFC 3986).
    Uri,
    /// A URI or a relative reference (RFC 3986).
    UriRef,
    /// A host name or an IP address.
    Address,
    /// A host with a port.
    HostAndPort,
    /// A UUID with hyphens.
    Uuid,
    /// A UUID without hyphens.
    TrimmedUuid,
    /// A ULID.
    Ulid,
    /// A full name of protobuf.
    ProtobufName,
    /// A full name of protobuf after a dot.
    ProtobufDottedName,
    /// A name of an HTTP header (RFC 9110).
    HeaderName,
    /// A name of an HTTP header without line breaks and NUL.
    LooseHeaderName,
    /// A value of an HTTP header (RFC 9110).
    HeaderValue,
    /// A value of an HTTP header without line breaks and NUL.
    LooseHeaderValue,
}

/// Versions of the Internet Protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
    /// IPv4 or IPv6.
    Both,
}

// === impl Format ===

impl Format {
    pub(crate) fn takes(self, text: &str) -> bool {
        match self {
            Format::Email => is_email(text),
            Format::Hostname => is_hostname(text),
            Format::Ip(versions) => is_ip(text, versions),
            Format::IpWithPrefixLength(versions) => prefix(text, versions).is_some(),
            Format::IpPrefix(versions) => prefix(text, versions) == Some(true),
            Format::Uri => uri::is_uri(text),
            Format::UriRef => uri::is_uri_reference(text),
            Format::Address => is_hostname(text) || is_ip(text, Versions::Both),
            Format::HostAndPort => is_host_and_port(text),
            Format::Uuid => is_uuid(text),
            Format::TrimmedUuid => text.len() == 32 && is_hex(text),
            Format::Ulid => is_ulid(text),
            Format::ProtobufName => text.split('.').all(is_identifier),
            Format::ProtobufDottedName => text
                .strip_prefix('.')
                .is_some_and(|name| name.split('.').all(is_identifier)),
            Format::HeaderName => is_header_name(text),
            Format::HeaderValue => !text.chars().any(|c| c != '\t' && (c < ' ' || c == '\x7f')),
            Format::LooseHeaderName | Format::LooseHeaderValue => {
                !text.contains(['\0', '\n', '\r'])
            }
        }
    }
}

/// "Valid e-mail address" of the HTML standard.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else {
        return false;
    };
    let is_atom =
        |byte: u8| byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte);
    !local.is_empty() && local.bytes().all(is_atom) && domain.split('.').all(is_label)
}

/// One label of a host name (RFC 1123 §2.1).
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// RFC 1034 §3.5 and RFC 1123 §2.1: the root's dot may stand at the end, the last label is not all
/// digits.
fn is_hostname(text: &str) -> bool {
    if text.len() > 253 {
        return false;
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let last = name.rsplit('.').next().unwrap_or_default();
    name.split('.').all(is_label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_ip(text: &str, versions: Versions) -> bool {
    let is_v4 = versions != Versions::V6 && text.parse::<Ipv4Addr>().is_ok();
    is_v4 || versions != Versions::V4 && is_ipv6(text)
}

/// RFC 4291 §2.2, with a zone (RFC 4007 §11) or without.
fn is_ipv6(text: &str) -> bool {
    let address = match text.split_once('%') {
        Some((_, "")) => return false,
        Some((_, zone)) if zone.contains('\0') => return false,
        Some((address, _)) => address,
        None => text,
    };
    address.parse::<Ipv6Addr>().is_ok()
}

/// Returns whether the bits after the prefix are zero; `None` where the text is not an address with
/// a prefix length (RFC 4632 §3.1).
fn prefix(text: &str, versions: Versions) -> Option<bool> {
    let (address, length) = text.split_once('/')?;
    let length = u32::from(decimal(length, 128)?);
    if versions != Versions::V6
        && let Ok(address) = address.parse::<Ipv4Addr>()
    {
        let host = u32::MAX.checked_shr(length).unwrap_or(0);
        return (length <= 32).then_some(address.to_bits() & host == 0);
    }
    if versions == Versions::V4 {
        return None;
    }
    let address = address.parse::<Ipv6Addr>().ok()?;
    let host = u128::MAX.checked_shr(length).unwrap_or(0);
    Some(address.to_bits() & host == 0)
}

/// Returns a number without sign and leading zeros.
fn decimal(text: &str, max: u16) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit())
        && (text.len() == 1 || !text.starts_with('0'));
    text.parse()
        .ok()
        .filter(|number| is_plain && *number <= max)
}

fn is_host_and_port(text: &str) -> bool {
    let is_port = |port| decimal(port, u16::MAX).is_some();
    if let Some(bracketed) = text.strip_prefix('[') {
        return bracketed
            .rsplit_once("]:")
            .is_some_and(|(host, port)| is_ipv6(host) && is_port(port));
    }
    text.rsplit_once(':')
        .is_some_and(|(host, port)| is_host(host) && is_port(port))
}

fn is_host(text: &str) -> bool {
    is_hostname(text) || is_ip(text, Versions::V4)
}

/// Returns whether a text is a host with a port, or without one where that is allowed.
pub(crate) fn is_host_with_port(text: &str, needs_port: bool) -> bool {
    if needs_port {
        return is_host_and_port(text);
    }
    let bracketed = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    is_host_and_port(text) || is_host(text) || bracketed.is_some_and(is_ipv6)
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// RFC 9562 §4, in its usual spelling.
fn is_uuid(text: &str) -> bool {
    let lengths = [8, 4, 4, 4, 12];
    text.split('-').map(str::len).eq(lengths) && text.split('-').all(is_hex)
}

/// 26 characters of Crockford's base 32, the first of which has but three bits.
fn is_ulid(text: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() && !b"ILOUilou".contains(&byte);
    text.len() == 26
        && text.bytes().all(is_digit)
        && text.starts_with(|first| matches!(first, '0'..='7'))
}

/// Returns whether a text is a token (RFC 9110 §5.6.2), after the colon of a pseudo header if there
/// is one. With the comma, as in protovalidate.
fn is_header_name(text: &str) -> bool {
    let name = text.strip_prefix(':').unwrap_or(text);
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+,-.^_|~`".contains(&byte);
    !name.is_empty() && name.bytes().all(is_token)
}

#[cfg(test)]
mod tests;
