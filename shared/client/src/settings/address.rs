//! Where an endpoint is: `http://host:port` or `https://host:port`, resolved or not.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use http::Uri;
use http::uri::{Authority, Scheme};

/// A parsed endpoint of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) scheme: Scheme,
    /// What requests name as `:authority`.
    pub(crate) authority: Authority,
    /// Without the brackets of IPv6.
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Address {
    /// Says what is wrong with `url` in words that follow it.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let uri = Uri::from_str(url).map_err(|error| format!("is not an address: {error}"))?;
        let parts = uri.into_parts();
        let scheme = parts
            .scheme
            .filter(|scheme| [Scheme::HTTP, Scheme::HTTPS].contains(scheme))
            .ok_or("does not begin with http:// or https://")?;
        let path = parts
            .path_and_query
            .as_ref()
            .map_or("/", |path| path.as_str());
        if path != "/" {
            return Err("has a path, but the methods' paths are the whole path".to_owned());
        }
        let authority = parts.authority.ok_or("does not name a host and a port")?;
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let port = authority.port_u16().filter(|_| !host.is_empty());
        let port = port.ok_or("does not name a host and a port")?;
        if authority.as_str().contains('@') {
            return Err("has a user, which gRPC has no use for".to_owned());
        }
        Ok(Self {
            scheme,
            authority,
            host,
            port,
        })
    }

    /// The socket address, where no resolver is needed for it.
    pub(crate) fn literal(&self) -> Option<SocketAddr> {
        let ip: IpAddr = self.host.parse().ok()?;
        Some(SocketAddr::new(ip, self.port))
    }

    pub(crate) fn is_https(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports_are_read() {
        for (url, host, port, is_literal) in [
            ("http://127.0.0.1:50051", "127.0.0.1", 50051, true),
            ("http://[::1]:1/", "::1", 1, true),
            ("https://orders.mesh:443", "orders.mesh", 443, false),
        ] {
            let address = Address::parse(url).unwrap();
            assert_eq!((address.host.as_str(), address.port), (host, port));
            assert_eq!(address.literal().is_some(), is_literal, "{url}");
        }
    }

    #[test]
    fn others_are_refused() {
        for url in [
            "",
            "nowhere",
            "127.0.0.1:1",
            "ftp://a:1",
            "http://a",
            "http://a:1/x",
            "http://u:p@a:1",
        ] {
            assert!(Address::parse(url).is_err(), "{url:?} was taken");
        }
    }
}
