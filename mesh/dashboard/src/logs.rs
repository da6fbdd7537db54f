//! Follows the log files of the processes.

mod line;

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

pub(crate) use line::LogLine;

/// Bytes of each file that a page begins with, and most lines of all files.
const BEGIN_BYTES: u64 = 64 * 1024;
const BEGIN_LINES: usize = 300;
/// Most bytes of one file that one round reads; a file that grew by more is read from its end.
const ROUND_BYTES: u64 = 256 * 1024;
/// Longest shown line, in bytes.
const MAX_LINE: usize = 4 * 1024;

/// The condition for lines.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogFilter {
    /// The process; empty for all.
    pub(crate) process: String,
    /// Part of the line, in lower case.
    pub(crate) text: String,
}

/// The files of all processes, each read up to its end.
#[derive(Debug)]
pub(crate) struct Tail {
    files: Vec<FollowedFile>,
    filter: LogFilter,
}

/// New lines, and the number of bytes that were left out before them.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct NewLines {
    pub(crate) lines: Vec<LogLine>,
    pub(crate) skipped_bytes: u64,
}

#[derive(Debug)]
struct FollowedFile {
    process: String,
    path: PathBuf,
    open: Option<(File, u64)>,
    offset: u64,
    /// Beginning of a line whose end is not written yet.
    partial: Vec<u8>,
    /// The time and the level of the last line, which those without inherit.
    last: (String, String),
}

// === impl Tail ===

impl Tail {
    /// Opens the logs of the processes in a directory.
    pub(crate) fn new(directory: &Path, processes: &[String], filter: LogFilter) -> Self {
        let chosen = processes
            .iter()
            .filter(|name| filter.process.is_empty() || **name == filter.process);
        let files = chosen.map(|name| FollowedFile {
            process: name.clone(),
            path: directory.join(format!("{name}.log")),
            open: None,
            offset: 0,
            partial: Vec::new(),
            last: <(String, String)>::default(),
        });
        Self {
            files: files.collect(),
            filter,
        }
    }

    /// Returns the last lines of all files in the order of time.
    pub(crate) fn begin(&mut self) -> NewLines {
        let mut found = self.round(BEGIN_BYTES);
        let first = found.lines.len().saturating_sub(BEGIN_LINES);
        found.lines.drain(..first);
        found.skipped_bytes = 0;
        found
    }

    /// Returns what was written since the last round.
    pub(crate) fn follow(&mut self) -> NewLines {
        self.round(ROUND_BYTES)
    }

    fn round(&mut self, most: u64) -> NewLines {
        let mut found = NewLines::default();
        for file in &mut self.files {
            // A process that has not started has no log yet.
            let Ok(skipped) = file.read(most, &self.filter, &mut found.lines) else {
                continue;
            };
            found.skipped_bytes += skipped;
        }
        // Stable: lines of one process stay in their order.
        found.lines.sort_by(|one, other| one.at.cmp(&other.at));
        found
    }
}

// === impl FollowedFile ===

impl FollowedFile {
    fn read(&mut self, most: u64, filter: &LogFilter, lines: &mut Vec<LogLine>) -> io::Result<u64> {
        let found = std::fs::metadata(&self.path)?;
        let is_same = self.open.as_ref().is_some_and(|(_, id)| *id == found.ino());
        if !is_same || found.len() < self.offset {
            // Renamed or cut: the file begins anew.
            let file = File::open(&self.path)?;
            self.open = Some((file, found.ino()));
            self.offset = 0;
            self.partial.clear();
        }
        let Some((file, _)) = &mut self.open else {
            return Ok(0);
        };
        let length = found.len();
        let mut skipped = 0;
        if length - self.offset > most {
            skipped = length - most - self.offset;
            self.offset = length - most;
            self.partial.clear();
        }
        file.seek(SeekFrom::Start(self.offset))?;
        let mut bytes = Vec::new();
        file.take(length - self.offset).read_to_end(&mut bytes)?;
        self.offset += bytes.len() as u64;
        let mut rest = bytes.as_slice();
        if skipped > 0 {
            // The first line has lost its beginning.
            let end = rest.iter().position(|byte| *byte == b'\n');
            rest = end.and_then(|end| rest.get(end + 1..)).unwrap_or_default();
        }
        self.split(rest, filter, lines);
        Ok(skipped)
    }

