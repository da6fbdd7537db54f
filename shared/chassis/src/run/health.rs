//! The verb `health`: asks the running process of a configuration whether it is ready.

use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use rpc::config::ConfigError;

use crate::config::Settings;

/// Limit of the connection, and of each wait on it. `/readyz` is answered from memory.
const TIMEOUT: Duration = Duration::from_secs(2);
/// The page of the probe.
const PAGE: &str = "/readyz";

/// Asks the process that listens where `settings` say for `GET /readyz`, on this machine, over
/// plain HTTP/1.1: at `admin_listen` if it is set, which has no TLS, else at `listen`.
///
/// # Errors
/// An address without a port, or with TLS; no answer within 2 s; an answer other than 200.
pub(super) fn check(settings: &Settings) -> anyhow::Result<ExitCode> {
    let address = address(settings)?;
    let status = ask(address).with_context(|| format!("GET http://{address}{PAGE}"))?;
    ensure!(
        status.split(' ').nth(1) == Some("200"),
        "not ready: GET http://{address}{PAGE} answers `{status}`"
    );
    Ok(ExitCode::SUCCESS)
}

fn address(settings: &Settings) -> Result<SocketAddr, ConfigError> {
    let refuse = |key: &str, problem: &str| {
        let problem = format!("{problem}, so that `health` can ask there");
        Err(ConfigError::effective(key, problem))
    };
    let (key, found) = match settings.server().admin_address() {
        Ok(Some(address)) => ("admin_listen", address),
        _ if settings.tls.is_on() => {
            return refuse(
                "admin_listen",
                "expected an address, since `listen` has TLS",
            );
        }
        _ => ("listen", settings.listen),
    };
    if found.port() == 0 {
        return refuse(key, "expected a port above 0");
    }
    // A listener on all addresses is on that of this machine, too.
    let ip = match found.ip() {
        ip if !ip.is_unspecified() => ip,
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
    };
    Ok(SocketAddr::new(ip, found.port()))
}

/// Returns the status line of the answer.
fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut connection = TcpStream::connect_timeout(&address, TIMEOUT)?;
    connection.set_read_timeout(Some(TIMEOUT))?;
    connection.set_write_timeout(Some(TIMEOUT))?;
    write!(
        connection,
        "GET {PAGE} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"
    )?;
    let mut status = String::new();
    // The bound keeps a peer that is no HTTP server from filling the memory.
    let mut answer = BufReader::new(std::io::Read::take(connection, 1024));
    answer.read_line(&mut status)?;
    match status.is_empty() {
        true => Err(ErrorKind::UnexpectedEof.into()),
        false => Ok(status.trim_end().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use server::Server;

    use super::*;
    use crate::Process;
    use crate::config::{Layers, Sources};

    fn settings(keys: &[(&str, &str)]) -> Settings {
        let flags = keys
            .iter()
            .map(|(key, value)| ((*key).to_owned(), vec![(*value).to_owned()]));
        let sources = Sources {
            flags: flags.collect::<BTreeMap<_, _>>(),
            ..Sources::default()
        };
        Layers::load("", &sources).unwrap().settings().unwrap()
    }

    #[test]
    fn the_listener_of_operators_is_asked_first_and_never_all_addresses() {
        let asked = |keys: &[(&str, &str)]| address(&settings(keys));
        let listen = ("listen", "0.0.0.0:8080");
        assert_eq!(asked(&[listen]).unwrap().to_string(), "127.0.0.1:8080");
        let admin = ("admin_listen", "[::]:9090");
        assert_eq!(asked(&[listen, admin]).unwrap().to_string(), "[::1]:9090");
        let error = asked(&[]).unwrap_err().to_string();
        assert!(error.contains("`listen`"), "{error}");
        assert!(error.contains("a port above 0"), "{error}");
    }

    #[tokio::test]
    async fn a_process_is_healthy_while_it_is_ready() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap().to_string();
        let settings = settings(&[("listen", &at)]);
        let process = Process::new("test", settings.clone());
        let is_ready = Arc::new(AtomicBool::new(false));
        let ready = is_ready.clone();
        let server = Server::new(&[], &[]).ready_when(move || ready.load(Ordering::Relaxed));
        let host = process.clone();
        let served = tokio::spawn(async move { server.serve(listener, &host).await });
        let ask = || {
            let settings = settings.clone();
            tokio::task::spawn_blocking(move || check(&settings))
        };
        let error = ask().await.unwrap().unwrap_err().to_string();
        assert!(error.contains("503"), "{error}");
        is_ready.store(true, Ordering::Relaxed);
        assert_eq!(ask().await.unwrap().unwrap(), ExitCode::SUCCESS);
        process.drain();
        served.await.unwrap().unwrap();
        assert!(ask().await.unwrap().is_err());
    }
}
