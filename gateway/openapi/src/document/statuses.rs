//! The HTTP statuses of gRPC codes, those of a service's own included.

use std::collections::BTreeMap;

use transcoder::{http_status, status_code_name};

/// UNAUTHENTICATED.
pub(super) const LAST_CODE: i32 = 16;

/// HTTP statuses of the codes of one service; those of `google/rpc/code.proto` where it has no own.
#[derive(Clone, Copy)]
pub(super) struct Statuses<'a>(pub(super) Option<&'a BTreeMap<i32, u16>>);

// === impl Statuses ===

impl Statuses<'_> {
    pub(super) fn of(self, code: i32) -> u16 {
        let own = self.0.and_then(|own| own.get(&code));
        own.copied().unwrap_or_else(|| status_of(code))
    }
}

/// The name of a code, or its number if it is the service's own.
pub(super) fn code_text(code: i32) -> String {
    match code {
        0..=LAST_CODE => status_code_name(code).to_owned(),
        _ => code.to_string(),
    }
}

pub(super) fn status_of(code: i32) -> u16 {
    http_status(code).as_u16()
}
