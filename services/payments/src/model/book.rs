//! The payments of a batch of commands, as they change from command to command.

use std::collections::{BTreeMap, HashMap};

use eventsourcing::Root;

use super::{Action, Command, Event, LedgerState, Payment, PaymentEvent, Policy, Refusal, decide};

/// The ledger's state for the ids of a batch, and what the batch adds to it.
#[derive(Debug, Default)]
pub struct Book {
    payments: BTreeMap<String, Root<Payment>>,
    refunds: BTreeMap<String, Event>,
    entries: Vec<Event>,
}

impl Book {
    /// Creates the book of the batch's payments, and of the events that bear its `refund_id`s.
    pub fn new(
        payments: HashMap<String, Root<Payment>>,
        refunds: impl IntoIterator<Item = Event>,
    ) -> Self {
        let refunds = refunds.into_iter().filter_map(|event| {
            let refund_id = event.kind.refund_id()?.to_owned();
            Some((refund_id, event))
        });
        Self {
            payments: payments.into_iter().collect(),
            refunds: refunds.collect(),
            entries: Vec::new(),
        }
    }

    /// Executes a command after those before it; returns the payment, or why it is refused.
    ///
    /// # Errors
    /// If the command's event can't follow the payment's earlier ones.
    pub fn execute(
        &mut self,
        command: &Command,
        policy: &Policy,
    ) -> Result<Result<Payment, Refusal>, eventsourcing::Error> {
        let id = &command.payment_id;
        let payment = self.payments.entry(id.clone());
        let payment = payment.or_insert_with(|| Root::new(id));
        let refund = match &command.action {
            Action::Refund(asked) => self.refunds.get(&asked.refund_id).cloned(),
            _ => None,
        };
        let known = LedgerState {
            payment: payment.state().cloned(),
            refund,
        };
        let event = match decide(&known, command, policy) {
            Ok(event) => event,
            Err(refusal) => return Ok(Err(refusal)),
        };
        if let Some(event) = event {
            payment.record(event.clone())?;
            if let PaymentEvent::Entered(entry) = event {
                if let Some(refund_id) = entry.kind.refund_id() {
                    self.refunds.insert(refund_id.to_owned(), entry.clone());
                }
                self.entries.push(entry);
            }
        }
        let after = payment.state().cloned();
        Ok(Ok(after.unwrap_or_else(|| Payment::closed(id))))
    }

    /// The payments whose ids were unused.
    pub fn opened(&self) -> Vec<Payment> {
        self.with_events(|payment| payment.version() == 0)
    }

    /// The known payments that changed.
    pub fn changed(&self) -> Vec<Payment> {
        self.with_events(|payment| payment.version() > 0)
    }

    /// The payments with their new events.
    pub fn payments(&mut self) -> impl Iterator<Item = &mut Root<Payment>> {
        self.payments.values_mut()
    }

    /// The new entries of the ledger, in the order of the commands.
    pub fn entries(&self) -> &[Event] {
        &self.entries
    }

    fn with_events(&self, filter: impl Fn(&Root<Payment>) -> bool) -> Vec<Payment> {
        let payments = self.payments.values();
        let changed = payments.filter(|payment| !payment.pending().is_empty() && filter(payment));
        changed
            .filter_map(|payment| payment.state().cloned())
            .collect()
    }
}
