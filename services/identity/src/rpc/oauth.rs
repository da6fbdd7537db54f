//! OAuth 2.0: tokens, their keys, revocation and introspection, as documents of the standards.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use protos::google::api::HttpBody;
use protos::identity::v1::{
    GetKeysRequest, GetKeysResponse, GetMetadataRequest, GetMetadataResponse,
    GetRevocationListRequest, GetRevocationListResponse, IntrospectTokenRequest,
    IntrospectTokenResponse, IssueTokenRequest, IssueTokenResponse, RevokeTokenRequest,
    RevokeTokenResponse, o_auth_service_server::OAuthService,
};
use serde_json::{Value, json};
use sqlx::PgPool;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Request, Response, Status};

use crate::error::Error;
use crate::keys::Keys;
use crate::model::{
    ApiKey, Claims, Configured, Form, INTROSPECT, Issuer, Refusal, Revocation, Revoked, Rights,
    key_id_of,
};
use crate::store::{self, Validity};

/// The only grant (RFC 6749 §4.4.2).
const GRANT: &str = "client_credentials";
/// The challenge of a client that is refused (RFC 7617 §2).
const CHALLENGE: &str = r#"Basic realm="oauth", charset="UTF-8""#;
/// Responses that hold credentials, or say whether one is valid (RFC 6749 §5.1).
const SECRET: &str = "no-store";

/// OAuth 2.0 for clients and gateways.
pub struct OAuth {
    /// The service's database.
    pub pool: PgPool,
    /// The issuer.
    pub issuer: Issuer,
    /// Clients of the configuration.
    pub configured: Configured,
    /// The keys of tokens.
    pub keys: Arc<Keys>,
    /// How long the keys may be kept by others, in seconds.
    pub keys_max_age: i64,
}

/// A client that has proven who it is.
struct Proven {
    id: String,
    rights: Rights,
}

/// Why a request got no good answer.
enum Failure {
    Refused(Refusal),
    Failed(Error),
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

#[tonic::async_trait]
impl OAuthService for OAuth {
    async fn issue_token(
        &self,
        request: Request<IssueTokenRequest>,
    ) -> Result<Response<IssueTokenResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let issued = self.issue(&metadata, request.form).await;
        answer(issued, SECRET, |document| IssueTokenResponse { document })
    }

    async fn revoke_token(
        &self,
        request: Request<RevokeTokenRequest>,
    ) -> Result<Response<RevokeTokenResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let revoked = self.revoke(&metadata, request.form).await;
        answer(revoked, SECRET, |document| RevokeTokenResponse { document })
    }

    async fn introspect_token(
        &self,
        request: Request<IntrospectTokenRequest>,
    ) -> Result<Response<IntrospectTokenResponse>, Status> {
        let (metadata, _, request) = request.into_parts();
        let told = self.introspect(&metadata, request.form).await;
        answer(told, SECRET, |document| IntrospectTokenResponse {
            document,
        })
    }

    async fn get_revocation_list(
        &self,
        request: Request<GetRevocationListRequest>,
    ) -> Result<Response<GetRevocationListResponse>, Status> {
        let list = self.list(request.metadata()).await;
        answer(list, SECRET, |document| GetRevocationListResponse {
            document,
        })
    }

    async fn get_keys(
        &self,
        _: Request<GetKeysRequest>,
    ) -> Result<Response<GetKeysResponse>, Status> {
        let set = serde_json::to_value(self.keys.set());
        let set = set.map_err(|error| Status::internal(error.to_string()))?;
        answer(Ok(set), &self.public(), |document| GetKeysResponse {
            document,
        })
    }

    async fn get_metadata(
        &self,
        _: Request<GetMetadataRequest>,
    ) -> Result<Response<GetMetadataResponse>, Status> {
        let metadata = metadata(&self.issuer.url);
        answer(Ok(metadata), &self.public(), |document| {
            GetMetadataResponse { document }
        })
    }
}

