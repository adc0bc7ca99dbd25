//! JPEGs of every kind against Pillow's `convert("RGB")`.

mod support;

use medparse_imaging::{ColorModel, Format, Picture};
use support::fixture;

/// T.81 leaves the rounding of the inverse cosine transform, and JFIF that of enlarged chroma, to the decoder, and
/// libjpeg-turbo (in Pillow) and zune-jpeg round differently: by one level of luma or chroma, which the conversion to RGB
/// can double, and by one more where chroma is halved.
struct Case {
    name: &'static str,
    color: ColorModel,
    /// The greatest difference of any sample.
    greatest: u8,
    /// The greatest mean difference.
    mean: f64,
}

const CASES: &[Case] = &[
    Case { name: "444", color: ColorModel::YCbCr, greatest: 2, mean: 0.02 },
    Case { name: "422", color: ColorModel::YCbCr, greatest: 3, mean: 0.4 },
    Case { name: "420", color: ColorModel::YCbCr, greatest: 3, mean: 0.4 },
    Case { name: "420_restarts", color: ColorModel::YCbCr, greatest: 3, mean: 0.4 },
    Case { name: "420_turned", color: ColorModel::YCbCr, greatest: 3, mean: 0.4 },
    Case { name: "progressive_444", color: ColorModel::YCbCr, greatest: 2, mean: 0.02 },
    Case { name: "progressive_420", color: ColorModel::YCbCr, greatest: 3, mean: 0.4 },
    Case { name: "gray", color: ColorModel::Gray, greatest: 2, mean: 0.02 },
    Case { name: "progressive_gray", color: ColorModel::Gray, greatest: 2, mean: 0.02 },
    Case { name: "rgb", color: ColorModel::Rgb, greatest: 2, mean: 0.02 },
    Case { name: "cmyk", color: ColorModel::Cmyk, greatest: 2, mean: 0.02 },
    Case { name: "ycck", color: ColorModel::Ycck, greatest: 2, mean: 0.02 },
    Case { name: "one_pixel", color: ColorModel::YCbCr, greatest: 2, mean: 0.02 },
    Case { name: "narrow_420", color: ColorModel::YCbCr, greatest: 3, mean: 0.4 },
];

#[test]
fn every_kind_equals_pillow_within_rounding() {
    let mut failures = Vec::new();
    for case in CASES {
        let picture = Picture::open(fixture(&format!("jpeg_{}.jpg", case.name))).unwrap();
        let pillow = Picture::open(fixture(&format!("jpeg_{}.png", case.name))).unwrap();
        assert_eq!(picture.dimensions(), pillow.dimensions(), "{}", case.name);
        let source = picture.source();
        assert_eq!(
            (source.format, source.color, source.bits),
            (Format::Jpeg, case.color, 8),
            "{}",
            case.name
        );

        let differences = picture
            .pixels()
            .iter()
            .zip(pillow.pixels())
            .map(|(ours, theirs)| ours.abs_diff(*theirs));
        let greatest = differences.clone().max().unwrap_or(0);
        let mean = differences.clone().map(f64::from).sum::<f64>() / picture.pixels().len() as f64;
        if greatest > case.greatest || mean > case.mean {
            failures.push(format!("{}: greatest {greatest}, mean {mean:.3}", case.name));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}

/// Some scanners cut the Adobe segment short; libjpeg passes over such a one.
#[test]
fn a_short_adobe_segment_is_passed_over() {
    let whole = std::fs::read(fixture("jpeg_444.jpg")).unwrap();
    let (start, rest) = whole.split_at(2);
    let marked = [start, b"\xff\xee\0\x0cAdobe\0\0\0\0\0", rest].concat();
    let limits = medparse_imaging::Limits::default();
    let picture = Picture::decode(&marked, &limits).unwrap();
    assert!(picture == Picture::decode(&whole, &limits).unwrap());
}
