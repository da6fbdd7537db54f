//! Tests of the rules: the effect of each command, and invariants over sequences of commands.

use std::collections::BTreeMap;

use eventsourcing::Aggregate;
use proptest::prelude::*;

use super::*;

const LIMIT_MINOR: i64 = 100;

/// A ledger in memory, run by the same functions as the one in the database.
#[derive(Clone, Default, Debug, PartialEq)]
struct Book {
    events: Vec<Event>,
    payments: BTreeMap<String, Payment>,
}

impl Book {
    fn run(&mut self, command: &Command) -> Result<Payment, Refusal> {
        let refund = match &command.action {
            Action::Refund(asked) => self.refund(&asked.refund_id),
            _ => None,
        };
        let known = LedgerState {
            payment: self.payments.get(&command.payment_id).cloned(),
            refund,
        };
        let event = decide(&known, command, &policy())?;
        let payment = match &event {
            None => known.payment,
            Some(event) => Payment::apply(known.payment, &command.payment_id, event),
        };
        let payment = payment.expect("a decision can be applied");
        if let Some(PaymentEvent::Entered(entry)) = event {
            self.events.push(entry);
        }
        self.payments.insert(payment.id.clone(), payment.clone());
        Ok(payment)
    }

    fn refund(&self, refund_id: &str) -> Option<Event> {
        self.events
            .iter()
            .find(|event| event.kind.refund_id() == Some(refund_id))
            .cloned()
    }

    fn balance(&self, ledger_account: LedgerAccount) -> i64 {
        let postings = self.events.iter().flat_map(Event::postings);
        postings
            .filter(|posting| posting.ledger_account == ledger_account)
            .map(|posting| posting.amount_minor)
            .sum()
    }

    fn sum(&self, amount: impl Fn(&Payment) -> i64) -> i64 {
        self.payments.values().map(amount).sum()
    }

    fn held(&self) -> i64 {
        self.sum(|payment| match (payment.state, &payment.authorization) {
            (State::Authorized, Some(held)) => held.amount_minor,
            _ => 0,
        })
    }
}

fn policy() -> Policy {
    Policy {
        limit_minor: LIMIT_MINOR,
        currency_code: "GBP".into(),
    }
}

fn at(second: u32) -> NaiveDateTime {
    chrono::NaiveDate::from_ymd_opt(2010, 12, 1)
        .unwrap()
        .and_hms_opt(8, 26, second)
        .unwrap()
}

fn command(payment_id: &str, action: Action) -> Command {
    Command {
        payment_id: payment_id.to_owned(),
        action,
    }
}

fn asked(amount_minor: i64) -> Authorization {
    Authorization {
        account_id: "17850".into(),
        currency_code: "GBP".into(),
        amount_minor,
        effective_at: at(0),
    }
}

fn authorize(amount_minor: i64) -> Command {
    command("p", Action::Authorize(asked(amount_minor)))
}

fn capture() -> Command {
    command("p", Action::Capture(at(1)))
}

fn void() -> Command {
    command("p", Action::Void)
}

fn refund(refund_id: &str, amount_minor: i64) -> Command {
    command(
        "p",
        Action::Refund(Refund {
            refund_id: refund_id.into(),
            amount_minor,
            effective_at: at(2),
        }),
    )
}

fn book(commands: &[Command]) -> Book {
    let mut book = Book::default();
    for command in commands {
        book.run(command).unwrap();
    }
    book
}

#[test]
fn the_limit_itself_is_authorized_and_more_is_declined() {
    assert_eq!(
        book(&[]).run(&authorize(LIMIT_MINOR)).unwrap().state,
        State::Authorized
    );
    let declined = book(&[]).run(&authorize(LIMIT_MINOR + 1)).unwrap();
    assert_eq!(
        (declined.state, declined.decline_reason.as_deref()),
        (State::Declined, Some("LIMIT_EXCEEDED"))
    );
}

#[test]
fn a_decline_is_an_event_without_postings() {
    let book = book(&[authorize(LIMIT_MINOR + 1)]);
    assert_eq!(book.events.len(), 1);
    assert_eq!(book.events[0].postings(), []);
}

#[test]
fn another_currency_is_refused_and_leaves_no_trace() {
    let mut book = book(&[]);
    let euros = Authorization {
        currency_code: "EUR".into(),
        ..asked(1)
    };
    assert_eq!(
        book.run(&command("p", Action::Authorize(euros))),
        Err(Refusal::Currency("GBP".into()))
    );
    assert_eq!(book, Book::default());
}

