//! The payments of a batch of commands, as they change from command to command.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, Command, Event, LedgerState, Payment, Policy, Refusal, after, decide};

/// The ledger's state for the ids of a batch, and what the batch adds to it.
#[derive(Clone, Debug, Default)]
pub struct Book {
    payments: BTreeMap<String, Payment>,
    refunds: BTreeMap<String, Event>,
    opened: BTreeSet<String>,
    changed: BTreeSet<String>,
    events: Vec<Event>,
}

impl Book {
    /// Creates the book of known payments, and of the events that bear the batch's `refund_id`s.
    pub fn new(
        payments: impl IntoIterator<Item = Payment>,
        refunds: impl IntoIterator<Item = Event>,
    ) -> Self {
        let refunds = refunds.into_iter().filter_map(|event| {
            let refund_id = event.kind.refund_id()?.to_owned();
            Some((refund_id, event))
        });
        Self {
            payments: payments
                .into_iter()
                .map(|payment| (payment.id.clone(), payment))
                .collect(),
            refunds: refunds.collect(),
            ..Self::default()
        }
    }

    /// Executes a command after those before it; returns the payment. `None` if its event can't
    /// follow the payment's earlier ones.
    pub fn execute(
        &mut self,
        command: &Command,
        policy: &Policy,
    ) -> Option<Result<Payment, Refusal>> {
        let known = self.state(command);
        let event = match decide(&known, command, policy) {
            Ok(event) => event,
            Err(refusal) => return Some(Err(refusal)),
        };
        let id = &command.payment_id;
        let is_new = known.payment.is_none();
        let payment = after(known.payment, id, event.as_ref())?;
        if is_new {
            self.opened.insert(id.clone());
        } else if event.is_some() && !self.opened.contains(id) {
            self.changed.insert(id.clone());
        }
        if let Some(event) = event {
            if let Some(refund_id) = event.kind.refund_id() {
                self.refunds.insert(refund_id.to_owned(), event.clone());
            }
            self.events.push(event);
        }
        self.payments.insert(id.clone(), payment.clone());
        Some(Ok(payment))
    }

    /// The payments whose ids were unused.
    pub fn opened(&self) -> Vec<&Payment> {
        self.opened
            .iter()
            .filter_map(|id| self.payments.get(id))
            .collect()
    }

    /// The known payments that changed.
    pub fn changed(&self) -> Vec<&Payment> {
        self.changed
            .iter()
            .filter_map(|id| self.payments.get(id))
            .collect()
    }

    /// The new events, in the order of the commands.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    fn state(&self, command: &Command) -> LedgerState {
        let refund = match &command.action {
            Action::Refund(asked) => self.refunds.get(&asked.refund_id).cloned(),
            _ => None,
        };
        LedgerState {
            payment: self.payments.get(&command.payment_id).cloned(),
            refund,
        }
    }
}
