//! The path template grammar of `google/api/http.proto`, parsed and normalised.

use descriptors::is_identifier;

use crate::percent;

/// A template: its segments, its variables as ranges of them, its verb.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// The segments, those of variables included.
    pub segments: Vec<Segment>,
    /// In the order of the text.
    pub variables: Vec<Variable>,
    /// The text after the colon, decoded.
    pub verb: Option<Box<str>>,
}

/// One segment of a template.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Segment {
    /// Percent-decoded, so that it can be compared with decoded request segments.
    Literal(Box<str>),
    /// `*`: exactly one segment.
    Star,
    /// `**`: any number of segments.
    Glob,
}

/// `{path=segments}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Names of the fields from the request message down.
    pub path: Vec<Box<str>>,
    /// The first segment of the variable in the template.
    pub start: usize,
    /// One after the last segment.
    pub end: usize,
}

impl Template {
    /// Parses `Template = "/" Segments [ ":" Verb ]`. A bare `/` is accepted as the template of the
    /// root.
    pub fn parse(text: &str) -> Result<Template, String> {
        let Some(path) = text.strip_prefix('/') else {
            return Err("a template starts with '/', as \"/v1/things\"".into());
        };
        let mut parser = Parser {
            rest: path,
            template: Template {
                segments: Vec::new(),
                variables: Vec::new(),
                verb: None,
            },
        };
        if !path.is_empty() {
            parser.segments(false)?;
            parser.verb()?;
        }
        match parser.rest {
            "" => parser.template.checked(),
            rest => Err(format!("unexpected {rest:?}")),
        }
    }

    /// Returns whether the variable's text keeps `%2F`: decided by the template and not by how many
    /// segments it matched.
    pub fn is_multi(&self, variable: &Variable) -> bool {
        let segments = &self.segments[variable.start..variable.end];
        segments.len() != 1 || segments[0] == Segment::Glob
    }

    /// Where the `**` is.
    pub fn glob(&self) -> Option<usize> {
        self.segments.iter().position(|s| *s == Segment::Glob)
    }

    /// Returns whether segments follow the `**`: more than the grammar of `google/api/http.proto`
    /// has.
    pub fn has_suffix(&self) -> bool {
        self.glob()
            .is_some_and(|glob| glob + 1 < self.segments.len())
    }

    fn checked(self) -> Result<Template, String> {
        let globs = self.segments.iter().filter(|s| **s == Segment::Glob);
        if globs.count() > 1 {
            return Err("a template has at most one '**'".into());
        }
        for (index, variable) in self.variables.iter().enumerate() {
            let earlier = &self.variables[..index];
            if earlier.iter().any(|other| other.path == variable.path) {
                return Err(format!(
                    "variable '{}' is repeated",
                    variable.path.join(".")
                ));
            }
        }
        Ok(self)
    }
}

const UNCLOSED: &str = "'{' without '}'; write {field} or {field=pattern}";

struct Parser<'a> {
    rest: &'a str,
    template: Template,
}

impl<'a> Parser<'a> {
    fn segments(&mut self, in_variable: bool) -> Result<(), String> {
        loop {
            self.segment(in_variable)?;
            match self.rest.strip_prefix('/') {
                Some(rest) => self.rest = rest,
                None => return Ok(()),
            }
        }
    }

    fn segment(&mut self, in_variable: bool) -> Result<(), String> {
        if let Some(rest) = self.rest.strip_prefix("**") {
            self.rest = rest;
            self.template.segments.push(Segment::Glob);
        } else if let Some(rest) = self.rest.strip_prefix('*') {
            self.rest = rest;
            self.template.segments.push(Segment::Star);
        } else if let Some(rest) = self.rest.strip_prefix('{') {
            if in_variable {
                return Err("a variable can't contain another variable".into());
            }
            self.rest = rest;
            self.variable()?;
        } else {
            let literal = self.literal("segment")?;
            self.template.segments.push(Segment::Literal(literal));
        }
        Ok(())
    }

