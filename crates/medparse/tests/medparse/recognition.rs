//! The arithmetic of recognition, and the tables it rests on, against the reference's.

use crate::common;

use std::collections::BTreeMap;

use medparse::classes::{BACKGROUND, CATEGORIES, TEMPLATES};
use medparse::modalities::IMAGE_TYPES;
use medparse::picture::{MapView, RgbView, Size};
use medparse::recognition::{
    BetaShape, MaskStatistics, TargetDistribution, combine, mask_statistics,
    non_maximum_suppression,
};
use medparse_imaging::tone::{Site, Window};
use serde::Deserialize;

#[derive(Deserialize)]
struct PValueRow {
    beta: [[f64; 2]; 4],
    stats: [f64; 4],
    cdf: [f64; 4],
    p: [f64; 4],
    adjusted: f64,
    prob_f32: Option<Vec<f32>>,
    img: Option<Vec<u8>>,
}

/// The reference takes `1 - F` in f64, which costs a p-value of 1e-8 its ninth digit: hence the
/// absolute part. The relative part is that of two implementations of the incomplete beta function.
fn assert_close(found: f64, expected: f64, what: &str) {
    assert!((found - expected).abs() <= 1e-9 * expected + 1e-15, "{what}: {found} for {expected}");
}

#[test]
fn p_values() {
    let rows: Vec<PValueRow> = common::json("extra/pvalue.json");
    assert_eq!(rows.len(), 6);
    for row in rows {
        let [probability, red, green, blue] = row.stats;
        let statistics = MaskStatistics { probability, red, green, blue };
        let shapes = row.beta.map(|[alpha, beta]| BetaShape::new(alpha, beta).unwrap());
        let distribution = TargetDistribution { shapes };
        let found = distribution.p_values(&statistics);
        for (index, shape) in shapes.iter().enumerate() {
            assert_close(shape.cumulative(row.stats[index]), row.cdf[index], "cdf");
            assert_close(found[index], row.p[index], "p");
        }
        let given = Some(statistics).filter(|_| row.stats != [0.0; 4]);
        // The fourth root of a product: relative errors add up and are divided by four.
        assert!(
            (distribution.plausibility(given.as_ref()) - row.adjusted).abs() <= 1e-8 * row.adjusted
        );

        let (Some(probabilities), Some(pixels)) = (row.prob_f32, row.img) else {
            continue;
        };
        let size = Size::square(32);
        let map = MapView::new(size, &probabilities).unwrap();
        let picture = RgbView::new(size, &pixels).unwrap();
        let Some(found) = mask_statistics(&map, &picture).unwrap() else {
            assert_eq!(row.stats, [0.0; 4]);
            continue;
        };
        // The reference averages probabilities in f32, colours in f64.
        assert!((found.probability - probability).abs() <= 1e-6);
        // serde_json reads a number to within one unit in its last place.
        for (found, expected) in [(found.red, red), (found.green, green), (found.blue, blue)] {
            assert!((found - expected).abs() <= f64::EPSILON);
        }
    }
}

#[derive(Deserialize)]
struct CombineCase {
    probs: BTreeMap<String, Vec<f32>>,
    pvalues: BTreeMap<String, f64>,
    nms_order: Vec<String>,
    combined_after_nms: BTreeMap<String, Vec<u8>>,
    combined_all: BTreeMap<String, Vec<u8>>,
}

/// The masks of `names` combined in that order, by name.
fn combined(case: &CombineCase, names: &[String]) -> BTreeMap<String, Vec<u8>> {
    let maps: Vec<MapView> = names
        .iter()
        .map(|name| MapView::new(Size::square(24), &case.probs[name]).unwrap())
        .collect();
    let combined = combine(&maps).unwrap();
    let mask = |index: usize| combined.mask(index).map(u8::from).collect();
    combined.kept.iter().map(|&index| (names[index].clone(), mask(index))).collect()
}

#[test]
fn overlaps() {
    let cases: Vec<CombineCase> = common::json("extra/combine.json");
    assert_eq!(cases.len(), 4);
    for case in cases {
        let names: Vec<String> = case.probs.keys().cloned().collect();
        let maps: Vec<MapView> = case
            .probs
            .values()
            .map(|values| MapView::new(Size::square(24), values).unwrap())
            .collect();
        let scores: Vec<f64> = names.iter().map(|name| case.pvalues[name]).collect();
        let kept: Vec<String> = non_maximum_suppression(&maps, &scores)
            .unwrap()
            .into_iter()
            .map(|index| names[index].clone())
            .collect();
        assert_eq!(kept, case.nms_order);
        assert_eq!(combined(&case, &names), case.combined_all);
        assert_eq!(combined(&case, &kept), case.combined_after_nms);
    }
}

#[test]
fn tables() {
    #[derive(Deserialize)]
    struct Constants {
        classes: Vec<String>,
        bank_suffix: Vec<String>,
        templates: Vec<String>,
        objects_by_image_type: BTreeMap<String, Vec<String>>,
        ct_windows_hu: BTreeMap<String, [f64; 2]>,
    }
    let constants: Constants = common::json("extra/constants.json");
    assert_eq!(constants.classes, CATEGORIES);
    assert_eq!(constants.bank_suffix, [BACKGROUND]);
    assert_eq!(constants.templates, TEMPLATES);
    assert_eq!(constants.objects_by_image_type.len(), IMAGE_TYPES.len());
    for (name, targets) in constants.objects_by_image_type {
        let known = IMAGE_TYPES.iter().find(|known| known.name == name).unwrap();
        assert_eq!(known.targets, targets);
    }
    assert_eq!(constants.ct_windows_hu.len(), Site::ALL.len());
    for (site, [low, high]) in constants.ct_windows_hu {
        assert_eq!(site.parse::<Site>().unwrap().window(), Window { low, high });
    }
}