#[test]
fn an_id_stands_for_one_content() {
    let mut book = book(&[authorize(10)]);
    let others = [
        asked(11),
        Authorization {
            account_id: "13047".into(),
            ..asked(10)
        },
        Authorization {
            currency_code: "EUR".into(),
            ..asked(10)
        },
        Authorization {
            effective_at: at(1),
            ..asked(10)
        },
    ];
    for other in others {
        assert_eq!(
            book.run(&command("p", Action::Authorize(other))),
            Err(Refusal::PaymentChanged)
        );
    }
}

#[test]
fn a_new_policy_does_not_change_old_answers() {
    let book = book(&[authorize(10)]);
    let known = LedgerState {
        payment: book.payments.get("p").cloned(),
        refund: None,
    };
    let strict = Policy {
        limit_minor: 1,
        currency_code: "EUR".into(),
    };
    assert_eq!(decide(&known, &authorize(10), &strict), Ok(None));
}

#[test]
fn a_late_authorization_of_a_closed_id_holds_nothing() {
    let mut book = book(&[void()]);
    assert_eq!(book.run(&authorize(10)), Ok(Payment::closed("p")));
    assert_eq!(
        book.run(&capture()),
        Err(Refusal::NotAuthorized(State::Voided))
    );
    assert_eq!(book.events, []);
}

#[test]
fn what_is_not_held_can_not_be_captured() {
    assert_eq!(book(&[]).run(&capture()), Err(Refusal::Unknown));
    assert_eq!(
        book(&[authorize(10), void()]).run(&capture()),
        Err(Refusal::NotAuthorized(State::Voided))
    );
    assert_eq!(
        book(&[authorize(101)]).run(&capture()),
        Err(Refusal::NotAuthorized(State::Declined))
    );
}

#[test]
fn void_is_harmless_until_the_money_is_taken() {
    assert_eq!(
        book(&[authorize(101)]).run(&void()).unwrap().state,
        State::Declined
    );
    assert_eq!(
        book(&[authorize(10), void()]).run(&void()).unwrap().state,
        State::Voided
    );
    assert_eq!(
        book(&[authorize(10), capture()]).run(&void()),
        Err(Refusal::Captured)
    );
}

#[test]
fn a_void_is_dated_like_its_hold() {
    assert_eq!(book(&[authorize(10), void()]).events[1].effective_at, at(0));
}

#[test]
fn refunds_end_at_what_was_captured() {
    let mut book = book(&[authorize(10), capture(), refund("r1", 7)]);
    assert_eq!(
        book.run(&refund("r2", 4)),
        Err(Refusal::RefundExceeds { available_minor: 3 })
    );
    assert_eq!(book.run(&refund("r2", 3)).unwrap().refunded_minor, 10);
    assert_eq!(book.run(&refund("r1", 7)).unwrap().refunded_minor, 10);
}

#[test]
fn a_refund_id_stands_for_one_refund() {
    let mut book = book(&[authorize(10), capture(), refund("r1", 7)]);
    assert_eq!(book.run(&refund("r1", 1)), Err(Refusal::RefundChanged));
    for action in [Action::Authorize(asked(10)), Action::Capture(at(1))] {
        book.run(&command("other", action)).unwrap();
    }
    let elsewhere = Command {
        payment_id: "other".into(),
        ..refund("r1", 7)
    };
    assert_eq!(book.run(&elsewhere), Err(Refusal::RefundChanged));
}

#[test]
fn nothing_is_refunded_before_it_is_captured() {
    assert_eq!(
        book(&[authorize(10)]).run(&refund("r", 1)),
        Err(Refusal::NotCaptured(State::Authorized))
    );
    assert_eq!(book(&[]).run(&refund("r", 1)), Err(Refusal::Unknown));
}

#[test]
fn a_history_that_no_decision_writes_is_not_replayed() {
    let events = book(&[authorize(10), capture(), refund("r", 10)]).events;
    assert!(replay(&events).is_some());
    assert_eq!(replay(&events[1..]), None);
    assert_eq!(replay([&events[0], &events[2]]), None);
    assert_eq!(replay([&events[0], &events[1], &events[1]]), None);
    assert_eq!(replay(events.iter().chain([&events[2]])), None);
}

#[test]
fn a_kind_is_its_type_and_details() {
    let (reason, refund_id) = ("NO".to_owned(), "r".to_owned());
    let kinds = [
        Kind::Authorized,
        Kind::Declined { reason },
        Kind::Captured,
        Kind::Voided,
        Kind::Refunded { refund_id },
    ];
    for kind in kinds {
        let (reason, refund_id) = (
            kind.reason().map(str::to_owned),
            kind.refund_id().map(str::to_owned),
        );
        assert_eq!(Kind::of((&kind).into(), reason, refund_id), Some(kind));
    }
}

