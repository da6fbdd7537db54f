//! Memory of a long NDJSON stream: split into messages, each to wire bytes and back to a line.

use std::{fs::File, hint::black_box, io::Read};

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use transcoder::{
    Match, Schema,
    stream::{Format, Framing, Splitter, Writer},
};

use super::rounded;
use crate::{clock::cpu_time, corpus::ORDER, counting};

/// Size of one read from a socket.
const CHUNK_BYTES: usize = 64 * 1024;

/// Largest message, a common bound of servers.
const MAX_MESSAGE_BYTES: usize = 4 << 20;

/// The memory and speed of one stream.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Streamed {
    /// Always `ndjson`.
    pub measure: String,
    /// Length of the stream in bytes, in and out.
    pub bytes: u64,
    /// Number of messages.
    pub messages: u64,
    /// The most heap that was held beyond what was held before.
    pub heap_growth_bytes: i64,
    /// The most resident memory beyond what was resident before; `null` where the system does not
    /// say.
    pub rss_growth_bytes: Option<u64>,
    /// 10⁶ bytes of NDJSON per second, in and out.
    pub mb_s: f64,
}

/// Converts `bytes` of orders. Measures the resident memory of its process, which must be a
/// separate one with [`counting::Counting`].
///
/// # Errors
/// When the transcoder rejects or loses a line.
pub fn ndjson(schema: &Schema, bytes: u64) -> Result<Streamed> {
    let source = EndlessLines::new();
    let found = ORDER.route(schema)?;
    let rss = resident_bytes();
    let start = cpu_time();
    let (pipe, counted) = counting::count(|| -> Result<Pipe<'_>> {
        let mut pipe = Pipe::new(found);
        let mut sent = 0;
        while sent < bytes {
            let chunk = source.chunk(sent, bytes);
            pipe.take(chunk)?;
            sent += chunk.len() as u64;
        }
        Ok(pipe)
    });
    let pipe = pipe?;
    let seconds = (cpu_time() - start).as_secs_f64();
    let expected = bytes / source.line_bytes();
    ensure!(
        pipe.messages == expected && pipe.written == expected * source.line_bytes(),
        "{} of {expected} messages went through",
        pipe.messages
    );
    Ok(Streamed {
        measure: "ndjson".to_owned(),
        bytes,
        messages: pipe.messages,
        heap_growth_bytes: counted.peak_bytes,
        rss_growth_bytes: rss
            .zip(pipe.rss_max)
            .map(|(before, max)| max.saturating_sub(before)),
        mb_s: rounded(bytes as f64 / 1e6 / seconds, 1),
    })
}

/// Endless lines in chunks that end anywhere.
struct EndlessLines {
    line_bytes: usize,
    lines: Vec<u8>,
}

/// Splits, encodes, decodes and frames, chunk by chunk, as a server does between two sockets.
struct Pipe<'a> {
    found: Match<'a>,
    splitter: Splitter,
    wire: Vec<u8>,
    out: Vec<u8>,
    writer: Writer,
    messages: u64,
    written: u64,
    rss_max: Option<u64>,
}

// === impl EndlessLines ===

impl EndlessLines {
    fn new() -> Self {
        let line = format!("{}\n", ORDER.json);
        let times = CHUNK_BYTES / line.len() + 2;
        EndlessLines {
            line_bytes: line.len(),
            lines: line.repeat(times).into_bytes(),
        }
    }

    fn line_bytes(&self) -> u64 {
        self.line_bytes as u64
    }

    /// Returns the chunk after `sent` bytes of `bytes`.
    fn chunk(&self, sent: u64, bytes: u64) -> &[u8] {
        let start = (sent % self.line_bytes()) as usize;
        let len = (bytes - sent).min(CHUNK_BYTES as u64) as usize;
        self.lines.get(start..start + len).unwrap_or_default()
    }
}

// === impl Pipe ===

impl<'a> Pipe<'a> {
    fn new(found: Match<'a>) -> Self {
        Pipe {
            found,
            splitter: Splitter::new(Format::Ndjson, MAX_MESSAGE_BYTES),
            wire: Vec::new(),
            out: Vec::new(),
            writer: Writer::new(Framing::Ndjson),
            messages: 0,
            written: 0,
            rss_max: None,
        }
    }

    fn take(&mut self, mut chunk: &[u8]) -> Result<()> {
        let route = self.found.route();
        while let Some(message) = self.splitter.next(&mut chunk)? {
            self.wire.clear();
            self.found
                .encode_request(None, message.bytes, &mut self.wire)
                .map_err(|error| message.locate(error))?;
            let wire = &self.wire;
            self.writer
                .message(&mut self.out, |out| route.write_response(wire, out))?;
            self.messages += 1;
        }
        self.flush();
        Ok(())
    }

    /// Output is sent before more is read.
    fn flush(&mut self) {
        self.written += self.out.len() as u64;
        black_box(&self.out);
        self.out.clear();
        self.rss_max = self.rss_max.max(resident_bytes());
    }
}

/// Returns the resident memory of this process from procfs.
fn resident_bytes() -> Option<u64> {
    // On the stack, so that it doesn't count as memory of the stream.
    let mut buffer = [0; 128];
    let len = File::open("/proc/self/statm")
        .ok()?
        .read(&mut buffer)
        .ok()?;
    let text = std::str::from_utf8(buffer.get(..len)?).ok()?;
    let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}
