//! Scans in and findings out: places, round trips, and files that are cut or damaged.

#[path = "support/series.rs"]
mod series;

use medparse_imaging::write::{ExportOptions, Findings, LabelMap, OutputFormat, Target};
use medparse_imaging::{
    Error, Grid, Limits, OpenOptions, Plane, Samples, Tone, View, Volume, decode, open,
};
use proptest::prelude::*;

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    series::write(folder.path());
    folder
}

fn series_volume() -> Volume {
    open(folder().path(), &OpenOptions::default()).unwrap()
}

fn gray(volume: &Volume) -> &[f32] {
    match volume.samples() {
        Samples::Gray(values) => values,
        Samples::Rgb(_) => panic!("expected gray"),
    }
}

/// A box with a hole, and a second target that overlaps it.
fn targets(volume: &Volume) -> Vec<Target> {
    let [columns, rows, slices] = volume.dimensions();
    let mut ring = Vec::new();
    let mut slab = Vec::new();
    for z in 0..slices {
        for y in 0..rows {
            for x in 0..columns {
                let within = (2..9).contains(&x) && (1..8).contains(&y) && (1..6).contains(&z);
                let hole = (4..6).contains(&x) && (3..5).contains(&y);
                ring.push(if within && !hole { 255 } else { 0 });
                slab.push(if z == 3 && y > 6 { 255 } else { 0 });
            }
        }
    }
    let target = |label: &str, voxels: Vec<u8>, level: u8| Target {
        label: label.into(),
        category: None,
        color: [200, 30, 40],
        probabilities: Some(voxels.iter().map(|voxel| voxel / 255 * level).collect()),
        voxels,
    };
    vec![target("liver", ring, 200), target("left kidney", slab, 240)]
}

fn encode(volume: &Volume, targets: Vec<Target>, format: OutputFormat) -> Vec<u8> {
    let findings = Findings::new(volume, targets).unwrap();
    format.encode(&findings, &ExportOptions::default()).unwrap()
}

#[test]
fn an_oblique_unsorted_series_comes_back_on_its_own_slices() {
    let volume = series_volume();
    assert_eq!(volume.dimensions(), series::DIMENSIONS);
    assert_eq!(volume.modality(), Some("CT"));
    assert!(volume.warnings().is_empty(), "{:?}", volume.warnings());
    let [columns, rows, slices] = series::DIMENSIONS;
    let expected: Vec<f32> = (0..slices)
        .flat_map(|z| {
            (0..rows).flat_map(move |y| (0..columns).map(move |x| series::value(x, y, z).into()))
        })
        .collect();
    assert_eq!(gray(&volume), expected);
    assert!(volume.grid().unwrap().agrees(&series::grid(), series::DIMENSIONS, 1e-6));
}

#[test]
fn label_maps_keep_the_grid_and_the_likeliest() {
    let volume = series_volume();
    let findings = Findings::new(&volume, targets(&volume)).unwrap();
    let map = LabelMap::new(&findings);
    assert_eq!(map.contested, 7);
    for format in [OutputFormat::Nifti, OutputFormat::Nrrd] {
        let bytes = encode(&volume, targets(&volume), format);
        let again = decode(&bytes, &Limits::default()).unwrap();
        let labels: Vec<f32> = map.labels.iter().map(|label| f32::from(*label)).collect();
        assert_eq!(gray(&again), labels, "{format}");
        let grid = again.grid().unwrap();
        assert!(
            grid.agrees(volume.grid().unwrap(), series::DIMENSIONS, 1e-4),
            "{format}: {grid:?}"
        );
    }
}

#[test]
fn a_segmentation_read_back_is_the_mask() {
    let volume = series_volume();
    let [columns, rows, slices] = volume.dimensions();
    let ring = targets(&volume).remove(0);
    let bytes = encode(&volume, vec![ring.clone()], OutputFormat::DicomSeg);
    let again = decode(&bytes, &Limits::default()).unwrap();
    assert_eq!(again.dimensions(), [columns, rows, 5], "the slices that the target reaches");
    let area = columns * rows;
    let expected: Vec<f32> =
        ring.voxels[area..(slices - 1) * area].iter().map(|voxel| f32::from(*voxel & 1)).collect();
    assert_eq!(gray(&again), expected);
    let grid = Grid { origin: series::grid().position([0.0, 0.0, 1.0]), ..series::grid() };
    assert!(again.grid().unwrap().agrees(&grid, again.dimensions(), 1e-6));

    let bytes = encode(&volume, vec![ring.clone()], OutputFormat::DicomSegFractional);
    let again = decode(&bytes, &Limits::default()).unwrap();
    let probabilities = ring.probabilities.unwrap();
    let expected: Vec<f32> =
        probabilities[area..(slices - 1) * area].iter().map(|value| f32::from(*value)).collect();
    assert_eq!(gray(&again), expected);
}

#[test]
fn nothing_of_the_patient_reaches_other_outputs() {
    let volume = series_volume();
    for format in [
        OutputFormat::Html,
        OutputFormat::Coco,
        OutputFormat::GeoJson,
        OutputFormat::Npz,
        OutputFormat::Nrrd,
    ] {
        let bytes = encode(&volume, targets(&volume), format);
        for secret in [&b"SECRET"[..], b"Nobody", b"2.25.2"] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret), "{format}");
        }
    }
    let shown = format!(
        "{volume:?} {:?} {:?}",
        volume.origin(),
        Findings::new(&volume, targets(&volume)).unwrap()
    );
    assert!(
        !shown.contains("SECRET") && !shown.contains("Nobody") && !shown.contains("2.25.2"),
        "{shown}"
    );
}

