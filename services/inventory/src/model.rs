//! Pure rules of stock and reservations: every decision is made here.

use std::collections::BTreeMap;

/// Most lines of all requests of a batch together: what one transaction carries.
pub const MAX_BATCH_LINES: usize = 10_000;

/// Pieces by SKU, in the order of locks.
pub type Pieces = BTreeMap<String, i64>;

/// A SKU that could not be reserved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// Stock keeping unit.
    pub sku: String,
    /// Pieces requested.
    pub requested: i64,
    /// Pieces that were free.
    pub available: i64,
}

/// One count of one SKU.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count {
    /// Stock keeping unit. First, so that counts sort in lock order.
    pub sku: String,
    /// Idempotency key.
    pub request_id: String,
    /// Pieces counted in.
    pub quantity: i64,
}

/// The stock of one SKU, in pieces.
#[derive(Clone, Debug)]
pub struct Stock {
    /// Stock keeping unit.
    pub sku: String,
    /// Pieces in the warehouse, reserved ones included.
    pub on_hand: i64,
    /// Pieces held by open reservations.
    pub reserved: i64,
}

/// Totals over all SKUs, in pieces.
#[derive(Clone, Debug)]
pub struct Totals {
    /// Ever counted in.
    pub counted: i64,
    /// Ever shipped.
    pub shipped: i64,
    /// Ever returned.
    pub returned: i64,
    /// Held now.
    pub reserved: i64,
    /// In the warehouse now.
    pub on_hand: i64,
}

/// A reservation and its lines.
#[derive(Clone, Debug)]
pub struct Reservation {
    /// Chosen by the caller.
    pub id: String,
    /// State of the reservation.
    pub state: State,
    /// Pieces requested.
    pub lines: Pieces,
    /// Only with REFUSED.
    pub shortages: Vec<Shortage>,
}

/// The state of a reservation; its name is the one in the database.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, strum::Display, strum::EnumString, strum::IntoStaticStr,
)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
pub enum State {
    /// Pieces are held.
    Reserved,
    /// Not enough stock; nothing is held.
    Refused,
    /// Pieces were released, or the id was closed before it held any.
    Released,
    /// Pieces left the warehouse.
    Shipped,
}

/// The effect of a transition on the stock of the reservation's lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// None: the transition is repeated.
    None,
    /// `reserved` goes down.
    Unreserve,
    /// `reserved` and `on_hand` go down.
    Ship,
}

/// A change of the stock of one SKU, in pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Added to `on_hand`.
    pub on_hand: i64,
    /// Added to `reserved`.
    pub reserved: i64,
}

/// Changes by SKU, added up: a SKU is written once, however many reservations name it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes(BTreeMap<String, Change>);

/// A transition that the reservation's state does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Released after it was shipped.
    #[error("the reservation was shipped")]
    Shipped,
    /// Shipped while nothing is held.
    #[error("the reservation holds nothing: it is {0}")]
    NotHeld(State),
}

/// Adds up lines of the same SKU; `None` if a sum exceeds `i64`.
pub fn add_up(lines: impl IntoIterator<Item = (String, i64)>) -> Option<Pieces> {
    let mut pieces = Pieces::new();
    for (sku, quantity) in lines {
        let sum = pieces.entry(sku).or_default();
        *sum = sum.checked_add(quantity)?;
    }
    Some(pieces)
}

/// Takes all of `requested` out of `free`, or nothing if there are shortages, which it returns.
pub fn draw(requested: &Pieces, free: &mut Pieces) -> Vec<Shortage> {
    let shortages = shortages(requested, free);
    if shortages.is_empty() {
        for (sku, quantity) in requested {
            *free.entry(sku.clone()).or_default() -= quantity;
        }
    }
    shortages
}

/// Returns every SKU of `requested` of which `free` has too few; a SKU without stock has none free.
pub fn shortages(requested: &Pieces, free: &Pieces) -> Vec<Shortage> {
    requested
        .iter()
        .map(|(sku, &requested)| Shortage {
            sku: sku.clone(),
            requested,
            available: free.get(sku).copied().unwrap_or(0),
        })
        .filter(|line| line.available < line.requested)
        .collect()
}

