//! Responses without the fields that their caller may not see.

use std::sync::Arc;

use auth::Identity;
use bytes::Bytes;
use http::Extensions;
use masks::Mask;
use tonic::Status;
use transcoder::{MethodPlan, Schema};

use super::frame::bad_upstream;

/// The mask of a method's responses, for one caller.
#[derive(Clone)]
pub(crate) struct ResponseMask {
    mask: Mask,
    /// `None` for an anonymous caller, who has no role.
    identity: Option<Arc<Identity>>,
}

// === impl ResponseMask ===

impl ResponseMask {
    /// Returns the mask of a call; `None` for a method that hides nothing from anyone.
    pub(crate) fn of(
        schema: &Schema,
        method: Option<&MethodPlan>,
        extensions: &Extensions,
    ) -> Option<Self> {
        Some(ResponseMask {
            mask: schema.mask(method?)?,
            identity: extensions.get().cloned(),
        })
    }

    /// Returns the message without the hidden fields, or `None` where there are none.
    ///
    /// # Errors
    /// The upstream's message is malformed, so that it can't be told what it holds.
    pub(crate) fn masked(&self, message: &[u8]) -> Result<Option<Bytes>, Status> {
        let roles = self.identity.as_ref().map(|identity| &identity.roles);
        let has_role = |role: &str| roles.is_some_and(|roles| roles.contains(role));
        let masked = self.mask.apply(message, has_role);
        let masked = masked.map_err(|error| {
            bad_upstream(&format!("a message of the upstream is malformed: {error}"))
        })?;
        Ok(masked.map(Bytes::from))
    }
}
