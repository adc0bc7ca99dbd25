//! One file per verb.

pub mod endpoint;
pub mod keys;
pub mod model;
pub mod segment;
pub mod serve;
