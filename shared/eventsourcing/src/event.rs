//! Types of events, their stored form, and the way from an old form to the current one.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Error, Place, Problem};

/// Turns a payload of one schema into one of the next; an error says why the payload can't be.
pub type Upcast = fn(Value) -> Result<Value, String>;

/// A type of event: its name in the database, and what turns old payloads into current ones.
///
/// A new type has schema 1. A change of its form appends one upcaster, which raises the schema by
/// one; the upcaster at index `n` reads schema `n + 1`.
#[derive(Clone, Copy, Debug)]
pub struct EventType {
    name: &'static str,
    upcasts: &'static [Upcast],
}

/// The events of one kind of aggregate: an enum that derives serde's traits with
/// `#[serde(tag = "type", content = "payload")]`.
pub trait Event: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// Every type of the enum, with the upcasters of its old forms.
    const TYPES: &'static [EventType];
}

/// An event as it is stored.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Position among all events of the database.
    pub sequence: i64,
    /// Kind of the aggregate.
    pub aggregate: String,
    /// Its id.
    pub id: String,
    /// Number among the aggregate's events, from 1.
    pub version: i64,
    /// Name of the type.
    pub r#type: String,
    /// Schema of the payload.
    pub schema: i32,
    /// JSON.
    pub payload: String,
    /// Start of the transaction that recorded it.
    pub recorded_at: DateTime<Utc>,
}

/// An event to store.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) r#type: &'static str,
    pub(crate) schema: i32,
    /// JSON.
    pub(crate) payload: String,
}

/// Serializes an event by the current schema of its type.
pub(crate) fn encode<E: Event>(event: &E) -> Result<Encoded, Error> {
    let mut value = serde_json::to_value(event).map_err(Error::Serialize)?;
    let name = value.get("type").and_then(Value::as_str);
    let known = name.and_then(|name| find::<E>(name));
    let Some(known) = known else {
        return Err(Error::Undeclared(name.unwrap_or("no type").to_owned()));
    };
    let payload = value.get_mut("payload").map(Value::take);
    Ok(Encoded {
        r#type: known.name,
        schema: known.schema(),
        payload: payload.unwrap_or_default().to_string(),
    })
}

fn find<E: Event>(name: &str) -> Option<&'static EventType> {
    E::TYPES.iter().find(|known| known.name == name)
}

// === impl EventType ===

impl EventType {
    /// Declares a type whose form has never changed.
    pub const fn new(name: &'static str) -> Self {
        Self { name, upcasts: &[] }
    }

    /// Declares the upcasters of all old forms, the oldest first.
    #[must_use]
    pub const fn upcasts(self, upcasts: &'static [Upcast]) -> Self {
        Self { upcasts, ..self }
    }

    /// Returns the current schema, from 1.
    pub const fn schema(&self) -> i32 {
        self.upcasts.len() as i32 + 1
    }

    /// Returns the payload in its current form.
    fn upcast(&self, mut payload: Value, from: i32) -> Result<Value, Problem> {
        let skipped = usize::try_from(from - 1).unwrap_or_default();
        for (upcast, schema) in self.upcasts.iter().skip(skipped).zip(from..) {
            payload = upcast(payload).map_err(|reason| Problem::Upcast { schema, reason })?;
        }
        Ok(payload)
    }
}

// === impl Stored ===

impl Stored {
    /// Reads the event, in its current form.
    ///
    /// # Errors
    /// [`Error::Unreadable`]: an unknown type, a newer schema, a payload that does not fit.
    pub fn decode<E: Event>(&self) -> Result<E, Error> {
        self.read().map_err(|problem| Error::Unreadable {
            place: self.place(),
            problem,
        })
    }

    pub(crate) fn place(&self) -> Place {
        Place {
            aggregate: self.aggregate.clone(),
            id: self.id.clone(),
            version: self.version,
            r#type: self.r#type.clone(),
        }
    }

