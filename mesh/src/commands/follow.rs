//! Log files of several processes, printed as one stream of lines with names.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::Duration;

use crate::ui;

/// Pause between two looks at the files.
const POLL: Duration = Duration::from_millis(100);
/// Most bytes of a file that are read at once; the rest follows after the other files.
const CHUNK: u64 = 256 * 1024;
/// Most bytes from the end of a file in which its last lines are looked for.
const TAIL: u64 = 1024 * 1024;
/// Colours of names (ANSI), in turn.
const COLOURS: [u8; 6] = [36, 33, 32, 35, 34, 31];

/// Whether names are coloured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Palette {
    is_on: bool,
}

/// Reads what is appended to log files.
#[derive(Debug)]
pub(crate) struct Follower {
    logs: Vec<Log>,
}

#[derive(Debug)]
struct Log {
    /// The name as it is printed before each line.
    prefix: String,
    path: PathBuf,
    /// The file and how far it was read; a file of another inode begins anew.
    position: Option<(u64, u64)>,
    /// The beginning of a line whose end is not written yet.
    partial: String,
}

// === impl Palette ===

impl Palette {
    pub(crate) fn new(is_on: bool) -> Self {
        Self { is_on }
    }

    fn prefix(self, index: usize, name: &str, width: usize) -> String {
        match self.is_on {
            true => {
                let colour = COLOURS[index % COLOURS.len()];
                format!("\u{1b}[{colour}m{name:<width$} │\u{1b}[0m ")
            }
            false => format!("{name:<width$} │ "),
        }
    }
}

// === impl Follower ===

impl Follower {
    pub(crate) fn new(logs: impl Iterator<Item = (String, PathBuf)>, palette: Palette) -> Self {
        let named: Vec<(String, PathBuf)> = logs.collect();
        let width = named.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let logs = named
            .into_iter()
            .enumerate()
            .map(|(index, (name, path))| Log {
                prefix: palette.prefix(index, &name, width),
                path,
                position: None,
                partial: String::new(),
            });
        Self {
            logs: logs.collect(),
        }
    }

    /// Prints the last lines of each file; what follows is read from there.
    pub(crate) fn print_last(&mut self, lines: usize) {
        for log in &mut self.logs {
            log.print_last(lines);
        }
    }

    /// Goes to the end of each file.
    pub(crate) fn skip(&mut self) {
        self.print_last(0);
    }

    /// Prints lines as they come, for as long as it is polled.
    pub(crate) async fn run(&mut self) {
        let mut interval = tokio::time::interval(POLL);
        loop {
            interval.tick().await;
            for log in &mut self.logs {
                log.print_new();
            }
        }
    }
}

// === impl Log ===

impl Log {
    fn print_last(&mut self, lines: usize) {
        // A file that does not exist yet is read from its beginning.
        let Ok((mut file, inode, length)) = self.open() else {
            return;
        };
        let begin = length.saturating_sub(TAIL);
        let mut text = Vec::new();
        let read = file.seek(SeekFrom::Start(begin));
        if read
            .and_then(|_| file.take(length - begin).read_to_end(&mut text))
            .is_err()
        {
            return;
        }
        let text = String::from_utf8_lossy(&text);
        let all: Vec<&str> = text.lines().collect();
        for line in &all[all.len().saturating_sub(lines)..] {
            ui::print(format_args!("{}{line}", self.prefix));
        }
        self.position = Some((inode, length));
    }

    fn print_new(&mut self) {
        let Ok((mut file, inode, length)) = self.open() else {
            return;
        };
        let begin = match self.position {
            Some((known, position)) if known == inode && position <= length => position,
            _ => 0,
        };
        if begin == length || file.seek(SeekFrom::Start(begin)).is_err() {
            return;
        }
        let mut reader = BufReader::new(file.take(CHUNK));
        let mut line = Vec::new();
        let mut end = begin;
        while let Ok(read @ 1..) = reader.read_until(b'\n', &mut line) {
            end += read as u64;
            self.partial.push_str(&String::from_utf8_lossy(&line));
            line.clear();
            if self.partial.ends_with('\n') || self.partial.len() as u64 > CHUNK {
                ui::print(format_args!("{}{}", self.prefix, self.partial.trim_end()));
                self.partial.clear();
            }
        }
        self.position = Some((inode, end));
    }

    fn open(&self) -> std::io::Result<(File, u64, u64)> {
        let file = File::open(&self.path)?;
        let metadata = file.metadata()?;
        Ok((file, metadata.ino(), metadata.len()))
    }
}