impl OAuth {
    async fn issue(
        &self,
        metadata: &MetadataMap,
        form: Option<HttpBody>,
    ) -> Result<Value, Failure> {
        let form = read(form)?;
        let client = self.authenticate(metadata, &form).await?;
        if form.required("grant_type", "no grant_type")? != GRANT {
            return Err(Refusal::UnsupportedGrantType.into());
        }
        let rights = client
            .rights
            .narrowed(form.get("scope"), form.get("roles"))?;
        let now = Utc::now();
        let key = self.keys.signing(now)?;
        let token = self.issuer.issue(&client.id, rights, &key, now);
        let token = token.map_err(Error::Signing)?;
        let mut document = json!({
            "access_token": token.text,
            "token_type": "Bearer",
            "expires_in": self.issuer.token_life.num_seconds(),
        });
        if !token.claims.scope.is_empty() {
            document["scope"] = token.claims.scope.into();
        }
        Ok(document)
    }

    /// Revokes a token or key of the client. That of another client, and an unknown one, is no
    /// error: the caller learns nothing about it (RFC 7009 §2.2).
    async fn revoke(
        &self,
        metadata: &MetadataMap,
        form: Option<HttpBody>,
    ) -> Result<Value, Failure> {
        let form = read(form)?;
        let client = self.authenticate(metadata, &form).await?;
        let text = form.required("token", "no token")?;
        let now = Utc::now();
        let validity = Validity {
            now,
            token_life: self.issuer.token_life,
        };
        if let Some(claims) = self.claims(text) {
            if claims.client_id == client.id {
                let revoked = Revoked::Credential(claims.jti);
                store::revoke(&self.pool, &revoked, validity).await?;
            }
        } else if let Some(key) = self.key(text).await?
            && key.subject == client.id
        {
            store::revoke_api_key(&self.pool, &key.id, validity).await?;
        }
        Ok(Value::Null)
    }

    async fn introspect(
        &self,
        metadata: &MetadataMap,
        form: Option<HttpBody>,
    ) -> Result<Value, Failure> {
        let form = read(form)?;
        self.introspector(metadata, &form).await?;
        let text = form.required("token", "no token")?;
        let told = match self.claims(text) {
            Some(claims) => self.tell_token(claims).await?,
            None => self.tell_key(text).await?,
        };
        Ok(told.unwrap_or_else(|| json!({ "active": false })))
    }

    async fn tell_token(&self, claims: Claims) -> Result<Option<Value>, Error> {
        let issued_at = DateTime::from_timestamp(claims.iat, 0).unwrap_or_default();
        let revoked = store::is_revoked(&self.pool, &claims.jti, &claims.sub, issued_at);
        if revoked.await? {
            return Ok(None);
        }
        let told = serde_json::to_value(claims).ok().map(|mut told| {
            told["active"] = true.into();
            told["token_type"] = "Bearer".into();
            told
        });
        Ok(told)
    }

    async fn tell_key(&self, text: &str) -> Result<Option<Value>, Error> {
        let key = self.key(text).await?;
        let Some(key) = key.filter(|key| key.is_valid(Utc::now())) else {
            return Ok(None);
        };
        let mut told = json!({
            "active": true,
            "iss": self.issuer.url,
            "aud": self.issuer.audiences,
            "sub": key.subject,
            "jti": key.id,
            "iat": key.created_at.timestamp(),
            "roles": key.rights.roles,
            "scope": key.rights.scopes.join(" "),
        });
        if let Some(expiry) = key.expires_at {
            told["exp"] = expiry.timestamp().into();
        }
        if !key.rights.tenant.is_empty() {
            told["tenant"] = key.rights.tenant.into();
        }
        Ok(Some(told))
    }

    async fn list(&self, metadata: &MetadataMap) -> Result<Value, Failure> {
        self.introspector(metadata, &Form::empty()).await?;
        let all = store::revocation_list(&self.pool).await?;
        Ok(Revocation::list(&all, &self.issuer.url))
    }

    async fn introspector(&self, metadata: &MetadataMap, form: &Form) -> Result<(), Failure> {
        let client = self.authenticate(metadata, form).await?;
        match client.rights.has_scope(INTROSPECT) {
            true => Ok(()),
            false => Err(Refusal::InsufficientScope.into()),
        }
    }

