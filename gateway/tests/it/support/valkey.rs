//! A Valkey of a test's own, the same program that a mesh starts.

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};

use mesh::{Home, Ui};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::eventually;

/// A server that runs until it is dropped.
pub(crate) struct Valkey {
    pub(crate) address: SocketAddr,
    directory: TempDir,
    process: Child,
}

impl Valkey {
    pub(crate) async fn start() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, directory) = (free.local_addr().unwrap(), tempfile::tempdir().unwrap());
        drop(free);
        let process = launch(address, &directory);
        let valkey = Self {
            address,
            directory,
            process,
        };
        valkey.wait_until_ready().await;
        valkey
    }

    /// The keys of a gateway that uses it.
    pub(crate) fn keys(&self) -> Vec<(String, String)> {
        vec![
            ("valkey.url".to_owned(), format!("redis://{}", self.address)),
            // Machines under load are slow.
            ("valkey.response_timeout_ms".to_owned(), "5000".to_owned()),
        ]
    }

    /// Ends the server as a crash does; its data are lost.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Starts it again, empty.
    pub(crate) async fn restart(&mut self) {
        self.process = launch(self.address, &self.directory);
        self.wait_until_ready().await;
    }

    /// Stops the server without ending it: it accepts connections and answers nothing.
    pub(crate) fn freeze(&self, is_frozen: bool) {
        let signal = match is_frozen {
            true => rustix::process::Signal::STOP,
            false => rustix::process::Signal::CONT,
        };
        let id = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(id, signal).unwrap();
    }

    /// Sends a command and returns its answer, as the protocol writes it.
    pub(crate) async fn command(&self, command: &str) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(self.address).await?;
        stream
            .write_all(format!("{command}\r\nQUIT\r\n").as_bytes())
            .await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    async fn wait_until_ready(&self) {
        eventually("Valkey answers", async || {
            match self.command("PING").await {
                Ok(answer) if answer.starts_with("+PONG") => Ok(()),
                other => Err(other),
            }
        })
        .await;
    }
}

impl Drop for Valkey {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn launch(address: SocketAddr, directory: &TempDir) -> Child {
    let server = mesh::engines::valkey_server(&Home::find().unwrap(), Ui::Quiet).unwrap();
    Command::new(server)
        .args(["--bind", &address.ip().to_string()])
        .args(["--port", &address.port().to_string()])
        .args(["--save", "", "--appendonly", "no"])
        .current_dir(directory.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}
