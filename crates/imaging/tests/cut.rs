//! Every kind of file cut at fifty lengths, and what fuzzing found: an error, never a panic, never half a picture.

#[path = "../../../fuzz/src/frame.rs"]
mod frame;
#[path = "support/series.rs"]
mod series;

use std::path::{Path, PathBuf};

use medparse_imaging::write::{ExportOptions, Findings, OutputFormat, Target};
use medparse_imaging::{Limits, OpenOptions, Samples, Volume, decode, open, procedural};

/// A cut file is refused, or nothing was lost: what was cut off lay behind the pixels.
fn cut(name: &str, bytes: &[u8]) {
    let whole = decode(bytes, &Limits::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
    for step in 0..50 {
        let length = bytes.len() * step / 50;
        match decode(&bytes[..length], &Limits::default()) {
            Err(error) => assert!(!error.to_string().is_empty()),
            Ok(volume) => assert!(
                same(&volume, &whole),
                "{name}: half a picture from {length} of {} bytes",
                bytes.len()
            ),
        }
    }
}

fn same(one: &Volume, other: &Volume) -> bool {
    one.dimensions() == other.dimensions()
        && match (one.samples(), other.samples()) {
            // Compared by bits: what is not a number is what it was.
            (Samples::Gray(one), Samples::Gray(other)) => {
                one.iter().map(|v| v.to_bits()).eq(other.iter().map(|v| v.to_bits()))
            }
            (one, other) => one == other,
        }
}

/// A TIFF of one strip or of tiles, RGB, not compressed.
fn tiff() -> Vec<u8> {
    let picture = procedural::cells(40, 30, 1).unwrap().picture;
    let mut bytes = std::io::Cursor::new(Vec::new());
    let mut encoder = tiff::encoder::TiffEncoder::new(&mut bytes).unwrap();
    encoder.write_image::<tiff::encoder::colortype::RGB8>(40, 30, picture.pixels()).unwrap();
    bytes.into_inner()
}

/// A bitmap of 24 bits, rows from the bottom.
fn bmp() -> Vec<u8> {
    let (width, height) = (9_u32, 5_u32);
    let row = (width as usize * 3).next_multiple_of(4);
    let pixels: Vec<u8> = (0..row * height as usize).map(|at| (at * 37 % 251) as u8).collect();
    let mut bytes = b"BM".to_vec();
    bytes.extend((54 + pixels.len() as u32).to_le_bytes());
    bytes.extend([0; 4]);
    for value in [54_u32, 40, width, height] {
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend([1, 0, 24, 0]);
    bytes.extend([0; 24]);
    bytes.extend(pixels);
    bytes
}

#[test]
fn every_format_refuses_its_cut_files() {
    let volume = Volume::from_gray([7, 6, 5], (0..210).map(|v| v as f32).collect()).unwrap();
    let volume = volume.with_grid(series::grid());
    let target = Target {
        label: "a".into(),
        category: None,
        color: [255, 0, 0],
        voxels: (0..210).map(|v| if v % 3 == 0 { 255 } else { 0 }).collect(),
        probabilities: None,
    };
    let findings = Findings::new(&volume, vec![target]).unwrap();
    let written =
        |format: OutputFormat| format.encode(&findings, &ExportOptions::default()).unwrap();
    let picture = procedural::cells(40, 30, 1).unwrap().picture;
    let folder = tempfile::tempdir().unwrap();
    series::write(folder.path());
    for (name, bytes) in [
        ("png", picture.encode_png().unwrap()),
        ("tiff", tiff()),
        ("bmp", bmp()),
        ("dicom", std::fs::read(folder.path().join("IM003")).unwrap()),
        ("nifti", written(OutputFormat::Nifti)),
        ("nrrd", written(OutputFormat::Nrrd)),
    ] {
        cut(name, &bytes);
    }
}

/// Files below a folder, by name.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn project() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "../.."].iter().collect()
}

#[test]
fn every_real_file_refuses_to_be_cut() {
    let reference = std::env::var_os("MEDPARSE_REFERENCE_DIR")
        .map_or_else(|| project().join("../shared"), PathBuf::from);
    let images = reference.join("images");
    if !images.is_dir() {
        #[expect(clippy::print_stderr, reason = "a skipped test says so")]
        {
            eprintln!("skipped: MEDPARSE_REFERENCE_DIR has no images");
        }
        return;
    }
    let mut scans = files(&images.join("dicom"));
    scans.extend(files(&images.join("volumes")));
    scans.extend(files(&images.join("msd-hippocampus")).into_iter().take(2));
    for set in ["dsb2018-nuclei", "isic2017-lesion", "cxr-covid"] {
        scans.extend(files(&images.join(set)).into_iter().take(2));
    }
    assert!(scans.len() > 30, "{} files", scans.len());
    // Files that differ take turns, so that no thread is left with the largest.
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for first in 0..threads {
            let scans = &scans;
            scope.spawn(move || {
                for path in scans.iter().skip(first).step_by(threads) {
                    let bytes = std::fs::read(path).unwrap();
                    // A report or a mask image without pixels is refused whole as well.
                    if open(path, &OpenOptions::default()).is_ok() {
                        cut(&path.file_name().unwrap().to_string_lossy(), &bytes);
                    }
                }
            });
        }
    });
}

/// What the fuzz targets' corpora hold is tried again on every build.
#[test]
fn what_fuzzing_found_is_answered_or_refused() {
    let limits = Limits { max_pixels: 1 << 20, max_decoded_bytes: 32 << 20, ..Limits::default() };
    let corpus = files(&project().join("fuzz/corpus"));
    assert!(!corpus.is_empty(), "the corpora of the fuzz targets are part of the project");
    for path in corpus {
        let found = std::fs::read(&path).unwrap();
        // As the targets of these names do it.
        let bytes = match path.parent().and_then(Path::file_name).and_then(|name| name.to_str()) {
            // Not pictures: `wire` and `weights` try these.
            Some("json" | "base64" | "torch" | "torch_pickle" | "safetensors") => continue,
            Some("dicom_frame") => frame::dicom(&found).unwrap_or_default(),
            Some("nrrd") => [b"NRRD000", &found[..]].concat(),
            _ => found,
        };
        if let Ok(volume) = decode(&bytes, &limits) {
            assert!(volume.voxels() > 0, "{}", path.display());
        }
    }
}
