//! The client's address behind trusted proxies: `x-forwarded-*` and `forwarded` (RFC 7239).

use std::net::{IpAddr, SocketAddr};

use admission::Client;
use chassis::config::ConfigError;
use chassis::observe;
use chassis::server::{Peer, is_of_proxies};
use http::header::{CONNECTION, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::Authority;
use http::{Request, Uri};
use ipnet::IpNet;
use rpc::headers::list;

use super::metadata::is_hop_by_hop;

#[cfg(test)]
mod tests;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOSTNAME: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The client of a request, among its extensions, for limits and logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientAddress {
    /// The last address on the way here that no trusted proxy has.
    pub(crate) address: IpAddr,
}

/// The proxies whose word counts.
#[derive(Debug, Clone)]
pub(crate) struct TrustedProxies {
    networks: Vec<IpNet>,
}

// === impl TrustedProxies ===

impl TrustedProxies {
    /// Reads addresses and networks.
    ///
    /// # Errors
    /// Names the one that is neither.
    pub(crate) fn parse(proxies: &[String]) -> Result<Self, ConfigError> {
        let networks = proxies.iter().map(|text| network(text));
        Ok(Self {
            networks: networks.collect::<Result<_, _>>()?,
        })
    }

    /// Adds the [`ClientAddress`] and the [`Client`] to a request and rewrites its forwarding
    /// headers, the last hop included. Other headers of proxies are passed on unchanged, and only
    /// from trusted ones.
    ///
    /// Headers that are about the connection end here, before the gateway adds its own, which no
    /// caller can name in `connection`.
    ///
    /// The client is the peer's certificate, else the address. The certificate of a trusted proxy
    /// is that of all its clients, and identifies none of them.
    pub(crate) fn identify<B>(&self, request: &mut Request<B>) {
        drop_named_by_connection(request.headers_mut());
        let Some(peer) = request.extensions().get::<Peer>() else {
            drop_of_proxies(request.headers_mut());
            return;
        };
        let certified = peer.certified();
        let (address, proto) = (peer.address.ip().to_canonical(), proto(peer));
        let believed = self.trusts(address);
        if !believed {
            drop_of_proxies(request.headers_mut());
        }
        let client = if believed {
            self.client(request.headers(), address)
        } else {
            address
        };
        let host = host_of(request.uri(), request.headers());
        let headers = request.headers_mut();
        append(headers, FOR, &address.to_string());
        append(
            headers,
            FORWARDED,
            &element(address, proto, host.as_deref()),
        );
        // These two are about the request as the client sent it, which the first proxy has seen.
        headers
            .entry(PROTO)
            .or_insert(HeaderValue::from_static(proto));
        if let Some(host) = host.and_then(|host| host.try_into().ok()) {
            headers.entry(HOSTNAME).or_insert(host);
        }
        if client != address {
            observe::current().client(client);
        }
        let extensions = request.extensions_mut();
        extensions.insert(ClientAddress { address: client });
        let certified = certified.filter(|_| !believed);
        extensions.insert(certified.unwrap_or_else(|| Client::at(client)));
    }

    /// Follows the hops back from the last one, `address`, as long as they are trusted proxies.
    fn client(&self, headers: &HeaderMap, address: IpAddr) -> IpAddr {
        let hops = if headers.contains_key(FOR) {
            hops(headers, FOR)
        } else {
            hops(headers, FORWARDED)
        };
        let mut client = address;
        for hop in hops.iter().rev() {
            // A hop without an address (`unknown`, an obfuscated name, RFC 7239 §6) hides all
            // before it.
            let Some(before) = hop else { break };
            client = *before;
            if !self.trusts(client) {
                break;
            }
        }
        client
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.networks
            .iter()
            .any(|network| network.contains(&address))
    }
}

/// Scheme and host under which the caller knows us, once [`TrustedProxies::identify`] has seen to
/// what the request says about them; `None` where the host is no host.
pub(crate) fn origin(head: &Parts) -> Option<String> {
    // A chain of proxies may append to the first value.
    let said = |name| {
        let value = head.headers.get(name)?.to_str().ok()?;
        value.split(',').next().map(str::trim)
    };
    let host = said(HOSTNAME).map(str::to_owned);
    let host = host.or_else(|| host_of(&head.uri, &head.headers))?;
    let authority = host.parse::<Authority>().ok()?;
    if authority.host().is_empty() || authority.as_str().contains('@') {
        return None;
    }
    let scheme = match said(PROTO).or(head.uri.scheme_str()) {
        Some("https") => "https",
        _ => "http",
    };
    Some(format!("{scheme}://{authority}"))
}

/// Drops what the caller means for this connection only (RFC 9110 §7.6.1). The fields of the
/// connection itself are still needed here, and a proxy's fields are not its client's to name.
fn drop_named_by_connection(headers: &mut HeaderMap) {
    let is_kept = |name: &str| {
        is_hop_by_hop(name) || name.starts_with("content-") || name == "host" || is_of_proxies(name)
    };
    let named = list(headers, CONNECTION).filter_map(|name| name.parse::<HeaderName>().ok());
    let named: Vec<HeaderName> = named.filter(|name| !is_kept(name.as_str())).collect();
    for name in named {
        headers.remove(name);
    }
}

/// Drops what a proxy says about the client.
pub(crate) fn drop_of_proxies(headers: &mut HeaderMap) {
    let names = headers.keys();
    let names = names.filter(|name| is_of_proxies(name.as_str()));
    let names: Vec<HeaderName> = names.cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

fn network(text: &str) -> Result<IpNet, ConfigError> {
    let address = || {
        text.parse()
            .map(|address: IpAddr| IpNet::from(address.to_canonical()))
    };
    text.parse::<IpNet>().or_else(|_| address()).map_err(|_| {
        let problem = format!("expected an address or a network such as 10.0.0.0/8, got `{text}`");
        ConfigError::effective("trusted_proxies", problem)
    })
}

fn proto(peer: &Peer) -> &'static str {
    if peer.tls.is_some() { "https" } else { "http" }
}

fn host_of(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let authority = uri.authority().map(|authority| authority.as_str());
    let host = || headers.get(HOST).and_then(|host| host.to_str().ok());
    authority
        .or_else(host)
        .filter(|host| !host.is_empty())
        .map(str::to_owned)
}

/// The addresses that a header lists, the oldest first; `None` for one that is no address.
fn hops(headers: &HeaderMap, name: HeaderName) -> Vec<Option<IpAddr>> {
    let is_standard = name == FORWARDED;
    let values = headers.get_all(name).into_iter();
    let text = values.map(|value| value.to_str().unwrap_or_default());
    // A comma within quotes would be in an obfuscated name, and hide only what is older than
    // itself.
    let listed = text.flat_map(|text| text.split(','));
    if is_standard {
        listed
            .map(|element| address(parameter(element, "for")?))
            .collect()
    } else {
        listed.map(address).collect()
    }
}

/// `for` of `proto=http; For="[::1]:80"` is `[::1]:80`.
fn parameter<'a>(element: &'a str, wanted: &str) -> Option<&'a str> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.split_once('=')?;
        let found = name.trim().eq_ignore_ascii_case(wanted);
        found.then(|| value.trim().trim_matches('"'))
    })
}

/// An address, with or without port; IPv6 with or without brackets.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let address = bare.unwrap_or(text).parse().ok();
    let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
    address
        .or_else(with_port)
        .map(|address: IpAddr| address.to_canonical())
}

fn element(address: IpAddr, proto: &str, host: Option<&str>) -> String {
    let node = match address {
        IpAddr::V4(address) => format!("for={address}"),
        IpAddr::V6(address) => format!("for=\"[{address}]\""),
    };
    match host {
        // A host may have a colon, which a token may not. It has no quotes, the listener has seen
        // to that.
        Some(host) => format!("{node};proto={proto};host=\"{host}\""),
        None => format!("{node};proto={proto}"),
    }
}

fn append(headers: &mut HeaderMap, name: HeaderName, element: &str) {
    let values = headers.get_all(&name).into_iter();
    let mut list: Vec<&[u8]> = values.map(HeaderValue::as_bytes).collect();
    list.push(element.as_bytes());
    if let Ok(value) = HeaderValue::from_bytes(&list.join(&b", "[..])) {
        headers.insert(name, value);
    }
}
