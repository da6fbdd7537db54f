//! The sagas of orders and returns: what each step calls, decides and records.

mod money;
mod order;
mod ret;
mod stock;

use std::time::Duration;

use ::saga::Answer;
use protos::{
    google::rpc, inventory::v1::inventory_service_client::InventoryServiceClient,
    payments::v1::payments_service_client::PaymentsServiceClient,
};
use sqlx::PgPool;
use tonic::{Request, Status};

pub use order::OrderSaga;
pub use ret::ReturnSaga;

/// The dependencies of the steps.
#[derive(Clone, Debug)]
pub struct Peers {
    /// The service's database.
    pub pool: PgPool,
    /// Stock.
    pub inventory: InventoryServiceClient<chassis::client::Upstream>,
    /// Money.
    pub payments: PaymentsServiceClient<chassis::client::Upstream>,
    /// Timeout of one step's call.
    pub step_timeout: Duration,
}

impl Peers {
    /// Builds a request with the step's timeout.
    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.step_timeout);
        request
    }
}

/// Returns the answers of a batch: `read` makes one of each result.
fn answers<R>(results: Vec<R>, read: impl Fn(R) -> Answer) -> Vec<Answer> {
    results.into_iter().map(read).collect()
}

/// Returns the answer that an error of one request of a batch is.
fn failed(error: rpc::Status) -> Answer {
    Answer::from(Status::from(error))
}

/// As [`failed`], of a request that creates something under an id: what was there before belongs to
/// somebody else and must not be compensated.
fn not_created(error: rpc::Status) -> Answer {
    let status = Status::from(error);
    let is_foreign = status.code() == tonic::Code::AlreadyExists;
    match Answer::from(status) {
        Answer::Failed(outcome) if is_foreign => Answer::Refused(outcome),
        other => other,
    }
}

/// Returns the answers of a step that is done for those with nothing to call for.
///
/// `asked` are the indices of the called ones among `due`, `answers` theirs.
fn spread(due: usize, asked: &[usize], answers: Vec<Answer>) -> Result<Vec<Answer>, Status> {
    if asked.len() != answers.len() {
        return Err(incomplete("results"));
    }
    let mut all = vec![Answer::Done; due];
    for (&index, answer) in asked.iter().zip(answers) {
        all[index] = answer;
    }
    Ok(all)
}

/// Returns the answer of a result without content, which no version of a peer sends.
fn unset() -> Answer {
    Answer::Unanswered("the answer has no result".to_owned())
}

fn incomplete(field: &str) -> Status {
    chassis::error::Fault::new(
        tonic::Code::Internal,
        "INCOMPLETE_RESPONSE",
        format!("the answer has no {field}"),
    )
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_somebody_else_is_refused_and_not_compensated() {
        let status = |code: tonic::Code| rpc::Status {
            code: code.into(),
            ..rpc::Status::default()
        };
        let foreign = not_created(status(tonic::Code::AlreadyExists));
        assert!(matches!(foreign, Answer::Refused(_)), "{foreign:?}");
        let failed = not_created(status(tonic::Code::InvalidArgument));
        assert!(matches!(failed, Answer::Failed(_)), "{failed:?}");
        let unknown = not_created(status(tonic::Code::Unavailable));
        assert!(matches!(unknown, Answer::Unanswered(_)), "{unknown:?}");
    }

    #[test]
    fn requests_without_a_call_are_done() {
        let answers = spread(3, &[1], vec![Answer::failed("NO")]);
        assert_eq!(
            answers.unwrap(),
            [Answer::Done, Answer::failed("NO"), Answer::Done]
        );
        assert!(spread(3, &[1], Vec::new()).is_err());
    }
}
