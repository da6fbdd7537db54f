//! Scripted peers for tests: an upstream and a client that write HTTP/2 frames, or any bytes, by
//! hand.
//!
//! A [`Script`] is data: a list of [`Step`]s. The [`Upstream`] answers each call with the script
//! that its `play` function chooses; the [`Client`] plays a script on one connection and records
//! what comes back. Nothing waits for a clock: [`Step::Sync`] returns when the peer has read all
//! that was written before it, [`Step::Hold`] when the test opens the gate. Every wait is bounded,
//! and a peer ends when it is dropped.
//!
//! ```
//! use hostile::{Script, Upstream, grpc};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let upstream = Upstream::start(|call| {
//!     let good = call.path.ends_with("/Get");
//!     Some(if good { grpc::answer(b"") } else { Script::from([grpc::reset(8)]) })
//! })
//! .await?;
//! assert_ne!(upstream.address().port(), 0);
//! # Ok(())
//! # }
//! ```

pub mod attack;
mod client;
mod frame;
pub mod grpc;
mod hpack;
mod script;
mod upstream;

pub use client::{Client, Seen};
pub use frame::{Frame, code, flag, kind, setting};
pub use hpack::{Field, block, decode_once};
pub use script::{Last, On, Script, Step};
pub use upstream::{Call, Credit, Options, Upstream};
