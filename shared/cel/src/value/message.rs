//! A message as a record: a field is decoded when it is read.

use std::fmt;
use std::sync::OnceLock;

use cel_engine::ExecutionError;
use cel_engine::common::traits::Indexer;
use cel_engine::common::types::{CelBool, CelBytes, CelString, Type};
use cel_engine::common::value::{CowVal, Val};
use descriptors::{FieldPlan, Label, MessageId, MessagePlan, put_canonical};
use smallvec::SmallVec;
use wire::Reader;

use super::{Boxed, Canonical, Content, Occurrence, Presence, RECORD, View};
use super::{failed, fit, malformed, no_such_field};

/// A message, of which nothing is decoded until it is asked for.
pub struct Message<'v> {
    view: View<'v>,
    id: MessageId,
    content: Content<'v>,
    /// Values that take long to decode: lists, maps, messages. By field index.
    decoded: OnceLock<Box<[OnceLock<Boxed<'v>>]>>,
}

// === impl Message ===

impl<'v> Message<'v> {
    pub(crate) fn new(view: View<'v>, id: MessageId, content: Content<'v>) -> Self {
        Message {
            view,
            id,
            content,
            decoded: OnceLock::new(),
        }
    }

    fn plan(&self) -> &'v MessagePlan {
        self.view.types.message(self.id)
    }

    fn index_of(&self, name: &str) -> Result<usize, ExecutionError> {
        let fields = &self.plan().fields;
        let index = fields.iter().position(|field| &*field.name == name);
        index.ok_or_else(no_such_field)
    }

    fn field_at(&self, index: usize) -> Result<&'v FieldPlan, ExecutionError> {
        self.plan().fields.get(index).ok_or_else(no_such_field)
    }

    /// Returns the value of the field at this index of the plan.
    ///
    /// # Errors
    /// The bytes are malformed, or the evaluation is too expensive.
    pub fn at(&self, index: usize) -> Result<Boxed<'v>, ExecutionError> {
        let field = self.field_at(index)?;
        self.view.field(field, &self.occurrences(field)?)
    }

    /// Returns what counts of a field on the wire: nothing where a later member of its oneof has
    /// replaced it.
    fn occurrences(
        &self,
        field: &FieldPlan,
    ) -> Result<SmallVec<[Occurrence<'v>; 4]>, ExecutionError> {
        let plan = self.plan();
        let mut found = SmallVec::new();
        for piece in &self.content {
            self.view.meter.bytes(piece.len())?;
            let mut reader = Reader::new(piece);
            while let Some((number, wire_type)) = reader.tag().map_err(malformed)? {
                if number == field.number
                    && let Some(is_packed) = fit(field, wire_type)
                {
                    let raw = reader.value(number, wire_type).map_err(malformed)?;
                    found.push((raw, is_packed));
                    continue;
                }
                reader.skip(number, wire_type).map_err(malformed)?;
                if field.oneof.is_some()
                    && let Some(other) = plan.by_number(number).and_then(|at| plan.fields.get(at))
                    && other.oneof == field.oneof
                    && other.number != field.number
                    && fit(other, wire_type).is_some()
                {
                    found.clear();
                }
            }
        }
        Ok(found)
    }

    fn has(&self, name: &str) -> Result<bool, ExecutionError> {
        let field = self.field_at(self.index_of(name)?)?;
        let occurrences = self.occurrences(field)?;
        match field.label {
            Label::Explicit | Label::Map => Ok(!occurrences.is_empty()),
            Label::Repeated | Label::Packed => Ok(occurrences
                .iter()
                .any(|(raw, is_packed)| !is_packed || !raw.is_empty())),
            Label::Implicit => {
                let Some((raw, _)) = occurrences.last() else {
                    return Ok(false);
                };
                // Numbers are zero where all their bytes are but for the marks of a varint.
                let is_zero = match field.kind.wire_type() {
                    wire::WireType::Delimited => raw.is_empty(),
                    wire::WireType::Varint => raw.iter().all(|byte| byte & 0x7f == 0),
                    _ => raw.iter().all(|byte| *byte == 0),
                };
                Ok(!is_zero)
            }
        }
    }

    fn read(&self, name: &str) -> Result<CowVal<'_, 'v>, ExecutionError> {
        let index = self.index_of(name)?;
        let field = self.field_at(index)?;
        if field.is_singular() && field.message().is_none() {
            let value = self.view.value(field.kind, &self.occurrences(field)?)?;
            return Ok(CowVal::Owned(value));
        }
        let count = self.plan().fields.len();
        let decoded = self
            .decoded
            .get_or_init(|| (0..count).map(|_| OnceLock::new()).collect());
        let Some(place) = decoded.get(index) else {
            return Err(no_such_field());
        };
        if let Some(value) = place.get() {
            return Ok(CowVal::Borrowed(&**value));
        }
        let value = self.view.field(field, &self.occurrences(field)?)?;
        Ok(CowVal::Borrowed(&**place.get_or_init(|| value)))
    }

    /// Returns the name of the type and the canonical form.
    fn canonical(&self) -> Result<Vec<u8>, ExecutionError> {
        let content = self.content.concat();
        self.view.meter.bytes(content.len())?;
        let mut out = self.plan().name.as_bytes().to_vec();
        out.push(0);
        put_canonical(self.view.types, self.plan(), &content, &mut out).map_err(malformed)?;
        Ok(out)
    }
}

/// The type alone: values stay out of logs.
impl fmt::Debug for Message<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.plan().name)
    }
}

impl Val for Message<'_> {
    fn get_type(&self) -> &Type {
        &RECORD
    }

    fn cel_type() -> &'static Type {
        &RECORD
    }

    fn as_indexer<'b, 'w>(&'b self) -> Option<&'b (dyn Indexer + 'w)>
    where
        Self: 'w,
    {
        Some(self)
    }

    fn equals(&self, other: &dyn Val) -> bool {
        let Ok(own) = self.canonical() else {
            return false;
        };
        let theirs = other.as_indexer().map(|other| other.get(&Canonical));
        theirs.and_then(Result::ok).is_some_and(|theirs| {
            let bytes = theirs.downcast_ref::<CelBytes>();
            bytes.is_some_and(|bytes| bytes.inner() == own.as_slice())
        })
    }

    fn clone_as_boxed<'w>(&self) -> Box<dyn Val + 'w>
    where
        Self: 'w,
    {
        Box::new(Message::new(self.view, self.id, self.content.clone()))
    }
}

impl Indexer for Message<'_> {
    fn get<'b, 'w>(&'b self, key: &dyn Val) -> Result<CowVal<'b, 'w>, ExecutionError>
    where
        Self: 'w,
    {
        if let Some(name) = key.downcast_ref::<CelString>() {
            return self.read(name.inner());
        }
        if let Some(Presence(name)) = key.downcast_ref::<Presence>() {
            return Ok(CowVal::owned(CelBool::from(self.has(name)?)));
        }
        if key.downcast_ref::<Canonical>().is_some() {
            return Ok(CowVal::owned(CelBytes::from(self.canonical()?)));
        }
        Err(failed("not a name"))
    }

    fn steal<'w>(self: Box<Self>, key: &dyn Val) -> Result<Box<dyn Val + 'w>, ExecutionError>
    where
        Self: 'w,
    {
        self.get(key).map(CowVal::into_owned)
    }
}
