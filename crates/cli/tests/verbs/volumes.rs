//! Volumes: label maps, sheets and pages, work that goes on, what is refused before it begins.

use std::path::Path;
use std::time::{Duration, Instant};

use medparse_imaging::{OpenOptions, Picture, Samples, open};

use crate::desk::{Desk, with_tiny};
use crate::made;

fn labels(path: &Path) -> Vec<f32> {
    match open(path, &OpenOptions::default()).unwrap().samples() {
        Samples::Gray(values) => values.clone(),
        Samples::Rgb(_) => panic!("expected labels"),
    }
}

#[test]
fn a_volume_gives_a_label_map_a_sheet_a_page_and_millilitres() {
    let desk = Desk::new();
    made::nifti(&desk.path("scan.nii"), [40, 32, 6]);
    let arguments = [
        "segment",
        "scan.nii",
        "-p",
        "liver & spleen",
        "-o",
        "out",
        "--overlay",
        "--format",
        "nifti,html,npz",
    ];
    let run = desk.run_tiny(&arguments);
    assert_eq!(run.status, 0, "{}", run.stderr);
    let found = open(desk.path("out/scan.nii.gz"), &OpenOptions::default()).unwrap();
    let source = open(desk.path("scan.nii"), &OpenOptions::default()).unwrap();
    let (own, other) = (found.grid().unwrap(), source.grid().unwrap());
    assert!(own.agrees(other, source.dimensions(), 1e-4), "the place is the input's");
    let report = desk.json("out/scan.json");
    let labels = labels(&desk.path("out/scan.nii.gz"));
    let answers = report["answers"].as_array().unwrap();
    assert_eq!(answers.len(), 2);
    let marked: u64 = answers.iter().map(|answer| answer["voxels"].as_u64().unwrap()).sum();
    assert!(marked > 0, "the network marks something");
    assert!(labels.iter().filter(|label| **label > 0.0).count() as u64 <= marked);
    for answer in answers {
        let voxels = answer["voxels"].as_u64().unwrap() as f64;
        let volume = answer["volume_ml"].as_f64().unwrap();
        assert!((volume - voxels * 3.0 / 1000.0).abs() < 1e-6, "1 × 1.5 × 2 mm³ a voxel");
    }
    let sheet = Picture::open(desk.path("out/scan.overlay.png")).unwrap();
    assert!(sheet.width() >= 4 * 40);
    let page = std::fs::read_to_string(desk.path("out/scan.html")).unwrap();
    assert!(page.contains("data:image/png;base64,") && page.contains(" mL</td>"));
    assert!(!desk.path("out/scan.partial").exists(), "nothing of the work stays");
}

#[test]
fn how_many_slices_are_asked_at_once_changes_nothing() {
    let desk = Desk::new();
    made::nifti(&desk.path("scan.nii"), [40, 32, 7]);
    let ask = |folder: &str, parallel: &str| {
        let arguments =
            ["segment", "scan.nii", "-p", "a & b", "-o", folder, "--parallel", parallel];
        let run = desk.run_tiny(&arguments);
        assert_eq!(run.status, 0, "{}", run.stderr);
        std::fs::read(desk.path(folder).join("scan.nii.gz")).unwrap()
    };
    let one = ask("one", "1");
    assert!(one == ask("three", "3") && one == ask("many", "100"));
}

