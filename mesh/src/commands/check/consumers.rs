//! The expectations of consumers, compared with the contracts here.

use anyhow::Result;
use compiler::Problem;
use expectations::Contract;

use crate::commands::expectations::{Recorded, read};

/// Finds what consumers would feel of the contracts that `descriptor_set` has.
pub(super) fn felt(descriptor_set: &[u8]) -> Result<Vec<Problem>> {
    let recorded = read()?;
    if recorded.is_empty() {
        return Ok(Vec::new());
    }
    let contract = Contract::load(descriptor_set)?;
    let all = recorded.iter().flat_map(|Recorded { file, expectations }| {
        let felt = expectations.verify(&contract).into_iter();
        felt.map(|felt| Problem {
            file: file.clone(),
            line: None,
            column: None,
            element: felt.element,
            reason: felt.reason,
        })
    });
    Ok(all.collect())
}
