//! What the fuzz targets share.

mod archive;
mod base64;
mod body;
mod checkpoint;
mod frame;

pub use archive::torch;
pub use base64::compare as compare_base64;
pub use body::read as read_body;
pub use frame::dicom;
use std::io::Write;

use medparse_imaging::{Limits, Plane, Tone, View, decode};

/// Small enough that what a header claims is refused or cheap.
pub const LIMITS: Limits = Limits {
    max_pixels: 1 << 20,
    max_side: 1 << 16,
    max_encoded_bytes: 1 << 20,
    max_decoded_bytes: 32 << 20,
};

/// Decodes bytes as a volume and looks at its first slice: an error or a picture, never a panic.
pub fn volume(bytes: &[u8]) {
    let Ok(volume) = decode(bytes, &LIMITS) else { return };
    let [columns, rows, slices] = volume.dimensions();
    assert_eq!(volume.voxels(), columns * rows * slices);
    for plane in [Plane::Stored, Plane::Sagittal] {
        let view = View::new(plane, volume.grid(), volume.dimensions());
        for tone in [Tone::Auto, Tone::Stored] {
            let picture = volume.picture(&view, 0, &tone).expect("a volume has a first slice");
            let [width, height, _] = view.dimensions();
            assert_eq!(picture.pixels().len(), width * height * 3);
        }
    }
}

/// A format's beginning before the fuzzer's bytes, so that it need not find it.
pub fn after(signature: &[u8], bytes: &[u8]) -> Vec<u8> {
    [signature, bytes].concat()
}

/// Writes bytes to a file and reads it as weights, since weights are read where they lie.
pub fn checkpoint(bytes: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().expect("a folder for temporary files");
    file.write_all(bytes).expect("a few kilobytes to be written");
    checkpoint::read_all(file.path());
}