#[test]
fn a_run_that_was_killed_goes_on_and_ends_alike() {
    let desk = Desk::new();
    made::nifti(&desk.path("scan.nii"), [40, 32, 150]);
    let arguments = |folder: &'static str| {
        with_tiny(&["segment", "scan.nii", "-p", "a & b", "-o", folder, "--format", "nifti,npz"])
    };
    let run = |folder: &'static str| {
        let arguments = arguments(folder);
        desk.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let whole = run("whole");
    assert_eq!(whole.status, 0, "{}", whole.stderr);

    let killed = arguments("killed");
    let killed: Vec<&str> = killed.iter().map(String::as_str).collect();
    let mut child = desk.command(&killed).stderr(std::process::Stdio::null()).spawn().unwrap();
    let partial = desk.path("killed/scan.partial");
    let begun = Instant::now();
    let length = || std::fs::metadata(&partial).map_or(0, |facts| facts.len());
    while length() < 500 {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing was kept");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(length() >= 500, "what was done is kept");
    assert!(!desk.path("killed/scan.nii.gz").exists(), "killed before its end");
    // As if it had been killed while it wrote a result.
    std::fs::write(desk.path("killed/.scan.nii.gz.medparse-abcdef"), "half").unwrap();

    let again = run("killed");
    assert_eq!(again.status, 0, "{}", again.stderr);
    assert!(again.stderr.contains("going on with slice"), "{}", again.stderr);
    for name in ["scan.nii.gz", "scan.npz"] {
        let [one, other] =
            ["whole", "killed"].map(|folder| std::fs::read(desk.path(folder).join(name)).unwrap());
        assert!(one == other, "{name} differs");
    }
    assert_eq!(desk.names("killed"), ["scan.json", "scan.nii.gz", "scan.npz"]);

    // Another question does not take these answers for its own.
    std::fs::write(&partial, "something else").unwrap();
    let other = run("killed");
    assert!(other.status == 0 && !other.stderr.contains("going on"), "{}", other.stderr);
}

#[test]
fn formats_that_the_input_lacks_something_for_are_refused_first() {
    let desk = Desk::new();
    made::nifti(&desk.path("scan.nii"), [20, 20, 3]);
    for (format, says) in [
        ("dicom-seg", "the input is not DICOM"),
        ("dicom-seg-fractional", "the input is not DICOM"),
        ("rtstruct", "the input is not DICOM"),
    ] {
        let run =
            desk.run_tiny(&["segment", "scan.nii", "-p", "a", "-o", "out", "--format", format]);
        assert_eq!(run.status, 1);
        assert!(run.stderr.contains(says), "{format}: {}", run.stderr);
        assert!(!desk.path("out/scan.partial").exists(), "refused before anything is asked");
    }
    let run = desk.run_tiny(&["segment", "cells.png", "-p", "a", "--format", "nifti"]);
    assert!(run.stderr.contains("does not say where its voxels lie"), "{}", run.stderr);
}

#[test]
fn turns_are_undone_and_pieces_are_dropped() {
    let desk = Desk::new();
    made::nifti(&desk.path("scan.nii"), [24, 20, 5]);
    let ask = |folder: &str, more: &[&str]| {
        let run =
            desk.run_tiny(&[&["segment", "scan.nii", "-p", "a", "-o", folder], more].concat());
        assert_eq!(run.status, 0, "{}", run.stderr);
        let found = open(desk.path(folder).join("scan.nii.gz"), &OpenOptions::default()).unwrap();
        assert_eq!(found.dimensions(), [24, 20, 5], "{more:?}");
        labels(&desk.path(folder).join("scan.nii.gz"))
    };
    let plain = ask("plain", &[]);
    ask("turned", &["--rotate", "90", "--flip"]);
    ask("coronal", &["--plane", "coronal"]);
    let largest = ask("largest", &["--largest"]);
    let inside = |at: usize| largest[at] == 0.0 || plain[at] == largest[at];
    assert!((0..plain.len()).all(inside), "the largest piece is a part of what was found");
    ask("smooth", &["--smooth"]);
}

#[test]
fn a_series_is_a_volume_and_its_segmentation_refers_to_it() {
    let desk = Desk::new();
    made::series(&desk.path("series"), 4);
    let arguments = [
        "segment",
        "series",
        "-p",
        "left kidney",
        "-o",
        "out",
        "--format",
        "dicom-seg,rtstruct,nifti",
    ];
    let run = desk.run_tiny(&[&arguments[..], &["--window", "abdomen", "--overlay"]].concat());
    assert_eq!(run.status, 0, "{}", run.stderr);
    for ending in ["seg.dcm", "rtstruct.dcm"] {
        let bytes = std::fs::read(desk.path(&format!("out/series.{ending}"))).unwrap();
        let has = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
        assert!(has(b"2.25.90017.3") && has(b"2.25.90017.1.0"), "{ending} names its source");
    }
    let report = desk.json("out/series.json");
    assert_eq!(report["slices"], 4);
}
