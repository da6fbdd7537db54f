//! JSON text as serde_json reads it, with what its own tree loses: duplicate keys, their order, and
//! the text of numbers.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Refusal, TOO_DEEP};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Json<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
    Text(String),
    Array(Vec<Json<'a>>),
    Object(Vec<(String, Json<'a>)>),
}

/// Levels of JSON that the transcoder reads (its `MAX_DEPTH`).
pub(crate) const MAX_LEVELS: usize = transcoder::MAX_DEPTH;

struct Members<'a>(Vec<(String, &'a RawValue)>);

struct MembersVisitor;

// === impl Json ===

impl<'a> Json<'a> {
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Json<'a>, Refusal> {
        let text = std::str::from_utf8(bytes).map_err(|_| "not UTF-8")?;
        let raw: &RawValue = serde_json::from_str(text).map_err(|_| "not JSON")?;
        Json::expand(raw, 0)
    }

    fn expand(raw: &'a RawValue, level: usize) -> Result<Json<'a>, Refusal> {
        let text = raw.get();
        let broken = |_| "not JSON";
        Ok(match text.as_bytes().first() {
            Some(b'{') if level < MAX_LEVELS => {
                let Members(members) = serde_json::from_str(text).map_err(broken)?;
                let expanded = members
                    .into_iter()
                    .map(|(key, value)| Ok((key, Json::expand(value, level + 1)?)));
                Json::Object(expanded.collect::<Result<_, Refusal>>()?)
            }
            Some(b'[') if level < MAX_LEVELS => {
                let elements: Vec<&RawValue> = serde_json::from_str(text).map_err(broken)?;
                let expanded = elements
                    .into_iter()
                    .map(|value| Json::expand(value, level + 1));
                Json::Array(expanded.collect::<Result<_, Refusal>>()?)
            }
            Some(b'{' | b'[') => return Err(TOO_DEEP),
            Some(b'"') => Json::Text(serde_json::from_str(text).map_err(broken)?),
            Some(b't') => Json::Bool(true),
            Some(b'f') => Json::Bool(false),
            Some(b'n') => Json::Null,
            _ => Json::Number(text),
        })
    }
}

// === impl Members ===

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor).map(Members)
    }
}

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}
