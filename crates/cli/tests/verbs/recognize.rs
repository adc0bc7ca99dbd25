//! `medparse recognize` and `medparse prepare`.

use medparse_imaging::{Mask, Picture};

use crate::desk::Desk;
use crate::made;

#[test]
fn everything_of_a_kind_is_looked_for() {
    let desk = Desk::new();
    let arguments = [
        "recognize",
        "cells.png",
        "--type",
        "pathology",
        "-o",
        "out",
        "--instances",
        "--overlay",
        "--json",
    ];
    let run = desk.run_tiny(&arguments);
    assert_eq!(run.status, 0, "{}", run.stderr);
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(report["type"], "Pathology");
    let objects = report["objects"].as_array().unwrap();
    assert!(!objects.is_empty(), "the network marks something");
    let mut claimed = vec![0_u8; 150 * 101];
    for object in objects {
        let mask = desk.mask(object["mask"].as_str().unwrap());
        assert_eq!(object["area_px"], mask.area());
        for (claims, pixel) in claimed.iter_mut().zip(mask.pixels()) {
            *claims += pixel & 1;
        }
        let instances = object["instances"].as_array().unwrap();
        let areas: u64 = instances.iter().map(|one| one["area_px"].as_u64().unwrap()).sum();
        assert_eq!(areas, mask.area(), "every pixel is of one instance");
        let labels = Picture::open(desk.path(object["labels"].as_str().unwrap())).unwrap();
        assert_eq!((labels.dimensions(), labels.source().bits), ((150, 101), 16));
    }
    assert!(claimed.iter().all(|claims| *claims <= 1), "a pixel is of one object at most");
    assert!(desk.path("out/cells.overlay.png").exists());
}

#[test]
fn distributions_give_p_values_and_kinds_are_listed() {
    let desk = Desk::new();
    let shape = "[[2.0, 2.0], [2.0, 2.0], [2.0, 2.0], [2.0, 2.0]]";
    let table = format!("{{\"Pathology\": {{\"neoplastic cells\": {shape}}}}}");
    std::fs::write(desk.path("dist.json"), table).unwrap();
    let run = desk.run_tiny(&[
        "recognize",
        "cells.png",
        "--type",
        "Pathology",
        "--distributions",
        "dist.json",
        "--p-value",
        "0",
        "--json",
    ]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    for object in report["objects"].as_array().unwrap() {
        let known = object["target"] == "neoplastic cells";
        assert_eq!(object["p_value"].is_number(), known, "{object}");
    }
    let recognize = ["recognize", "cells.png", "--type", "OCT", "--distributions", "dist.json"];
    let run = desk.run_tiny(&recognize);
    let expected =
        "holds nothing of OCT's targets, so there are no p-values; it is about Pathology";
    assert!(run.status == 0 && run.stderr.contains(expected), "{}", run.stderr);
    let run = desk.run_tiny(&["recognize", "cells.png", "--type", "OCT", "--p-value", "0.1"]);
    assert!(run.status == 2 && run.stderr.contains("--distributions"), "{}", run.stderr);
    let run = desk.run_tiny(&["recognize", "cells.png", "--type", "CT-Abdomn"]);
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("expected one of CT-Abdomen, CT-Chest"), "{}", run.stderr);
}

#[test]
fn near_misses_are_told() {
    let desk = Desk::new();
    let run = desk.run(&["segment", "cells.png", "-p", "nulcei & nuclei"]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    let expected =
        "phrase 1 names nothing that the model was trained to find; did you mean \"nuclei\"?";
    assert!(run.stderr.contains(expected), "{}", run.stderr);
    assert!(!run.stderr.contains("phrase 2"), "{}", run.stderr);
}

#[test]
fn a_prepared_slice_comes_back_through_every_turn() {
    let desk = Desk::new();
    made::nifti(&desk.path("scan.nii"), [24, 20, 5]);
    for turn in [&[][..], &["--rotate", "90"], &["--flip"], &["--rotate", "270", "--flip"]] {
        for fit in ["pad", "stretch"] {
            let prepare = ["prepare", "scan.nii", "-o", "square.png", "--side", "96", "--fit", fit];
            let run = desk.run(&[&prepare[..], turn].concat());
            assert_eq!(run.status, 0, "{}", run.stderr);
            // What is bright on the square is a mask of it.
            let square = Picture::open(desk.path("square.png")).unwrap();
            assert_eq!(square.dimensions(), (96, 96));
            let bright = square.pixels().iter().step_by(3).map(|gray| u8::from(*gray > 127));
            Mask::from_pixels(96, 96, bright.collect())
                .unwrap()
                .save_png(desk.path("answer.png"))
                .unwrap();
            let undo = ["prepare", "answer.png", "--undo", "square.json", "-o", "back.png"];
            let run = desk.run(&undo);
            assert_eq!(run.status, 0, "{}", run.stderr);
            let back = desk.mask("back.png");
            assert_eq!(back.dimensions(), (24, 20), "{turn:?} {fit}");
            // The same slice as it is, without a square between.
            let run = desk.run(&[
                "prepare",
                "scan.nii",
                "-o",
                "plain.png",
                "--side",
                "24",
                "--fit",
                "pad",
            ]);
            assert_eq!(run.status, 0, "{}", run.stderr);
            let plain = Picture::open(desk.path("plain.png")).unwrap();
            let gray = |x: u32, y: u32| plain.pixels()[((y + 2) * 24 + x) as usize * 3];
            let differ = (0..20).flat_map(|y| (0..24).map(move |x| (x, y))).filter(|(x, y)| {
                let gray = gray(*x, *y);
                gray.abs_diff(127) > 60 && (gray > 127) != back.contains(*x, *y)
            });
            assert_eq!(differ.count(), 0, "{turn:?} {fit}");
        }
    }
    let run = desk.run(&["prepare", "cells.png", "--undo", "square.json", "-o", "x.png"]);
    assert!(
        run.stderr.contains("expected a mask of 96×96 pixels, found 150×101"),
        "{}",
        run.stderr
    );
}
