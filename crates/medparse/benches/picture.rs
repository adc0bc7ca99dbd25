//! Times of what surrounds the network: resize, normalisation, probabilities, tokens.
//!
//! `cargo bench -p medparse --bench picture`; `resize_pillow.py` beside this file times Pillow on
//! the same sizes.

use divan::{Bencher, black_box};
use medparse::picture::{MapView, RgbView, Size};
use medparse::postprocess::ProbabilityMap;
use medparse::preprocess::{Fit, Normalization, Placement, normalize, resize_bicubic};
use medparse::tokenizer::Tokenizer;

const SIDE: usize = 1024;

fn main() {
    divan::main();
}

fn noise(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

#[divan::bench(args = [(256, 256), (512, 512), (1600, 1200), (4000, 3000)])]
fn resize(bencher: Bencher, (width, height): (usize, usize)) {
    let pixels = noise(width * height * 3);
    bencher.bench(|| {
        let picture = RgbView::new(Size { width, height }, &pixels).unwrap();
        resize_bicubic(black_box(&picture), Size::square(SIDE))
    });
}

#[divan::bench]
fn normalized_planes(bencher: Bencher) {
    let pixels = noise(SIDE * SIDE * 3);
    bencher.bench(|| normalize(black_box(&pixels), &Normalization::default()));
}

#[divan::bench]
fn probabilities(bencher: Bencher) {
    let logits: Vec<f32> =
        noise(256 * 256).iter().map(|&byte| f32::from(byte) / 16.0 - 8.0).collect();
    let placement = Placement::new(Fit::Stretch, Size::square(SIDE));
    bencher.bench(|| {
        let logits = MapView::new(Size::square(256), black_box(&logits)).unwrap();
        ProbabilityMap::from_logits(&logits, &placement)
    });
}

#[divan::bench]
fn tokens() -> usize {
    Tokenizer::new().encode(black_box("neoplastic cells in breast pathology")).ids().len()
}
