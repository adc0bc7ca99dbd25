//! Where inputs are looked for and results go.

use medparse_imaging::Picture;

use crate::desk::Desk;
use crate::made;

#[test]
fn no_result_is_written_over_an_input() {
    let desk = Desk::new();
    made::nifti(&desk.path("scan.nii"), [24, 20, 3]);
    let packed = desk.run_tiny(&["segment", "scan.nii", "-p", "a", "-o", "scans"]);
    assert_eq!(packed.status, 0, "{}", packed.stderr);
    std::fs::remove_file(desk.path("scans/scan.json")).unwrap();
    let before = std::fs::read(desk.path("scans/scan.nii.gz")).unwrap();
    // The label map of scan.nii.gz would bear the scan's own name.
    for input in ["scans/scan.nii.gz", "scans"] {
        let run = desk.run_tiny(&["segment", input, "-p", "a", "-o", "scans"]);
        assert_eq!(run.status, 1, "{input}");
        assert!(run.stderr.contains("scan.nii.gz, which is an input"), "{}", run.stderr);
        assert_eq!(desk.names("scans"), ["scan.nii.gz"], "refused before anything is asked");
    }
    assert!(before == std::fs::read(desk.path("scans/scan.nii.gz")).unwrap());
    let arguments = ["segment", "scans/scan.nii.gz", "-p", "a", "-o", "scans", "--format", "npz"];
    let run = desk.run_tiny(&arguments);
    assert_eq!(run.status, 0, "other formats have other names: {}", run.stderr);

    let picture = std::fs::read(desk.path("cells.png")).unwrap();
    let run = desk.run(&["prepare", "cells.png", "-o", "cells.png"]);
    assert!(run.status == 1 && run.stderr.contains("cells.png is the input"), "{}", run.stderr);
    assert!(picture == std::fs::read(desk.path("cells.png")).unwrap());
}

#[test]
fn a_tree_of_files_without_endings_is_series_and_pictures() {
    let desk = Desk::new();
    made::disc(&desk.path("disc"));
    let run = desk.run_tiny(&["segment", "disc", "-p", "a", "-o", "out", "--json"]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    assert_eq!(run.stdout.lines().count(), 3, "one volume and two pictures: {}", run.stdout);
    assert_eq!(desk.names("out/PA0"), ["SE0.json", "SE0.nii.gz", "views"]);
    assert_eq!(
        desk.names("out/PA0/views"),
        ["CR.1.2.16579.json", "CR.1.2.16579__a.png", "CR.1.2.16583.json", "CR.1.2.16583__a.png"]
    );
}

#[test]
fn every_slice_of_a_volume_is_a_png_where_that_is_asked_for() {
    let desk = Desk::new();
    made::nifti(&desk.path("scan.nii"), [24, 20, 4]);
    let arguments = ["segment", "scan.nii", "-p", "a & b", "-o", "out", "--format"];
    let run = desk.run_tiny(&[&arguments[..], &["png,overlay,npz,npz", "--json"]].concat());
    assert_eq!(run.status, 0, "{}", run.stderr);
    let left = ["scan.json", "scan.npz", "scan.overlay.png", "scan__a", "scan__b"];
    assert_eq!(desk.names("out"), left);
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(report["files"].as_array().unwrap().len(), 3, "{report}");
    for (answer, folder) in ["scan__a", "scan__b"].into_iter().enumerate() {
        let slices = desk.names(&format!("out/{folder}"));
        assert_eq!(slices, ["0000.png", "0001.png", "0002.png", "0003.png"]);
        let area = |name: &String| {
            let mask = desk.mask(&format!("out/{folder}/{name}"));
            assert_eq!(mask.dimensions(), (24, 20));
            mask.area()
        };
        let voxels: u64 = slices.iter().map(area).sum();
        assert_eq!(report["answers"][answer]["voxels"], voxels);
    }
    // Of a picture they are written anyhow.
    let run = desk.run_tiny(&["segment", "cells.png", "-p", "a", "-o", "out", "--format", "png"]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    assert!(desk.path("out/cells__a.png").exists());
}

#[test]
fn the_page_of_a_picture_says_whose_it_is_and_how_large_the_finding() {
    let desk = Desk::new();
    std::fs::write(desk.path("one.dcm"), made::dicom(0)).unwrap();
    let arguments = ["segment", "one.dcm", "-p", "a", "-o", "out", "--format", "html", "--json"];
    let run = desk.run_tiny(&arguments);
    assert_eq!(run.status, 0, "{}", run.stderr);
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let area = report["answers"][0]["area_mm2"].as_f64().unwrap();
    assert!(area > 0.0, "the network marks something");
    let page = std::fs::read_to_string(desk.path("out/one.html")).unwrap();
    assert!(page.contains("<h1>one</h1>") && page.contains("<th>Area</th>"), "{page}");
    assert!(page.contains(&format!("<td>{area:.2} mm²</td>")), "{area} {page}");
}

#[test]
fn what_is_recognised_is_turned_back() {
    let desk = Desk::new();
    let arguments = ["recognize", "cells.png", "--type", "pathology", "--json", "--overlay"];
    let more = ["--instances", "--rotate", "90", "--flip"];
    let run = desk.run_tiny(&[&arguments[..], &more].concat());
    assert_eq!(run.status, 0, "{}", run.stderr);
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!([&report["width"], &report["height"]], [150, 101]);
    let objects = report["objects"].as_array().unwrap();
    assert!(!objects.is_empty(), "the network marks something");
    for object in objects {
        for file in ["mask", "labels"] {
            let path = desk.path(object[file].as_str().unwrap());
            assert_eq!(Picture::open(path).unwrap().dimensions(), (150, 101));
        }
    }
    let overlay = Picture::open(desk.path(report["overlay"].as_str().unwrap())).unwrap();
    assert!(overlay.width() > overlay.height(), "{:?}", overlay.dimensions());
}

#[test]
fn what_was_learnt_on_another_kind_of_picture_is_said() {
    let desk = Desk::new();
    std::fs::write(desk.path("one.dcm"), made::dicom(0)).unwrap();
    let run = desk.run(&["segment", "one.dcm", "-p", "vertebrae & liver", "-o", "out"]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    let expected = "phrase 1 names what the model was trained to find in MRI only";
    assert!(run.stderr.contains(expected), "{}", run.stderr);
    assert_eq!(run.stderr.matches("warning: ").count(), 2, "{}", run.stderr);
}