#[test]
fn ct_is_windowed_and_planes_are_hung_as_radiologists_do() {
    let volume = series_volume();
    let view = View::new(Plane::Coronal, volume.grid(), volume.dimensions());
    assert_eq!(view.dimensions(), [13, 7, 10]);
    let picture =
        volume.picture(&view, 0, &Tone::Site(medparse_imaging::tone::Site::Abdomen)).unwrap();
    // The head is up: the highest slice, 3000 − 1024 HU, is white; the lowest is black.
    assert_eq!(picture.pixels()[0], 255);
    assert_eq!(picture.pixels()[picture.pixels().len() - 1], 0);
    let error = volume.picture(&view, 10, &Tone::Auto).unwrap_err();
    assert_eq!(error.to_string(), "slice 10 was asked for, the volume has slices 0 to 9");
}

#[test]
fn formats_that_need_a_source_say_so() {
    let volume = Volume::from_gray([4, 3, 2], vec![0.0; 24]).unwrap();
    let findings = Findings::new(&volume, Vec::new()).unwrap();
    for (format, expected) in [
        (OutputFormat::DicomSeg, "the input is not DICOM"),
        (OutputFormat::RtStruct, "the input is not DICOM"),
        (OutputFormat::Nifti, "does not say where its voxels lie"),
    ] {
        let sentence = format.encode(&findings, &ExportOptions::default()).unwrap_err().to_string();
        assert!(sentence.contains(expected), "{sentence}");
    }
}

/// One small file of each format.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let volume = series_volume();
    let pixels: Vec<u8> = (0..9 * 5 * 3).map(|i| i as u8).collect();
    let mut bmp = b"BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
    bmp.extend(9_u32.to_le_bytes());
    bmp.extend(5_u32.to_le_bytes());
    bmp.extend([1, 0, 24, 0]);
    bmp.extend([0; 24]);
    for row in pixels.chunks_exact(27) {
        bmp.extend(row);
        bmp.push(0);
    }
    let mut tiff = std::io::Cursor::new(Vec::new());
    tiff::encoder::TiffEncoder::new(&mut tiff)
        .unwrap()
        .write_image::<tiff::encoder::colortype::Gray16>(
            9,
            5,
            &(0..45).map(|i| i * 900).collect::<Vec<u16>>(),
        )
        .unwrap();
    vec![
        ("dicom", series::file(2)),
        ("seg", encode(&volume, targets(&volume), OutputFormat::DicomSeg)),
        ("nifti", encode(&volume, targets(&volume), OutputFormat::Nifti)),
        ("nrrd", encode(&volume, targets(&volume), OutputFormat::Nrrd)),
        ("bmp", bmp),
        ("tiff", tiff.into_inner()),
    ]
}

#[test]
fn every_cut_of_a_file_is_an_error() {
    for (name, bytes) in files() {
        decode(&bytes, &Limits::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        for cut in 0..50 {
            // Cuts of the last byte can take padding away only.
            let length = cut * (bytes.len() - 2) / 50;
            let found = decode(&bytes[..length], &Limits::default());
            assert!(found.is_err(), "{name}: a volume from {length} of {} bytes", bytes.len());
        }
    }
}

#[test]
fn claims_are_held_against_the_limits() {
    let limits = Limits { max_decoded_bytes: 500, ..Limits::default() };
    for (name, bytes) in files() {
        if name == "bmp" || name == "tiff" {
            continue;
        }
        let error = decode(&bytes, &limits).unwrap_err();
        assert!(matches!(error, Error::OverLimit { .. }), "{name}: {error}");
    }
}

#[test]
fn nested_sequences_end_in_an_error_not_in_the_stack() {
    let mut bytes = series::file(0);
    let at = bytes.windows(4).position(|tag| tag == [0xe0, 0x7f, 0x10, 0]).unwrap();
    bytes.truncate(at);
    for _ in 0..100_000 {
        bytes.extend([0x08, 0, 0x40, 0x11, b'S', b'Q', 0, 0, 0xff, 0xff, 0xff, 0xff]);
        bytes.extend([0xfe, 0xff, 0, 0xe0, 0xff, 0xff, 0xff, 0xff]);
    }
    let sentence = decode(&bytes, &Limits::default()).unwrap_err().to_string();
    assert!(sentence.contains("nested more than 32 deep"), "{sentence}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_never_panic(
        file in any::<prop::sample::Index>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of((any::<prop::sample::Index>(), any::<prop::sample::Index>())),
    ) {
        static FILES: std::sync::OnceLock<Vec<(&'static str, Vec<u8>)>> = std::sync::OnceLock::new();
        let files = FILES.get_or_init(files);
        let mut bytes = files[file.index(files.len())].1.clone();
        for (place, value) in edits {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if let Some((from, to)) = cut {
            let (from, to) = (from.index(bytes.len()), to.index(bytes.len()));
            bytes.drain(from.min(to)..from.max(to));
        }
        let limits = Limits { max_pixels: 1 << 20, max_decoded_bytes: 16 << 20, ..Limits::default() };
        if let Ok(volume) = decode(&bytes, &limits) {
            prop_assert!(volume.voxels() > 0);
        }
    }
}
