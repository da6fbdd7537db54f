//! Checks one message: on the fast path, or else by a walk that names every violation.

pub(crate) mod compose;
pub(crate) mod fast;
pub(crate) mod path;
pub(crate) mod walk;
pub(crate) mod well_formed;

use descriptors::{MessageId, Types};
use wire::Read;

use crate::rules::table::{Need, Rules};
use crate::rules::value::Now;
use crate::violations::Violations;
use fast::Fast;
use walk::Walk;

/// Whether the bytes of a message are known to be well formed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trust {
    /// An encoder of this process has written them.
    WellFormed,
    /// Anything.
    None,
}

/// Returns the rules that a message breaks.
///
/// # Errors
/// The bytes are no message of the type.
pub(crate) fn violations(
    types: &Types,
    rules: &Rules,
    id: MessageId,
    wire: &[u8],
    trust: Trust,
) -> Read<Violations> {
    let own = rules.messages.get(id);
    let texts = own.is_some_and(|own| own.need.meets(Need::TEXT));
    // Text is raw on the wire: without a zero byte there is no U+0000, and most messages have none.
    let refuses_nul = texts && memchr::memchr(0, wire).is_some();
    let now = Now::new(rules.clock);
    let fast = Fast {
        types,
        rules,
        now: &now,
        is_foreign: trust == Trust::None,
        refuses_nul,
    };
    if fast.passes(id, wire) {
        return Ok(Violations::default());
    }
    if trust == Trust::None {
        well_formed::check(types, id, wire, 0)?;
    }
    let need = if refuses_nul { Need::ALL } else { Need::RULES };
    Walk::run(types, rules, id, wire, need, &now)
}