    fn split(&mut self, bytes: &[u8], filter: &LogFilter, lines: &mut Vec<LogLine>) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let Some(end) = part.strip_suffix(b"\n") else {
                self.keep(part);
                return;
            };
            self.keep(end);
            let text = String::from_utf8_lossy(&self.partial).into_owned();
            self.partial.clear();
            let Some(mut line) = line::parse(&text) else {
                continue;
            };
            if line.at.is_empty() {
                line.at.clone_from(&self.last.0);
                line.level.clone_from(&self.last.1);
            }
            self.last = (line.at.clone(), line.level.clone());
            line.process.clone_from(&self.process);
            if filter.text.is_empty() || text.to_lowercase().contains(&filter.text) {
                lines.push(line);
            }
        }
    }

    /// Keeps the beginning of a long line.
    fn keep(&mut self, part: &[u8]) {
        let room = MAX_LINE - self.partial.len().min(MAX_LINE);
        let part = part.get(..room).unwrap_or(part);
        self.partial.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn tail(directory: &Path, filter: LogFilter) -> Tail {
        let processes = ["a", "b"].map(str::to_owned);
        Tail::new(directory, &processes, filter)
    }

    fn append(directory: &Path, name: &str, text: &str) {
        let path = directory.join(format!("{name}.log"));
        let mut options = File::options();
        let mut file = options.create(true).append(true).open(path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn texts(found: &NewLines) -> Vec<&str> {
        found.lines.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn files_are_merged_by_time_and_followed() {
        let directory = tempfile::tempdir().unwrap();
        append(
            directory.path(),
            "a",
            "2026-01-31T10:00:00Z INFO one\n  more of one\n2026-01-31T10:00:02Z INFO three\n",
        );
        append(directory.path(), "b", "2026-01-31T10:00:01Z INFO two\n");
        let mut tail = tail(directory.path(), LogFilter::default());
        let begin = tail.begin();
        assert_eq!(texts(&begin), ["one", "  more of one", "two", "three"]);
        append(directory.path(), "b", "2026-01-31T10:00:03Z INFO fo");
        assert_eq!(tail.follow(), NewLines::default());
        append(directory.path(), "b", "ur\n");
        assert_eq!(texts(&tail.follow()), ["four"]);
    }

    #[test]
    fn a_renamed_log_is_followed_in_its_new_file() {
        let directory = tempfile::tempdir().unwrap();
        append(directory.path(), "a", "old\n");
        let mut tail = tail(directory.path(), LogFilter::default());
        tail.begin();
        let path = directory.path().join("a.log");
        std::fs::rename(&path, directory.path().join("a.log.1")).unwrap();
        append(directory.path(), "a", "new\n");
        assert_eq!(texts(&tail.follow()), ["new"]);
    }

    #[test]
    fn a_flood_is_read_from_its_end_and_its_size_is_told() {
        let directory = tempfile::tempdir().unwrap();
        append(directory.path(), "a", "first\n");
        let mut tail = tail(directory.path(), LogFilter::default());
        tail.begin();
        let flood = "0123456\n".repeat(ROUND_BYTES as usize / 8);
        append(directory.path(), "a", &format!("{flood}last\n"));
        let found = tail.follow();
        assert_eq!(found.skipped_bytes, 5);
        assert_eq!(texts(&found).last(), Some(&"last"));
        append(
            directory.path(),
            "a",
            &format!("{}\n", "x".repeat(2 * MAX_LINE)),
        );
        assert_eq!(tail.follow().lines[0].text.len(), MAX_LINE);
    }

    #[test]
    fn lines_are_chosen_by_process_and_by_text() {
        let directory = tempfile::tempdir().unwrap();
        append(directory.path(), "a", "Paid\nrefused\n");
        append(directory.path(), "b", "paid\n");
        let filter = LogFilter {
            process: "a".to_owned(),
            text: "paid".to_owned(),
        };
        assert_eq!(texts(&tail(directory.path(), filter).begin()), ["Paid"]);
    }
}
