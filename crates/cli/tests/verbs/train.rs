//! `medparse train`, `evaluate` and `targets` as a user runs them, on four drawn pictures.

use std::path::Path;

use medparse_imaging::{Mask, Picture};
use serde_json::Value;

use crate::desk::{Desk, fixture};

/// A desk with a dataset `ds`: bright squares called livers, the first two with a dark one called nodule.
fn desk() -> Desk {
    let desk = Desk::new();
    for (part, count) in [("train", 4), ("test", 2)] {
        for folder in [part.to_owned(), format!("{part}_mask")] {
            std::fs::create_dir_all(desk.path("ds").join(folder)).unwrap();
        }
        for index in 0..count {
            draw(&desk.path("ds"), part, index);
        }
    }
    desk
}

fn draw(dataset: &Path, part: &str, index: usize) {
    let within = |at: usize, from: usize| {
        (from..from + 12).contains(&(at % 40)) && (from..from + 12).contains(&(at / 40))
    };
    let liver: Vec<u8> = (0..1600).map(|at| u8::from(within(at, 4 + index))).collect();
    let nodule: Vec<u8> =
        (0..1600).map(|at| u8::from(index < 2 && within(at, 24 + index))).collect();
    let gray = liver.iter().zip(&nodule).map(|(&a, &b)| 100 + 100 * a - 90 * b);
    let rgb = gray.flat_map(|gray| [gray; 3]).collect();
    let stem = format!("p{index}_CT_abdomen");
    let picture = dataset.join(part).join(format!("{stem}.png"));
    Picture::from_rgb(40, 40, rgb).unwrap().save_png(picture).unwrap();
    for (name, pixels) in [("liver", liver), ("cystic+nodule", nodule)] {
        let mask = Mask::from_pixels(40, 40, pixels).unwrap();
        if !mask.is_empty() {
            let folder = dataset.join(format!("{part}_mask"));
            mask.save_png(folder.join(format!("{stem}_{name}.png"))).unwrap();
        }
    }
}

/// A run of two epochs from the small reference checkpoint.
fn describe_run(desk: &Desk) {
    let text = format!(
        "data: ds\noutput: run\nfrom: {}\nimage_size: 64\npresence_head: true\n\
         batch_size: 2\nepochs: 2\nloss: {{ points: 256 }}\nname: liver-finder\n\
         checks: {{ validation_fraction: 0.5 }}\n",
        fixture("tiny/tiny.pt")
    );
    std::fs::write(desk.path("run.yaml"), text).unwrap();
}

#[test]
fn a_trained_model_deploys_as_it_is() {
    let desk = desk();
    describe_run(&desk);
    let trained = desk.run(&["train", "run.yaml"]);
    assert_eq!(trained.status, 0, "{}", trained.stderr);
    assert!(trained.stdout.contains("the model: run/model.safetensors"), "{}", trained.stdout);
    assert!(desk.path("run/predictions/step-000002.png").is_file());
    let model = ["--model", "run/model.safetensors"];

    let asked =
        [&["segment", "ds/test/p0_CT_abdomen.png", "-p", "liver & spleen", "--json"][..], &model]
            .concat();
    let answered = desk.run(&asked);
    assert_eq!(answered.status, 0, "{}", answered.stderr);
    let report: Value = serde_json::from_str(&answered.stdout).unwrap();
    assert_eq!(report["model"], "liver-finder");
    let presence = report["answers"][0]["presence"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&presence));
    assert!(answered.stderr.contains("phrase 2 names nothing that the model was trained to find"));

    // A threshold that no presence reaches empties every mask.
    let answered = desk.run(&[&asked[..], &["--presence-threshold", "1"]].concat());
    let report: Value = serde_json::from_str(&answered.stdout).unwrap();
    assert_eq!(report["answers"][0]["area_px"], 0);
    assert_eq!(report["answers"][0]["box"], Value::Null);

    let listed = desk.run(&[&["targets", "--json", "--modality", "ct"][..], &model].concat());
    let targets: Value = serde_json::from_str(&listed.stdout).unwrap();
    let names: Vec<&str> = targets["targets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|known| known["target"].as_str().unwrap())
        .collect();
    assert!(names.contains(&"liver"), "{names:?}");
    assert!(targets["targets"].as_array().unwrap().iter().any(|known| known["dice"].is_f64()));

    let measured =
        desk.run(&[&["evaluate", "ds", "--json", "--sheet", "worst.png"][..], &model].concat());
    assert_eq!(measured.status, 0, "{}", measured.stderr);
    let report: Value = serde_json::from_str(&measured.stdout).unwrap();
    assert_eq!((&report["split"], &report["interaction"]), (&"test".into(), &"independent".into()));
    let liver = report["targets"].as_array().unwrap().iter().find(|row| row["target"] == "liver");
    let liver = liver.unwrap();
    assert_eq!(liver["n"], 2);
    for key in ["mean", "low", "high"] {
        assert!((0.0..=1.0).contains(&liver["dice"][key].as_f64().unwrap()));
        assert!((0.0..=1.0).contains(&liver["baseline_dice"][key].as_f64().unwrap()));
    }
    assert!(Picture::open(desk.path("worst.png")).unwrap().width() > 480);
}

#[test]
fn every_bad_file_is_named() {
    let desk = desk();
    describe_run(&desk);
    let checked = desk.run(&["train", "run.yaml", "--check"]);
    assert_eq!(checked.status, 0, "{}", checked.stderr);
    assert!(checked.stdout.contains("liver in abdomen CT: 6 pictures"), "{}", checked.stdout);
    let masks = desk.path("ds/train_mask");
    std::fs::write(masks.join("p0_CT_abdomen_spleen.png"), b"no picture").unwrap();
    std::fs::write(masks.join("p9_CT_abdomen_liver.png"), b"").unwrap();
    let checked = desk.run(&["train", "run.yaml", "--check"]);
    assert_eq!(checked.status, 1);
    for name in ["p0_CT_abdomen_spleen.png", "p9_CT_abdomen_liver.png", "2 files can't be used"] {
        assert!(checked.stderr.contains(name), "{}", checked.stderr);
    }
    let refused = desk.run(&["train", "run.yaml"]);
    assert_eq!(refused.status, 1);
    assert!(refused.stderr.contains("p9_CT_abdomen_liver.png"), "{}", refused.stderr);
}

#[test]
fn mistakes_are_named() {
    let desk = desk();
    std::fs::write(desk.path("short.yaml"), "trainer:\n  max_epochs: 1\n").unwrap();
    for (arguments, reason) in [
        (&["train", "short.yaml"][..], "data is nothing; expected the folder"),
        (&["train", "short.yaml", "--data", "cache", "-o", "run"], "cache is no dataset"),
        (
            &["evaluate", "ds", "--set", "other"],
            "no collection is called \"other\"; expected one of ds",
        ),
        (&["evaluate", "nowhere"], "nowhere is no dataset"),
    ] {
        let outcome = desk.run(arguments);
        assert_eq!(outcome.status, 1, "{arguments:?}");
        assert!(outcome.stderr.contains(reason), "{arguments:?}: {}", outcome.stderr);
    }
}
