//! NIfTI-1 and NIfTI-2 (Cox et al., "A (sort of) new image data format standard: NIfTI-1", 2004; `nifti1.h`, `nifti2.h`).
//!
//! NIfTI's coordinates grow to the right, the front and the head (RAS); this crate's to the left, the back and the head
//! (LPS). Both files hold x and y with the sign turned.

mod header;
mod orientation;
mod read;
mod write;

pub(crate) use read::volume;
pub(crate) use write::labels;

/// What the first bytes of a NIfTI file say: its header's length, in either byte order.
pub(crate) fn is_nifti(bytes: &[u8]) -> bool {
    let starts = |size: i32| {
        bytes.starts_with(&size.to_le_bytes()) || bytes.starts_with(&size.to_be_bytes())
    };
    let magic = |at: usize, magics: &[&[u8]]| {
        bytes.get(at..).is_some_and(|rest| magics.iter().any(|magic| rest.starts_with(magic)))
    };
    (starts(348) && magic(344, &[b"n+1\0", b"ni1\0"]))
        || (starts(540) && magic(4, &[b"n+2\0", b"ni2\0"]))
}
