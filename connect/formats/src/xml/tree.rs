//! One record of XML: attributes as `@name`, elements by name, repeated ones as a list, text beside
//! either as `#text`.

use std::sync::Arc;

use quick_xml::events::{BytesRef, BytesStart, Event};

use super::Fault;
use crate::error::rules;
use crate::limits::MAX_RECORD_VALUES;
use crate::text::NOT_XML;
use crate::value::Value;

/// A record that is being read.
pub(super) struct Tree {
    /// Open elements; the first one is the record.
    open: Vec<Node>,
    values: usize,
    fault: Option<Fault>,
}

#[derive(Default)]
struct Node {
    name: Arc<str>,
    fields: Vec<(Arc<str>, Value)>,
    text: String,
}

// === impl Tree ===

impl Tree {
    pub(super) fn new(start: &BytesStart<'_>) -> Self {
        let mut tree = Tree {
            open: Vec::new(),
            values: 0,
            fault: None,
        };
        tree.fault = tree.start(start).err();
        tree
    }

    /// Adds a piece of the content.
    pub(super) fn add(&mut self, event: Event<'_>) -> Result<(), Fault> {
        match event {
            Event::Start(start) => self.start(&start),
            Event::Empty(start) => {
                self.start(&start)?;
                self.end()
            }
            Event::End(_) => self.end(),
            Event::Text(text) => self.text(&text),
            Event::CData(text) => self.text(&text),
            Event::GeneralRef(name) => {
                let resolved = reference(&name)?;
                self.text(&resolved)
            }
            _ => Ok(()),
        }
    }

    /// Returns the record.
    pub(super) fn finish(mut self) -> Result<Value, Fault> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        match self.open.pop() {
            Some(node) => Ok(node.value()),
            None => Ok(Value::Null),
        }
    }

    fn count(&mut self) -> Result<(), Fault> {
        self.values += 1;
        match self.values > MAX_RECORD_VALUES {
            true => Err((
                rules::RECORD_TOO_LARGE,
                format!("more than {MAX_RECORD_VALUES} values"),
            )),
            false => Ok(()),
        }
    }

    fn start(&mut self, start: &BytesStart<'_>) -> Result<(), Fault> {
        self.count()?;
        let mut node = Node {
            name: Arc::from(start.name().as_ref()),
            ..Node::default()
        };
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|error| (rules::SYNTAX, error.to_string()))?;
            let value = quick_xml::escape::unescape(&attribute.value);
            let value = value.map_err(|_| (rules::ENTITY, attribute.value.to_string()))?;
            check_text(&value)?;
            self.count()?;
            let name = format!("@{}", attribute.key.as_ref());
            node.fields.push((name.into(), Value::Text(value.into_owned())));
        }
        self.open.push(node);
        Ok(())
    }

    fn end(&mut self) -> Result<(), Fault> {
        let Some(node) = self.open.pop() else {
            return Ok(());
        };
        let name = node.name.clone();
        let value = node.value();
        let Some(parent) = self.open.last_mut() else {
            return Ok(());
        };
        match parent.fields.iter_mut().find(|(own, _)| *own == name) {
            None => parent.fields.push((name, value)),
            Some((_, Value::List(items))) => items.push(value),
            Some((_, first)) => {
                let items = vec![std::mem::replace(first, Value::Null), value];
                *first = Value::List(items);
            }
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), Fault> {
        check_text(text)?;
        if let Some(node) = self.open.last_mut() {
            node.text.push_str(text);
        }
        Ok(())
    }
}

// === impl Node ===

impl Node {
    fn value(mut self) -> Value {
        if self.fields.is_empty() {
            return Value::Text(self.text);
        }
        if !self.text.trim().is_empty() {
            self.fields.push(("#text".into(), Value::Text(self.text)));
        }
        Value::Map(self.fields)
    }
}

fn check_text(text: &str) -> Result<(), Fault> {
    let rule = match text.contains(NOT_XML) {
        true => rules::NOT_TEXT,
        false if text.contains('\0') => rules::NUL,
        false => return Ok(()),
    };
    Err((rule, text.replace(NOT_XML, "\u{fffd}")))
}

/// Returns the text that a reference stands for.
pub(super) fn reference(name: &BytesRef<'_>) -> Result<String, Fault> {
    let unknown = || (rules::ENTITY, format!("&{};", &**name));
    let character = name.resolve_char_ref().map_err(|_| unknown())?;
    if let Some(character) = character {
        return Ok(character.to_string());
    }
    let text = quick_xml::escape::resolve_predefined_entity(name).ok_or_else(unknown)?;
    Ok(text.to_owned())
}
