//! Slices along anatomical axes, shown as radiologists hang them.

use super::vector::{Vector, dot, scale};
use super::{Geometry, Grid, Placement};

/// Which slices of a volume are shown to the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Plane {
    /// The slices of the file as they are: for a DICOM series, the planes that were acquired.
    #[default]
    Stored,
    /// Seen from the feet: the patient's right on the left, front on top.
    Axial,
    /// Seen from the front: the patient's right on the left, head on top.
    Coronal,
    /// Seen from the left: the patient's front on the left, head on top.
    Sagittal,
}

impl std::fmt::Display for Plane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Stored => "stored",
            Self::Axial => "axial",
            Self::Coronal => "coronal",
            Self::Sagittal => "sagittal",
        })
    }
}

impl Plane {
    /// The patient's directions of growing x, growing y and growing slice number.
    fn directions(self) -> Option<[Vector; 3]> {
        const LEFT: Vector = [1.0, 0.0, 0.0];
        const BACK: Vector = [0.0, 1.0, 0.0];
        const HEAD: Vector = [0.0, 0.0, 1.0];
        const FEET: Vector = [0.0, 0.0, -1.0];
        match self {
            Self::Stored => None,
            Self::Axial => Some([LEFT, BACK, HEAD]),
            Self::Coronal => Some([LEFT, FEET, BACK]),
            Self::Sagittal => Some([BACK, FEET, LEFT]),
        }
    }
}

/// One axis of a view: which axis of the file it runs along, and which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Axis {
    /// 0 for the file's columns, 1 for its rows, 2 for its slices.
    pub of: usize,
    /// Whether it runs against the file's order.
    pub reversed: bool,
}

/// A volume cut into slices: how `[x, y, slice]` of the view map to the file's own `[column, row, slice]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    axes: [Axis; 3],
    stored: [usize; 3],
}

impl View {
    /// The view of a volume of `dimensions` (columns, rows, slices) along the file's axes nearest to `plane`.
    ///
    /// Without a grid only the stored slices are known, so they are the view.
    pub fn new(plane: Plane, grid: Option<&Grid>, dimensions: [usize; 3]) -> Self {
        match (plane.directions(), grid) {
            (Some(wanted), Some(grid)) => {
                Self { axes: nearest_axes(&wanted, &grid.directions), stored: dimensions }
            }
            _ => Self::stored(dimensions),
        }
    }

    /// The slices of a volume of `dimensions` as the file holds them.
    pub fn stored(dimensions: [usize; 3]) -> Self {
        Self { axes: [0, 1, 2].map(|of| Axis { of, reversed: false }), stored: dimensions }
    }

    /// The same slices turned clockwise by quarters of a circle; what is put back through the view is turned back.
    #[must_use]
    pub fn rotated(mut self, quarters: u32) -> Self {
        for _ in 0..quarters % 4 {
            let [x, y, slice] = self.axes;
            self.axes = [Axis { reversed: !y.reversed, ..y }, x, slice];
        }
        self
    }

    /// The same slices mirrored, left for right.
    #[must_use]
    pub fn mirrored(mut self) -> Self {
        self.axes[0].reversed = !self.axes[0].reversed;
        self
    }

    /// The same turns of a volume of another size.
    #[must_use]
    pub fn of_size(mut self, dimensions: [usize; 3]) -> Self {
        self.stored = dimensions;
        self
    }

    /// Whether slices are shown as the file holds them.
    pub fn is_stored(&self) -> bool {
        self.axes == [0, 1, 2].map(|of| Axis { of, reversed: false })
    }

    /// Pixels in a row, rows, slices.
    pub fn dimensions(&self) -> [usize; 3] {
        self.axes.map(|axis| self.stored[axis.of])
    }

    /// The axes, in the order x, y, slice.
    pub fn axes(&self) -> [Axis; 3] {
        self.axes
    }

    /// The position in the file's order (columns fastest) of a voxel of the view.
    pub(crate) fn offset(&self, index: [usize; 3]) -> usize {
        let strides = [1, self.stored[0], self.stored[0] * self.stored[1]];
        self.axes
            .iter()
            .zip(index)
            .map(|(axis, at)| {
                let at = if axis.reversed { self.stored[axis.of] - 1 - at } else { at };
                at * strides[axis.of]
            })
            .sum()
    }

    /// Writes one slice's bytes, `[y, x]` of the view, into a volume in the file's order.
    ///
    /// # Panics
    /// Where the slice is not of the view or the lengths do not fit it.
    pub fn put_plane(&self, plane: &[u8], slice: usize, volume: &mut [u8]) {
        let [width, ..] = self.dimensions();
        for (y, row) in plane.chunks_exact(width).enumerate() {
            for (x, pixel) in row.iter().enumerate() {
                volume[self.offset([x, y, slice])] = *pixel;
            }
        }
    }

