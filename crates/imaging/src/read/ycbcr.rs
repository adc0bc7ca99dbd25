//! Luma and chroma to colours.

/// Red, green and blue by JFIF's formula (ITU-T T.871) over the full range: TIFF's default, and DICOM's `YBR_FULL`
/// (PS3.3 C.7.6.3.1.2).
pub(crate) fn ycbcr_to_rgb([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    let [y, cb, cr] = [f32::from(y), f32::from(cb) - 128.0, f32::from(cr) - 128.0];
    // A float becomes a byte within 0 and 255.
    [y + 1.402 * cr, y - 0.344_136 * cb - 0.714_136 * cr, y + 1.772 * cb].map(|v| v.round() as u8)
}
