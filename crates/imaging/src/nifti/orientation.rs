//! Where a header puts its voxels, by the three methods of `nifti1.h`.

use super::header::Header;
use crate::{Affine, Grid};

/// What the patient's coordinates rest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// The affine matrix in `srow_x`, `srow_y`, `srow_z`.
    Sform,
    /// The rotation in `quatern_b`, `quatern_c`, `quatern_d`.
    Qform,
    /// Neither is given; the axes are assumed to run as nibabel assumes.
    Assumed,
}

/// The grid in LPS mm, and how it was found; `None` where the chosen numbers are no grid.
pub(super) fn grid(header: &Header, dimensions: [usize; 3]) -> Option<(Grid, Method)> {
    let (affine, method) = if header.sform_code > 0 {
        (header.srow, Method::Sform)
    } else if header.qform_code > 0 {
        (from_quaternion(header), Method::Qform)
    } else {
        (assumed(header, dimensions), Method::Assumed)
    };
    Grid::from_affine(&turn(affine, millimetres(header.units))).map(|grid| (grid, method))
}

/// How many mm a unit of length is; unknown units are mm.
fn millimetres(units: u8) -> f64 {
    match units & 7 {
        1 => 1000.0,
        3 => 0.001,
        _ => 1.0,
    }
}

/// RAS to LPS, or back, in mm.
pub(super) fn turn([x, y, z]: Affine, unit: f64) -> Affine {
    [x.map(|value| -value * unit), y.map(|value| -value * unit), z.map(|value| value * unit)]
}

fn distance(value: f64) -> f64 {
    if value.is_finite() && value != 0.0 { value.abs() } else { 1.0 }
}

fn from_quaternion(header: &Header) -> Affine {
    let [b, c, d] = header.quaternion;
    let a = (1.0 - (b * b + c * c + d * d)).max(0.0).sqrt();
    let rotation = [
        [a * a + b * b - c * c - d * d, 2.0 * (b * c - a * d), 2.0 * (b * d + a * c)],
        [2.0 * (b * c + a * d), a * a + c * c - b * b - d * d, 2.0 * (c * d - a * b)],
        [2.0 * (b * d - a * c), 2.0 * (c * d + a * b), a * a + d * d - c * c - b * b],
    ];
    let handedness = if header.pixdim[0] < 0.0 { -1.0 } else { 1.0 };
    let [dx, dy, dz] = [1, 2, 3].map(|axis| distance(header.pixdim[axis]));
    std::array::from_fn(|axis| {
        let [x, y, z] = rotation[axis];
        [x * dx, y * dy, z * dz * handedness, header.offset[axis]]
    })
}

/// nibabel's `get_base_affine`: the middle voxel at the origin, the first axis to the left.
fn assumed(header: &Header, dimensions: [usize; 3]) -> Affine {
    std::array::from_fn(|axis| {
        let step = distance(header.pixdim[axis + 1]) * if axis == 0 { -1.0 } else { 1.0 };
        let mut row = [0.0; 4];
        row[axis] = step;
        row[3] = -step * (dimensions[axis] as f64 - 1.0) / 2.0;
        row
    })
}

/// b, c, d and qfac of a grid's rotation in RAS; `None` where the axes are not perpendicular, which a quaternion cannot say.
pub(super) fn to_quaternion(grid: &Grid) -> Option<([f64; 3], f64)> {
    use crate::geometry::vector::{cross, dot};
    let [x, y, z] = grid.directions.map(|[left, back, head]| [-left, -back, head]);
    let skew = dot(x, y).abs().max(dot(y, z).abs()).max(dot(z, x).abs());
    if skew > 1e-5 {
        return None;
    }
    let qfac = if dot(cross(x, y), z) < 0.0 { -1.0 } else { 1.0 };
    let z = z.map(|value| value * qfac);
    // Columns are x, y, z; the largest of the four squares keeps the division well conditioned.
    let squares = [
        1.0 + x[0] + y[1] + z[2],
        1.0 + x[0] - y[1] - z[2],
        1.0 - x[0] + y[1] - z[2],
        1.0 - x[0] - y[1] + z[2],
    ];
    let largest = (0..4).fold(0, |best, at| if squares[at] > squares[best] { at } else { best });
    let r = squares[largest].sqrt() * 2.0;
    let [bc, bd, cd] = [x[1] + y[0], x[2] + z[0], y[2] + z[1]];
    let [ab, ac, ad] = [y[2] - z[1], z[0] - x[2], x[1] - y[0]];
    let [a, b, c, d] = match largest {
        0 => [r / 4.0, ab / r, ac / r, ad / r],
        1 => [ab / r, r / 4.0, bc / r, bd / r],
        2 => [ac / r, bc / r, r / 4.0, cd / r],
        _ => [ad / r, bd / r, cd / r, r / 4.0],
    };
    let sign = if a < 0.0 { -1.0 } else { 1.0 };
    Some(([b * sign, c * sign, d * sign], qfac))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::vector::{cross, unit};

    #[test]
    fn a_rotation_survives_its_quaternion() {
        let header = Header {
            order: super::super::header::Order::Little,
            length: 348,
            dim: [3, 9, 9, 9, 1, 1, 1, 1],
            datatype: 2,
            pixdim: [1.0, 0.5, 0.6, 2.0, 0.0, 0.0, 0.0, 0.0],
            vox_offset: 352.0,
            slope: 0.0,
            intercept: 0.0,
            units: 2,
            qform_code: 1,
            sform_code: 0,
            quaternion: [0.0; 3],
            offset: [1.0, 2.0, 3.0],
            srow: [[0.0; 4]; 3],
        };
        for (x, near_y, handed) in [
            ([1.0, 0.2, 0.1], [0.0, 1.0, 0.3], 1.0),
            ([-1.0, 0.1, 0.4], [0.0, -1.0, 0.2], 1.0),
            ([0.1, 0.2, -1.0], [1.0, 0.1, 0.0], -1.0),
            ([0.0, -1.0, 0.0], [0.0, 0.0, 1.0], -1.0),
        ] {
            let x = unit(x).unwrap();
            let z = unit(cross(x, near_y)).unwrap();
            let grid = Grid {
                origin: [-1.0, -2.0, 3.0],
                directions: [x, cross(z, x), z.map(|value| value * handed)],
                spacing: [0.5, 0.6, 2.0],
                frame_of_reference: None,
            };
            let (quaternion, qfac) = to_quaternion(&grid).unwrap();
            let mut pixdim = header.pixdim;
            pixdim[0] = qfac;
            let (found, method) =
                super::grid(&Header { quaternion, pixdim, ..header.clone() }, [9, 9, 9]).unwrap();
            assert_eq!(method, Method::Qform);
            assert!(found.agrees(&grid, [9, 9, 9], 1e-9), "{found:?} {grid:?}");
        }
    }
}
