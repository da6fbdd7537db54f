//! Compiled masks, and messages without the fields that a reader may not see.

use std::sync::Arc;

use descriptors::{FieldPolicy, MessageId, MessagePlan, Pool, Problem, Shape, Types};
use wire::{
    MAX_DEPTH, Read, Reader, TOO_DEEP, Tag, WireError, WireType, close, open, put_delimited,
};

/// The masks of all messages of a schema.
#[derive(Debug)]
pub struct Masks {
    types: Arc<Types>,
    /// By [`MessageId`].
    messages: Vec<MessageMask>,
}

/// The mask of one message type. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Mask {
    masks: Arc<Masks>,
    id: MessageId,
}

#[derive(Debug, Default)]
struct MessageMask {
    /// Something in it, or below it, is not for everyone.
    hides: bool,
    /// The roles that see a field, by field index; shorter than the fields where none is hidden.
    roles: Vec<Option<Box<[String]>>>,
}

/// One message on its way to one reader.
struct Writer<'a, F> {
    masks: &'a Masks,
    has_role: F,
    is_changed: bool,
}

// === impl Masks ===

impl Masks {
    /// Compiles the masks of definitions; `types` has plans of the same pool. Mistakes are added
    /// to `problems`.
    pub fn new(pool: &Pool, types: Arc<Types>, problems: &mut Vec<Problem>) -> Self {
        let policies = pool.field_policies(problems);
        Self::compile(types, policies, |policy| policy.visible)
    }

    /// Compiles masks that hide the confidential fields (`mesh.v1.data_class`) from everyone: for
    /// views of operators.
    pub fn confidential(pool: &Pool, types: Arc<Types>) -> Self {
        // Mistakes are reported by the compiler's checks.
        let policies = pool.field_policies(&mut Vec::new());
        Self::compile(types, policies, |policy| {
            policy.class.is_confidential().then(Vec::new)
        })
    }

    fn compile(
        types: Arc<Types>,
        policies: Vec<FieldPolicy>,
        readers: impl Fn(FieldPolicy) -> Option<Vec<String>>,
    ) -> Self {
        let mut messages: Vec<MessageMask> = types
            .messages
            .iter()
            .map(|_| MessageMask::default())
            .collect();
        for policy in policies {
            let (message, number) = (policy.message, policy.number);
            let Some(roles) = readers(policy) else {
                continue;
            };
            let index = types
                .messages
                .get(message)
                .and_then(|plan| plan.by_number(number));
            if let (Some(own), Some(index)) = (messages.get_mut(message), index) {
                own.hides = true;
                own.roles
                    .resize_with(own.roles.len().max(index + 1), || None);
                if let Some(place) = own.roles.get_mut(index) {
                    *place = Some(roles.into());
                }
            }
        }
        let mut masks = Masks { types, messages };
        masks.link();
        masks
    }

    /// Returns the mask of a message; `None` where everyone may see all of it.
    pub fn of(self: &Arc<Self>, id: MessageId) -> Option<Mask> {
        let hides = self.messages.get(id).is_some_and(|own| own.hides);
        hides.then(|| Mask {
            masks: self.clone(),
            id,
        })
    }

    /// Marks every message that holds one that hides something. An Any may hold any.
    fn link(&mut self) {
        if !self.messages.iter().any(|own| own.hides) {
            return;
        }
        let plans = self.types.messages.iter().zip(&mut self.messages);
        for (plan, own) in plans {
            own.hides |= plan.shape == Shape::Any;
        }
        loop {
            let hides: Vec<bool> = self.messages.iter().map(|own| own.hides).collect();
            let below = |plan: &MessagePlan| {
                let mut inner = plan.fields.iter().filter_map(|field| field.message());
                inner.any(|id| hides.get(id).copied().unwrap_or(false))
            };
            let mut is_changed = false;
            for (plan, own) in self.types.messages.iter().zip(&mut self.messages) {
                if !own.hides && below(plan) {
                    own.hides = true;
                    is_changed = true;
                }
            }
            if !is_changed {
                return;
            }
        }
    }
}

