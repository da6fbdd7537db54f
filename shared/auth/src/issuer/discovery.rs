//! Where an issuer has its keys: OpenID Connect Discovery §4, else RFC 8414 §3.

use http::Uri;
use serde::Deserialize;

use crate::fetch::{FetchError, Fetcher, Location};

/// Metadata of an issuer, as far as they are used.
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

/// Asks an issuer where its keys are.
pub(super) async fn discover(
    fetcher: &Fetcher,
    issuer: &str,
    allow_http: bool,
) -> Result<Location, FetchError> {
    let document = match fetcher.get(&openid(issuer)?).await {
        Err(FetchError::Status(_)) => fetcher.get(&oauth(issuer)?).await?,
        other => other?,
    };
    let metadata: Metadata =
        serde_json::from_slice(&document).map_err(|error| content(error.to_string()))?;
    // Otherwise one issuer could vouch for another (RFC 8414 §3.3).
    if metadata.issuer != issuer {
        let problem = format!("the metadata are those of the issuer `{}`", metadata.issuer);
        return Err(content(problem));
    }
    match Location::parse(&metadata.jwks_uri, allow_http) {
        Ok(Location::File(_)) => Err(content("`jwks_uri` is not a URL".to_owned())),
        Ok(location) => Ok(location),
        Err(problem) => Err(content(format!("`jwks_uri`: {problem}"))),
    }
}

fn content(problem: String) -> FetchError {
    FetchError::Content(problem)
}

fn openid(issuer: &str) -> Result<Location, FetchError> {
    let issuer = issuer.trim_end_matches('/');
    url(format!("{issuer}/.well-known/openid-configuration"))
}

/// The path of the issuer comes after the well-known one.
fn oauth(issuer: &str) -> Result<Location, FetchError> {
    let uri: Uri = issuer.parse().map_err(|_| FetchError::Url)?;
    let scheme = uri.scheme_str().ok_or(FetchError::Url)?;
    let authority = uri.authority().ok_or(FetchError::Url)?;
    let path = uri.path().trim_end_matches('/');
    url(format!(
        "{scheme}://{authority}/.well-known/oauth-authorization-server{path}"
    ))
}

fn url(text: String) -> Result<Location, FetchError> {
    text.parse().map(Location::Url).map_err(|_| FetchError::Url)
}
