//! The identity that a call carries.

use auth::internal;
use http::Request;
use rpc::error::Fault;
use rpc::headers::IDENTITY;
use tonic::Code;
use tonic::body::Body;

use super::{Caller, Shared};
use crate::exchange::Identified;

impl Shared {
    /// Adds the identity of the caller, in place of anything that claims to be one. A call that is
    /// passed on has a [`Caller`]; all others are this process's, on behalf of whom it serves.
    pub(super) fn identify(&self, request: &mut Request<Body>) -> Result<(), Fault> {
        let Some(signer) = self.signer.get().or_else(|| internal::signer()) else {
            return Ok(());
        };
        if !self.settings.client.identity {
            request.headers_mut().remove(IDENTITY);
            return Ok(());
        }
        let path = request.uri().path();
        let token = match request.extensions().get::<Caller>() {
            Some(caller) => signer.forward(path, caller.identity.as_ref()),
            None => signer.call(path, internal::current().as_ref()),
        };
        let token = token.map_err(|problem| {
            tracing::error!(problem, "call not signed");
            Fault::new(
                Code::Internal,
                "IDENTITY_UNSIGNED",
                "the call can't be signed",
            )
        })?;
        request.headers_mut().insert(IDENTITY, token);
        request.extensions_mut().insert(Identified);
        Ok(())
    }
}
