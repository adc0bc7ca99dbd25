//! Resize and normalisation against Pillow and the reference.

use crate::common;

use std::fs::File;
use std::io::BufReader;

use medparse::picture::{RgbView, Size};
use medparse::preprocess::{
    Fit, InputConfig, Normalization, Placement, preprocess, resize_bicubic, resize_placed,
};
use serde::Deserialize;
use sha2::{Digest, Sha256};

struct Picture {
    size: Size,
    pixels: Vec<u8>,
}

impl Picture {
    /// Decodes a PNG as the reference does: alpha dropped, grey replicated.
    fn decode(name: &str) -> Self {
        let mut reader = png::Decoder::new(BufReader::new(File::open(common::path(name)).unwrap()))
            .read_info()
            .unwrap();
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut bytes).unwrap();
        let size = Size { width: info.width as usize, height: info.height as usize };
        let pixels = bytes
            .chunks_exact(info.color_type.samples())
            .flat_map(|pixel| match *pixel {
                [grey] => [grey; 3],
                [r, g, b] | [r, g, b, _] => [r, g, b],
                _ => panic!("unexpected colour type"),
            })
            .collect();
        Self { size, pixels }
    }

    /// The pictures of `make_resize_extra.py`.
    fn draw(kind: &str, size: Size) -> Self {
        let pixels = match kind {
            "noise" => {
                let mut state = 0_u64;
                let next = || {
                    state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
                    let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
                    ((z ^ (z >> 31)) >> 56) as u8
                };
                std::iter::repeat_with(next).take(size.area().unwrap() * 3).collect()
            }
            "rings" => (0..size.height * size.width * 3)
                .map(|index| {
                    let (y, x, c) = (index / 3 / size.width, index / 3 % size.width, index % 3);
                    ((x * x + y * y * (c + 1) + x * y) / 7 + 85 * c) as u8
                })
                .collect(),
            _ => panic!("unknown kind {kind}"),
        };
        Self { size, pixels }
    }

    fn view(&self) -> RgbView<'_> {
        RgbView::new(self.size, &self.pixels).unwrap()
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn size([width, height]: [usize; 2]) -> Size {
    Size { width, height }
}

#[derive(Deserialize)]
struct Cases<T> {
    cases: Vec<T>,
}

#[test]
fn resizes_pictures_as_pillow_does() {
    #[derive(Deserialize)]
    struct Case {
        name: String,
        in_wh: [usize; 2],
        out_wh: [usize; 2],
        out_hwc_sha256: String,
    }
    let Cases { cases } = common::json::<Cases<Case>>("extra/resize.json");
    assert_eq!(cases.len(), 10);
    for case in cases {
        let picture = Picture::decode(&format!("extra/resize_{}_in.png", case.name));
        assert_eq!(picture.size, size(case.in_wh));
        let resized = resize_bicubic(&picture.view(), size(case.out_wh));
        assert_eq!(sha256(&resized), case.out_hwc_sha256, "{}", case.name);
        let expected = format!("extra/resize_{}_out.png", case.name);
        if common::path(&expected).exists() {
            assert_eq!(resized, Picture::decode(&expected).pixels, "{}", case.name);
        }
    }
}

#[derive(Deserialize)]
struct Drawn {
    pixels: String,
    from: [usize; 2],
    to: [usize; 2],
    sha256: String,
}

#[test]
fn resizes_any_size_as_pillow_does() {
    let Cases { cases } = common::json::<Cases<Drawn>>("resize/resize_extra.json");
    assert_eq!(cases.len(), 60);
    for case in cases {
        let picture = Picture::draw(&case.pixels, size(case.from));
        let resized = resize_bicubic(&picture.view(), size(case.to));
        assert_eq!(sha256(&resized), case.sha256, "{:?} to {:?}", case.from, case.to);
    }
}

#[test]
fn one_thread_gives_the_bytes_of_many() {
    let picture = Picture::draw("noise", size([201, 147]));
    let resize = || resize_bicubic(&picture.view(), size([333, 90]));
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    assert_eq!(pool(1).install(resize), pool(5).install(resize));
}

#[test]
fn padding_equals_a_painted_canvas() {
    for (from, side) in
        [([40, 23], 64), ([23, 40], 17), ([1, 50], 50), ([50, 1], 8), ([31, 30], 31), ([9, 9], 9)]
    {
        let picture = Picture::draw("noise", size(from));
        let placement = Placement::new(Fit::Pad, picture.size);
        let canvas = placement.canvas();
        let mut painted = vec![0; canvas.area().unwrap() * 3];
        for (row, pixels) in picture.pixels.chunks_exact(picture.size.width * 3).enumerate() {
            let start = ((placement.top() + row) * canvas.width + placement.left()) * 3;
            painted[start..start + pixels.len()].copy_from_slice(pixels);
        }
        let expected = resize_bicubic(&RgbView::new(canvas, &painted).unwrap(), Size::square(side));
        let resized = resize_placed(&picture.view(), &placement, Size::square(side));
        assert_eq!(resized, expected, "{from:?} to {side}");
    }
}

#[test]
fn no_output_pixels_make_no_bytes() {
    let picture = Picture::draw("rings", size([3, 3]));
    assert!(resize_bicubic(&picture.view(), size([0, 5])).is_empty());
}

#[test]
fn the_network_input_equals_the_reference_to_the_bit() {
    #[derive(Deserialize)]
    struct Case {
        image_u8_sha256: String,
        tensors: Tensors,
    }
    #[derive(Deserialize)]
    struct Tensors {
        #[serde(rename = "pre.input")]
        input: Input,
    }
    #[derive(Deserialize)]
    struct Input {
        stride: usize,
    }
    let side = 256;
    let picture = Picture::decode("tiny/picture.png");
    let case: Case = common::json("tiny/case_a.json");

    let resized = resize_bicubic(&picture.view(), Size::square(side));
    let planes: Vec<u8> = (0..3).flat_map(|c| resized.iter().skip(c).step_by(3).copied()).collect();
    assert_eq!(sha256(&planes), case.image_u8_sha256);

    let config = InputConfig { side, fit: Fit::Stretch, normalization: Normalization::default() };
    let input = preprocess(&picture.view(), &config);
    assert_eq!(input.values.len(), 3 * side * side);
    let golden = common::bytes("tiny/case_a.safetensors");
    let tensors = safetensors::SafeTensors::deserialize(&golden).unwrap();
    let expected = tensors.tensor("pre.input").unwrap();
    let found: Vec<u8> = input
        .values
        .iter()
        .step_by(case.tensors.input.stride)
        .flat_map(|value| value.to_le_bytes())
        .collect();
    assert_eq!(found, expected.data());
}