    /// Finds the client that has sent the request.
    async fn authenticate(&self, metadata: &MetadataMap, form: &Form) -> Result<Proven, Failure> {
        let mut headers = metadata.get_all("authorization").iter();
        let header = match (headers.next(), headers.next()) {
            (None, _) => None,
            (Some(one), None) => Some(one.to_str().map_err(|_| Refusal::InvalidClient)?),
            _ => return Err(Refusal::InvalidRequest("two authorization headers").into()),
        };
        let claimed = form.client(header)?;
        let found = match self.configured.get(&claimed.id) {
            Some(client) => client
                .digest
                .is_of(&claimed.secret)
                .then(|| client.rights.clone()),
            None => store::client(&self.pool, &claimed.id)
                .await?
                .filter(|known| known.client.disabled_at.is_none())
                .filter(|known| known.secrets.iter().any(|it| it.is_of(&claimed.secret)))
                .map(|known| known.client.rights),
        };
        let rights = found.ok_or(Refusal::InvalidClient)?;
        Ok(Proven {
            id: claimed.id,
            rights,
        })
    }

    fn claims(&self, text: &str) -> Option<Claims> {
        self.issuer.read(text, self.keys.published().iter())
    }

    /// Finds the key whose whole text this is, valid or not.
    async fn key(&self, text: &str) -> Result<Option<ApiKey>, Error> {
        let Some(id) = key_id_of(text) else {
            return Ok(None);
        };
        let found = store::api_key(&self.pool, id).await?;
        let proven = found.filter(|(_, digest)| digest.is_of(text));
        Ok(proven.map(|(key, _)| key))
    }

    fn public(&self) -> String {
        format!("public, max-age={}", self.keys_max_age)
    }
}

impl std::fmt::Debug for OAuth {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = formatter.debug_struct("OAuth");
        shown.field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

fn read(form: Option<HttpBody>) -> Result<Form, Refusal> {
    let form = form.unwrap_or_default();
    Form::parse(&form.content_type, &form.data)
}

/// Returns the metadata of an issuer (RFC 8414 §2).
fn metadata(issuer: &str) -> Value {
    let methods = ["client_secret_basic", "client_secret_post"];
    json!({
        "issuer": issuer,
        "token_endpoint": format!("{issuer}/oauth/token"),
        "token_endpoint_auth_methods_supported": methods,
        "revocation_endpoint": format!("{issuer}/oauth/revoke"),
        "revocation_endpoint_auth_methods_supported": methods,
        "introspection_endpoint": format!("{issuer}/oauth/introspect"),
        "introspection_endpoint_auth_methods_supported": methods,
        "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
        "grant_types_supported": [GRANT],
        "response_types_supported": [],
    })
}

/// Makes the response: a document, or the error of RFC 6749 §5.2 with its HTTP status.
fn answer<T>(
    result: Result<Value, Failure>,
    cache_control: &str,
    message: impl FnOnce(Option<HttpBody>) -> T,
) -> Result<Response<T>, Status> {
    let (value, refusal) = match result {
        Ok(value) => (value, None),
        Err(Failure::Failed(error)) => return Err(error.into()),
        Err(Failure::Refused(refusal)) => {
            let error = json!({
                "error": refusal.code(),
                "error_description": refusal.to_string(),
            });
            (error, Some(refusal))
        }
    };
    let data = match value {
        Value::Null => Vec::new(),
        value => value.to_string().into_bytes(),
    };
    let body = HttpBody {
        content_type: "application/json".to_owned(),
        data,
        extensions: Vec::new(),
    };
    let mut response = Response::new(message(Some(body)));
    let metadata = response.metadata_mut();
    if let Ok(value) = MetadataValue::try_from(cache_control) {
        metadata.insert("cache-control", value);
    }
    if let Some(refusal) = refusal {
        metadata.insert("x-http-code", MetadataValue::from(refusal.status()));
        if refusal == Refusal::InvalidClient {
            metadata.insert("www-authenticate", MetadataValue::from_static(CHALLENGE));
        }
    }
    Ok(response)
}