    fn read<E: Event>(&self) -> Result<E, Problem> {
        let known = find::<E>(&self.r#type).ok_or(Problem::UnknownType)?;
        if self.schema > known.schema() {
            return Err(Problem::NewerSchema {
                found: self.schema,
                known: known.schema(),
            });
        }
        let payload = serde_json::from_str(&self.payload).map_err(Problem::Payload)?;
        let payload = known.upcast(payload, self.schema)?;
        let mut tagged = serde_json::Map::new();
        tagged.insert("type".to_owned(), known.name.into());
        // A variant without content has no payload.
        if !payload.is_null() {
            tagged.insert("payload".to_owned(), payload);
        }
        serde_json::from_value(Value::Object(tagged)).map_err(Problem::Payload)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    /// Events of a counter. `ADDED` had a number as payload, then an object without `note`.
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "type", content = "payload", rename_all = "SCREAMING_SNAKE_CASE")]
    pub(crate) enum Counted {
        Added {
            count: i64,
            note: String,
        },
        Cleared,
        /// Not declared.
        Forgotten,
    }

    impl Event for Counted {
        const TYPES: &'static [EventType] = &[
            EventType::new("ADDED").upcasts(&[
                |number| Ok(json!({ "count": number })),
                |mut added| {
                    let fields = added.as_object_mut().ok_or("not an object")?;
                    fields.insert("note".to_owned(), "".into());
                    Ok(added)
                },
            ]),
            EventType::new("CLEARED"),
        ];
    }

    pub(crate) fn stored(r#type: &str, schema: i32, payload: &str) -> Stored {
        Stored {
            sequence: 7,
            aggregate: "counter".to_owned(),
            id: "c".to_owned(),
            version: 3,
            r#type: r#type.to_owned(),
            schema,
            payload: payload.to_owned(),
            recorded_at: DateTime::UNIX_EPOCH,
        }
    }

    fn problem(stored: &Stored) -> Problem {
        match stored.decode::<Counted>() {
            Err(Error::Unreadable { place, problem }) => {
                assert_eq!(place, stored.place());
                problem
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_old_payload_passes_every_upcaster_after_its_schema() {
        let added = |note: &str| Counted::Added {
            count: 5,
            note: note.to_owned(),
        };
        let read = |schema, payload| {
            let stored = stored("ADDED", schema, payload);
            stored.decode::<Counted>().unwrap()
        };
        assert_eq!(read(1, "5"), added(""));
        assert_eq!(read(2, r#"{"count": 5}"#), added(""));
        assert_eq!(read(3, r#"{"count": 5, "note": "n"}"#), added("n"));
    }

    #[test]
    fn an_unknown_type_is_an_error_and_not_skipped() {
        assert!(matches!(
            problem(&stored("FORGOTTEN", 1, "null")),
            Problem::UnknownType
        ));
    }

    #[test]
    fn a_newer_schema_is_an_error() {
        assert!(matches!(
            problem(&stored("ADDED", 4, "{}")),
            Problem::NewerSchema { found: 4, known: 3 }
        ));
    }

    #[test]
    fn a_payload_of_another_form_is_an_error() {
        assert!(matches!(
            problem(&stored("ADDED", 3, r#"{"count": "x"}"#)),
            Problem::Payload(_)
        ));
        assert!(matches!(
            problem(&stored("ADDED", 2, "5")),
            Problem::Upcast { schema: 2, .. }
        ));
    }

    #[test]
    fn an_undeclared_event_is_not_stored() {
        assert!(matches!(
            encode(&Counted::Forgotten),
            Err(Error::Undeclared(name)) if name == "FORGOTTEN"
        ));
    }

    #[test]
    fn an_error_names_the_event() {
        let error = stored("ADDED", 4, "{}").decode::<Counted>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "ADDED of counter \"c\", version 3: schema 4 is newer than 3, the latest known one"
        );
    }

    proptest! {
        #[test]
        fn whatever_is_encoded_is_read_back(count: i64, note: String, cleared: bool) {
            let event = if cleared { Counted::Cleared } else { Counted::Added { count, note } };
            let encoded = encode(&event).unwrap();
            let stored = stored(encoded.r#type, encoded.schema, &encoded.payload);
            prop_assert_eq!(stored.decode::<Counted>().unwrap(), event);
        }
    }
}
