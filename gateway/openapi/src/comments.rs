//! The comments of a contract, as its document shows them.
//!
//! The first sentence is the summary, the rest the description. Three kinds of text are taken out
//! of it:
//! - `Example: <JSON>` on a separate line, and each block fenced as ```` ```json ````: an example
//!   of the field or message; in the comment of a method, of its request body.
//! - `NOT_FOUND: <text>`, or any other name of `google.rpc.Code`, at the start of a line, perhaps
//!   as an item of a list: an error of the method. It goes on up to the next such line or an empty
//!   one.
//! - Lines that start with `buf:lint:`, `protolint:` or `@exclude`: those are for tools.

use descriptors::Source;
use transcoder::status_code_name;

/// A comment, taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Comment {
    pub(crate) summary: String,
    pub(crate) description: String,
    /// JSON as written, not checked yet.
    pub(crate) examples: Vec<String>,
    /// Codes of `google.rpc.Code`, and when they occur.
    pub(crate) errors: Vec<(i32, String)>,
}

#[derive(Default)]
struct Parser {
    comment: Comment,
    prose: String,
    state: State,
}

/// The text that the next line belongs to.
#[derive(Default)]
enum State {
    #[default]
    Prose,
    Error,
    Json(String),
    /// Some other fenced block, which stays in the prose.
    Fence,
}