    fn variable(&mut self) -> Result<(), String> {
        let Some(end) = self.rest.find(['=', '}']) else {
            return Err(UNCLOSED.into());
        };
        let (path, rest) = self.rest.split_at(end);
        let names: Vec<Box<str>> = path.split('.').map(Box::from).collect();
        if names.iter().any(|name| !is_identifier(name)) {
            return Err(format!(
                "'{path}' is not a field path; write {{field}} or {{message.field}}"
            ));
        }
        let start = self.template.segments.len();
        if let Some(rest) = rest.strip_prefix('=') {
            self.rest = rest;
            self.segments(true)?;
        } else {
            self.rest = rest;
            self.template.segments.push(Segment::Star);
        }
        let Some(rest) = self.rest.strip_prefix('}') else {
            return Err(UNCLOSED.into());
        };
        self.rest = rest;
        self.template.variables.push(Variable {
            path: names,
            start,
            end: self.template.segments.len(),
        });
        Ok(())
    }

    fn verb(&mut self) -> Result<(), String> {
        if let Some(rest) = self.rest.strip_prefix(':') {
            self.rest = rest;
            self.template.verb = Some(self.literal("verb")?);
        }
        Ok(())
    }

    /// Unreserved characters, sub-delimiters, `@` and percent-encoded bytes (RFC 3986 `pchar`
    /// without `*` and `:`).
    fn literal(&mut self, what: &str) -> Result<Box<str>, String> {
        let length = self
            .rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || "-_.~!$&'()+,;@%".contains(c)))
            .unwrap_or(self.rest.len());
        let (raw, rest) = self.rest.split_at(length);
        if raw.is_empty() {
            return Err(format!("empty {what} before {rest:?}"));
        }
        self.rest = rest;
        let decoded =
            percent::decode_all(raw).map_err(|reason| format!("{what} {raw:?}: {reason}"))?;
        if matches!(&*decoded, "." | "..") {
            return Err(format!("{what} '{raw}' never reaches a server"));
        }
        Ok(decoded.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(text: &str) -> String {
        let template = Template::parse(text).unwrap();
        let mut shape = String::new();
        for segment in &template.segments {
            shape.push('/');
            shape.push_str(match segment {
                Segment::Literal(text) => text,
                Segment::Star => "*",
                Segment::Glob => "**",
            });
        }
        for variable in &template.variables {
            let path = variable.path.join(".");
            shape += &format!(" {path}={}..{}", variable.start, variable.end);
        }
        if let Some(verb) = &template.verb {
            shape += &format!(" :{verb}");
        }
        shape
    }

    #[test]
    fn templates_parse() {
        let cases = [
            ("/", ""),
            ("/v1/orders", "/v1/orders"),
            ("/v1/orders/{id}", "/v1/orders/* id=2..3"),
            (
                "/v1/{book.name=shelves/*/books/*}",
                "/v1/shelves/*/books/* book.name=1..5",
            ),
            ("/v1/{name=**}:purge", "/v1/** name=1..2 :purge"),
            ("/v1/{shelf=100}", "/v1/100 shelf=1..2"),
            ("/a/{x=b/**}/z", "/a/b/**/z x=1..3"),
            ("/v1/a%2Fb/*", "/v1/a/b/*"),
            ("/v1/orders:batch%3Aget", "/v1/orders :batch:get"),
        ];
        for (text, expected) in cases {
            assert_eq!(shape(text), expected, "{text}");
        }
    }

    #[test]
    fn malformed_templates_are_refused_with_a_reason() {
        let cases = [
            ("", "starts with '/'"),
            ("v1", "starts with '/'"),
            ("/v1/", "empty segment"),
            ("/v1//a", "empty segment"),
            ("/v1/{a", "without '}'"),
            ("/v1/{a=*", "without '}'"),
            ("/v1/{}", "not a field path"),
            ("/v1/{a..b}", "not a field path"),
            ("/v1/{a={b}}", "can't contain another"),
            ("/v1/{a}/{a}", "is repeated"),
            ("/v1/**/{a=**}", "at most one"),
            ("/v1/a:", "empty verb"),
            ("/v1/a:b:c", "unexpected \":c\""),
            ("/v1/{a}x", "unexpected \"x\""),
            ("/v1/%zz", "percent"),
            ("/v1/../a", "never reaches"),
            ("/v1/%2e/a", "never reaches"),
        ];
        for (text, reason) in cases {
            let error = Template::parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
