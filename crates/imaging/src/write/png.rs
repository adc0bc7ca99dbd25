//! Pixels to PNG.

use png::{BitDepth, ColorType, Compression, Encoder, Filter};

use crate::{Error, Mask, Picture};

pub(crate) fn rgb(picture: &Picture) -> Result<Vec<u8>, Error> {
    Layout {
        width: picture.width(),
        height: picture.height(),
        color: ColorType::Rgb,
        depth: BitDepth::Eight,
        filter: Filter::Adaptive,
    }
    .encode(picture.pixels())
}

/// 8-bit gray. The difference to the row above is nearly all zeros, which fdeflate packs at memory speed.
pub(crate) fn mask(mask: &Mask) -> Result<Vec<u8>, Error> {
    Layout {
        width: mask.width(),
        height: mask.height(),
        color: ColorType::Grayscale,
        depth: BitDepth::Eight,
        filter: Filter::Up,
    }
    .encode(mask.pixels())
}

/// 1-bit gray, rows padded to whole bytes.
pub(crate) fn bilevel(mask: &Mask) -> Result<Vec<u8>, Error> {
    let packed: Vec<u8> = mask
        .pixels()
        .chunks_exact(mask.width() as usize)
        .flat_map(|row| {
            row.chunks(8).map(|eight| {
                let bits =
                    |byte: u8, (position, pixel): (usize, &u8)| byte | ((pixel & 0x80) >> position);
                eight.iter().enumerate().fold(0, bits)
            })
        })
        .collect();
    Layout {
        width: mask.width(),
        height: mask.height(),
        color: ColorType::Grayscale,
        depth: BitDepth::One,
        filter: Filter::Up,
    }
    .encode(&packed)
}

/// Labels of `[height, width]` pixels, 0 for none, as a 16-bit gray PNG.
///
/// # Errors
/// [`Error::Encode`] where there are not so many labels, or one is above 65,535.
pub fn label_png(width: u32, height: u32, labels: &[u32]) -> Result<Vec<u8>, Error> {
    let refuse = |detail: String| Error::Encode { width, height, detail };
    let mut samples = Vec::with_capacity(labels.len() * 2);
    for label in labels {
        let label =
            u16::try_from(*label).map_err(|_| refuse(format!("label {label} is above 65,535")))?;
        samples.extend(label.to_be_bytes());
    }
    let layout = Layout {
        width,
        height,
        color: ColorType::Grayscale,
        depth: BitDepth::Sixteen,
        filter: Filter::Up,
    };
    layout.encode(&samples)
}

struct Layout {
    width: u32,
    height: u32,
    color: ColorType,
    depth: BitDepth,
    filter: Filter,
}

impl Layout {
    fn encode(&self, samples: &[u8]) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        self.write(samples, &mut bytes).map_err(|error| Error::Encode {
            width: self.width,
            height: self.height,
            detail: error.to_string(),
        })?;
        Ok(bytes)
    }

    fn write(&self, samples: &[u8], bytes: &mut Vec<u8>) -> Result<(), png::EncodingError> {
        let mut encoder = Encoder::new(bytes, self.width, self.height);
        encoder.set_color(self.color);
        encoder.set_depth(self.depth);
        encoder.set_compression(Compression::Fast);
        // `set_compression` chooses a filter of its own, so ours comes after it.
        encoder.set_filter(self.filter);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(samples)?;
        writer.finish()
    }
}
