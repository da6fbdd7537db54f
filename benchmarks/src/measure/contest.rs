//! Contestants take turns, so that a slow phase of the machine affects all.

use std::time::Duration;

use anyhow::Result;

use super::Effort;
use crate::clock::cpu_time;

/// A timed function.
pub(super) struct Contestant<'a> {
    work: Box<dyn FnMut() -> Result<()> + 'a>,
    /// Calls per turn.
    calls: u32,
    /// Nanoseconds per call, one for each round.
    turns: Vec<f64>,
}

/// Times all contestants over all rounds.
pub(super) fn hold(contestants: &mut [Contestant<'_>], effort: Effort) -> Result<()> {
    for contestant in &mut *contestants {
        contestant.calibrate(effort.turn)?;
    }
    for _ in 0..effort.rounds {
        for contestant in &mut *contestants {
            let nanos = contestant.take_turn()?.as_nanos() as f64;
            contestant.turns.push(nanos / f64::from(contestant.calls));
        }
    }
    Ok(())
}

/// Returns the median; NaN without values.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

// === impl Contestant ===

impl<'a> Contestant<'a> {
    pub(super) fn new(work: impl FnMut() -> Result<()> + 'a) -> Self {
        Contestant {
            work: Box::new(work),
            calls: 1,
            turns: Vec::new(),
        }
    }

    /// Returns the median of nanoseconds per call.
    pub(super) fn nanos(&self) -> f64 {
        median(self.turns.iter().copied())
    }

    /// Returns the ratio of the other's time to this one's, the median over the rounds.
    pub(super) fn lead_over(&self, other: &Contestant<'_>) -> f64 {
        median(
            self.turns
                .iter()
                .zip(&other.turns)
                .map(|(own, other)| other / own),
        )
    }

    fn take_turn(&mut self) -> Result<Duration> {
        let start = cpu_time();
        for _ in 0..self.calls {
            (self.work)()?;
        }
        Ok(cpu_time() - start)
    }

    /// Determines the calls per turn, which also warms caches and buffers.
    fn calibrate(&mut self, turn: Duration) -> Result<()> {
        loop {
            let taken = self.take_turn()?;
            if taken >= turn / 2 {
                let calls = f64::from(self.calls) * turn.as_secs_f64() / taken.as_secs_f64();
                self.calls = (calls as u32).max(1);
                return Ok(());
            }
            self.calls = self.calls.saturating_mul(2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_not_moved_by_an_outlier() {
        assert_eq!(median([3.0, 1.0, 1000.0, 2.0, 4.0]), 3.0);
    }

    #[test]
    fn a_contestant_that_does_twice_the_work_takes_about_twice_as_long() {
        let work = |times: u64| {
            move || {
                for n in 0..times {
                    std::hint::black_box(n);
                }
                Ok(())
            }
        };
        let mut pair = [Contestant::new(work(20_000)), Contestant::new(work(40_000))];
        hold(&mut pair, Effort::QUICK).unwrap();
        let [one, two] = &pair;
        assert!(
            (1.2..3.5).contains(&one.lead_over(two)),
            "{}",
            one.lead_over(two)
        );
    }

    #[test]
    fn an_error_ends_the_contest() {
        let mut one = [Contestant::new(|| anyhow::bail!("broken"))];
        assert!(hold(&mut one, Effort::QUICK).is_err());
    }
}
