//! The oracle decides: holds the network against the numbers that the reference left at every
//! stage of golden runs, within the reference's own rounding.

pub mod compare;
pub mod golden;
pub mod gradients;
pub mod report;
pub mod suite;
