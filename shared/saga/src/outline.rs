//! Definitions without the types of their steps, for operators and metrics.

use crate::definition::{Definition, Next, Step, Verdict};

/// The steps of one version of a saga, by their stored names.
#[derive(Clone, Debug)]
pub struct Outline {
    name: &'static str,
    version: i32,
    steps: Vec<Line>,
}

/// A step, and the one that follows if it is given up.
#[derive(Clone, Copy, Debug)]
struct Line {
    step: &'static str,
    given_up: Option<&'static str>,
}

// === impl Outline ===

impl Outline {
    /// Returns the outline of a definition.
    pub fn of<S: Step>(definition: &Definition<S>) -> Self {
        let line = |step: S| Line {
            step: step.into(),
            given_up: match definition.after(step, Verdict::GivenUp) {
                Next::Step(next) => Some(next.into()),
                Next::End | Next::Again | Next::Operator => None,
            },
        };
        Self {
            name: definition.name,
            version: definition.version,
            steps: definition.steps().map(line).collect(),
        }
    }

    /// Returns true if it outlines this version of this saga.
    pub fn is_of(&self, name: &str, version: i32) -> bool {
        (self.name, self.version) == (name, version)
    }

    /// Returns the step that follows when `step` is given up, or `Some(None)` if the saga ends with
    /// it; `None` for a step that the definition does not have.
    pub fn after_giving_up(&self, step: &str) -> Option<Option<&'static str>> {
        let mut steps = self.steps.iter();
        let line = steps.find(|line| line.step == step);
        line.map(|line| line.given_up)
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn steps(&self) -> impl Iterator<Item = &'static str> {
        self.steps.iter().map(|line| line.step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::Stage;

    #[derive(Clone, Copy, Debug, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
    enum Trip {
        Flight,
        Hotel,
        Mail,
        CancelFlight,
    }

    #[test]
    fn an_operator_can_tell_the_step_after_one_that_is_given_up() {
        const TRIP: Definition<Trip> = Definition {
            name: "TRIP",
            version: 2,
            stages: &[
                Stage::call(Trip::Mail),
                Stage::call(Trip::Flight).undone_by(Trip::CancelFlight),
                Stage::call(Trip::Hotel),
            ],
        };
        let outline = Outline::of(&TRIP);
        assert!(outline.is_of("TRIP", 2) && !outline.is_of("TRIP", 1));
        // Nothing is to be undone yet, so it goes on.
        assert_eq!(outline.after_giving_up("Mail"), Some(Some("Flight")));
        assert_eq!(outline.after_giving_up("Hotel"), Some(Some("CancelFlight")));
        assert_eq!(outline.after_giving_up("CancelFlight"), Some(None));
        assert_eq!(outline.after_giving_up("Train"), None);
    }
}
