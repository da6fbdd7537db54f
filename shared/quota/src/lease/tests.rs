//! A model: several processes lease of one budget on a clock that is moved, and crash, lose answers
//! and wipe the store in any order. What they admit stays within the formula of the README.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

const TTL: u64 = 1000;

/// The budget as `lease.lua` keeps it.
struct Ledger {
    rule: Rule,
    budget: Budget,
    /// By process: number, units and end.
    leases: HashMap<usize, (u64, u64, u64)>,
    /// Leases that ended without their process.
    unsettled: u64,
}

impl Ledger {
    fn ask(&mut self, process: usize, now: u64, asked: &Asked) -> Grant {
        let before = self.budget.at;
        self.rule.refresh(&mut self.budget, now);
        if self.rule.is_window && self.budget.at != before {
            self.leases.clear();
        }
        let (mut need, mut want) = (asked.need, asked.want);
        for (holder, (number, units, end)) in std::mem::take(&mut self.leases) {
            if holder == process && number >= asked.sequence {
                (need, want) = (0, 0);
                self.leases.insert(holder, (number, units, end));
            } else if holder == process {
                let back = match asked.closed {
                    Some((closed, unspent)) if closed == number => unspent,
                    _ => {
                        self.unsettled += 1;
                        units
                    }
                };
                self.rule.put(&mut self.budget, back);
            } else if end <= now {
                self.unsettled += 1;
                self.rule.put(&mut self.budget, units);
            } else {
                self.leases.insert(holder, (number, units, end));
            }
        }
        let available = self.rule.available(&self.budget);
        let granted = match need > 0 && available >= need {
            true => available.min(need.max(want.min(available / 2))),
            false => 0,
        };
        self.rule.take(&mut self.budget, granted);
        let end = (self.budget.at + 1) * self.rule.period;
        let ttl = if self.rule.is_window {
            TTL.min(end - now)
        } else {
            TTL
        };
        if granted > 0 {
            let lease = (asked.sequence, granted, now + ttl);
            self.leases.insert(process, lease);
        }
        Grant {
            granted,
            ttl,
            remaining: self.rule.available(&self.budget),
            wait: if granted == 0 {
                self.rule.wait(&self.budget, now, need)
            } else {
                0
            },
            reset: self.rule.reset(&self.budget, now),
        }
    }
}

struct Asked {
    sequence: u64,
    closed: Option<(u64, u64)>,
    need: u64,
    want: u64,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Pass(u64),
    Charge(usize),
    /// The answer to the question is lost.
    ChargeInVain(usize),
    Settle(usize),
    Crash(usize),
    Wipe,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let process = 0..3_usize;
    let step = prop_oneof![
        4 => (0..400_u64).prop_map(Step::Pass),
        20 => process.clone().prop_map(Step::Charge),
        2 => process.clone().prop_map(Step::ChargeInVain),
        3 => process.clone().prop_map(Step::Settle),
        1 => process.prop_map(Step::Crash),
        1 => Just(Step::Wipe),
    ];
    proptest::collection::vec(step, 1..400)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_is_admitted_stays_within_the_bound(
        is_window in any::<bool>(),
        units in 1..200_u64,
        steps in steps(),
    ) {
        let rule = Rule { is_window, units, period: 10_000, capacity: units };
        let (mut now, mut sequence) = (0, 0);
        let mut ledger = Ledger {
            rule,
            budget: rule.full(0),
            leases: HashMap::new(),
            unsettled: 0,
        };
        let mut accounts: Vec<Account> = (0..3).map(|_| Account::default()).collect();
        let (mut admitted, mut wiped, mut window) = (0, 0, 0);
        for step in steps {
            match step {
                Step::Pass(pause) => now += pause,
                Step::Crash(process) => accounts[process] = Account::default(),
                Step::Wipe => {
                    (ledger.budget, wiped) = (rule.full(now), wiped + 1);
                    ledger.leases.clear();
                }
                Step::Settle(process) => {
                    let Some(closed) = accounts[process].close(now) else { continue };
                    sequence += 1;
                    let closed = Some(closed);
                    ledger.ask(process, now, &Asked { sequence, closed, need: 0, want: 0 });
                }
                Step::Charge(process) | Step::ChargeInVain(process) => {
                    if is_window && now / rule.period != window {
                        window = now / rule.period;
                        (admitted, wiped, ledger.unsettled) = (0, 0, 0);
                    }
                    let account = &mut accounts[process];
                    let mut known = account.spend(now, 1);
                    if known == Known::Unknown {
                        sequence += 1;
                        let closed = account.close(now);
                        let want = account.want.max(1).min(rule.max_lease());
                        let asked = Asked { sequence, closed, need: 1, want };
                        let grant = ledger.ask(process, now, &asked);
                        if matches!(step, Step::ChargeInVain(_)) {
                            continue;
                        }
                        account.want = want;
                        known = account.settle(&grant, sequence, now, 1);
                    }
                    match known {
                        Known::Admitted(_) => admitted += 1,
                        Known::Refused(..) => {}
                        Known::Unknown => prop_assert!(false, "no decision"),
                    }
                }
            }
            let come = if is_window { 0 } else { now * units / rule.period };
            let bound = units + come + ledger.unsettled * rule.max_lease() + wiped * units;
            prop_assert!(admitted <= bound, "{admitted} of {bound} at {now}");
        }
    }
}
