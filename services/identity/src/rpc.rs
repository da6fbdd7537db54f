//! The methods of the contracts: decode, call model or store, encode.

mod oauth;

use chassis::page::{self, Page};
use chrono::Utc;
use protos::identity::v1::{
    CreateApiKeyRequest, CreateApiKeyResponse, CreateClientRequest, CreateClientResponse,
    DisableClientRequest, DisableClientResponse, ListApiKeysRequest, ListApiKeysResponse,
    ListClientsRequest, ListClientsResponse, ListRevocationsRequest, ListRevocationsResponse,
    RevokeApiKeyRequest, RevokeApiKeyResponse, RevokeTokensRequest, RevokeTokensResponse,
    RotateApiKeyRequest, RotateApiKeyResponse, RotateClientSecretRequest,
    RotateClientSecretResponse, identity_service_server::IdentityService,
};
use sqlx::PgPool;
use tonic::{Request, Response, Status};

pub use oauth::OAuth;

use crate::convert;
use crate::model::NewSecret;
use crate::store::{self, Validity};

/// The service for operators, on its own database.
#[derive(Debug)]
pub struct Identity {
    /// The service's database.
    pub pool: PgPool,
    /// How long a token is valid.
    pub token_life: chrono::Duration,
}

impl Identity {
    fn validity(&self) -> Validity {
        Validity {
            now: Utc::now(),
            token_life: self.token_life,
        }
    }
}

#[tonic::async_trait]
impl IdentityService for Identity {
    async fn create_client(
        &self,
        request: Request<CreateClientRequest>,
    ) -> Result<Response<CreateClientResponse>, Status> {
        let request = request.into_inner();
        let rights = convert::rights(request.roles, request.scopes, request.tenant)?;
        let secret = new_secret()?;
        let id = &request.client_id;
        let client = store::create_client(&self.pool, id, &rights, secret.digest).await?;
        Ok(Response::new(CreateClientResponse {
            client: Some(client.into()),
            client_secret: secret.text,
        }))
    }

    async fn list_clients(
        &self,
        request: Request<ListClientsRequest>,
    ) -> Result<Response<ListClientsResponse>, Status> {
        let request = request.into_inner();
        let page = Page::new(request.page_size);
        let clients = store::clients(&self.pool, &request.page_token, page.limit()).await?;
        let (clients, next_page_token) = page.cut(clients, |client| client.id.clone());
        Ok(Response::new(ListClientsResponse {
            clients: clients.into_iter().map(Into::into).collect(),
            next_page_token,
        }))
    }

    async fn disable_client(
        &self,
        request: Request<DisableClientRequest>,
    ) -> Result<Response<DisableClientResponse>, Status> {
        let id = request.into_inner().client_id;
        let client = store::disable_client(&self.pool, &id, self.validity()).await?;
        Ok(Response::new(DisableClientResponse {
            client: Some(client.into()),
        }))
    }

    async fn rotate_client_secret(
        &self,
        request: Request<RotateClientSecretRequest>,
    ) -> Result<Response<RotateClientSecretResponse>, Status> {
        let request = request.into_inner();
        let secret = new_secret()?;
        let ends_at = Utc::now() + convert::overlap(request.overlap);
        store::rotate_secret(&self.pool, &request.client_id, secret.digest, ends_at).await?;
        Ok(Response::new(RotateClientSecretResponse {
            client_secret: secret.text,
            previous_expire_time: Some(convert::timestamp(ends_at)),
        }))
    }

    async fn create_api_key(
        &self,
        request: Request<CreateApiKeyRequest>,
    ) -> Result<Response<CreateApiKeyResponse>, Status> {
        let request = request.into_inner();
        let rights = convert::rights(request.roles, request.scopes, request.tenant)?;
        let expiry = request.expire_time;
        let expiry = expiry.map(|expiry| convert::time("expireTime", expiry));
        let secret = new_key(&request.key_id)?;
        let key = store::create_api_key(
            &self.pool,
            &request.key_id,
            &request.subject,
            &rights,
            expiry.transpose()?,
            secret.digest,
        )
        .await?;
        Ok(Response::new(CreateApiKeyResponse {
            api_key: Some(key.into()),
            key: secret.text,
        }))
    }

    async fn list_api_keys(
        &self,
        request: Request<ListApiKeysRequest>,
    ) -> Result<Response<ListApiKeysResponse>, Status> {
        let request = request.into_inner();
        let page = Page::new(request.page_size);
        let keys = store::api_keys(&self.pool, &request.page_token, page.limit()).await?;
        let (keys, next_page_token) = page.cut(keys, |key| key.id.clone());
        Ok(Response::new(ListApiKeysResponse {
            api_keys: keys.into_iter().map(Into::into).collect(),
            next_page_token,
        }))
    }

    async fn rotate_api_key(
        &self,
        request: Request<RotateApiKeyRequest>,
    ) -> Result<Response<RotateApiKeyResponse>, Status> {
        let request = request.into_inner();
        let secret = new_key(&request.new_key_id)?;
        let ends_at = Utc::now() + convert::overlap(request.overlap);
        let (id, new_id) = (&request.key_id, &request.new_key_id);
        let rotated = store::rotate_api_key(&self.pool, id, new_id, secret.digest, ends_at);
        let (key, ends_at) = rotated.await?;
        Ok(Response::new(RotateApiKeyResponse {
            api_key: Some(key.into()),
            key: secret.text,
            previous_expire_time: Some(convert::timestamp(ends_at)),
        }))
    }

    async fn revoke_api_key(
        &self,
        request: Request<RevokeApiKeyRequest>,
    ) -> Result<Response<RevokeApiKeyResponse>, Status> {
        let id = request.into_inner().key_id;
        let key = store::revoke_api_key(&self.pool, &id, self.validity()).await?;
        Ok(Response::new(RevokeApiKeyResponse {
            api_key: Some(key.into()),
        }))
    }

    async fn revoke_tokens(
        &self,
        request: Request<RevokeTokensRequest>,
    ) -> Result<Response<RevokeTokensResponse>, Status> {
        let validity = self.validity();
        let revoked = convert::revoked(request.into_inner(), validity.now)?;
        let revocation = store::revoke(&self.pool, &revoked, validity).await?;
        Ok(Response::new(RevokeTokensResponse {
            revocation: Some(revocation.into()),
        }))
    }

    async fn list_revocations(
        &self,
        request: Request<ListRevocationsRequest>,
    ) -> Result<Response<ListRevocationsResponse>, Status> {
        let request = request.into_inner();
        let page = Page::new(request.page_size);
        let after = page::number(&request.page_token)?.unwrap_or(0);
        let all = store::revocations(&self.pool, after, page.limit()).await?;
        let (all, next_page_token) = page.cut(all, |one| one.id.to_string());
        Ok(Response::new(ListRevocationsResponse {
            revocations: all.into_iter().map(Into::into).collect(),
            next_page_token,
        }))
    }
}

fn new_secret() -> Result<NewSecret, crate::error::Error> {
    Ok(NewSecret::generate()?)
}

fn new_key(id: &str) -> Result<NewSecret, crate::error::Error> {
    Ok(NewSecret::of_key(id)?)
}
