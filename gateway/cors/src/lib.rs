#![doc = include_str!("../README.md")]

mod policy;
mod site;

pub use policy::{Cors, CorsSettings};
pub use site::{check_site, is_own};
