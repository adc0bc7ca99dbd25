//! The header, 348 bytes of NIfTI-1 or 540 of NIfTI-2.

use crate::error::Place;
use crate::{Error, Format};

/// What of a header matters here.
#[derive(Clone, Debug)]
pub(super) struct Header {
    pub order: Order,
    /// The header's own length in bytes.
    pub length: usize,
    /// `dim[0]` to `dim[7]`: how many axes, then their lengths.
    pub dim: [i64; 8],
    pub datatype: i16,
    /// `pixdim[0]` is qfac, then the distances.
    pub pixdim: [f64; 8],
    /// Where the voxels begin.
    pub vox_offset: f64,
    pub slope: f64,
    pub intercept: f64,
    pub units: u8,
    pub qform_code: i32,
    pub sform_code: i32,
    /// b, c, d of the unit quaternion.
    pub quaternion: [f64; 3],
    pub offset: [f64; 3],
    pub srow: [[f64; 4]; 3],
}

/// The byte order of a file's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

/// Reads numbers at fixed places; a place past the end is a truncated file.
struct Fields<'a> {
    bytes: &'a [u8],
    order: Order,
}

impl Fields<'_> {
    fn raw<const N: usize>(&self, at: usize) -> Result<[u8; N], Error> {
        let found = self.bytes.get(at..at + N).and_then(|bytes| bytes.try_into().ok());
        let mut raw: [u8; N] = found.ok_or(Error::Truncated {
            format: Format::Nifti,
            bytes: self.bytes.len(),
            place: Place::Header,
        })?;
        if self.order == Order::Big {
            raw.reverse();
        }
        Ok(raw)
    }

    fn i16(&self, at: usize) -> Result<i16, Error> {
        self.raw(at).map(i16::from_le_bytes)
    }

    fn i32(&self, at: usize) -> Result<i32, Error> {
        self.raw(at).map(i32::from_le_bytes)
    }

    fn i64(&self, at: usize) -> Result<i64, Error> {
        self.raw(at).map(i64::from_le_bytes)
    }

    fn f32(&self, at: usize) -> Result<f64, Error> {
        self.raw(at).map(|raw| f32::from_le_bytes(raw).into())
    }

    fn f64(&self, at: usize) -> Result<f64, Error> {
        self.raw(at).map(f64::from_le_bytes)
    }
}

/// `count` fields of `size` bytes from `at` on.
fn list<T: Default + Copy, const N: usize>(
    at: usize,
    size: usize,
    read: impl Fn(usize) -> Result<T, Error>,
) -> Result<[T; N], Error> {
    let mut values = [T::default(); N];
    for (index, value) in values.iter_mut().enumerate() {
        *value = read(at + index * size)?;
    }
    Ok(values)
}

impl Header {
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let little = Fields { bytes, order: Order::Little };
        let big = Fields { bytes, order: Order::Big };
        match (little.i32(0)?, big.i32(0)?) {
            (348, _) => Self::first(&little),
            (_, 348) => Self::first(&big),
            (540, _) => Self::second(&little),
            (_, 540) => Self::second(&big),
            (found, _) => Err(Error::Damaged {
                format: Format::Nifti,
                detail: format!("its header's length is 348 or 540 bytes, this one says {found}"),
            }),
        }
    }

    fn first(fields: &Fields) -> Result<Self, Error> {
        detached(fields, 344)?;
        let f32_at = |at| fields.f32(at);
        Ok(Self {
            order: fields.order,
            length: 348,
            dim: list(40, 2, |at| fields.i16(at).map(i64::from))?,
            datatype: fields.i16(70)?,
            pixdim: list(76, 4, f32_at)?,
            vox_offset: fields.f32(108)?,
            slope: fields.f32(112)?,
            intercept: fields.f32(116)?,
            units: fields.raw::<1>(123)?[0],
            qform_code: fields.i16(252)?.into(),
            sform_code: fields.i16(254)?.into(),
            quaternion: list(256, 4, f32_at)?,
            offset: list(268, 4, f32_at)?,
            srow: [list(280, 4, f32_at)?, list(296, 4, f32_at)?, list(312, 4, f32_at)?],
        })
    }

    fn second(fields: &Fields) -> Result<Self, Error> {
        detached(fields, 4)?;
        let f64_at = |at| fields.f64(at);
        Ok(Self {
            order: fields.order,
            length: 540,
            dim: list(16, 8, |at| fields.i64(at))?,
            datatype: fields.i16(12)?,
            pixdim: list(104, 8, f64_at)?,
            vox_offset: fields.i64(168)? as f64,
            slope: fields.f64(176)?,
            intercept: fields.f64(184)?,
            units: fields.i32(500)? as u8,
            qform_code: fields.i32(344)?,
            sform_code: fields.i32(348)?,
            quaternion: list(352, 8, f64_at)?,
            offset: list(376, 8, f64_at)?,
            srow: [list(400, 8, f64_at)?, list(432, 8, f64_at)?, list(464, 8, f64_at)?],
        })
    }
}

/// A header whose voxels are in another file is no picture.
fn detached(fields: &Fields, magic: usize) -> Result<(), Error> {
    if fields.bytes.get(magic..magic + 2) == Some(b"ni") {
        return Err(Error::Unsupported {
            format: Format::Nifti,
            detail: "its voxels lie in a second file (.hdr and .img); convert it to one .nii"
                .into(),
        });
    }
    Ok(())
}
