//! Tests that need nothing but a gateway: they run against any mesh, whoever has started it.
//!
//! Each uses names of its own, and expects nothing of what others have done before.

mod buf;
pub(crate) mod examples;
mod orders;
mod websocket;
