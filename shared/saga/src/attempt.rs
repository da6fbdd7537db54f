//! One attempt of a step for a batch: a call, then one transaction with all its effects.

mod progress;

use std::future::Future;

use sqlx::{PgConnection, PgPool};
use tonic::Status;

use crate::definition::{Answer, Definition, Step, is_final};
use crate::instance::{Instance, Move};
use crate::settings::Settings;
use crate::store::{self, Entry};
use progress::{Fate, Progress, Writes, at, next_local, settle};

/// A saga: its definition and what its steps do.
pub trait Saga: Send + Sync + 'static {
    /// The steps, compensations included.
    type Step: Step;
    /// Why a decision or a record failed.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The saga as a table.
    const DEFINITION: Definition<Self::Step>;

    /// Takes a step for all instances by calls to other services; returns their answers in the
    /// order of the instances.
    ///
    /// Every instance may be repeated, also after a success whose answer was lost. An error is the
    /// answer of all; one that no retry changes is found out by taking the batch apart.
    fn call(
        &self,
        step: Self::Step,
        due: &[Instance<Self::Step>],
    ) -> impl Future<Output = Result<Vec<Answer>, Status>> + Send;

    /// Decides a local step for all instances, in the transaction that records the answers.
    fn decide(
        &self,
        tx: &mut PgConnection,
        step: Self::Step,
        due: &[Instance<Self::Step>],
    ) -> impl Future<Output = Result<Vec<Answer>, Self::Error>> + Send;

    /// Writes the effects of steps on the service's own data, in the transaction that records them.
    fn record(
        &self,
        tx: &mut PgConnection,
        moves: &[Move<Self::Step>],
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Runs after a commit; it may be lost.
    fn committed(&self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// Why a batch made no progress.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure<E> {
    /// The call failed for all, for good.
    #[error("the call failed: {0}")]
    Call(Status),
    /// The step answered for another number of instances.
    #[error("{answers} answers for {instances} instances")]
    Answers { answers: usize, instances: usize },
    #[error("database")]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Hook(E),
}

/// One batch of a saga at one step.
pub(crate) struct Attempt<'a, S: Saga> {
    pub(crate) saga: &'a S,
    pub(crate) pool: &'a PgPool,
    pub(crate) settings: &'a Settings,
}

// === impl Attempt ===

