//! Compression, found by content: gzip, zstd and zip, with bounds on what comes out.

mod archive;

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;

pub(crate) use archive::{Member, check_name};

use crate::error::{Broken, Place, Refusal, rules};
use crate::limits::{FREE_BYTES, MAX_RATIO, MAX_ZSTD_WINDOW_LOG};
use crate::settings::Settings;

/// Bytes on their way to a format.
pub(crate) type Bytes = Box<dyn Read + Send>;

/// The bytes of a unit.
pub(crate) enum Input {
    /// A file, which can be read at any place.
    File(File),
    /// A stream.
    Stream(Bytes),
}

/// Unpacked parts of a unit, in order.
pub(crate) enum Parts {
    /// One stream.
    One(Bytes),
    /// Members of a zip archive.
    Members {
        file: File,
        members: Vec<Member>,
        bound: Bound,
    },
}

/// How many bytes a unit may have; shared by its parts.
#[derive(Debug, Clone)]
pub(crate) struct Bound {
    unpacked: Arc<AtomicU64>,
    max: u64,
}

/// Counts the packed bytes that are read.
struct Packed<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

/// Refuses bytes beyond a bound.
struct Bounded<R> {
    inner: R,
    bound: Bound,
    /// Unpacked bytes of this part.
    own: u64,
    /// Packed bytes of this part; none where nothing is packed.
    packed: Option<Arc<AtomicU64>>,
}

/// Compression, by the first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    None,
    Gzip,
    Zstd,
    Zip,
}

const MAGIC_BYTES: usize = 4;

// === impl Packing ===

impl Packing {
    pub(crate) fn of(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Packing::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Packing::Zstd,
            [b'P', b'K', 3, 4, ..] | [b'P', b'K', 5, 6, ..] => Packing::Zip,
            _ => Packing::None,
        }
    }
}

// === impl Bound ===

impl Bound {
    pub(crate) fn new(max: u64) -> Self {
        Bound {
            unpacked: Arc::default(),
            max,
        }
    }
}

// === impl Input ===

impl Input {
    /// Unpacks the unit.
    pub(crate) fn unpack(self, settings: &Settings) -> Result<Parts, Refusal> {
        let bound = Bound::new(settings.max_bytes());
        let whole = |error: io::Error| Refusal::of_io(&error, Place::default());
        match self {
            Input::File(mut file) => {
                let start = begin(&mut file).map_err(whole)?;
                file.rewind().map_err(whole)?;
                if Packing::of(&start) == Packing::Zip {
                    let members = archive::members(&file, settings.members.as_deref())?;
                    return Ok(Parts::Members {
                        file,
                        members,
                        bound,
                    });
                }
                let packing = Packing::of(&start);
                Ok(Parts::One(
                    unpacked(Box::new(file), packing, bound).map_err(whole)?,
                ))
            }
            Input::Stream(mut stream) => {
                let start = begin(&mut stream).map_err(whole)?;
                let packing = Packing::of(&start);
                if packing == Packing::Zip {
                    let reason = "a zip archive is read from a file, not from a stream";
                    let rule = rules::ARCHIVE_NEEDS_FILE;
                    return Err(Refusal::new(rule, Place::default(), reason));
                }
                let all = Box::new(Cursor::new(start).chain(stream));
                Ok(Parts::One(unpacked(all, packing, bound).map_err(whole)?))
            }
        }
    }
}

/// Reads the first bytes.
pub(crate) fn begin(input: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut start = Vec::with_capacity(MAGIC_BYTES);
    input.take(MAGIC_BYTES as u64).read_to_end(&mut start)?;
    Ok(start)
}

/// Unpacks a stream of this packing, which is no archive.
pub(crate) fn unpacked(input: Bytes, packing: Packing, bound: Bound) -> io::Result<Bytes> {
    let count = Arc::new(AtomicU64::new(0));
    let packed = Packed {
        inner: input,
        count: count.clone(),
    };
    Ok(match packing {
        Packing::None | Packing::Zip => Bounded::boxed(packed, bound, None),
        Packing::Gzip => {
            let decoder = MultiGzDecoder::new(BufReader::new(packed));
            Bounded::boxed(decoder, bound, Some(count))
        }
        Packing::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(packed)?;
            decoder.window_log_max(MAX_ZSTD_WINDOW_LOG)?;
            Bounded::boxed(decoder, bound, Some(count))
        }
    })
}

// === impl Packed ===

impl<R: Read> Read for Packed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.inner.read(buffer) {
            Ok(read) => {
                self.count.fetch_add(read as u64, Ordering::Relaxed);
                Ok(read)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            // An error of the disk or the connection says nothing about the bytes.
            Err(error) => Err(Broken::error(rules::UNREADABLE, error.to_string())),
        }
    }
}

// === impl Bounded ===

impl<R: Read + Send + 'static> Bounded<R> {
    fn boxed(inner: R, bound: Bound, packed: Option<Arc<AtomicU64>>) -> Bytes {
        Box::new(Bounded {
            inner,
            bound,
            own: 0,
            packed,
        })
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let count = read as u64;
        let all = self.bound.unpacked.fetch_add(count, Ordering::Relaxed) + count;
        if all > self.bound.max {
            let value = format!("more than {} bytes", self.bound.max);
            return Err(Broken::error(rules::UNIT_TOO_LARGE, value));
        }
        self.own += count;
        if let Some(packed) = &self.packed {
            let packed = packed.load(Ordering::Relaxed);
            if self.own > FREE_BYTES && self.own / MAX_RATIO > packed {
                let own = self.own;
                let value = format!("{packed} bytes unpack to more than {own}");
                return Err(Broken::error(rules::ARCHIVE_BOMB, value));
            }
        }
        Ok(read)
    }
}

/// Reads a unit into memory: a gzip or zstd stream is unpacked, an archive stays one.
pub(crate) fn whole(input: Input, bound: Bound, max: u64) -> Result<Vec<u8>, Refusal> {
    let refuse = |error: io::Error| Refusal::of_io(&error, Place::default());
    let mut input: Bytes = match input {
        Input::File(file) => Box::new(file),
        Input::Stream(bytes) => bytes,
    };
    let start = begin(&mut input).map_err(refuse)?;
    let packing = Packing::of(&start);
    let all = Box::new(Cursor::new(start).chain(input));
    let mut bytes = Vec::new();
    let unpacked = unpacked(all, packing, bound).map_err(refuse)?;
    unpacked
        .take(max + 1)
        .read_to_end(&mut bytes)
        .map_err(refuse)?;
    if bytes.len() as u64 > max {
        let value = format!("more than {max} bytes, and it has to be held in memory");
        return Err(Refusal::new(rules::UNIT_TOO_LARGE, Place::default(), value));
    }
    Ok(bytes)
}