impl Effect {
    /// Returns the change that each piece of a line brings.
    pub fn per_piece(self) -> Change {
        let (on_hand, reserved) = match self {
            Self::None => (0, 0),
            Self::Unreserve => (0, -1),
            Self::Ship => (-1, -1),
        };
        Change { on_hand, reserved }
    }
}

impl Changes {
    /// Adds `per_piece` times each line.
    pub fn add(&mut self, lines: &Pieces, per_piece: Change) {
        for (sku, quantity) in lines {
            let change = self.0.entry(sku.clone()).or_default();
            change.on_hand += quantity * per_piece.on_hand;
            change.reserved += quantity * per_piece.reserved;
        }
    }

    /// The changes in the order of locks.
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Change)> {
        self.0.iter()
    }
}

impl State {
    /// Releases the pieces; a refused reservation holds none.
    pub fn release(self) -> Result<(Self, Effect), Refusal> {
        match self {
            Self::Reserved => Ok((Self::Released, Effect::Unreserve)),
            Self::Released | Self::Refused => Ok((self, Effect::None)),
            Self::Shipped => Err(Refusal::Shipped),
        }
    }

    /// Removes the pieces from the warehouse.
    pub fn ship(self) -> Result<(Self, Effect), Refusal> {
        match self {
            Self::Reserved => Ok((Self::Shipped, Effect::Ship)),
            Self::Shipped => Ok((self, Effect::None)),
            Self::Released | Self::Refused => Err(Refusal::NotHeld(self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pieces(lines: &[(&str, i64)]) -> Pieces {
        lines
            .iter()
            .map(|&(sku, quantity)| (sku.to_owned(), quantity))
            .collect()
    }

    #[test]
    fn lines_of_one_sku_add_up() {
        let lines = [
            ("A".to_owned(), 2),
            ("B".to_owned(), 1),
            ("A".to_owned(), 3),
        ];
        assert_eq!(add_up(lines), Some(pieces(&[("A", 5), ("B", 1)])));
    }

    #[test]
    fn a_sum_that_does_not_fit_is_refused() {
        let lines = [("A".to_owned(), i64::MAX), ("A".to_owned(), 1)];
        assert_eq!(add_up(lines), None);
    }

    #[test]
    fn an_unknown_sku_has_nothing_free() {
        let short = shortages(&pieces(&[("A", 1)]), &Pieces::new());
        assert_eq!(
            short,
            [Shortage {
                sku: "A".into(),
                requested: 1,
                available: 0
            }]
        );
    }

    #[test]
    fn transitions_happen_once() {
        assert_eq!(State::Reserved.ship(), Ok((State::Shipped, Effect::Ship)));
        assert_eq!(State::Shipped.ship(), Ok((State::Shipped, Effect::None)));
        assert_eq!(
            State::Reserved.release(),
            Ok((State::Released, Effect::Unreserve))
        );
        assert_eq!(
            State::Released.release(),
            Ok((State::Released, Effect::None))
        );
        assert_eq!(State::Shipped.release(), Err(Refusal::Shipped));
        assert_eq!(
            State::Released.ship(),
            Err(Refusal::NotHeld(State::Released))
        );
    }

    #[test]
    fn what_one_draws_the_next_does_not_find() {
        let mut free = pieces(&[("A", 3)]);
        assert_eq!(draw(&pieces(&[("A", 2)]), &mut free), []);
        let short = draw(&pieces(&[("A", 2)]), &mut free);
        assert_eq!(short[0].available, 1);
        assert_eq!(draw(&pieces(&[("A", 1)]), &mut free), []);
        assert_eq!(free, pieces(&[("A", 0)]));
    }

    proptest! {
        #[test]
        fn what_is_reserved_was_free(
            requested in prop::collection::btree_map("[A-D]", 1i64..20, 1..4),
            free in prop::collection::btree_map("[A-D]", 0i64..20, 0..4),
        ) {
            let fits = requested.iter().all(|(sku, n)| free.get(sku).is_some_and(|f| f >= n));
            prop_assert_eq!(shortages(&requested, &free).is_empty(), fits);
        }
    }
}
