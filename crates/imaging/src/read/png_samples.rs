//! The packed samples of a PNG's row, by colour type and bit depth (PNG specification, section 7.2).

use png::{BitDepth, ColorType};

/// How a row's bytes are read.
pub(super) struct Samples {
    color: ColorType,
    depth: BitDepth,
    /// RGB of every index that the bit depth allows; black past the file's own entries.
    palette: Vec<[u8; 3]>,
}

impl Samples {
    /// `palette` is the PLTE chunk, empty where there is none.
    pub(super) fn new(color: ColorType, depth: BitDepth, palette: &[u8]) -> Self {
        let mut table = vec![[0; 3]; 256];
        for (entry, rgb) in table.iter_mut().zip(palette.chunks_exact(3)) {
            entry.copy_from_slice(rgb);
        }
        Self { color, depth, palette: table }
    }

    /// Writes a row's colours as RGB, alpha dropped.
    pub(super) fn write_rgb(&self, row: &[u8], rgb: &mut [u8]) {
        let gray = |pixel: &mut [u8], value: u8| pixel.fill(value);
        let pixels = rgb.chunks_exact_mut(3);
        match (self.color, self.depth) {
            (ColorType::Grayscale, BitDepth::Eight) => {
                pixels.zip(row).for_each(|(pixel, value)| gray(pixel, *value));
            }
            (ColorType::Grayscale, BitDepth::Sixteen)
            | (ColorType::GrayscaleAlpha, BitDepth::Eight) => {
                pixels.zip(row.chunks_exact(2)).for_each(|(pixel, sample)| gray(pixel, sample[0]));
            }
            (ColorType::GrayscaleAlpha, _) => {
                pixels.zip(row.chunks_exact(4)).for_each(|(pixel, sample)| gray(pixel, sample[0]));
            }
            (ColorType::Grayscale, _) => {
                let spread = 255 / (2u8.pow(self.depth as u32) - 1);
                pixels.zip(self.small(row)).for_each(|(pixel, value)| gray(pixel, value * spread));
            }
            (ColorType::Indexed, BitDepth::Eight) => {
                for (pixel, index) in pixels.zip(row) {
                    pixel.copy_from_slice(&self.palette[usize::from(*index)]);
                }
            }
            (ColorType::Indexed, _) => {
                for (pixel, index) in pixels.zip(self.small(row)) {
                    pixel.copy_from_slice(&self.palette[usize::from(index)]);
                }
            }
            (ColorType::Rgb, BitDepth::Sixteen) => high_bytes::<6>(row, pixels),
            (ColorType::Rgb, _) => rgb.copy_from_slice(row),
            (ColorType::Rgba, BitDepth::Sixteen) => high_bytes::<8>(row, pixels),
            (ColorType::Rgba, _) => {
                for (pixel, sample) in pixels.zip(row.chunks_exact(4)) {
                    pixel.copy_from_slice(&sample[..3]);
                }
            }
        }
    }

    /// Writes 255 for every pixel of a row whose colour is not black, at the file's full bit depth, alpha aside.
    pub(super) fn write_foreground(&self, row: &[u8], mask: &mut [u8]) {
        let foreground = |lit: bool| if lit { 255 } else { 0 };
        let pixels = mask.iter_mut();
        match (self.color, self.depth) {
            (ColorType::Indexed, _) => {
                let lit = |index: u8| self.palette[usize::from(index)] != [0; 3];
                pixels
                    .zip(self.small(row))
                    .for_each(|(pixel, index)| *pixel = foreground(lit(index)));
            }
            (ColorType::Grayscale, BitDepth::Eight) => {
                pixels.zip(row).for_each(|(pixel, value)| *pixel = foreground(*value != 0));
            }
            (ColorType::Grayscale, BitDepth::One | BitDepth::Two | BitDepth::Four) => {
                pixels
                    .zip(self.small(row))
                    .for_each(|(pixel, value)| *pixel = foreground(value != 0));
            }
            (color, depth) => {
                let sample_bytes = depth as usize / 8;
                let color_bytes = sample_bytes
                    * if matches!(color, ColorType::Rgb | ColorType::Rgba) { 3 } else { 1 };
                for (pixel, sample) in pixels.zip(row.chunks_exact(color.samples() * sample_bytes))
                {
                    *pixel = foreground(sample[..color_bytes].iter().any(|byte| *byte != 0));
                }
            }
        }
    }

    /// The samples of a row of at most 8 bits a sample, first pixel in the highest bits.
    fn small(&self, row: &[u8]) -> impl Iterator<Item = u8> {
        let bits = self.depth as u8;
        let mask = (0xff_u16 >> (8 - bits)) as u8;
        row.iter().flat_map(move |byte| {
            (0..8 / bits).rev().map(move |place| byte >> (place * bits) & mask)
        })
    }
}

/// The high bytes of the first three big-endian 16-bit samples of each pixel of `BYTES` bytes.
fn high_bytes<'a, const BYTES: usize>(row: &[u8], pixels: impl Iterator<Item = &'a mut [u8]>) {
    for (pixel, sample) in pixels.zip(row.chunks_exact(BYTES)) {
        pixel.copy_from_slice(&[sample[0], sample[2], sample[4]]);
    }
}