    /// One slice of a volume in the file's order, `[y, x]`.
    ///
    /// # Panics
    /// Where the slice is not of the view, or the volume has fewer voxels than it.
    pub fn take<T: Copy>(&self, volume: &[T], slice: usize) -> Vec<T> {
        let [width, height, _] = self.dimensions();
        let at = |x: usize, y: usize| volume[self.offset([x, y, slice])];
        (0..height).flat_map(|y| (0..width).map(move |x| at(x, y))).collect()
    }

    /// The place of one slice in the patient.
    pub fn geometry(&self, grid: &Grid, slice: usize) -> Geometry {
        let along =
            |axis: Axis| scale(grid.directions[axis.of], if axis.reversed { -1.0 } else { 1.0 });
        let [x, y, _] = self.axes;
        let mut first = [0.0; 3];
        for (axis, at) in self.axes.iter().zip([0, 0, slice]) {
            let at = if axis.reversed { self.stored[axis.of] - 1 - at } else { at };
            first[axis.of] = at as f64;
        }
        Geometry {
            spacing: [grid.spacing[x.of], grid.spacing[y.of]],
            placement: Some(Placement {
                origin: grid.position(first),
                row_direction: along(x),
                column_direction: along(y),
                frame_of_reference: grid.frame_of_reference.clone(),
            }),
        }
    }
}

/// The assignment of the grid's axes to the wanted directions with the greatest sum of cosines.
///
/// With three axes all six orders are tried: a choice axis by axis can go wrong near 45°.
fn nearest_axes(wanted: &[Vector; 3], directions: &[Vector; 3]) -> [Axis; 3] {
    const ORDERS: [[usize; 3]; 6] =
        [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    let cosine = |at: usize, of: usize| dot(wanted[at], directions[of]);
    let fitness = |order: &[usize; 3]| (0..3).map(|at| cosine(at, order[at]).abs()).sum::<f64>();
    let best = ORDERS.iter().fold(&ORDERS[0], |best, order| {
        if fitness(order) > fitness(best) + 1e-9 { order } else { best }
    });
    std::array::from_fn(|at| Axis { of: best[at], reversed: cosine(at, best[at]) < 0.0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::ras;

    #[test]
    fn an_axial_view_turns_ras_round() {
        let view = View::new(Plane::Axial, Some(&ras()), [4, 3, 2]);
        assert_eq!(view.dimensions(), [4, 3, 2]);
        let volume: Vec<u8> = (0..24).collect();
        let slice = view.take(&volume, 1);
        assert_eq!(slice, (12..24).rev().collect::<Vec<u8>>());
        let geometry = view.geometry(&ras(), 1);
        let placement = geometry.placement.unwrap();
        assert_eq!(placement.row_direction, [1.0, 0.0, 0.0]);
        assert_eq!(placement.column_direction, [0.0, 1.0, 0.0]);
        assert_eq!(placement.origin, [90.0 - 3.0, 120.0 - 4.0, -67.0]);
    }

    #[test]
    fn other_planes_take_the_axes_they_need() {
        for (plane, dimensions) in [(Plane::Coronal, [4, 2, 3]), (Plane::Sagittal, [3, 2, 4])] {
            let view = View::new(plane, Some(&ras()), [4, 3, 2]);
            assert_eq!(view.dimensions(), dimensions, "{plane}");
            let placement = view.geometry(&ras(), 0).placement.unwrap();
            assert_eq!(placement.column_direction, [0.0, 0.0, -1.0], "{plane}: the head is up");
        }
    }

    #[test]
    fn what_a_view_puts_it_takes() {
        for plane in [Plane::Stored, Plane::Axial, Plane::Coronal, Plane::Sagittal] {
            let view = View::new(plane, Some(&ras()), [5, 4, 3]);
            let [width, height, slices] = view.dimensions();
            let mut volume = vec![0; 60];
            for slice in 0..slices {
                let pixels: Vec<u8> =
                    (0..width * height).map(|i| ((i + slice) % 251) as u8).collect();
                view.put_plane(&pixels, slice, &mut volume);
                assert_eq!(view.take(&volume, slice), pixels, "{plane}");
            }
        }
    }

    #[test]
    fn turns_go_clockwise_and_come_back() {
        let view = View::new(Plane::Stored, None, [3, 2, 1]);
        let picture = [1, 2, 3, 4, 5, 6];
        assert_eq!(view.rotated(1).take(&picture, 0), [4, 1, 5, 2, 6, 3]);
        assert_eq!(view.rotated(2).take(&picture, 0), [6, 5, 4, 3, 2, 1]);
        assert_eq!(view.mirrored().take(&picture, 0), [3, 2, 1, 6, 5, 4]);
        assert!(view.rotated(4).is_stored() && !view.mirrored().is_stored());
        for turned in [view.rotated(1), view.rotated(3).mirrored(), view.mirrored().rotated(2)] {
            let mut back = [0; 6];
            turned.put_plane(&turned.take(&picture, 0), 0, &mut back);
            assert_eq!(back, picture);
        }
    }

    #[test]
    fn a_volume_without_a_grid_is_shown_as_stored() {
        let view = View::new(Plane::Coronal, None, [4, 3, 2]);
        assert_eq!(view.dimensions(), [4, 3, 2]);
    }
}
