//! Fields whose values must not be quoted (`mesh.v1.data_class`).

use std::collections::HashSet;

use descriptors::{FieldPlan, MessageId, Pool, Types};

/// The confidential fields of a schema.
pub(crate) struct Confidential {
    fields: HashSet<(MessageId, u32)>,
    /// By [`MessageId`]: a field of it, or of a message below it, is confidential.
    messages: Vec<bool>,
}

// === impl Confidential ===

impl Confidential {
    pub(crate) fn new(pool: &Pool, types: &Types) -> Self {
        // Mistakes are reported by the compiler's checks.
        let policies = pool.field_policies(&mut Vec::new());
        let own = policies
            .iter()
            .filter(|policy| policy.class.is_confidential());
        let fields: HashSet<_> = own.map(|policy| (policy.message, policy.number)).collect();
        let mut messages = vec![false; types.messages.len()];
        for (id, _) in &fields {
            if let Some(own) = messages.get_mut(*id) {
                *own = true;
            }
        }
        let mut grows = !fields.is_empty();
        while grows {
            grows = false;
            for (id, plan) in types.messages.iter().enumerate() {
                let mut inner = plan.fields.iter().filter_map(|field| field.message());
                let holds = inner.any(|id| messages.get(id).copied().unwrap_or(false));
                if let Some(own) = messages.get_mut(id).filter(|own| holds && !**own) {
                    *own = true;
                    grows = true;
                }
            }
        }
        Confidential { fields, messages }
    }

    /// Returns whether a message holds a confidential field.
    pub(crate) fn holds(&self, id: MessageId) -> bool {
        self.messages.get(id).copied().unwrap_or(false)
    }

    /// Returns whether a field is confidential, or holds what is.
    pub(crate) fn has(&self, id: MessageId, field: &FieldPlan) -> bool {
        let is_own = self.fields.contains(&(id, field.number));
        is_own || field.message().is_some_and(|inner| self.holds(inner))
    }
}
