//! How much a file of unknown origin may ask for.

use crate::{Error, grouped};

/// Bounds on untrusted input, checked against what a file claims before anything is allocated for it.
///
/// ```
/// use medparse_imaging::{Error, Limits, Picture, procedural};
///
/// # fn main() -> Result<(), Error> {
/// let bytes = procedural::cells(64, 64, 1)?.picture.encode_png()?;
/// let strict = Limits { max_pixels: 1000, ..Limits::default() };
/// let refusal = Picture::decode(&bytes, &strict).unwrap_err();
/// assert!(refusal.to_string().contains("4,096 pixels") && refusal.to_string().contains("1,000"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest width × height; 100,000,000 by default (300 MB of RGB).
    pub max_pixels: u64,
    /// Largest width or height; 65,535 by default (JPEG's own bound).
    pub max_side: u32,
    /// Largest file, in bytes; 268,435,456 (256 MiB) by default.
    pub max_encoded_bytes: u64,
    /// Largest working memory of one decoding, in bytes: the picture and what its decoder needs beside it
    /// (a progressive JPEG needs three to four times its picture); 1,073,741,824 (1 GiB) by default.
    pub max_decoded_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_pixels: 100_000_000,
            max_side: 65_535,
            max_encoded_bytes: 256 << 20,
            max_decoded_bytes: 1 << 30,
        }
    }
}

/// What a file's header claims.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    pub width: u32,
    pub height: u32,
    /// The size of the file that claims it.
    pub encoded_bytes: usize,
    /// What decoding it would hold at once.
    pub decoded_bytes: u64,
}

impl Limits {
    pub(crate) fn check_encoded(&self, bytes: u64) -> Result<(), Error> {
        if bytes > self.max_encoded_bytes {
            return Err(Error::OverLimit {
                claim: format!("the file has {} bytes", grouped(bytes)),
                limit: format!("{} bytes", grouped(self.max_encoded_bytes)),
            });
        }
        Ok(())
    }

    pub(crate) fn check(&self, claim: Claim) -> Result<(), Error> {
        let Claim { width, height, .. } = claim;
        if width == 0 || height == 0 {
            return Err(Error::Empty { width, height });
        }
        let encoded = grouped(claim.encoded_bytes as u64);
        if width.max(height) > self.max_side {
            return Err(Error::OverLimit {
                claim: format!("a file of {encoded} bytes claims {width}×{height} pixels"),
                limit: format!("{} pixels a side", grouped(self.max_side.into())),
            });
        }
        let pixels = u64::from(width) * u64::from(height);
        if pixels > self.max_pixels {
            return Err(Error::OverLimit {
                claim: format!(
                    "a file of {encoded} bytes claims {width}×{height} = {} pixels",
                    grouped(pixels)
                ),
                limit: format!("{} pixels", grouped(self.max_pixels)),
            });
        }
        if claim.decoded_bytes > self.max_decoded_bytes {
            return Err(Error::OverLimit {
                claim: format!(
                    "a file of {encoded} bytes needs {} bytes of memory for its {width}×{height} pixels",
                    grouped(claim.decoded_bytes)
                ),
                limit: format!("{} bytes of memory", grouped(self.max_decoded_bytes)),
            });
        }
        Ok(())
    }
}
