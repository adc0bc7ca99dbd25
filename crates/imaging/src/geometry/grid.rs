//! The grid of a volume's voxels in the patient.

use super::vector::{Vector, add, cross, dot, length, scale, subtract, unit};

/// Voxels at equal distances: millimetres, x to the left, y to the back, z to the head (DICOM's patient coordinates, LPS).
///
/// The axes are those of the file's own order: columns (along a row), rows (down a column), slices. They need not be
/// perpendicular: a tilted gantry shears the slices.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// The centre of the first voxel, in mm.
    pub origin: Vector,
    /// Unit vectors towards the next column, the next row and the next slice.
    pub directions: [Vector; 3],
    /// Distances to the next column, row and slice, in mm, each above 0.
    pub spacing: [f64; 3],
    /// The frame of reference's UID: grids that share it share coordinates.
    pub frame_of_reference: Option<String>,
}

/// The first three rows of an affine matrix from voxel indices to mm, as NIfTI's `srow_x`, `srow_y`, `srow_z`.
pub type Affine = [[f64; 4]; 3];

impl Grid {
    /// The grid of a matrix into LPS coordinates; `None` where an axis has no length, or a number is not finite, or the
    /// axes lie in one plane.
    pub fn from_affine(affine: &Affine) -> Option<Self> {
        let column = |axis: usize| [affine[0][axis], affine[1][axis], affine[2][axis]];
        let steps = [column(0), column(1), column(2)];
        let mut directions = [[0.0; 3]; 3];
        for (direction, step) in directions.iter_mut().zip(steps) {
            *direction = unit(step)?;
        }
        let volume = dot(directions[0], cross(directions[1], directions[2]));
        let origin = column(3);
        let finite = origin.iter().all(|value| value.is_finite());
        (finite && volume.abs() > 1e-6).then(|| Self {
            origin,
            directions,
            spacing: steps.map(length),
            frame_of_reference: None,
        })
    }

    /// The matrix from `[column, row, slice]` to LPS mm.
    pub fn affine(&self) -> Affine {
        std::array::from_fn(|axis| {
            let step = |of: usize| self.directions[of][axis] * self.spacing[of];
            [step(0), step(1), step(2), self.origin[axis]]
        })
    }

    /// The centre of a voxel, `[column, row, slice]`, in mm; indices may be fractions.
    pub fn position(&self, index: Vector) -> Vector {
        (0..3).fold(self.origin, |sum, axis| {
            add(sum, scale(self.directions[axis], self.spacing[axis] * index[axis]))
        })
    }

    /// The voxel indices of a position in mm, fractions included.
    pub fn index(&self, position: Vector) -> Vector {
        let [a, b, c] = [0, 1, 2].map(|axis| scale(self.directions[axis], self.spacing[axis]));
        let offset = subtract(position, self.origin);
        let volume = dot(a, cross(b, c));
        [
            dot(offset, cross(b, c)) / volume,
            dot(offset, cross(c, a)) / volume,
            dot(offset, cross(a, b)) / volume,
        ]
    }

    /// The volume of one voxel in mm³.
    pub fn voxel_volume(&self) -> f64 {
        let [a, b, c] = self.directions;
        dot(a, cross(b, c)).abs() * self.spacing.iter().product::<f64>()
    }

    /// Whether every voxel of a grid of `dimensions` lies within `tolerance` mm of where `other` has it.
    pub fn agrees(&self, other: &Self, dimensions: [usize; 3], tolerance: f64) -> bool {
        (0..8).all(|corner| {
            let index = std::array::from_fn(|axis| {
                if corner >> axis & 1 == 1 {
                    dimensions[axis].saturating_sub(1) as f64
                } else {
                    0.0
                }
            });
            length(subtract(self.position(index), other.position(index))) <= tolerance
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oblique() -> Grid {
        let (sin, cos) = 0.4_f64.sin_cos();
        Grid {
            origin: [10.0, -20.0, 30.0],
            directions: [[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]],
            spacing: [0.5, 0.7, 3.0],
            frame_of_reference: None,
        }
    }

    #[test]
    fn a_matrix_and_its_grid_are_one() {
        let grid = oblique();
        let again = Grid::from_affine(&grid.affine()).unwrap();
        assert!(grid.agrees(&again, [100, 100, 100], 1e-9));
        assert!(!grid.agrees(&Grid { spacing: [0.5, 0.7, 3.1], ..grid.clone() }, [9, 9, 9], 0.1));
        assert!((grid.voxel_volume() - 0.5 * 0.7 * 3.0).abs() < 1e-12);
    }

    #[test]
    fn positions_and_indices_are_inverse_even_when_sheared() {
        let mut grid = oblique();
        grid.directions[2] = unit([0.1, 0.3, 1.0]).unwrap();
        let index = [3.0, 7.5, 11.0];
        let found = grid.index(grid.position(index));
        assert!(found.iter().zip(index).all(|(a, b)| (a - b).abs() < 1e-9), "{found:?}");
    }

    #[test]
    fn flat_and_endless_matrices_are_no_grid() {
        let flat = [[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]];
        assert_eq!(Grid::from_affine(&flat), None);
        let mut endless = oblique().affine();
        endless[1][3] = f64::NAN;
        assert_eq!(Grid::from_affine(&endless), None);
    }
}
