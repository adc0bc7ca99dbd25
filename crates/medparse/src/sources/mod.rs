//! Where models come from.

pub mod hub;
