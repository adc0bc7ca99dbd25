//! Times of what a request costs outside the model, on 1024² pixels: `cargo bench -p medparse-imaging`.

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use jpeg_encoder::{ColorType, Encoder};
use medparse_imaging::{Layer, Limits, Mask, OverlayStyle, Picture, overlay, procedural};

const SIDE: u32 = 1024;

fn main() {
    divan::main();
}

fn scene() -> procedural::Scene {
    procedural::cells(SIDE, SIDE, 42).expect("a made-up picture")
}

fn png(color: png::ColorType, samples: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, SIDE, SIDE);
    encoder.set_color(color);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().expect("a header");
    writer.write_image_data(samples).expect("pixels");
    writer.finish().expect("an end");
    bytes
}

fn jpeg(progressive: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, 90);
    encoder.set_progressive(progressive);
    encoder
        .encode(scene().picture.pixels(), SIDE as u16, SIDE as u16, ColorType::Rgb)
        .expect("a JPEG");
    bytes
}

fn decode(bencher: Bencher<'_, '_>, bytes: &[u8]) {
    bencher
        .counter(BytesCount::new(SIDE as usize * SIDE as usize * 3))
        .bench(|| Picture::decode(black_box(bytes), &Limits::default()));
}

#[divan::bench]
fn decode_png_rgb(bencher: Bencher<'_, '_>) {
    decode(bencher, &png(png::ColorType::Rgb, scene().picture.pixels()));
}

#[divan::bench]
fn decode_png_rgba(bencher: Bencher<'_, '_>) {
    let rgba: Vec<u8> =
        scene().picture.pixels().chunks_exact(3).flat_map(|p| [p[0], p[1], p[2], 255]).collect();
    decode(bencher, &png(png::ColorType::Rgba, &rgba));
}

#[divan::bench]
fn decode_png_gray(bencher: Bencher<'_, '_>) {
    let gray: Vec<u8> = scene().picture.pixels().chunks_exact(3).map(|p| p[1]).collect();
    decode(bencher, &png(png::ColorType::Grayscale, &gray));
}

#[divan::bench]
fn decode_jpeg_baseline(bencher: Bencher<'_, '_>) {
    decode(bencher, &jpeg(false));
}

#[divan::bench]
fn decode_jpeg_progressive(bencher: Bencher<'_, '_>) {
    decode(bencher, &jpeg(true));
}

#[divan::bench]
fn encode_png_rgb(bencher: Bencher<'_, '_>) {
    let picture = scene().picture;
    bencher
        .counter(BytesCount::of_slice(picture.pixels()))
        .bench(|| black_box(&picture).encode_png());
}

#[divan::bench]
fn encode_mask(bencher: Bencher<'_, '_>) {
    let mask = scene().targets.remove(0).mask;
    bencher.counter(BytesCount::of_slice(mask.pixels())).bench(|| black_box(&mask).encode_png());
}

#[divan::bench]
fn encode_mask_bilevel(bencher: Bencher<'_, '_>) {
    let mask = scene().targets.remove(0).mask;
    bencher
        .counter(BytesCount::of_slice(mask.pixels()))
        .bench(|| black_box(&mask).encode_bilevel_png());
}

#[divan::bench]
fn decode_mask(bencher: Bencher<'_, '_>) {
    let bytes = scene().targets[0].mask.encode_png().expect("a mask");
    bencher.bench(|| Mask::decode(black_box(&bytes), &Limits::default()));
}

#[divan::bench]
fn mask_from_probabilities(bencher: Bencher<'_, '_>) {
    let probabilities: Vec<f32> = (0..SIDE * SIDE).map(|i| (i % 1000) as f32 / 1000.0).collect();
    bencher.bench(|| Mask::from_probabilities(SIDE, SIDE, black_box(&probabilities), 0.5));
}

#[divan::bench]
fn measure_mask(bencher: Bencher<'_, '_>) {
    let mask = scene().targets.remove(0).mask;
    bencher.bench(|| (black_box(&mask).area(), mask.bounding_box(), mask.centroid()));
}

#[divan::bench]
fn overlay_of_two_layers(bencher: Bencher<'_, '_>) {
    let scene = scene();
    let layers: Vec<Layer<'_>> =
        scene.targets.iter().map(|target| Layer::new(target.label, &target.mask)).collect();
    bencher.bench(|| overlay(black_box(&scene.picture), &layers, &OverlayStyle::default()));
}
