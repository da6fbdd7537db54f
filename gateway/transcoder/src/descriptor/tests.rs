//! Definitions from descriptors.
