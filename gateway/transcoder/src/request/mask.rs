//! AIP-134: a PATCH without an update mask means the fields that its body names.

use descriptors::{FieldPlan, Kind, MessageId, Shape};
use wire::put_varint;

use crate::error::{Failure, RequestError, Rule};
use crate::json::{Cursor, Token};
use crate::limits::MAX_MASK_BYTES;
use crate::tables::Tables;
use crate::wkt;

/// Appends the mask field: the leaf paths present in the body, `null` included. Lists, maps and
/// well-known types count as leaves.
pub(crate) fn put(
    types: &Tables,
    mask: &FieldPlan,
    resource: &FieldPlan,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let Some(id) = resource.message() else {
        return Ok(());
    };
    let mut cursor = Cursor::new(body)?;
    let at = mask.open(out);
    let start = out.len();
    if body.iter().any(|byte| !byte.is_ascii_whitespace()) && cursor.peek()? == Token::Object {
        let mut path = String::new();
        let names = Mask { types, start };
        names.put_paths(id, &mut cursor, &mut path, out)?;
    }
    mask.close(at, out);
    Ok(())
}

struct Mask<'t> {
    types: &'t Tables,
    /// Where in the output the paths begin.
    start: usize,
}

// === impl Mask ===

impl Mask<'_> {
    /// Nests as deep as the cursor lets JSON nest.
    fn put_paths(
        &self,
        id: MessageId,
        cursor: &mut Cursor<'_>,
        path: &mut String,
        out: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        let plan = self.types.message(id);
        cursor.begin_object()?;
        let mut is_first = true;
        while let Some(key) = cursor.next_key(is_first)? {
            is_first = false;
            // The body has been encoded before: a key that is unknown here was allowed to be
            // ignored there.
            let Some(index) = plan.by_name(&key) else {
                cursor.skip_value()?;
                continue;
            };
            let field = &plan.fields[index];
            if self.is_ignored(field, *cursor)? {
                cursor.skip_value()?;
                continue;
            }
            let length = path.len();
            if length > 0 {
                path.push('.');
            }
            path.push_str(&field.name);
            match inner_object(self.types, field) {
                Some(inner) if has_members(*cursor)? => self.put_paths(inner, cursor, path, out)?,
                _ => {
                    if out.len() - self.start + path.len() > MAX_MASK_BYTES {
                        let reason =
                            format!("the update mask has more than {MAX_MASK_BYTES} bytes");
                        let failure = RequestError::new(Rule::LimitExceeded, reason);
                        return Err(failure.offset(cursor.position()));
                    }
                    cursor.skip_value()?;
                    out.push(wkt::PATHS_TAG);
                    put_varint(out, path.len() as u64);
                    out.extend_from_slice(path.as_bytes());
                }
            }
            path.truncate(length);
        }
        Ok(())
    }

    /// Returns whether the value is the name of an enum value that was ignored as unknown: in the
    /// mask, it would clear the field.
    fn is_ignored(&self, field: &FieldPlan, mut ahead: Cursor<'_>) -> Result<bool, Failure> {
        let Kind::Enum(id) = field.kind else {
            return Ok(false);
        };
        if !field.is_singular() || ahead.peek()? != Token::String {
            return Ok(false);
        }
        Ok(self.types.enums[id].number(&ahead.string()?).is_none())
    }
}

/// Returns the type below a field whose JSON is an object of fields.
fn inner_object(types: &Tables, field: &FieldPlan) -> Option<MessageId> {
    let id = field.message().filter(|_| field.is_singular())?;
    (types.message(id).shape == Shape::Object).then_some(id)
}

/// Returns whether an object has members: an empty one is a leaf.
fn has_members(mut ahead: Cursor<'_>) -> Result<bool, Failure> {
    if ahead.peek()? != Token::Object {
        return Ok(false);
    }
    ahead.begin_object()?;
    Ok(ahead.next_key(true)?.is_some())
}
