use medparse_imaging::Mask;

/// A mask at one bit a pixel: what waits between the model and a client that reads slowly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PackedMask {
    bits: Vec<u8>,
    pixels: usize,
}

impl PackedMask {
    pub(crate) fn pack(mask: &Mask) -> Self {
        let pixels = mask.pixels();
        let bits = pixels
            .chunks(8)
            .map(|chunk| {
                chunk
                    .iter()
                    .enumerate()
                    .fold(0, |bits, (at, &value)| bits | u8::from(value != 0) << at)
            })
            .collect();
        Self { bits, pixels: pixels.len() }
    }

    pub(crate) fn pixels(&self) -> usize {
        self.pixels
    }

    /// Appends the values 0 and 255 of `count` pixels from `start`, a multiple of 8; fewer at the end.
    pub(crate) fn unpack(&self, start: usize, count: usize, out: &mut Vec<u8>) {
        debug_assert_eq!(start % 8, 0, "pieces begin at whole bytes");
        let end = (start + count).min(self.pixels);
        let kept = out.len() + end.saturating_sub(start);
        let bits = self.bits.get(start / 8..end.div_ceil(8)).unwrap_or_default();
        for &byte in bits {
            out.extend_from_slice(&SPREAD[usize::from(byte)]);
        }
        out.truncate(kept);
    }
}

/// The eight values of every byte of bits.
static SPREAD: [[u8; 8]; 256] = {
    let mut table = [[0; 8]; 256];
    let mut bits = 0;
    while bits < 256 {
        let mut at = 0;
        while at < 8 {
            if bits >> at & 1 == 1 {
                table[bits][at] = 255;
            }
            at += 1;
        }
        bits += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unpacking_gives_back_every_pixel_whatever_the_pieces() {
        for (width, height) in [(1, 1), (7, 1), (8, 3), (9, 5), (64, 64), (3, 341)] {
            let pixels: Vec<u8> =
                (0..width * height).map(|at| if at * at % 7 < 3 { 255 } else { 0 }).collect();
            let mask = Mask::from_pixels(width, height, pixels.clone()).unwrap();
            let packed = PackedMask::pack(&mask);
            for piece in [8, 24, 1024] {
                let mut out = Vec::new();
                for start in (0..packed.pixels()).step_by(piece) {
                    packed.unpack(start, piece, &mut out);
                }
                assert_eq!(out, pixels, "{width}×{height} in pieces of {piece}");
            }
        }
    }
}
