//! What an overlay draws, and that it draws something for any input.

use medparse_imaging::{
    Enlargement, Error, Layer, Legend, Mask, Outline, OverlayStyle, PALETTE, Picture, overlay,
};
use proptest::prelude::*;

const GRAY: [u8; 3] = [120, 120, 120];

fn plain(width: u32, height: u32) -> Picture {
    Picture::from_rgb(width, height, GRAY.repeat((width * height) as usize)).unwrap()
}

/// Foreground in `columns` × `rows`.
fn block(
    width: u32,
    height: u32,
    columns: std::ops::Range<u32>,
    rows: std::ops::Range<u32>,
) -> Mask {
    let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    let pixels = pixels.map(|(x, y)| u8::from(columns.contains(&x) && rows.contains(&y))).collect();
    Mask::from_pixels(width, height, pixels).unwrap()
}

fn pixel(picture: &Picture, x: u32, y: u32) -> [u8; 3] {
    let start = (y * picture.width() + x) as usize * 3;
    picture.pixels()[start..start + 3].try_into().unwrap()
}

const BARE: OverlayStyle = OverlayStyle {
    fill_opacity: 0.5,
    legend: Legend::None,
    enlargement: Enlargement::None,
    outline: Outline::Proportional,
};

#[test]
fn fill_line_and_halo_lie_where_they_should() {
    let picture = plain(600, 600);
    let mask = block(600, 600, 200..400, 200..400);
    let drawn = overlay(&picture, &[Layer::new("square", &mask)], &BARE).unwrap();
    assert_eq!(drawn.dimensions(), (600, 600));
    let orange = PALETTE[0];
    let half = std::array::from_fn(|c| {
        ((u32::from(GRAY[c]) * 127 + u32::from(orange[c]) * 128 + 127) / 255) as u8
    });
    assert_eq!(pixel(&drawn, 300, 300), half, "the inside is half covered");
    for (x, y) in [(200, 300), (399, 300), (300, 200), (300, 399)] {
        assert_eq!(pixel(&drawn, x, y), orange, "the line lies just inside the edge");
    }
    for (x, y) in [(199, 300), (400, 300), (300, 199), (300, 400)] {
        assert!(pixel(&drawn, x, y)[1] < 80, "a dark line lies just outside the edge");
    }
    assert_eq!(pixel(&drawn, 190, 300), GRAY, "the rest is untouched");
}

#[test]
fn a_mask_at_the_border_is_outlined_there() {
    let mask = block(600, 600, 0..100, 0..600);
    let drawn = overlay(&plain(600, 600), &[Layer::new("strip", &mask)], &BARE).unwrap();
    for (x, y) in [(0, 300), (50, 0), (50, 599), (99, 300)] {
        assert_eq!(pixel(&drawn, x, y), PALETTE[0]);
    }
}

#[test]
fn small_pictures_grow_by_whole_pixels() {
    let style = OverlayStyle { legend: Legend::None, ..OverlayStyle::default() };
    for (side, grown) in [(1, 64), (64, 512), (100, 600), (511, 1022), (512, 512), (700, 700)] {
        let drawn = overlay(&plain(side, side), &[], &style).unwrap();
        assert_eq!(drawn.dimensions(), (grown, grown));
        assert!(drawn.pixels().iter().all(|value| *value == 120));
    }
}

#[test]
fn the_legend_lists_what_was_not_found() {
    let picture = plain(600, 400);
    let empty = Mask::empty(600, 400).unwrap();
    let one = overlay(&picture, &[Layer::new("tumor", &empty)], &OverlayStyle::default()).unwrap();
    assert!(one.height() > 400);
    let bytes = 600 * 400 * 3;
    assert!(one.pixels()[..bytes] == picture.pixels()[..], "nothing is drawn over the picture");
    let strip = &one.pixels()[bytes..];
    assert!(
        strip.chunks_exact(3).any(|rgb| rgb == PALETTE[0]),
        "the swatch has the layer's colour"
    );

    let with_note = Layer::new("tumor", &empty).with_note("p 0.01");
    let noted = overlay(&picture, &[with_note], &OverlayStyle::default()).unwrap();
    assert!(noted.pixels()[bytes..] != *strip, "the note is written");
}

#[test]
fn a_layers_colour_is_its_place_in_the_list() {
    let picture = plain(600, 600);
    let (empty, mask) = (Mask::empty(600, 600).unwrap(), block(600, 600, 10..60, 10..60));
    let layers = [Layer::new("first", &empty), Layer::new("second", &mask)];
    assert_eq!(pixel(&overlay(&picture, &layers, &BARE).unwrap(), 10, 30), PALETTE[1]);
    let chosen = [Layer::new("only", &mask).with_color([1, 2, 3])];
    assert_eq!(pixel(&overlay(&picture, &chosen, &BARE).unwrap(), 10, 30), [1, 2, 3]);
}

#[test]
fn a_mask_of_another_size_is_named() {
    let mask = Mask::empty(3, 4).unwrap();
    let error =
        overlay(&plain(4, 3), &[Layer::new("liver", &mask)], &OverlayStyle::default()).unwrap_err();
    assert!(matches!(error, Error::SizesDiffer { .. }));
    assert_eq!(
        error.to_string(),
        "the mask of layer \"liver\" does not fit the picture: expected 4×3 pixels, found 3×4"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn any_size_and_any_label_can_be_drawn(
        width in 1u32..90,
        height in 1u32..90,
        labels in prop::collection::vec(any::<String>(), 0..24),
        bits in any::<u64>(),
    ) {
        let pixels = (0..width * height).map(|i| (bits >> (i % 64) & 1) as u8).collect();
        let mask = Mask::from_pixels(width, height, pixels).unwrap();
        let layers: Vec<Layer<'_>> = labels.iter().map(|label| Layer::new(label, &mask).with_note(label)).collect();
        let drawn = overlay(&plain(width, height), &layers, &OverlayStyle::default()).unwrap();
        prop_assert!(drawn.width() >= width && drawn.height() >= height);
    }
}
