//! Streams of messages in one HTTP body: requests are split into single messages, responses are
//! framed.
//!
//! | framing | request ([`Format`]) | response ([`Framing`]) | error in mid-stream |
//! |---|---|---|---|
//! | NDJSON | [`Format::Ndjson`] | [`Framing::Ndjson`] | last line, `{"error":…}` |
//! | JSON array | [`Format::JsonArray`], [`Format::Json`] | [`Framing::JsonArray`] | last element |
//! | concatenated JSON | [`Format::Concatenated`], [`Format::Json`] | | |
//! | JSON text sequence | [`Format::Sequence`] | | |
//! | server-sent events | | [`Framing::Sse`] | an event of type `error` |
//! | length-delimited protobuf | [`Format::Delimited`] | [`Framing::Delimited`] | none: aborted |
//!
//! Both sides hold one message at most. [`Splitter`] is pulled and [`Writer`] is pushed, so that
//! the flow control of the caller is that of the stream.

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
