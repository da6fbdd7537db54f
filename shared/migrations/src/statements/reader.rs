//! The words of SQL, past comments, literals and bodies of functions.

/// Comment before a statement that breaks no older program, although a rule says so.
const EXEMPTION: &str = "-- expand: ";

/// A statement without comments and literals.
pub(super) struct Statement {
    pub(super) line: usize,
    pub(super) words: Vec<String>,
    pub(super) is_exempt: bool,
}

/// Splits a text into statements of upper-case words.
pub(super) fn statements(sql: &str) -> Vec<Statement> {
    let mut all = Vec::new();
    let mut current = Statement::new();
    let mut reader = Reader { rest: sql, line: 1 };
    while let Some(token) = reader.next() {
        match token {
            Token::Exemption => current.is_exempt = true,
            Token::End => all.push(std::mem::replace(&mut current, Statement::new())),
            Token::Word(word, line) => {
                if current.words.is_empty() {
                    current.line = line;
                }
                current.words.push(word);
            }
        }
    }
    all.push(current);
    all.retain(|statement| !statement.words.is_empty());
    all
}

impl Statement {
    fn new() -> Self {
        Self {
            line: 0,
            words: Vec::new(),
            is_exempt: false,
        }
    }
}

enum Token {
    Word(String, usize),
    End,
    Exemption,
}

/// Reads words past comments, literals and bodies of functions.
struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

impl Reader<'_> {
    fn next(&mut self) -> Option<Token> {
        loop {
            let space = self.rest.len() - self.rest.trim_start().len();
            self.skip(space);
            let first = self.rest.chars().next()?;
            let line = self.line;
            if self.rest.starts_with("--") {
                let exempts = self.rest.strip_prefix(EXEMPTION);
                let length = self.rest.find('\n').unwrap_or(self.rest.len());
                let reason = exempts.and_then(|text| text.lines().next());
                let has_reason = reason.is_some_and(|reason| !reason.trim().is_empty());
                self.skip(length);
                if has_reason {
                    return Some(Token::Exemption);
                }
            } else if self.rest.starts_with("/*") {
                self.skip_comment();
            } else if first == '\'' {
                self.skip_quoted('\'');
                return Some(Token::Word("'…'".to_owned(), line));
            } else if first == '"' {
                let name = self.rest.get(1..).unwrap_or_default();
                let name = name.split('"').next().unwrap_or_default().to_uppercase();
                self.skip_quoted('"');
                return Some(Token::Word(name, line));
            } else if let Some(tag) = dollar_tag(self.rest) {
                let body = self.rest.get(tag.len()..).unwrap_or_default();
                let end = body
                    .find(tag)
                    .map_or(self.rest.len(), |at| at + 2 * tag.len());
                self.skip(end);
                return Some(Token::Word("'…'".to_owned(), line));
            } else if first == ';' {
                self.skip(1);
                return Some(Token::End);
            } else {
                let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
                let length = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
                let length = length.max(first.len_utf8());
                let word = self.rest.get(..length).unwrap_or_default().to_uppercase();
                self.skip(length);
                return Some(Token::Word(word, line));
            }
        }
    }

    /// Skips a comment; comments nest in Postgres.
    fn skip_comment(&mut self) {
        let mut depth = 0_usize;
        loop {
            let open = self.rest.find("/*");
            let close = self.rest.find("*/");
            match (open, close) {
                (Some(open), Some(close)) if open < close => {
                    depth += 1;
                    self.skip(open + 2);
                }
                (_, Some(close)) => {
                    depth = depth.saturating_sub(1);
                    self.skip(close + 2);
                    if depth == 0 {
                        return;
                    }
                }
                (_, None) => return self.skip(self.rest.len()),
            }
        }
    }

    /// Skips a literal or a name; a doubled quote is within it.
    fn skip_quoted(&mut self, quote: char) {
        let mut characters = self.rest.char_indices().skip(1).peekable();
        while let Some((at, character)) = characters.next() {
            if character == quote && characters.next_if(|(_, next)| *next == quote).is_none() {
                return self.skip(at + 1);
            }
        }
        self.skip(self.rest.len());
    }

    fn skip(&mut self, length: usize) {
        let (skipped, rest) = self
            .rest
            .split_at_checked(length)
            .unwrap_or((self.rest, ""));
        self.line += skipped.matches('\n').count();
        self.rest = rest;
    }
}

/// Returns the `$tag$` that a text begins with.
fn dollar_tag(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('$')?;
    let end = inner.find('$')?;
    let tag = inner.get(..end)?;
    let is_tag = tag.chars().all(|c| c.is_alphanumeric() || c == '_');
    is_tag.then(|| text.get(..end + 2)).flatten()
}
