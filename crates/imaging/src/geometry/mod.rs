//! Where pixels and voxels lie in the patient.

mod grid;
mod letters;
mod plane;
pub mod vector;

pub use grid::{Affine, Grid};
pub use plane::{Axis, Plane, View};

use vector::Vector;

/// The physical size of a picture's pixels and, where the file says so, its place in the patient.
///
/// PNG and JPEG carry none.
#[derive(Clone, Debug, PartialEq)]
pub struct Geometry {
    /// Millimetres from one pixel's centre to the next, `[along a row, down a column]`.
    pub spacing: [f64; 2],
    /// Where the plane lies; absent for a projection or a photograph with a scale.
    pub placement: Option<Placement>,
}

/// A plane in the patient's coordinates: millimetres, x to the left, y to the back, z to the head (DICOM PS3.3 C.7.6.2).
#[derive(Clone, Debug, PartialEq)]
pub struct Placement {
    /// The centre of the first pixel, in mm.
    pub origin: Vector,
    /// Unit vector along a row, towards growing x.
    pub row_direction: Vector,
    /// Unit vector down a column, towards growing y.
    pub column_direction: Vector,
    /// The frame of reference's UID: pictures that share it share coordinates.
    pub frame_of_reference: Option<String>,
}

impl Geometry {
    /// Spacing alone, in mm, `[along a row, down a column]`.
    pub fn from_spacing(spacing: [f64; 2]) -> Self {
        Self { spacing, placement: None }
    }

    /// The area of one pixel in mm².
    pub fn pixel_area(&self) -> f64 {
        self.spacing[0] * self.spacing[1]
    }
}

/// A grid for tests, in RAS+ order: columns to the right, rows to the front, slices to the head, the first 70 mm below zero.
#[cfg(test)]
fn ras() -> Grid {
    Grid {
        origin: [90.0, 120.0, -70.0],
        directions: [[-1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, 1.0]],
        spacing: [1.0, 2.0, 3.0],
        frame_of_reference: None,
    }
}