// === impl Mask ===

impl Mask {
    /// Returns the message without the fields of which the reader has no role, or `None` where it
    /// may see all that is there.
    ///
    /// # Errors
    /// The bytes are no message.
    pub fn apply(
        &self,
        wire: &[u8],
        has_role: impl Fn(&str) -> bool,
    ) -> Result<Option<Vec<u8>>, WireError> {
        let mut writer = Writer {
            masks: &self.masks,
            has_role,
            is_changed: false,
        };
        let mut out = Vec::with_capacity(wire.len());
        writer
            .message(self.id, wire, &mut out, 0)
            .map_err(|error| *error)?;
        Ok(writer.is_changed.then_some(out))
    }
}

// === impl Writer ===

impl<F: Fn(&str) -> bool> Writer<'_, F> {
    fn message(&mut self, id: MessageId, wire: &[u8], out: &mut Vec<u8>, depth: usize) -> Read<()> {
        if depth >= MAX_DEPTH {
            return Err(WireError::new(TOO_DEEP));
        }
        let plan = self.masks.types.message(id);
        if plan.shape == Shape::Any {
            return self.any(wire, out, depth);
        }
        let mut reader = Reader::new(wire);
        loop {
            let before = reader.rest;
            let Some((number, wire_type)) = reader.tag()? else {
                return Ok(());
            };
            let raw = reader.value(number, wire_type)?;
            let index = plan.by_number(number);
            if index.is_some_and(|index| self.is_hidden(id, index)) {
                self.is_changed = true;
                continue;
            }
            let field = index.and_then(|index| plan.fields.get(index));
            let inner = field
                .and_then(|field| field.message())
                .filter(|inner| self.hides(*inner));
            match (inner, wire_type) {
                (Some(inner), WireType::Delimited) => {
                    Tag::new(number, wire_type).put(out);
                    let at = open(out);
                    self.message(inner, raw, out, depth + 1)?;
                    close(out, at);
                }
                (Some(inner), WireType::StartGroup) => {
                    Tag::new(number, wire_type).put(out);
                    self.message(inner, raw, out, depth + 1)?;
                    Tag::new(number, WireType::EndGroup).put(out);
                }
                _ => {
                    let length = before.len() - reader.rest.len();
                    out.extend_from_slice(before.get(..length).unwrap_or_default());
                }
            }
        }
    }

    /// Masks what an Any holds, where its type is known.
    fn any(&mut self, wire: &[u8], out: &mut Vec<u8>, depth: usize) -> Read<()> {
        let (mut url, mut value) = (&wire[..0], &wire[..0]);
        let mut reader = Reader::new(wire);
        while let Some((number, wire_type)) = reader.tag()? {
            let raw = reader.value(number, wire_type)?;
            match (number, wire_type) {
                (1, WireType::Delimited) => url = raw,
                (2, WireType::Delimited) => value = raw,
                _ => {}
            }
        }
        let name = str::from_utf8(url)
            .unwrap_or_default()
            .rsplit('/')
            .next()
            .unwrap_or_default();
        let held = self.masks.types.by_name.get(name).copied();
        let Some(held) = held.filter(|held| self.hides(*held)) else {
            out.extend_from_slice(wire);
            return Ok(());
        };
        put_delimited(out, Tag::new(1, WireType::Delimited), url);
        Tag::new(2, WireType::Delimited).put(out);
        let at = open(out);
        self.message(held, value, out, depth + 1)?;
        close(out, at);
        Ok(())
    }

    fn hides(&self, id: MessageId) -> bool {
        self.masks.messages.get(id).is_some_and(|own| own.hides)
    }

    fn is_hidden(&self, id: MessageId, index: usize) -> bool {
        let own = self.masks.messages.get(id);
        let roles = own
            .and_then(|own| own.roles.get(index))
            .and_then(Option::as_ref);
        roles.is_some_and(|roles| !roles.iter().any(|role| (self.has_role)(role)))
    }
}

#[cfg(test)]
mod tests;
