//! Large pictures in tiles.

use medparse_imaging::{Picture, procedural};

use crate::desk::{Desk, with_tiny};

#[test]
fn tiles_give_masks_polygons_and_an_overlay_of_the_whole_picture() {
    let desk = Desk::new();
    procedural::cells(300, 220, 5).unwrap().picture.save_png(desk.path("slide.png")).unwrap();
    let arguments = [
        "segment",
        "slide.png",
        "-p",
        "a & b",
        "-o",
        "out",
        "--tile",
        "100",
        "--format",
        "geojson,coco",
    ];
    let run = desk.run_tiny(&[&arguments[..], &["--overlay"]].concat());
    assert_eq!(run.status, 0, "{}", run.stderr);
    let mask = desk.mask("out/slide__a.png");
    assert_eq!(mask.dimensions(), (300, 220));
    assert!(Picture::open(desk.path("out/slide.overlay.png")).unwrap().width() >= 300);
    assert!(desk.path("out/slide.geojson").exists() && desk.path("out/slide.coco.json").exists());
    assert!(!desk.path("out/slide.partial").exists());
    assert_eq!(desk.json("out/slide.json")["answers"][0]["voxels"], mask.area());
}

#[test]
fn one_tile_is_the_picture_itself() {
    let desk = Desk::new();
    let ask = |folder: &str, more: &[&str]| {
        let run =
            desk.run_tiny(&[&["segment", "cells.png", "-p", "a", "-o", folder], more].concat());
        assert_eq!(run.status, 0, "{}", run.stderr);
        desk.mask(&format!("{folder}/cells__a.png"))
    };
    let plain = ask("plain", &[]);
    assert!(plain.area() > 0);
    assert!(plain == ask("tiled", &["--tile", "4096"]));
    let turned = ["--rotate", "270", "--flip"];
    assert!(ask("turned", &turned) == ask("both", &[&turned[..], &["--tile", "4096"]].concat()));
}

#[test]
fn a_resolution_is_needed_for_a_scale() {
    let desk = Desk::new();
    let run = desk.run_tiny(&["segment", "cells.png", "-p", "a", "--um-per-px", "0.5"]);
    assert_eq!(run.status, 1);
    assert!(run.stderr.contains("does not state its resolution; give --tile"), "{}", run.stderr);
    let arguments =
        with_tiny(&["segment", "cells.png", "-p", "a", "--tile", "64", "--um-per-px", "1"]);
    let run = desk.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(run.status, 2, "one or the other: {}", run.stderr);
}
