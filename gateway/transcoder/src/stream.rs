//! Streams of messages in one HTTP body: requests are split into single messages, responses are
//! framed.
//!
//! | framing | request ([`Format`]) | response ([`Framing`]) | an error in mid-stream |
//! |---|---|---|---|
//! | NDJSON | [`Format::Ndjson`] | [`Framing::Ndjson`] | a line `{"error":…}` |
//! | JSON array | [`Format::JsonArray`], [`Format::Json`] | [`Framing::JsonArray`] | a last element `{"error":…}` |
//! | concatenated JSON | [`Format::Concatenated`], [`Format::Json`] | | |
//! | JSON text sequence | [`Format::Sequence`] | | |
//! | server-sent events | | [`Framing::Sse`] | an event of type `error` |
//! | length-delimited protobuf | [`Format::Delimited`] | [`Framing::Delimited`] | none: the transfer is broken off |
//!
//! Both sides hold one message at most. [`Splitter`] is pulled, [`Writer`] is pushed, and what lies
//! between them waits for neither: the caller's own flow control is the stream's.

mod format;
mod framing;
mod message;
mod splitter;
mod writer;

pub use format::Format;
pub use framing::Framing;
pub use message::Message;
pub use splitter::Splitter;
pub use writer::{Close, Event, EventId, Writer};
