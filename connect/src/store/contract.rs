//! The contracts of the targets, as they were learned last.

use super::Store;

// === impl Store ===

impl Store {
    /// Keeps the contract of a target: an encoded `google.protobuf.FileDescriptorSet`.
    pub(crate) async fn keep_contract(&self, target: &str, set: &[u8]) -> Result<(), sqlx::Error> {
        sqlx::query!(
            "INSERT INTO contract (target, descriptor_set) VALUES ($1, $2)
             ON CONFLICT (target) DO UPDATE SET descriptor_set = excluded.descriptor_set, learned_at = now()",
            target,
            set,
        )
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Returns the last contract of a target.
    pub(crate) async fn contract(&self, target: &str) -> Result<Option<Vec<u8>>, sqlx::Error> {
        let kept = sqlx::query_scalar!(
            "SELECT descriptor_set FROM contract WHERE target = $1",
            target
        );
        kept.fetch_optional(&self.pool).await
    }
}
