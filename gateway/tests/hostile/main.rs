//! The gateway between scripted peers: whatever an upstream or a client does, a call ends with a
//! right error, and calls beside it end as if nothing had happened.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper of a test may panic like the test itself"
)]
#![allow(clippy::too_many_lines, reason = "tables of scripts are long")]

mod clients;
mod codes;
mod crowd;
mod empty;
mod known;
mod memory;
mod protocol;
mod scripts;
mod support;
mod unread;
mod upstreams;
