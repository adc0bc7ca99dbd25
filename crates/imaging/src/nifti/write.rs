//! Label maps as NIfTI.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::orientation::{to_quaternion, turn};
use crate::Grid;
use crate::write::LabelMap;

/// A `.nii.gz` of one label a voxel: NIfTI-1, or NIfTI-2 where an axis is too long for it.
///
/// The matrix goes into the sform as it is, and into the qform where its axes are perpendicular. `code` says what the
/// coordinates rest on (1: the scanner's).
pub(crate) fn labels(map: &LabelMap, grid: &Grid, code: i16) -> std::io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let wide = map.names.len() > 255;
    let large = map.dimensions.iter().any(|side| *side > 32_767);
    let header = Fields { map, grid, code, wide };
    encoder.write_all(&if large { header.second() } else { header.first() })?;
    encoder.write_all(&map.little_endian(wide))?;
    encoder.finish()
}

struct Fields<'a> {
    map: &'a LabelMap,
    grid: &'a Grid,
    code: i16,
    /// 16 bits a voxel rather than 8.
    wide: bool,
}

impl Fields<'_> {
    fn datatype(&self) -> (i16, i16) {
        if self.wide { (512, 16) } else { (2, 8) }
    }

    /// qfac and the distances.
    fn pixdim(&self, qfac: f64) -> [f64; 8] {
        let [x, y, z] = self.grid.spacing;
        [qfac, x, y, z, 1.0, 1.0, 1.0, 1.0]
    }

    fn dim(&self) -> [i64; 8] {
        let [x, y, z] = self.map.dimensions.map(|side| side as i64);
        [3, x, y, z, 1, 1, 1, 1]
    }

    fn first(&self) -> Vec<u8> {
        let mut bytes = vec![0; 352];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        let (datatype, bits) = self.datatype();
        let rotation = to_quaternion(self.grid);
        let (quaternion, qfac) = rotation.unwrap_or(([0.0; 3], 1.0));
        let affine = turn(self.grid.affine(), 1.0);
        put(0, &348_i32.to_le_bytes());
        put(38, b"r");
        for (axis, length) in self.dim().into_iter().enumerate() {
            put(40 + 2 * axis, &(length as i16).to_le_bytes());
        }
        put(68, &LABELS.to_le_bytes()[..2]);
        put(70, &datatype.to_le_bytes());
        put(72, &bits.to_le_bytes());
        let mut put_f32 = |at: usize, value: f64| put(at, &(value as f32).to_le_bytes());
        for (axis, distance) in self.pixdim(qfac).into_iter().enumerate() {
            put_f32(76 + 4 * axis, distance);
        }
        put_f32(108, 352.0);
        put_f32(112, 1.0);
        for axis in 0..3 {
            put_f32(256 + 4 * axis, quaternion[axis]);
            put_f32(268 + 4 * axis, affine[axis][3]);
            for (column, value) in affine[axis].into_iter().enumerate() {
                put_f32(280 + 16 * axis + 4 * column, value);
            }
        }
        put(123, &[MILLIMETRES]);
        put(148, DESCRIPTION);
        put(252, &rotation.map_or(0, |_| self.code).to_le_bytes());
        put(254, &self.code.to_le_bytes());
        put(344, b"n+1\0");
        bytes
    }

    fn second(&self) -> Vec<u8> {
        let mut bytes = vec![0; 544];
        let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
        let (datatype, bits) = self.datatype();
        let rotation = to_quaternion(self.grid);
        let (quaternion, qfac) = rotation.unwrap_or(([0.0; 3], 1.0));
        let affine = turn(self.grid.affine(), 1.0);
        put(0, &540_i32.to_le_bytes());
        put(4, b"n+2\0\r\n\x1a\n");
        put(12, &datatype.to_le_bytes());
        put(14, &bits.to_le_bytes());
        for (axis, length) in self.dim().into_iter().enumerate() {
            put(16 + 8 * axis, &length.to_le_bytes());
        }
        let mut put_f64 = |at: usize, value: f64| put(at, &value.to_le_bytes());
        for (axis, distance) in self.pixdim(qfac).into_iter().enumerate() {
            put_f64(104 + 8 * axis, distance);
        }
        put_f64(176, 1.0);
        for axis in 0..3 {
            put_f64(352 + 8 * axis, quaternion[axis]);
            put_f64(376 + 8 * axis, affine[axis][3]);
            for (column, value) in affine[axis].into_iter().enumerate() {
                put_f64(400 + 32 * axis + 8 * column, value);
            }
        }
        put(168, &544_i64.to_le_bytes());
        put(240, DESCRIPTION);
        put(344, &rotation.map_or(0, |_| i32::from(self.code)).to_le_bytes());
        put(348, &i32::from(self.code).to_le_bytes());
        put(500, &i32::from(MILLIMETRES).to_le_bytes());
        put(504, &LABELS.to_le_bytes());
        bytes
    }
}

/// `NIFTI_INTENT_LABEL`.
const LABELS: i32 = 1002;
const MILLIMETRES: u8 = 2;
const DESCRIPTION: &[u8] = b"medparse label map";
