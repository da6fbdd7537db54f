//! Tokens of operators: read from a file at start, compared in constant time.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use rpc::config::ConfigError;
use rpc::error::Fault;
use rustix::process::geteuid;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tonic::Code;

const KEY: &str = "operator_tokens";
const SCHEME: &str = "Bearer";

/// Shortest token: a shorter one could be guessed.
const MIN_CHARACTERS: usize = 32;

/// Most bytes of the file.
const MAX_BYTES: u64 = 1024 * 1024;

/// The name of the operator whose token a call carries, among its extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorName(Arc<str>);

/// The tokens of operators.
#[derive(Debug, Default)]
pub(crate) struct Tokens(Vec<Token>);

/// A token, of which only the digest is kept.
#[derive(Debug)]
struct Token {
    name: OperatorName,
    digest: [u8; 32],
}

// === impl OperatorName ===

impl OperatorName {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

// === impl Tokens ===

impl Tokens {
    /// Reads the file at `path`; none if the path is empty.
    ///
    /// # Errors
    /// A file that can't be read, that others than its owner may access, or that has a line other
    /// than `NAME TOKEN`.
    pub(crate) fn load(path: &str) -> Result<Self, ConfigError> {
        if path.is_empty() {
            return Ok(Self::default());
        }
        let refuse = |problem: String| ConfigError::new(KEY, problem, path);
        let text = read(path).map_err(refuse)?;
        Self::parse(&text).map_err(refuse)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut tokens: Vec<Token> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let token =
                Token::parse(line).map_err(|problem| format!("line {number}: {problem}"))?;
            if tokens.iter().any(|other| other.name == token.name) {
                let name = token.name.as_str();
                return Err(format!("line {number}: {name} has a token already"));
            }
            tokens.push(token);
        }
        match tokens.is_empty() {
            true => Err("the file holds no token".to_owned()),
            false => Ok(Self(tokens)),
        }
    }

    /// Returns the operator who sent these headers.
    ///
    /// # Errors
    /// UNAUTHENTICATED: no token, more than one, or an unknown one.
    pub(crate) fn authenticate(&self, headers: &HeaderMap) -> Result<OperatorName, Fault> {
        let refuse = |message| {
            Err(Fault::new(
                Code::Unauthenticated,
                "OPERATOR_TOKEN_INVALID",
                message,
            ))
        };
        if self.0.is_empty() {
            return refuse("no operator has a token here: `operator_tokens` is not set");
        }
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return refuse("expected `authorization: Bearer TOKEN` with the token of an operator");
        };
        let digest = value.to_str().ok().and_then(bearer).map(digest);
        // All are compared, so that the time tells nothing about their order.
        let mut found = None;
        for token in &self.0 {
            let is_equal = digest.is_some_and(|digest| digest.ct_eq(&token.digest).into());
            if is_equal {
                found = Some(token.name.clone());
            }
        }
        match found {
            Some(name) => Ok(name),
            None => refuse("the token is not that of an operator"),
        }
    }
}

// === impl Token ===

impl Token {
    fn parse(line: &str) -> Result<Self, String> {
        let mut words = line.split_whitespace();
        let (Some(name), Some(token), None) = (words.next(), words.next(), words.next()) else {
            return Err("expected `NAME TOKEN`".to_owned());
        };
        if token.len() < MIN_CHARACTERS {
            return Err(format!(
                "the token of {name} is shorter than {MIN_CHARACTERS} characters"
            ));
        }
        Ok(Self {
            name: OperatorName(name.into()),
            digest: digest(token),
        })
    }
}

