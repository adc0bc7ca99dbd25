//! Real files cut at fifty lengths, and what fuzzing found: an error, never a panic, never half a picture.

#[path = "../../../fuzz/src/frame.rs"]
mod frame;

use std::path::{Path, PathBuf};

use medparse_imaging::{Limits, OpenOptions, Samples, Volume, decode, open};

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
