//! A NATS server of a test's own, the same program that a mesh starts.

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use mesh::{Home, Ui};
use tempfile::TempDir;

use super::eventually;

/// A server with JetStream that runs until it is dropped.
pub(crate) struct Nats {
    pub(crate) address: SocketAddr,
    directory: TempDir,
    process: Child,
}

impl Nats {
    pub(crate) fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, directory) = (free.local_addr().unwrap(), tempfile::tempdir().unwrap());
        drop(free);
        let process = launch(address, &directory);
        Self {
            address,
            directory,
            process,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// Ends the server as a crash does.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again, with the streams that it had.
    pub(crate) fn restart(&mut self) {
        self.process = launch(self.address, &self.directory);
    }

    /// Connects, once it answers.
    pub(crate) async fn client(&self) -> async_nats::Client {
        let address = self.address.to_string();
        eventually("NATS answers", async || {
            async_nats::connect(&address)
                .await
                .map_err(|error| error.to_string())
        })
        .await
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn launch(address: SocketAddr, directory: &TempDir) -> Child {
    let server = mesh::engines::nats_server(&Home::find().unwrap(), Ui::Quiet).unwrap();
    Command::new(server)
        .args(["-a", &address.ip().to_string()])
        .args(["-p", &address.port().to_string()])
        .args(["-js", "-sd"])
        .arg(directory.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}
