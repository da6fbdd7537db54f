//! Bounds of a workbook, checked before its reader sees it: it trusts what the archive says.

use std::io::{self, Cursor, Read};

use zip::ZipArchive;
use zip::result::ZipError;

use crate::error::{Place, Position, Refusal, rules};
use crate::limits::{MAX_MEMBERS, MAX_MEMORY_BYTES};
use crate::unpack::check_name;

/// Unpacks all members to nothing, and counts.
pub(super) fn members(bytes: &[u8]) -> Result<(), Refusal> {
    let refuse = |rule, name: &str, value: &str| {
        let member = (!name.is_empty()).then(|| name.into());
        let position = Position::Whole;
        Refusal::new(rule, Place { member, position }, value)
    };
    let broken = |error: &ZipError| {
        let rule = match error {
            ZipError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => rules::TRUNCATED,
            ZipError::UnsupportedArchive(_) => rules::ARCHIVE_METHOD,
            _ => rules::CORRUPT,
        };
        refuse(rule, "", &error.to_string())
    };
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| broken(&error))?;
    if archive.len() > MAX_MEMBERS {
        let value = format!("{} members; {MAX_MEMBERS} at most", archive.len());
        return Err(refuse(rules::ARCHIVE_MEMBERS, "", &value));
    }
    let mut all = 0;
    for index in 0..archive.len() {
        let entry = archive.by_index(index).map_err(|error| broken(&error))?;
        let name = match entry.name() {
            Ok(name) => name.into_owned(),
            Err(error) => return Err(refuse(rules::ARCHIVE_NAME, "", &error.to_string())),
        };
        check_name(&name).map_err(|()| refuse(rules::ARCHIVE_NAME, &name, &name))?;
        let left = MAX_MEMORY_BYTES - all;
        let copied = io::copy(&mut entry.take(left + 1), &mut io::sink());
        let copied = copied.map_err(|error| {
            let mut refusal = Refusal::of_io(&error, Place::default());
            refusal.place.member = Some(name.as_str().into());
            refusal
        })?;
        all += copied;
        if all > MAX_MEMORY_BYTES {
            let value = format!("unpacks to more than {MAX_MEMORY_BYTES} bytes");
            return Err(refuse(rules::ARCHIVE_BOMB, &name, &value));
        }
    }
    Ok(())
}
