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
