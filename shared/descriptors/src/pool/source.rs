//! Where a definition is written, and what its comments say.

use std::sync::Arc;

use super::proto::{Location, SourceCodeInfo};
use crate::error::Problem;

/// Index of a file in [`super::Pool::files`].
pub type FileId = usize;

/// Where one definition is written. Lines and comments are known if the compiler was asked for
/// source information.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// Index of the file in [`Pool::files`](super::Pool::files).
    pub file: FileId,
    /// Counted from one.
    pub line: Option<u32>,
    /// Counted from one.
    pub column: Option<u32>,
    /// The comment, for OpenAPI and other documents.
    pub comment: Option<Box<Comment>>,
    /// Line and column where options are set, by the number of the option.
    options: Box<[(i32, (u32, u32))]>,
}

/// The comments next to a definition, as written, without the comment signs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comment {
    /// The comment before the definition.
    pub leading: Box<str>,
    /// The comment after it.
    pub trailing: Box<str>,
}

/// Where a rule or a definition is written, as problems report it.
#[derive(Debug, Clone)]
pub struct Place {
    /// Name of the file.
    pub file: Arc<str>,
    /// Counted from one.
    pub line: Option<u32>,
    /// Counted from one.
    pub column: Option<u32>,
    /// Full name of the element; empty for the file as a whole.
    pub element: Box<str>,
}

/// The locations of one file, sorted by path.
#[derive(Debug, Default)]
pub(super) struct Locations<'a>(Vec<(&'a [i32], &'a Location)>);

// === impl Source ===

impl Source {
    /// Line and column of the option with this number; of the element itself where that is not
    /// known.
    pub(super) fn of_option(&self, option: i32) -> (Option<u32>, Option<u32>) {
        let options = &self.options;
        let found = options.binary_search_by_key(&option, |(number, _)| *number);
        match found.ok().and_then(|at| options.get(at)) {
            Some((_, (line, column))) => (Some(*line), Some(*column)),
            None => (self.line, self.column),
        }
    }
}

// === impl Place ===

impl Place {
    /// Returns a problem at this place.
    pub fn problem(&self, reason: impl Into<String>) -> Problem {
        Problem {
            file: self.file.to_string(),
            line: self.line,
            column: self.column,
            element: self.element.to_string(),
            reason: reason.into(),
        }
    }
}

// === impl Locations ===

impl<'a> Locations<'a> {
    pub(super) fn new(info: Option<&'a SourceCodeInfo>) -> Self {
        let all = info.map_or(&[][..], |info| &info.locations);
        let mut sorted: Vec<_> = all.iter().map(|l| (l.path.as_slice(), l)).collect();
        // Stable: an element that is written in several places, such as one of two `extend` blocks,
        // keeps their order.
        sorted.sort_by_key(|(path, _)| *path);
        Locations(sorted)
    }

    /// Returns the element at `path`, whose options are its field number `options`.
    pub(super) fn source(&self, file: FileId, path: &[i32], options: Option<i32>) -> Source {
        if self.0.is_empty() {
            return Source {
                file,
                ..Source::default()
            };
        }
        let own = self.starting_with(path).first();
        let own = own.filter(|(found, _)| *found == path).map(|(_, l)| *l);
        Source {
            file,
            line: own.and_then(line),
            column: own.and_then(column),
            comment: own.and_then(comment),
            options: options.map_or_else(Box::default, |tag| self.options(path, tag)),
        }
    }

    /// Line of the element at `path`.
    pub(super) fn line(&self, path: &[i32]) -> Option<u32> {
        self.starting_with(path).first().and_then(|(_, l)| line(l))
    }

    fn options(&self, path: &[i32], tag: i32) -> Box<[(i32, (u32, u32))]> {
        let prefix = [path, &[tag]].concat();
        let place = |(path, location): &(&[i32], &Location)| {
            let number = *path.get(prefix.len())?;
            Some((number, (line(location)?, column(location)?)))
        };
        let within = self.starting_with(&prefix).iter();
        let mut places: Vec<(i32, (u32, u32))> = within.filter_map(place).collect();
        places.dedup_by_key(|(number, _)| *number);
        places.into()
    }

    fn starting_with(&self, prefix: &[i32]) -> &[(&'a [i32], &'a Location)] {
        let start = self.0.partition_point(|(path, _)| *path < prefix);
        let rest = self.0.get(start..).unwrap_or_default();
        let length = rest.partition_point(|(path, _)| path.starts_with(prefix));
        rest.get(..length).unwrap_or_default()
    }
}

fn line(location: &Location) -> Option<u32> {
    u32::try_from(*location.span.first()?).ok()?.checked_add(1)
}

fn column(location: &Location) -> Option<u32> {
    u32::try_from(*location.span.get(1)?).ok()?.checked_add(1)
}

fn comment(location: &Location) -> Option<Box<Comment>> {
    let text = |text: &Option<String>| Box::from(text.as_deref().unwrap_or_default());
    let comment = Comment {
        leading: text(&location.leading_comments),
        trailing: text(&location.trailing_comments),
    };
    (comment != Comment::default()).then(|| Box::new(comment))
}
