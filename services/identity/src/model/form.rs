//! Forms of OAuth 2.0 requests, and the credentials of clients in them.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;

use super::refusal::Refusal;

/// Most bytes of a form: a token has at most 16 KiB at gateways, and three times that in a form.
const MAX_BYTES: usize = 64 * 1024;
/// Most parameters of a form.
const MAX_PARAMETERS: usize = 32;
const MEDIA_TYPE: &str = "application/x-www-form-urlencoded";

/// The parameters of a request, each once.
pub struct Form(BTreeMap<String, String>);

/// ID and secret of a client, not checked yet.
#[derive(PartialEq, Eq)]
pub struct ClientCredentials {
    /// The ID.
    pub id: String,
    /// The secret.
    pub secret: String,
}

// === impl Form ===

impl Form {
    /// Reads a form. Parameters without a value count as omitted, unknown ones are ignored (RFC
    /// 6749 §3.2).
    ///
    /// # Errors
    /// Another media type, a form above 64 KiB or 32 parameters, a parameter twice, text that is
    /// not UTF-8.
    pub fn parse(content_type: &str, body: &[u8]) -> Result<Self, Refusal> {
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case(MEDIA_TYPE) {
            return Err(Refusal::InvalidRequest(
                "expected the content type application/x-www-form-urlencoded",
            ));
        }
        if body.len() > MAX_BYTES {
            return Err(Refusal::InvalidRequest("the form is too large"));
        }
        let text = std::str::from_utf8(body)
            .map_err(|_| Refusal::InvalidRequest("the form is not UTF-8"))?;
        let mut parameters = BTreeMap::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (decoded(name)?, decoded(value)?);
            if parameters.insert(name, value).is_some() {
                return Err(Refusal::InvalidRequest("a parameter was sent twice"));
            }
            if parameters.len() > MAX_PARAMETERS {
                return Err(Refusal::InvalidRequest("too many parameters"));
            }
        }
        parameters.retain(|_, value| !value.is_empty());
        Ok(Self(parameters))
    }

    /// Returns the form of a request without a body.
    pub fn empty() -> Self {
        Self(BTreeMap::new())
    }

    /// Returns the value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Returns the value of a parameter.
    ///
    /// # Errors
    /// When it is missing, with this problem.
    pub fn required(&self, name: &str, problem: &'static str) -> Result<&str, Refusal> {
        self.get(name).ok_or(Refusal::InvalidRequest(problem))
    }

    /// Returns the credentials of the client: those of `authorization`, else those of the form (RFC
    /// 6749 §2.3.1).
    ///
    /// # Errors
    /// None, both, or a header that is not Basic.
    pub fn client(&self, authorization: Option<&str>) -> Result<ClientCredentials, Refusal> {
        let in_form = (self.get("client_id"), self.get("client_secret"));
        match (authorization, in_form) {
            (Some(_), (_, Some(_))) => Err(Refusal::InvalidRequest(
                "the client sent its secret in two ways",
            )),
            (Some(header), (id, None)) => {
                let client = ClientCredentials::basic(header).ok_or(Refusal::InvalidClient)?;
                match id {
                    Some(id) if id != client.id => {
                        Err(Refusal::InvalidRequest("two clients are named"))
                    }
                    _ => Ok(client),
                }
            }
            (None, (Some(id), Some(secret))) => Ok(ClientCredentials {
                id: id.to_owned(),
                secret: secret.to_owned(),
            }),
            (None, _) => Err(Refusal::InvalidClient),
        }
    }
}

impl fmt::Debug for Form {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.0.keys()).finish()
    }
}

// === impl ClientCredentials ===

impl ClientCredentials {
    /// Reads the scheme Basic; ID and secret are encoded as in a form first.
    fn basic(header: &str) -> Option<Self> {
        let (scheme, encoded) = header.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let bytes = STANDARD.decode(encoded.trim()).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let (id, secret) = text.split_once(':')?;
        Some(Self {
            id: decoded(id).ok()?,
            secret: decoded(secret).ok()?,
        })
    }
}

impl fmt::Debug for ClientCredentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("ClientCredentials");
        shown.field("id", &self.id).finish_non_exhaustive()
    }
}

fn decoded(text: &str) -> Result<String, Refusal> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    let decoded = decoded.map_err(|_| Refusal::InvalidRequest("the form is not UTF-8"))?;
    Ok(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(text: &str) -> Result<Form, Refusal> {
        Form::parse(
            "application/x-www-form-urlencoded; charset=UTF-8",
            text.as_bytes(),
        )
    }

    fn code<T>(result: Result<T, Refusal>) -> &'static str {
        result.err().map_or("accepted", Refusal::code)
    }

    #[test]
    fn a_form_is_read_as_the_standard_says() {
        let read = form("grant_type=client_credentials&scope=a%20b+c&empty=&other=%C3%A9").unwrap();
        assert_eq!(read.get("scope"), Some("a b c"));
        assert_eq!(read.get("other"), Some("é"));
        assert_eq!(read.get("empty"), None);
        assert!(form("").unwrap().get("grant_type").is_none());
        let long = format!("a={}", "x".repeat(MAX_BYTES));
        let many: String = (0..=MAX_PARAMETERS).map(|it| format!("p{it}=1&")).collect();
        for text in ["a=1&a=2", "a=%ff", &long, &many] {
            assert_eq!(code(form(text)), "invalid_request");
        }
        assert_eq!(
            code(Form::parse("application/json", b"{}")),
            "invalid_request"
        );
    }

    #[test]
    fn a_client_sends_its_secret_in_one_way() {
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        let header = basic("a%2Bb:s+e:c");
        let client = form("").unwrap().client(Some(&header)).unwrap();
        assert_eq!(
            (client.id.as_str(), client.secret.as_str()),
            ("a+b", "s e:c")
        );
        let client = form("client_id=a&client_secret=s").unwrap().client(None);
        assert_eq!(client.unwrap().id, "a");
        let header = basic("a:s");
        assert!(form("client_id=a").unwrap().client(Some(&header)).is_ok());
        for (text, header, expected) in [
            (
                "client_id=a&client_secret=s",
                Some(&*header),
                "invalid_request",
            ),
            ("client_id=b", Some(&*header), "invalid_request"),
            ("", None, "invalid_client"),
            ("client_id=a", None, "invalid_client"),
            ("", Some("Bearer x"), "invalid_client"),
            ("", Some("Basic ???"), "invalid_client"),
            ("", Some("Basic"), "invalid_client"),
        ] {
            assert_eq!(code(form(text).unwrap().client(header)), expected, "{text}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let form = form("client_id=a&client_secret=hidden").unwrap();
        let client = form.client(None).unwrap();
        assert!(!format!("{form:?} {client:?}").contains("hidden"));
    }
}