impl<S: Saga> Attempt<'_, S> {
    /// Takes `step` for the batch; returns the instances that go on, still claimed. Those that do
    /// not are due again later.
    ///
    /// A batch that fails as a whole is taken apart, so that an instance that can't be processed
    /// does not stop the others.
    pub(crate) async fn take(
        &self,
        step: S::Step,
        mut batch: Vec<Instance<S::Step>>,
    ) -> Vec<Instance<S::Step>> {
        let error = match self.attempt(step, &mut batch).await {
            Ok(advanced) => return advanced,
            Err(error) => error,
        };
        let name: &'static str = step.into();
        if batch.len() > 1 && !is_outage(&error) {
            let half = batch.split_off(batch.len() / 2);
            let mut advanced = Box::pin(self.take(step, batch)).await;
            advanced.extend(Box::pin(self.take(step, half)).await);
            return advanced;
        }
        tracing::error!(
            step = name,
            instances = batch.len(),
            error = &error as &dyn std::error::Error,
            "step failed"
        );
        let progress = batch.into_iter().map(|instance| Progress {
            overdue: false,
            fate: Fate::Retry(error.to_string()),
            instance,
        });
        // If this fails too, they are due again at the end of their lease.
        if let Err(error) = self.put_off(progress.collect()).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "can't put sagas off"
            );
        }
        Vec::new()
    }

    /// One call and one transaction. After an error nothing was written, and the batch is whole.
    async fn attempt(
        &self,
        step: S::Step,
        batch: &mut [Instance<S::Step>],
    ) -> Result<Vec<Instance<S::Step>>, Failure<S::Error>> {
        let definition = &S::DEFINITION;
        let local = definition.is_local(step);
        let answers = if local {
            Vec::new()
        } else {
            self.answers(step, batch).await?
        };
        let mut tx = self.pool.begin().await?;
        let held = store::lock(&mut tx, definition.name, batch).await?;
        let (mut progress, mut settled, mut asked) = (Vec::new(), Vec::new(), Vec::new());
        for (index, instance) in batch.iter().enumerate() {
            let Some(&overdue) = held.get(&(instance.id, instance.version)) else {
                continue;
            };
            if !local {
                settled.push(answers[index].clone());
            }
            asked.push(progress.len());
            progress.push(Progress {
                instance: instance.clone(),
                overdue,
                fate: Fate::Next(step),
            });
        }
        if local {
            settled = self.decide(&mut tx, step, &progress, &asked).await?;
        }
        let mut writes = Writes {
            moves: Vec::new(),
            log: Vec::new(),
        };
        settle(definition, &mut progress, &asked, settled, &mut writes);
        // Decisions that follow share the transaction.
        while let Some(step) = next_local(&progress, definition) {
            let asked = at(&progress, step);
            let settled = self.decide(&mut tx, step, &progress, &asked).await?;
            settle(definition, &mut progress, &asked, settled, &mut writes);
        }
        self.saga
            .record(&mut tx, &writes.moves)
            .await
            .map_err(Failure::Hook)?;
        let advanced = self.write(&mut tx, progress, &writes.log).await?;
        let point = crash_point(definition.name, step);
        chassis::crash::point(&format!("{point}.before_commit"));
        tx.commit().await?;
        chassis::crash::point(&format!("{point}.after_commit"));
        if !writes.moves.is_empty() {
            self.saga.committed().await;
        }
        Ok(advanced)
    }

    /// Calls the step for those that no operator has given up.
    async fn answers(
        &self,
        step: S::Step,
        batch: &mut [Instance<S::Step>],
    ) -> Result<Vec<Answer>, Failure<S::Error>> {
        // The given up ones stay at the end; their answers are not used.
        batch.sort_by_key(|instance| instance.given_up.is_some());
        let due = batch.partition_point(|instance| instance.given_up.is_none());
        let mut answers = match self.call(step, &batch[..due]).await {
            Ok(answers) if answers.len() == due => answers,
            Ok(answers) => {
                return Err(Failure::Answers {
                    answers: answers.len(),
                    instances: due,
                });
            }
            Err(status) if due > 1 && is_final(&status) => return Err(Failure::Call(status)),
            Err(status) => {
                tracing::warn!(?step, instances = due, %status, "step not answered");
                vec![Answer::from(status); due]
            }
        };
        answers.resize(batch.len(), Answer::Done);
        Ok(answers)
    }

    async fn call(&self, step: S::Step, due: &[Instance<S::Step>]) -> Result<Vec<Answer>, Status> {
        if due.is_empty() {
            return Ok(Vec::new());
        }
        self.saga.call(step, due).await
    }

    async fn decide(
        &self,
        tx: &mut PgConnection,
        step: S::Step,
        progress: &[Progress<S::Step>],
        asked: &[usize],
    ) -> Result<Vec<Answer>, Failure<S::Error>> {
        let is_due = |index: &usize| progress[*index].instance.given_up.is_none();
        let due: Vec<_> = asked
            .iter()
            .filter(|&index| is_due(index))
            .map(|&index| progress[index].instance.clone())
            .collect();
        let answers = self
            .saga
            .decide(tx, step, &due)
            .await
            .map_err(Failure::Hook)?;
        if answers.len() != due.len() {
            return Err(Failure::Answers {
                answers: answers.len(),
                instances: due.len(),
            });
        }
        let mut answers = answers.into_iter();
        // The answer of one that is given up is not used.
        let answer = |index| is_due(index).then(|| answers.next()).flatten();
        Ok(asked
            .iter()
            .map(answer)
            .map(|answer| answer.unwrap_or(Answer::Done))
            .collect())
    }

    /// Writes all instances and returns those that go on.
    async fn write(
        &self,
        tx: &mut PgConnection,
        progress: Vec<Progress<S::Step>>,
        log: &[Entry],
    ) -> Result<Vec<Instance<S::Step>>, sqlx::Error> {
        let name = S::DEFINITION.name;
        let rows: Vec<_> = progress
            .iter()
            .map(|progress| progress.row(self.settings))
            .collect();
        store::write(tx, name, &rows).await?;
        if !log.is_empty() {
            store::log(tx, name, log).await?;
        }
        Ok(progress.into_iter().filter_map(Progress::goes_on).collect())
    }

    async fn put_off(&self, progress: Vec<Progress<S::Step>>) -> Result<(), sqlx::Error> {
        let mut tx = self.pool.begin().await?;
        self.write(&mut tx, progress, &[]).await?;
        tx.commit().await
    }
}

/// Returns the stem of the crash points of a step, such as `saga.order.reserve`.
fn crash_point<S: Step>(name: &str, step: S) -> String {
    let step: &'static str = step.into();
    format!("saga.{}.{}", name.to_lowercase(), step.to_lowercase())
}

/// Returns true if smaller batches would fail alike.
fn is_outage<E: std::error::Error + 'static>(failure: &Failure<E>) -> bool {
    let error: &(dyn std::error::Error + 'static) = match failure {
        Failure::Call(_) | Failure::Answers { .. } => return false,
        Failure::Database(error) => return ::store::is_outage(error),
        Failure::Hook(error) => error,
    };
    std::iter::successors(Some(error), |error| error.source())
        .filter_map(|error| error.downcast_ref())
        .any(::store::is_outage)
}