#[test]
fn an_event_of_another_payment_can_not_follow() {
    let closed = Payment::apply(None, "p", &PaymentEvent::Closed).unwrap();
    assert_eq!(
        Payment::apply(Some(closed), "p", &PaymentEvent::Closed),
        None
    );
    let events = book(&[authorize(10)]).events;
    let entered = PaymentEvent::Entered(events[0].clone());
    assert!(Payment::apply(None, "p", &entered).is_some());
    assert_eq!(Payment::apply(None, "q", &entered), None);
}

#[test]
fn events_and_states_are_stored_by_stable_names() {
    let stored = |event: &PaymentEvent| serde_json::to_value(event).unwrap();
    assert_eq!(
        stored(&PaymentEvent::Closed),
        serde_json::json!({"type": "CLOSED"})
    );
    let book = book(&[authorize(10), capture(), refund("r", 4)]);
    assert_eq!(
        stored(&PaymentEvent::Entered(book.events[2].clone())),
        serde_json::json!({"type": "REFUNDED", "payload": {
            "payment_id": "p", "account_id": "17850", "currency_code": "GBP", "amount_minor": 4,
            "effective_at": "2010-12-01T08:26:02", "refund_id": "r",
        }})
    );
    assert_eq!(
        serde_json::to_value(&book.payments["p"]).unwrap(),
        serde_json::json!({
            "id": "p", "state": "CAPTURED", "decline_reason": null, "captured_minor": 10, "refunded_minor": 4,
            "authorization": {
                "account_id": "17850", "currency_code": "GBP", "amount_minor": 10,
                "effective_at": "2010-12-01T08:26:00",
            },
        })
    );
}

/// Few ids and small amounts, so that commands meet: repeated, changed, out of order.
fn any_command() -> impl Strategy<Value = Command> {
    let amount_minor = prop_oneof![4 => 1..30i64, 1 => LIMIT_MINOR - 1..LIMIT_MINOR + 3];
    let authorize =
        (amount_minor, "[AB]", 0..2u32).prop_map(|(amount_minor, account_id, second)| {
            Action::Authorize(Authorization {
                account_id,
                effective_at: at(second),
                ..asked(amount_minor)
            })
        });
    let refund = ("[r-v]", 1..20i64).prop_map(|(refund_id, amount_minor)| {
        Action::Refund(Refund {
            refund_id,
            amount_minor,
            effective_at: at(9),
        })
    });
    let action = prop_oneof![3 => authorize, 3 => (0..3u32).prop_map(|s| Action::Capture(at(s))), 1 => Just(Action::Void), 3 => refund];
    ("[p-s]", action).prop_map(|(payment_id, action)| Command { payment_id, action })
}

proptest! {
    #[test]
    fn whatever_is_asked_the_books_balance(commands in prop::collection::vec(any_command(), 0..60)) {
        let mut book = Book::default();
        for command in &commands {
            let before = book.clone();
            let answer = book.run(command);
            if answer.is_err() {
                prop_assert_eq!(&book, &before, "a refusal changes nothing");
                continue;
            }
            let first = book.clone();
            prop_assert_eq!(book.run(command), answer, "a repeated command gets the same answer");
            prop_assert_eq!(&book, &first, "and changes nothing");
        }
        for event in &book.events {
            let stored = PaymentEvent::Entered(event.clone());
            let read = serde_json::from_value(serde_json::to_value(&stored).unwrap()).unwrap();
            prop_assert_eq!(stored, read);
            prop_assert_eq!(event.postings().iter().map(|posting| posting.amount_minor).sum::<i64>(), 0);
        }
        for payment in book.payments.values() {
            let asked_minor = payment.authorization.as_ref().map_or(0, |asked| asked.amount_minor);
            prop_assert!(payment.captured_minor == 0 || payment.captured_minor == asked_minor);
            prop_assert!((0..=payment.captured_minor).contains(&payment.refunded_minor));
            prop_assert_eq!(payment.captured_minor > 0, payment.state == State::Captured);
        }
        prop_assert_eq!(book.balance(LedgerAccount::Holds), book.held());
        prop_assert_eq!(-book.balance(LedgerAccount::Revenue), book.sum(|payment| payment.captured_minor));
        prop_assert_eq!(book.balance(LedgerAccount::Refunds), book.sum(|payment| payment.refunded_minor));
        let mut projected = book.payments;
        projected.retain(|_, payment| payment.authorization.is_some());
        prop_assert_eq!(replay(&book.events), Some(projected));
    }
}
