//! Zip archives: which members are read, and their bytes with a check of their sums.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use flate2::Crc;
use flate2::read::DeflateDecoder;
use zip::{CompressionMethod, ZipArchive};

use super::{Bound, Bounded, Bytes};
use crate::error::{Broken, Place, Position, Refusal, rules};
use crate::limits::{MAX_MEMBERS, MAX_ZSTD_WINDOW_LOG};

/// A member of an archive.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) name: Arc<str>,
    method: Method,
    start: u64,
    packed: u64,
    unpacked: u64,
    sum: u32,
}

/// How a member is packed.
#[derive(Debug, Clone, Copy)]
enum Method {
    Stored,
    Deflated,
    Zstd,
}

/// Checks size and sum of a member at its end.
struct Checked<R> {
    inner: R,
    crc: Crc,
    member: Member,
    count: u64,
}

/// Lists the members that are read, in the order of their names.
pub(crate) fn members(file: &File, wanted: Option<&str>) -> Result<Vec<Member>, Refusal> {
    let refuse = |rule, name: &str, value: &str| {
        let member = (!name.is_empty()).then(|| Arc::from(name));
        let position = Position::Whole;
        Refusal::new(rule, Place { member, position }, value)
    };
    let broken = |error: &zip::result::ZipError| match error {
        zip::result::ZipError::Io(error) => Refusal::of_io(error, Place::default()),
        // An archive ends with its directory.
        other => refuse(rules::TRUNCATED, "", &other.to_string()),
    };
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(|error| broken(&error))?;
    if archive.len() > MAX_MEMBERS {
        let value = format!("{} members; {MAX_MEMBERS} at most", archive.len());
        return Err(refuse(rules::ARCHIVE_MEMBERS, "", &value));
    }
    let mut members = Vec::new();
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(|error| broken(&error))?;
        let name = match entry.name() {
            Ok(name) => name,
            Err(error) => return Err(refuse(rules::ARCHIVE_NAME, "", &error.to_string())),
        };
        let name = &*name;
        check_name(name).map_err(|()| refuse(rules::ARCHIVE_NAME, name, name))?;
        if entry.is_dir() || !wanted.is_none_or(|pattern| fits(pattern, name)) {
            continue;
        }
        if entry.encrypted() {
            return Err(refuse(rules::ARCHIVE_METHOD, name, "encrypted"));
        }
        let Some(method) = method_of(entry.compression()) else {
            let method = entry.compression().to_string();
            return Err(refuse(rules::ARCHIVE_METHOD, name, &method));
        };
        let Some(start) = entry.data_start() else {
            return Err(refuse(rules::CORRUPT, name, "it has no start"));
        };
        members.push(Member {
            name: Arc::from(name),
            method,
            start,
            packed: entry.compressed_size(),
            unpacked: entry.size(),
            sum: entry.crc32(),
        });
    }
    if members.is_empty() {
        let value = match wanted {
            Some(pattern) => format!("no member fits `{pattern}`"),
            None => "no member".to_owned(),
        };
        return Err(refuse(rules::ARCHIVE_MEMBERS, "", &value));
    }
    members.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(members)
}

/// Returns the method, if it can be unpacked here.
fn method_of(method: CompressionMethod) -> Option<Method> {
    match method {
        CompressionMethod::STORE => Some(Method::Stored),
        CompressionMethod::DEFLATE => Some(Method::Deflated),
        CompressionMethod::ZSTD => Some(Method::Zstd),
        _ => None,
    }
}

/// Refuses names that lead out of a directory. Nothing is unpacked into files here; an archive with
/// such a name was made to do harm elsewhere.
pub(crate) fn check_name(name: &str) -> Result<(), ()> {
    let is_absolute = name.starts_with(['/', '\\']) || name.get(1..2) == Some(":");
    let mut parts = name.split(['/', '\\']);
    match is_absolute || name.is_empty() || name.contains('\0') || parts.any(|part| part == "..") {
        true => Err(()),
        false => Ok(()),
    }
}

/// Returns whether a name fits a pattern, in which `*` stands for any run of characters.
fn fits(pattern: &str, name: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(rest) = pieces.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = pieces.next_back() else {
        return rest.is_empty();
    };
    let mut rest = rest;
    for piece in pieces {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

// === impl Member ===

impl Member {
    /// Returns its bytes.
    pub(crate) fn open(&self, file: &File, bound: Bound) -> io::Result<Bytes> {
        let mut file = file.try_clone()?;
        file.seek(SeekFrom::Start(self.start))?;
        let packed = BufReader::new(file.take(self.packed));
        let count = Some(Arc::new(AtomicU64::new(self.packed)));
        Ok(match self.method {
            Method::Stored => Bounded::boxed(self.checked(packed), bound, None),
            Method::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(packed)?;
                decoder.window_log_max(MAX_ZSTD_WINDOW_LOG)?;
                Bounded::boxed(self.checked(decoder), bound, count)
            }
            Method::Deflated => {
                Bounded::boxed(self.checked(DeflateDecoder::new(packed)), bound, count)
            }
        })
    }

    fn checked<R>(&self, inner: R) -> Checked<R> {
        Checked {
            inner,
            crc: Crc::new(),
            member: self.clone(),
            count: 0,
        }
    }
}

// === impl Checked ===

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.crc.update(&buffer[..read]);
        self.count += read as u64;
        if read > 0 || buffer.is_empty() {
            return Ok(read);
        }
        if self.count < self.member.unpacked {
            let value = format!("{} of {} bytes", self.count, self.member.unpacked);
            return Err(Broken::error(rules::TRUNCATED, value));
        }
        if self.count > self.member.unpacked || self.crc.sum() != self.member.sum {
            return Err(Broken::error(rules::CORRUPT, "the checksum is wrong"));
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_whole_names() {
        let cases = [
            ("a.csv", "a.csv", true),
            ("a.csv", "b/a.csv", false),
            ("*.csv", "b/a.csv", true),
            ("*.csv", "a.csv.exe", false),
            ("a*b*c", "a--b--c", true),
            ("a*b*c", "acb", false),
            ("*", "x", true),
            ("ab*b", "ab", false),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }
}
