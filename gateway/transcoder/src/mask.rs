//! AIP-134: a PATCH without an update mask means the fields that its body names.

use crate::{
    error::Failure,
    json::{Cursor, Token},
    plan::{FieldPlan, MessageId, Shape, Types},
    wire::{close, open, put_varint},
    wkt,
};

/// Appends the mask field: the leaf paths present in the body, `null` included. Lists, maps and well-known types count as
/// leaves.
pub(crate) fn put(
    types: &Types,
    mask: &FieldPlan,
    resource: &FieldPlan,
    body: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let Some(id) = resource.message() else {
        return Ok(());
    };
    let mut cursor = Cursor::new(body)?;
    mask.tag.put(out);
    let at = open(out);
    if body.iter().any(|byte| !byte.is_ascii_whitespace()) && cursor.peek()? == Token::Object {
        let mut path = String::new();
        put_paths(types, id, &mut cursor, &mut path, out)?;
    }
    close(out, at);
    Ok(())
}

fn put_paths(
    types: &Types,
    id: MessageId,
    cursor: &mut Cursor<'_>,
    path: &mut String,
    out: &mut Vec<u8>,
) -> Result<(), Failure> {
    let plan = types.message(id);
    cursor.begin_object()?;
    let mut is_first = true;
    while let Some(key) = cursor.next_key(is_first)? {
        is_first = false;
        // The body has been encoded before: a key that is unknown here was allowed to be ignored there.
        let Some(index) = plan.by_name(&key, usize::MAX) else {
            cursor.skip_value()?;
            continue;
        };
        let field = &plan.fields[index];
        let length = path.len();
        if length > 0 {
            path.push('.');
        }
        path.push_str(&field.name);
        match inner_object(types, field) {
            Some(inner) if has_members(*cursor)? => put_paths(types, inner, cursor, path, out)?,
            _ => {
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

/// The type below a field whose JSON is an object of fields.
fn inner_object(types: &Types, field: &FieldPlan) -> Option<MessageId> {
    let id = field.message().filter(|_| field.is_singular())?;
    (types.message(id).shape == Shape::Object).then_some(id)
}

/// An empty object has no leaves below it, and so stands for itself.
fn has_members(mut ahead: Cursor<'_>) -> Result<bool, Failure> {
    if ahead.peek()? != Token::Object {
        return Ok(false);
    }
    ahead.begin_object()?;
    Ok(ahead.next_key(true)?.is_some())
}
