//! The line of the log that tells people where to look, once there is something to see.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use chassis::Process;

/// Interval of readiness checks.
const INTERVAL: Duration = Duration::from_millis(100);

/// Logs the URLs of a process when it is ready.
pub(super) async fn announce(process: Process, is_ready: impl Fn() -> bool, has_explorer: bool) {
    let (draining, shutdown) = (process.draining(), process.shutdown());
    let announced = async {
        let address = process.address().await;
        while !is_ready() {
            tokio::time::sleep(INTERVAL).await;
        }
        let has_tls = !process.settings().tls.cert_file.as_os_str().is_empty();
        let url = url(address, has_tls);
        match has_explorer {
            true => tracing::info!("ready at {url} with the API explorer at {url}docs/"),
            false => tracing::info!("ready at {url}"),
        }
    };
    // A process that can't listen stops without a drain.
    let announced = shutdown.run_until_cancelled(announced);
    draining.run_until_cancelled(announced).await;
}

/// Returns a URL that works on this machine.
fn url(address: SocketAddr, has_tls: bool) -> String {
    let host = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    let scheme = if has_tls { "https" } else { "http" };
    format!("{scheme}://{}/", SocketAddr::new(host, address.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_can_be_opened_here() {
        for (address, has_tls, expected) in [
            ("127.0.0.1:8080", false, "http://127.0.0.1:8080/"),
            ("0.0.0.0:8081", false, "http://127.0.0.1:8081/"),
            ("[::]:443", true, "https://[::1]:443/"),
        ] {
            assert_eq!(url(address.parse().unwrap(), has_tls), expected);
        }
    }
}
