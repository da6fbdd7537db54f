//! The identity of bytes: their SHA-256.

use std::fs::File;
use std::io::{self, Read as _};

use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

/// Bytes that are read at a time.
const BLOCK: usize = 1024 * 1024;

/// A digest of bytes that arrive.
#[derive(Clone, Debug, Default)]
pub(crate) struct Digesting(Sha256);

impl Digesting {
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Returns 64 lower-case hexadecimal digits.
    pub(crate) fn end(self) -> String {
        hex(&self.0.finalize())
    }
}

/// Returns bytes as lower-case hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns digest and size of a file, from where it stands.
///
/// # Errors
/// [`io::ErrorKind::Interrupted`] once `halt` is cancelled.
pub(super) fn of(file: &mut File, halt: &CancellationToken) -> io::Result<(String, u64)> {
    let (mut digest, mut size) = (Digesting::default(), 0);
    let mut block = vec![0; BLOCK];
    loop {
        if halt.is_cancelled() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let read = file.read(&mut block)?;
        if read == 0 {
            return Ok((digest.end(), size));
        }
        digest.add(block.get(..read).unwrap_or_default());
        size += read as u64;
    }
}
