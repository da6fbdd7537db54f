//! JSON values of the document: members keep the order in which they were added, so that equal
//! schemas give equal text.

use descriptors::quoted;

/// A JSON value under construction.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    Bool(bool),
    /// A number, or any other value that is JSON text already.
    Raw(Box<str>),
    Text(String),
    List(Vec<Json>),
    Object(Object),
}

/// A JSON object under construction.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Object(Vec<(String, Json)>);

// === impl Json ===

impl Json {
    /// Appends the value as text, without white space.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Json::Bool(true) => out.extend_from_slice(b"true"),
            Json::Bool(false) => out.extend_from_slice(b"false"),
            Json::Raw(text) => out.extend_from_slice(text.as_bytes()),
            Json::Text(text) => out.extend_from_slice(quoted(text).as_bytes()),
            Json::List(items) => {
                out.push(b'[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    item.write(out);
                }
                out.push(b']');
            }
            Json::Object(object) => object.write(out),
        }
    }

    /// Returns the value as text, without white space.
    pub(crate) fn to_text(&self) -> String {
        let mut out = Vec::new();
        self.write(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    /// Returns a list of values of one kind.
    pub(crate) fn list<T: Into<Json>>(items: impl IntoIterator<Item = T>) -> Json {
        Json::List(items.into_iter().map(Into::into).collect())
    }
}

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Json::Bool(value)
    }
}

impl From<u64> for Json {
    fn from(value: u64) -> Self {
        Json::Raw(value.to_string().into())
    }
}

impl From<i128> for Json {
    fn from(value: i128) -> Self {
        Json::Raw(value.to_string().into())
    }
}

impl From<f32> for Json {
    fn from(value: f32) -> Self {
        Json::Raw(zmij::Buffer::new().format_finite(value).into())
    }
}

impl From<i32> for Json {
    fn from(value: i32) -> Self {
        Json::Raw(value.to_string().into())
    }
}

impl From<&str> for Json {
    fn from(value: &str) -> Self {
        Json::Text(value.to_owned())
    }
}

impl From<String> for Json {
    fn from(value: String) -> Self {
        Json::Text(value)
    }
}

impl From<Object> for Json {
    fn from(value: Object) -> Self {
        Json::Object(value)
    }
}

impl From<Vec<Json>> for Json {
    fn from(value: Vec<Json>) -> Self {
        Json::List(value)
    }
}

// === impl Object ===

impl Object {
    pub(crate) fn new() -> Self {
        Object::default()
    }

    /// Sets a member; one that was there keeps its place.
    pub(crate) fn set(&mut self, name: impl Into<String>, value: impl Into<Json>) {
        let (name, value) = (name.into(), value.into());
        match self.0.iter_mut().find(|(own, _)| *own == name) {
            Some((_, own)) => *own = value,
            None => self.0.push((name, value)),
        }
    }

    /// Adds a member that is known not to be there yet: a set of many costs no search.
    pub(crate) fn push(&mut self, name: impl Into<String>, value: impl Into<Json>) {
        self.0.push((name.into(), value.into()));
    }

    /// [`Object::set`], in a chain.
    pub(crate) fn with(mut self, name: &str, value: impl Into<Json>) -> Self {
        self.set(name, value);
        self
    }

    /// Sets a text that says something.
    pub(crate) fn set_text(&mut self, name: &str, text: &str) {
        if !text.is_empty() {
            self.set(name, text);
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Json> {
        let mut members = self.0.iter();
        members.find(|(own, _)| own == name).map(|(_, own)| own)
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<Json> {
        let at = self.0.iter().position(|(own, _)| own == name)?;
        Some(self.0.remove(at).1)
    }

    /// Removes a text; an empty one where there is none.
    pub(crate) fn take_text(&mut self, name: &str) -> String {
        match self.remove(name) {
            Some(Json::Text(text)) => text,
            _ => String::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets all members of another object.
    pub(crate) fn merge(&mut self, other: Object) {
        for (name, value) in other.0 {
            self.set(name, value);
        }
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(b'{');
        for (index, (name, value)) in self.0.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            out.extend_from_slice(quoted(name).as_bytes());
            out.push(b':');
            value.write(out);
        }
        out.push(b'}');
    }
}
