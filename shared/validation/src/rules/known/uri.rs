//! URIs and references to them (RFC 3986), with zones in IPv6 addresses (RFC 6874).

use super::is_ipv6;

const SUB_DELIMITERS: &[u8] = b"!$&'()*+,;=";

pub(crate) fn is_uri(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, rest)| {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        let is_scheme = scheme.starts_with(|first: char| first.is_ascii_alphabetic());
        is_scheme && scheme.bytes().all(is_part) && is_hierarchy(rest)
    })
}

pub(crate) fn is_uri_reference(text: &str) -> bool {
    let path = text.split(['/', '?', '#']).next().unwrap_or_default();
    // A colon in the first segment would make it a scheme.
    is_uri(text) || (!path.contains(':') && is_hierarchy(text))
}

/// Returns the text after the scheme.
fn is_hierarchy(text: &str) -> bool {
    let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (text, query) = text.split_once('?').unwrap_or((text, ""));
    let path = match text.strip_prefix("//") {
        Some(rest) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            if !is_authority(authority) {
                return false;
            }
            path
        }
        None => text,
    };
    is_made_of(path, b":@/") && is_made_of(query, b":@/?") && is_made_of(fragment, b":@/?")
}

fn is_authority(text: &str) -> bool {
    let (user, host_and_port) = text.rsplit_once('@').unwrap_or(("", text));
    if !is_made_of(user, b":") {
        return false;
    }
    let (host, port) = match host_and_port.rfind(']') {
        Some(end) => host_and_port.split_at(end + 1),
        None => host_and_port.split_at(host_and_port.find(':').unwrap_or(host_and_port.len())),
    };
    let is_port = match port.strip_prefix(':') {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_digit()),
        None => port.is_empty(),
    };
    is_port && is_host(host)
}

fn is_host(host: &str) -> bool {
    let literal = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match literal {
        Some(future) if future.starts_with(['v', 'V']) => is_future_address(future),
        Some(address) => match address.split_once("%25") {
            Some((address, zone)) => {
                !address.contains('%') && is_ipv6(address) && !zone.is_empty() && is_zone(zone)
            }
            None => !address.contains('%') && is_ipv6(address),
        },
        None => is_made_of(host, b"") && is_decoded_text(host),
    }
}

/// `v`, a version in hexadecimal, a dot, and an address of that version.
fn is_future_address(text: &str) -> bool {
    text.get(1..)
        .and_then(|rest| rest.split_once('.'))
        .is_some_and(|(version, address)| {
            let is_hex = version.bytes().all(|byte| byte.is_ascii_hexdigit());
            let is_address = !address.contains('%') && is_made_of(address, b":");
            is_hex && !version.is_empty() && !address.is_empty() && is_address
        })
}

/// Unreserved characters and percent-encoded text.
fn is_zone(zone: &str) -> bool {
    !zone.bytes().any(|byte| SUB_DELIMITERS.contains(&byte))
        && is_made_of(zone, b"")
        && is_decoded_text(zone)
}

/// Unreserved characters, sub-delimiters, percent-encoded bytes and those of `also`.
fn is_made_of(text: &str, also: &[u8]) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let is_fine = match byte {
            b'%' => {
                let is_hex = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_hexdigit());
                is_hex(bytes.next()) && is_hex(bytes.next())
            }
            b'-' | b'.' | b'_' | b'~' => true,
            _ => {
                byte.is_ascii_alphanumeric()
                    || SUB_DELIMITERS.contains(&byte)
                    || also.contains(&byte)
            }
        };
        if !is_fine {
            return false;
        }
    }
    true
}

/// Returns whether percent-encoded bytes are UTF-8, as hosts demand (RFC 3986 §3.2.2).
fn is_decoded_text(text: &str) -> bool {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let encoded = match (first, tail) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        match encoded {
            Some((high, low)) => {
                decoded.push(high << 4 | low);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => {
                decoded.push(*first);
                rest = tail;
            }
        }
    }
    str::from_utf8(&decoded).is_ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}