enum Line<'a> {
    JsonFence,
    Fence,
    Error(i32, &'a str),
    Example(&'a str),
    Tool,
    Blank,
    Text,
}

const FENCE: &str = "```";
const TOOLS: [&str; 3] = ["buf:lint:", "protolint:", "@exclude"];
const CODES: std::ops::RangeInclusive<i32> = 1..=16;

// === impl Comment ===

impl Comment {
    /// Returns the comment before a definition, or else the one after it.
    pub(crate) fn of(source: &Source) -> Self {
        let Some(comment) = &source.comment else {
            return Comment::default();
        };
        match comment.leading.trim() {
            "" => Comment::parse(&comment.trailing),
            _ => Comment::parse(&comment.leading),
        }
    }

    pub(crate) fn parse(text: &str) -> Self {
        let mut parser = Parser::default();
        for line in text.lines() {
            // Compilers strip the comment signs, and leave the space after them.
            parser.line(line.strip_prefix(' ').unwrap_or(line).trim_end());
        }
        parser.finish()
    }

    /// Summary and description in one.
    pub(crate) fn text(&self) -> String {
        let parts = [self.summary.as_str(), self.description.as_str()];
        let said = parts.into_iter().filter(|part| !part.is_empty());
        said.collect::<Vec<_>>().join("\n\n")
    }
}

// === impl Parser ===

impl Parser {
    fn line(&mut self, line: &str) {
        let kind = Line::of(line.trim());
        self.state = match (std::mem::take(&mut self.state), kind) {
            (State::Json(json), Line::Fence) => {
                self.comment.examples.push(json);
                State::Prose
            }
            (State::Json(json), _) => State::Json(json + line + "\n"),
            (State::Fence, Line::Fence) => self.prose(line, State::Prose),
            (State::Fence, _) => self.prose(line, State::Fence),
            (_, Line::JsonFence) => State::Json(String::new()),
            (_, Line::Fence) => self.prose(line, State::Fence),
            (_, Line::Error(code, text)) => {
                self.comment.errors.push((code, text.to_owned()));
                State::Error
            }
            (_, Line::Example(json)) => {
                self.comment.examples.push(json.to_owned());
                State::Prose
            }
            (state, Line::Tool) => state,
            (State::Error, Line::Text) => {
                if let Some((_, text)) = self.comment.errors.last_mut() {
                    text.push(' ');
                    text.push_str(line.trim());
                }
                State::Error
            }
            (_, Line::Blank | Line::Text) => self.prose(line, State::Prose),
        };
    }

    fn prose(&mut self, line: &str, next: State) -> State {
        self.prose.push_str(line);
        self.prose.push('\n');
        next
    }

    fn finish(mut self) -> Comment {
        if let State::Json(unclosed) = self.state {
            self.comment.examples.push(unclosed);
        }
        let prose = self.prose.trim();
        let (summary, description) = prose.split_at(first_sentence(prose));
        self.comment.summary = summary.split_whitespace().collect::<Vec<_>>().join(" ");
        self.comment.description = description.trim().to_owned();
        self.comment
    }
}

// === impl Line ===

impl<'a> Line<'a> {
    fn of(trimmed: &'a str) -> Self {
        if trimmed.is_empty() {
            Line::Blank
        } else if let Some(language) = trimmed.strip_prefix(FENCE) {
            match language.trim() {
                "json" => Line::JsonFence,
                _ => Line::Fence,
            }
        } else if let Some(json) = trimmed.strip_prefix("Example:") {
            Line::Example(json.trim())
        } else if TOOLS.iter().any(|tool| trimmed.starts_with(tool)) {
            Line::Tool
        } else {
            error(trimmed).map_or(Line::Text, |(code, text)| Line::Error(code, text))
        }
    }
}

fn error(line: &str) -> Option<(i32, &str)> {
    let item = line.strip_prefix("- ").or(line.strip_prefix("* "));
    let (name, text) = item.unwrap_or(line).split_once(':')?;
    let name = name.trim_matches('`');
    let mut codes = CODES;
    let code = codes.find(|code| status_code_name(*code) == name)?;
    Some((code, text.trim()))
}

/// Where the first sentence ends: at a full stop before a space or a line's end, or at an empty
/// line.
fn first_sentence(prose: &str) -> usize {
    let paragraph = prose.find("\n\n").unwrap_or(prose.len());
    let stops = prose.match_indices(". ").chain(prose.match_indices(".\n"));
    let sentence = stops
        .map(|(at, _)| at + 1)
        .filter(|at| !is_abbreviation(prose.get(..*at).unwrap_or_default()))
        .min();
    sentence.map_or(paragraph, |at| at.min(paragraph))
}

fn is_abbreviation(text: &str) -> bool {
    ["e.g.", "i.e.", "etc.", "vs.", "cf."]
        .iter()
        .any(|known| text.ends_with(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_sentence_is_the_summary_and_the_rest_the_description() {
        let comment = Comment::parse(
            " Reads one order, e.g. yours. And more\n of it.\n\n Second paragraph.\n",
        );
        assert_eq!(comment.summary, "Reads one order, e.g. yours.");
        assert_eq!(comment.description, "And more\nof it.\n\nSecond paragraph.");
        let comment = Comment::parse(" A title without a stop\n over two lines\n\n Text.\n");
        assert_eq!(comment.summary, "A title without a stop over two lines");
        assert_eq!(comment.description, "Text.");
        assert_eq!(Comment::parse(""), Comment::default());
    }

    #[test]
    fn examples_are_taken_out_of_the_prose() {
        let text = " An id.\n Example: \"a-1\"\n ```json\n {\"a\":\n   1}\n ```\n ```sql\n SELECT 1\n ```\n";
        let comment = Comment::parse(text);
        assert_eq!(comment.examples, ["\"a-1\"", "{\"a\":\n  1}\n"]);
        assert_eq!(comment.summary, "An id.");
        assert_eq!(comment.description, "```sql\nSELECT 1\n```");
    }

    #[test]
    fn errors_are_lines_that_start_with_a_code() {
        let text = " Cancels. It ends CANCELLED: no more.\n NOT_FOUND: there is\n no such order.\n - `ABORTED`: busy.\n\n Last.\n buf:lint:ignore X\n";
        let comment = Comment::parse(text);
        let errors = [(5, "there is no such order."), (10, "busy.")];
        assert_eq!(
            comment.errors,
            errors.map(|(code, text)| (code, text.to_owned()))
        );
        assert_eq!(comment.summary, "Cancels.");
        assert_eq!(comment.description, "It ends CANCELLED: no more.\n\nLast.");
    }
}
