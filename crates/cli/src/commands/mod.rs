//! One file per verb.

pub mod model;
pub mod segment;
