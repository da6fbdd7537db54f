//! The reasons for which a credential is rejected.

use std::time::Duration;

use rpc::error::Fault;
use tonic::Code;

/// The reason for which a credential proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Rejection {
    /// Credentials of two kinds, or two of one kind (RFC 6750 §2).
    #[error("more than one credential was sent")]
    Ambiguous,
    /// A scheme of `authorization` that is not accepted.
    #[error("the scheme of the credential is not accepted; expected Bearer")]
    Scheme,
    /// Text that is not a token.
    #[error("the token is malformed")]
    Malformed,
    /// An algorithm that is not pinned for the issuer, `none` and symmetric ones always.
    #[error("the algorithm of the token is not accepted")]
    Algorithm,
    /// A header that changes the meaning of the token (`crit`, RFC 7515 §4.1.11).
    #[error("the token requires an extension that is not supported")]
    Critical,
    /// A token that is meant for something else (`typ`, RFC 9068 §2.1).
    #[error("the token is not an access token")]
    Type,
    /// An issuer that is not configured.
    #[error("the issuer of the token is not accepted")]
    Issuer,
    /// A key that the issuer does not publish.
    #[error("the key of the token is unknown")]
    UnknownKey,
    /// A signature that does not belong to the token.
    #[error("the signature of the token is invalid")]
    Signature,
    /// A claim that is missing or has the wrong type.
    #[error("the token lacks a claim, or has a malformed one")]
    Claim,
    /// An audience that is not this API.
    #[error("the token is meant for another audience")]
    Audience,
    /// A time that is over.
    #[error("the token has expired")]
    Expired,
    /// A time that has not come.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// A credential that was revoked.
    #[error("the credential was revoked")]
    Revoked,
    /// A token that its issuer does not call active (RFC 7662 §2.2), or a key that is unknown.
    #[error("the credential is unknown or not active")]
    Unknown,
    /// A token that is bound to another certificate than that of the connection (RFC 8705 §3).
    #[error("the token is bound to a client certificate that this connection does not have")]
    Certificate,
    /// A token that is bound in a way that is not supported, such as DPoP.
    #[error("the token is bound to its sender in a way that is not supported")]
    Binding,
    /// An issuer that does not answer, so that nothing can be said about the credential.
    #[error("the issuer of the credential does not answer")]
    Unavailable,
}

// === impl Rejection ===

impl Rejection {
    /// Returns the stable reason.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Ambiguous => "CREDENTIALS_AMBIGUOUS",
            Self::Scheme => "CREDENTIAL_UNSUPPORTED",
            Self::Malformed => "TOKEN_MALFORMED",
            Self::Algorithm => "TOKEN_ALGORITHM_REFUSED",
            Self::Critical => "TOKEN_EXTENSION_REFUSED",
            Self::Type => "TOKEN_TYPE_REFUSED",
            Self::Issuer => "TOKEN_ISSUER_REFUSED",
            Self::UnknownKey => "TOKEN_KEY_UNKNOWN",
            Self::Signature => "TOKEN_SIGNATURE_INVALID",
            Self::Claim => "TOKEN_CLAIM_INVALID",
            Self::Audience => "TOKEN_AUDIENCE_REFUSED",
            Self::Expired => "TOKEN_EXPIRED",
            Self::NotYetValid => "TOKEN_NOT_YET_VALID",
            Self::Revoked => "CREDENTIAL_REVOKED",
            Self::Unknown => "CREDENTIAL_UNKNOWN",
            Self::Certificate => "TOKEN_CERTIFICATE_MISMATCH",
            Self::Binding => "TOKEN_BINDING_UNSUPPORTED",
            Self::Unavailable => "ISSUER_UNAVAILABLE",
        }
    }

    /// Returns the error code of a challenge (RFC 6750 §3.1); `None` where the credential is not
    /// at fault.
    pub fn challenge_error(self) -> Option<&'static str> {
        match self {
            Self::Unavailable => None,
            Self::Ambiguous | Self::Scheme => Some("invalid_request"),
            _ => Some("invalid_token"),
        }
    }
}

impl From<Rejection> for Fault {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::Unavailable => Fault::unavailable(rejection.reason(), rejection.to_string())
                .retry_after(Duration::from_secs(1)),
            _ => Fault::new(
                Code::Unauthenticated,
                rejection.reason(),
                rejection.to_string(),
            ),
        }
    }
}
