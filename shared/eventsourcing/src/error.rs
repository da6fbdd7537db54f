//! Errors of the store and of projections.

use std::fmt;

/// Why events could not be appended, read or projected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another writer appended to the aggregate first. The transaction must not be committed.
    #[error("{aggregate} {id:?} has changed: expected version {expected}, found {found}")]
    Conflict {
        /// Kind of the aggregate.
        aggregate: &'static str,
        /// Its id.
        id: String,
        /// The version that the new events were decided on.
        expected: i64,
        /// The version in the database.
        found: i64,
    },
    /// An event to append has a type that [`Event::TYPES`](crate::Event::TYPES) does not declare,
    /// or is not serialized as `{type, payload}`.
    #[error("undeclared type of event: {0}")]
    Undeclared(String),
    /// A new event can't follow the state that it was decided on.
    #[error("{aggregate} {id:?}: the new event can't follow version {version}")]
    Impossible {
        /// Kind of the aggregate.
        aggregate: &'static str,
        /// Its id.
        id: String,
        /// The version before the event.
        version: i64,
    },
    /// A stored event or snapshot can't be read by this version of the code.
    #[error("{place}: {problem}")]
    Unreadable {
        /// Where it is stored.
        place: Place,
        /// Why it can't be read.
        problem: Problem,
    },
    /// A state or an event could not be serialized.
    #[error("serializing")]
    Serialize(#[source] serde_json::Error),
    /// A generation of the projection is being built already.
    #[error("projection {0}: a generation is being built already")]
    Building(&'static str),
    /// The live generation was written by newer code.
    #[error("projection {name}: live in version {live}, this code has {own}")]
    Outdated {
        /// The projection.
        name: &'static str,
        /// Version of the live generation.
        live: i32,
        /// Version of this code.
        own: i32,
    },
    /// The database failed.
    #[error("database")]
    Database(#[from] sqlx::Error),
}

/// The place of a stored event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Kind of the aggregate.
    pub aggregate: String,
    /// Its id.
    pub id: String,
    /// The event's version; that of the snapshot, if it is one.
    pub version: i64,
    /// Type of the event; `SNAPSHOT` for a snapshot.
    pub r#type: String,
}

/// Why a stored event can't be read.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The code declares no such type.
    #[error("unknown type of event")]
    UnknownType,
    /// The payload was written by newer code.
    #[error("schema {found} is newer than {known}, the latest known one")]
    NewerSchema {
        /// Schema of the payload.
        found: i32,
        /// Latest schema that the code knows.
        known: i32,
    },
    /// An upcaster rejected the payload.
    #[error("upcasting schema {schema}: {reason}")]
    Upcast {
        /// The schema that the failing upcaster reads.
        schema: i32,
        /// Text of the upcaster.
        reason: String,
    },
    /// The payload doesn't have the form of its schema.
    #[error("malformed payload")]
    Payload(#[source] serde_json::Error),
    /// The event can't follow those before it.
    #[error("it can't follow the events before it")]
    Impossible,
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            aggregate,
            id,
            version,
            r#type,
        } = self;
        write!(formatter, "{type} of {aggregate} {id:?}, version {version}")
    }
}
