//! One file per verb.

pub mod batch;
pub mod bench;
pub mod compare;
pub mod doctor;
pub mod endpoint;
pub mod evaluate;
pub mod keys;
pub mod man;
pub mod model;
pub mod prepare;
pub mod recognize;
pub mod segment;
pub mod serve;
pub mod targets;
pub mod train;
pub mod ui;
