#![doc = include_str!("../README.md")]

pub mod explorer;
mod html;
mod landing;
mod page;

pub use landing::Landing;
pub use page::{Page, tag};