fn read(path: &str) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("the file can't be read: {error}");
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    let mode = fs::Permissions::mode(&metadata.permissions()) & 0o777;
    // A file of another user, such as a secret that is mounted into a container, can't be read
    // without the bits for others; who mounts it decides who else sees it.
    let is_own = metadata.uid() == geteuid().as_raw();
    let (refused, expected) = if is_own {
        (0o077, "600")
    } else {
        (0o022, "644")
    };
    if mode & refused != 0 {
        return Err(format!(
            "others may access the file, its mode is {mode:o}; expected {expected}"
        ));
    }
    let mut text = String::new();
    file.take(MAX_BYTES)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    Ok(text)
}

/// Returns the token of `Bearer TOKEN`; the scheme's case does not matter (RFC 9110 §11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case(SCHEME).then(|| token.trim())
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const ANNA: &str = "0123456789abcdef0123456789abcdef";
    const BERT: &str = "fedcba9876543210fedcba9876543210";

    fn headers(values: &[String]) -> HeaderMap {
        let values = values.iter().map(|value| value.parse().unwrap());
        values.map(|value| (AUTHORIZATION, value)).collect()
    }

    #[test]
    fn a_token_names_its_operator() {
        let text = format!("# of the night shift\nanna {ANNA}\n\nbert  {BERT}\n");
        let tokens = Tokens::parse(&text).unwrap();
        for (value, name) in [
            (format!("Bearer {ANNA}"), "anna"),
            (format!("bearer {BERT}"), "bert"),
        ] {
            let operator = tokens.authenticate(&headers(&[value])).unwrap();
            assert_eq!(operator.as_str(), name);
        }
    }

    #[test]
    fn other_tokens_are_refused() {
        let tokens = Tokens::parse(&format!("anna {ANNA}")).unwrap();
        for values in [
            vec![],
            vec![format!("Bearer {BERT}")],
            vec![format!("Bearer {}", ANNA.get(1..).unwrap())],
            vec![format!("Basic {ANNA}")],
            vec![ANNA.to_owned()],
            vec![format!("Bearer {ANNA}"), format!("Bearer {ANNA}")],
        ] {
            let fault = tokens.authenticate(&headers(&values)).unwrap_err();
            assert_eq!(fault.code, Code::Unauthenticated, "{values:?}");
            assert_eq!(fault.reason, "OPERATOR_TOKEN_INVALID");
        }
        let fault = Tokens::default().authenticate(&headers(&[format!("Bearer {ANNA}")]));
        assert!(fault.unwrap_err().message.contains("`operator_tokens`"));
    }

    #[test]
    fn a_file_that_does_not_fit_is_refused_with_its_line() {
        for (text, problem) in [
            (String::new(), "no token"),
            ("anna".to_owned(), "line 1: expected `NAME TOKEN`"),
            (
                format!("anna {ANNA}\nbert short"),
                "line 2: the token of bert is shorter",
            ),
            (
                format!("anna {ANNA}\nanna {BERT}"),
                "line 2: anna has a token already",
            ),
        ] {
            let error = Tokens::parse(&text).unwrap_err();
            assert!(error.contains(problem), "{error}");
        }
    }

    #[test]
    fn only_its_owner_may_have_access_to_the_file() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "anna {ANNA}").unwrap();
        let path = file.path().to_str().unwrap();
        assert_eq!(Tokens::load(path).unwrap().0.len(), 1);
        fs::set_permissions(path, fs::Permissions::from_mode(0o640)).unwrap();
        let error = Tokens::load(path).unwrap_err();
        assert_eq!(error.key, KEY);
        assert!(error.problem.contains("640"), "{error}");
        // Only root can give a file away.
        if geteuid().is_root() {
            std::os::unix::fs::chown(path, Some(65_532), None).unwrap();
            for (mode, is_read) in [(0o644, true), (0o664, false)] {
                fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
                assert_eq!(Tokens::load(path).is_ok(), is_read, "{mode:o}");
            }
        }
        assert!(
            Tokens::load("/nonexistent")
                .unwrap_err()
                .problem
                .contains("can't be read")
        );
        assert!(Tokens::load("").unwrap().0.is_empty());
    }
}
