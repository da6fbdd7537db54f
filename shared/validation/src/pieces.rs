//! The occurrences of the fields that rules are about, gathered from one message: what protobuf's
//! rules of decoding make of order, repetition and oneofs is settled here, before anything is
//! judged.

use descriptors::{FieldPlan, Kind, MessagePlan};
use smallvec::SmallVec;
use wire::{Read, Reader, WireType};

use crate::rules::table::{MessageRules, Need};

/// One occurrence of a known field.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece<'w> {
    /// Index in the plan; [`OVERWRITTEN`] once another member of its oneof came later.
    pub(crate) field: u32,
    /// Several numbers in one run.
    pub(crate) is_packed: bool,
    /// A number as it stands, the content of anything else.
    pub(crate) raw: &'w [u8],
}

/// Pieces of the messages on the way down, each message's behind those of the message that holds
/// it. Small requests fit the stack.
pub(crate) type Pieces<'w> = SmallVec<[Piece<'w>; 64]>;

const OVERWRITTEN: u32 = u32::MAX;

/// Returns whether the bytes of an occurrence are the field's, and whether they are a packed run.
pub(crate) fn fit(field: &FieldPlan, wire_type: WireType) -> Option<bool> {
    let is_run = wire_type == WireType::Delimited && field.kind.is_packable();
    if is_run && !field.is_singular() {
        return Some(true);
    }
    (field.kind.wire_type() == wire_type).then_some(false)
}

/// Appends the pieces of one stretch of a message's content. Occurrences in a foreign wire type are
/// unknown fields.
pub(crate) fn collect<'w>(
    plan: &MessagePlan,
    rules: &MessageRules,
    need: Need,
    content: &'w [u8],
    pieces: &mut Pieces<'w>,
) -> Read<()> {
    let mut reader = Reader::new(content);
    while let Some((number, wire_type)) = reader.tag()? {
        let wanted = plan.by_number(number).and_then(|index| {
            let field = plan.fields.get(index)?;
            let is_wanted = rules.fields.get(index)?.collect.meets(need);
            let is_packed = fit(field, wire_type).filter(|_| is_wanted)?;
            Some((u32::try_from(index).ok()?, is_packed))
        });
        match wanted {
            None => reader.skip(number, wire_type)?,
            Some((field, is_packed)) => pieces.push(Piece {
                field,
                is_packed,
                raw: reader.value(number, wire_type)?,
            }),
        }
    }
    Ok(())
}

/// Drops what later members of oneofs have overwritten, and sorts by field; occurrences of one
/// field keep their order.
pub(crate) fn settle(plan: &MessagePlan, rules: &MessageRules, pieces: &mut [Piece<'_>]) {
    if rules.oneof_count > 0 {
        drop_overwritten_members(plan, rules.oneof_count, pieces);
    }
    if !pieces.is_sorted_by_key(|piece| piece.field) {
        pieces.sort_by_key(|piece| piece.field);
    }
}

/// The last member of a oneof wins; its value from before another member is lost.
fn drop_overwritten_members(plan: &MessagePlan, oneof_count: usize, pieces: &mut [Piece<'_>]) {
    // Per oneof: the member that counts, and whether going backwards another one was met.
    let mut winners: SmallVec<[(u32, bool); 16]> =
        SmallVec::from_elem((OVERWRITTEN, false), oneof_count);
    for piece in pieces.iter_mut().rev() {
        let field = plan.fields.get(piece.field as usize);
        let Some((winner, is_closed)) = field
            .and_then(|field| field.oneof)
            .and_then(|oneof| winners.get_mut(usize::from(oneof)))
        else {
            continue;
        };
        if *winner == OVERWRITTEN {
            *winner = piece.field;
        }
        *is_closed |= *winner != piece.field;
        if *is_closed {
            piece.field = OVERWRITTEN;
        }
    }
}

/// The numbers of a piece, one after another: all of a packed run, else the only one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Elements<'w> {
    rest: Option<&'w [u8]>,
    is_packed: bool,
    kind: Kind,
}

impl<'w> Elements<'w> {
    pub(crate) fn new(piece: Piece<'w>, kind: Kind) -> Self {
        let is_over = piece.is_packed && piece.raw.is_empty();
        Elements {
            rest: (!is_over).then_some(piece.raw),
            is_packed: piece.is_packed,
            kind,
        }
    }
}

/// Raw values, each as one piece.
impl<'w> Iterator for Elements<'w> {
    type Item = Read<&'w [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest.take()?;
        if !self.is_packed {
            return Some(Ok(rest));
        }
        let mut reader = Reader::new(rest);
        if let Err(error) = reader.skip(0, self.kind.wire_type()) {
            return Some(Err(error));
        }
        let (element, behind) = rest
            .split_at_checked(rest.len() - reader.rest.len())
            .unwrap_or((rest, &[]));
        self.rest = (!behind.is_empty()).then_some(behind);
        Some(Ok(element))
    }
}
