//! The option `mesh.v1.event`, which makes a message publishable.

use prost::Message;

use super::{MessageDef, Pool};

/// Full name of the extension.
const NAME: &str = "mesh.v1.event";

/// Content of the option `mesh.v1.event`, as written.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct EventOption {
    /// Kind of entity that the event is about.
    #[prost(string, tag = "1")]
    pub aggregate: String,
    /// Name of the field that identifies the entity.
    #[prost(string, tag = "2")]
    pub key: String,
}

/// The options of a message that are read here.
#[derive(Clone, PartialEq, Message)]
struct EventOptions {
    #[prost(message, optional, tag = "50100")]
    event: Option<EventOption>,
}

// === impl EventOption ===

impl EventOption {
    /// Number of the option among those of a message.
    pub const NUMBER: i32 = 50_100;
}

// === impl Pool ===

impl Pool {
    /// Returns the messages that are events, with the option as written. The number is one that
    /// anybody may use, so that only a set with the option's definition has events.
    pub fn events(&self) -> impl Iterator<Item = (&MessageDef, EventOption)> {
        let is_declared = self.extensions.iter().any(|own| *own.field.name == *NAME);
        let messages = self.messages.iter().filter(move |_| is_declared);
        messages.filter_map(|message| {
            let options: EventOptions = message.options.decode().ok()?;
            Some((message, options.event?))
        })
    }
}
