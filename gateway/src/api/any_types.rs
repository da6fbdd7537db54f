//! Types that only Anys hold, learned from the upstream that serves the method.

use std::sync::Arc;

use learning::{MissingType, TypeLookups, TypeSource};
use tonic::Status;

use super::Catalog;
use crate::failure::Failure;

// === impl Catalog ===

impl Catalog {
    /// Converts a message of this method, again after each type that its upstream tells.
    pub(crate) async fn convert<T, E: MissingType>(
        &self,
        method: &str,
        convert: impl FnMut() -> Result<T, E>,
    ) -> Result<T, E> {
        learning::convert(|| self.type_source(method), convert).await
    }

    /// The lookups for the messages of one call.
    pub(crate) fn lookups(&self, method: &str) -> TypeLookups {
        TypeLookups::new(self.type_source(method))
    }

    /// Learns the types of an error's details, so that they can be shown.
    pub(crate) async fn learn_details(&self, method: &str, status: &Status) {
        let details = status.details();
        if let Some(source) = self.type_source(method).filter(|_| !details.is_empty()) {
            source
                .learn_all(|| self.schema.missing_types(details))
                .await;
        }
    }

    fn type_source(&self, method: &str) -> Option<Arc<TypeSource>> {
        self.types.get(self.owner(method)?.name()).cloned()
    }
}

impl MissingType for Failure {
    fn missing_type(&self) -> Option<&str> {
        self.missing_type.as_deref()
    }
}
