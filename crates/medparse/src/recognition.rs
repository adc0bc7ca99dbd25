//! Finding everything in a picture without a prompt: the arithmetic around the network.
//!
//! BiomedParse asks for every target that its kind of picture can hold, then throws away the masks
//! that do not look like that target (a test on four averages of each mask), those that lie on a
//! better one, and settles pixel by pixel what remains (`inference_utils/output_processing.py`).
//! [`recognise`] does it all; the functions beneath work on plain maps. [`instances`] counts the objects of one mask.

mod everything;
mod instances;
mod overlap;
mod plausibility;

pub use everything::{
    Recognised, RecognitionError, RecognitionOptions, recognise, recognise_until,
};
pub use instances::{Instance, Separation, instances};
pub use overlap::{Combined, OverlapError, combine, non_maximum_suppression};
pub use plausibility::{
    BetaShape, DistributionError, MaskStatistics, StatisticsError, TargetDistribution,
    TargetDistributions, mask_statistics,
};
