//! Refusals of OAuth 2.0 requests, with their codes and statuses.

/// Why an OAuth request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A malformed request: the reason is a text of this service (RFC 6749 §5.2).
    #[error("{0}")]
    InvalidRequest(&'static str),
    /// No client, or a wrong secret (RFC 6749 §5.2): which of both is not said.
    #[error("the client is unknown, disabled, or its secret is wrong")]
    InvalidClient,
    /// Another grant than that of client credentials.
    #[error("the only grant type is client_credentials")]
    UnsupportedGrantType,
    /// Scopes or roles that the client does not have.
    #[error("the client does not have all of the scopes and roles")]
    InvalidScope,
    /// A client that may not ask about credentials (RFC 6750 §3.1).
    #[error("the client lacks the scope introspect")]
    InsufficientScope,
}

// === impl Refusal ===

impl Refusal {
    /// Returns the value of `error`.
    pub fn code(self) -> &'static str {
        match self {
            Self::InvalidRequest(_) => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::InvalidScope => "invalid_scope",
            Self::InsufficientScope => "insufficient_scope",
        }
    }

    /// Returns the HTTP status.
    pub fn status(self) -> u16 {
        match self {
            Self::InvalidClient => 401,
            Self::InsufficientScope => 403,
            _ => 400,
        }
    }
}
