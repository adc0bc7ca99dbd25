//! NRRD (Kindlmann, "Definition of the NRRD file format", teem.sourceforge.net/nrrd): header and data in one file.

mod read;
mod write;

pub(crate) use read::volume;
pub(crate) use write::{Segment, labels};
