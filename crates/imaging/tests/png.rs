//! PNGs of every kind against Pillow's `convert("RGB")`, and against plain arithmetic.

mod support;

use medparse_imaging::{ColorModel, Format, Limits, Mask, Picture, procedural};
use png::{BitDepth, ColorType};
use support::{fixture, unhex};

#[derive(serde::Deserialize)]
struct Case {
    name: String,
    color: String,
    bits: u8,
    width: u32,
    height: u32,
    png: String,
    rgb: String,
}

#[test]
fn every_kind_equals_pillow_to_the_byte() {
    let cases: Vec<Case> =
        serde_json::from_slice(&std::fs::read(fixture("png.json")).unwrap()).unwrap();
    assert!(cases.len() >= 50, "{} cases", cases.len());
    for case in cases {
        let picture = Picture::decode(&unhex(&case.png), &Limits::default()).unwrap();
        assert_eq!(picture.dimensions(), (case.width, case.height), "{}", case.name);
        assert!(
            picture.pixels() == unhex(&case.rgb),
            "{}: the pixels differ from Pillow's",
            case.name
        );
        let color = match case.color.as_str() {
            "gray" => ColorModel::Gray,
            "gray_alpha" => ColorModel::GrayAlpha,
            "palette" => ColorModel::Palette,
            "rgb" => ColorModel::Rgb,
            _ => ColorModel::Rgba,
        };
        let source = picture.source();
        assert_eq!(
            (source.format, source.color, source.bits),
            (Format::Png, color, case.bits),
            "{}",
            case.name
        );
        assert!(picture.geometry().is_none());

        let mask = Mask::decode(&unhex(&case.png), &Limits::default()).unwrap();
        // A 16-bit sample below 256 is foreground although its high byte is 0.
        let lit = picture.pixels().chunks_exact(3).map(|rgb| rgb != [0; 3]);
        for (foreground, lit) in mask.pixels().iter().zip(lit) {
            assert!(*foreground == 255 || !lit, "{}: a lit pixel is background", case.name);
            assert!(
                lit || *foreground == 0 || case.bits == 16,
                "{}: a black pixel is foreground",
                case.name
            );
        }
    }
}

fn encode(width: u32, height: u32, color: ColorType, depth: BitDepth, samples: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(color);
    encoder.set_depth(depth);
    if color == ColorType::Indexed {
        encoder.set_palette((0..=255u8).flat_map(|i| [i, 255 - i, i ^ 0x55]).collect::<Vec<u8>>());
    }
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(samples).unwrap();
    writer.finish().unwrap();
    bytes
}

/// The colour of a pixel by the PNG specification, one bit at a time.
fn expected(color: ColorType, depth: BitDepth, row: &[u8], x: usize) -> [u8; 3] {
    let bits = depth as usize;
    let sample = |channel: usize| {
        let first = (x * color.samples() + channel) * bits;
        (first..first + bits)
            .fold(0u32, |value, bit| value << 1 | u32::from(row[bit / 8] >> (7 - bit % 8) & 1))
    };
    let eight = |channel| match bits {
        16 => (sample(channel) >> 8) as u8,
        _ => (sample(channel) * 255 / ((1 << bits) - 1)) as u8,
    };
    match color {
        ColorType::Indexed => {
            let index = sample(0) as u8;
            [index, 255 - index, index ^ 0x55]
        }
        ColorType::Grayscale | ColorType::GrayscaleAlpha => [eight(0); 3],
        ColorType::Rgb | ColorType::Rgba => [eight(0), eight(1), eight(2)],
    }
}

#[test]
fn every_kind_at_every_width_equals_plain_arithmetic() {
    use BitDepth::{Eight, Four, One, Sixteen, Two};
    let kinds: &[(ColorType, &[BitDepth])] = &[
        (ColorType::Grayscale, &[One, Two, Four, Eight, Sixteen]),
        (ColorType::Rgb, &[Eight, Sixteen]),
        (ColorType::Indexed, &[One, Two, Four, Eight]),
        (ColorType::GrayscaleAlpha, &[Eight, Sixteen]),
        (ColorType::Rgba, &[Eight, Sixteen]),
    ];
    for (color, depths) in kinds {
        for depth in *depths {
            for width in (1..=17u32).chain([64, 101]) {
                let height = 3;
                let row_bytes = (width as usize * color.samples() * *depth as usize).div_ceil(8);
                let samples: Vec<u8> =
                    (0..row_bytes * height).map(|i| (i * 89 + i / 7 * 31) as u8).collect();
                let bytes = encode(width, height as u32, *color, *depth, &samples);
                let picture = Picture::decode(&bytes, &Limits::default()).unwrap();
                for (y, row) in samples.chunks_exact(row_bytes).enumerate() {
                    for x in 0..width as usize {
                        let found = &picture.pixels()[(y * width as usize + x) * 3..][..3];
                        let expected = expected(*color, *depth, row, x);
                        assert_eq!(
                            found, expected,
                            "{color:?} {depth:?}, width {width}, pixel {x},{y}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn what_is_written_is_read_back() {
    for (width, height) in [(1, 1), (7, 5), (64, 64), (333, 21)] {
        let scene = procedural::cells(width, height, 9).unwrap();
        let picture =
            Picture::decode(&scene.picture.encode_png().unwrap(), &Limits::default()).unwrap();
        assert_eq!(picture.pixels(), scene.picture.pixels());
        for target in scene.targets {
            for bytes in
                [target.mask.encode_png().unwrap(), target.mask.encode_bilevel_png().unwrap()]
            {
                assert_eq!(Mask::decode(&bytes, &Limits::default()).unwrap(), target.mask);
            }
        }
    }
}

#[test]
fn mask_files_hold_0_and_255() {
    let mask = Mask::from_pixels(3, 1, vec![0, 1, 200]).unwrap();
    for (bytes, depth) in [(mask.encode_png().unwrap(), 8), (mask.encode_bilevel_png().unwrap(), 1)]
    {
        let picture = Picture::decode(&bytes, &Limits::default()).unwrap();
        assert_eq!(picture.source().bits, depth);
        assert_eq!(picture.pixels(), [0, 0, 0, 255, 255, 255, 255, 255, 255]);
    }
}

#[test]
fn a_faint_16_bit_mask_is_foreground() {
    let bytes = encode(3, 1, ColorType::Grayscale, BitDepth::Sixteen, &[0, 0, 0, 1, 1, 0]);
    assert_eq!(Mask::decode(&bytes, &Limits::default()).unwrap().pixels(), [0, 255, 255]);
}
