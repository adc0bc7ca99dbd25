//! The verbs that work on files as a user runs them, with small networks, in one program.

mod anonymity;
mod batch;
mod desk;
mod large;
mod made;
mod places;
mod recognize;
mod train;
mod volumes;

use desk::{Desk, fixture};
use medparse_imaging::{Picture, procedural};

/// The answers of a JSON line without what differs from run to run.
fn answers(stdout: &str) -> serde_json::Value {
    let mut report: serde_json::Value = serde_json::from_str(stdout).unwrap();
    report["answers"].take()
}

#[test]
fn a_picture_and_two_phrases_give_masks_an_overlay_and_numbers() {
    let desk = Desk::new();
    let phrases = "neoplastic cells & inflammatory cells";
    let run = desk.run(&["segment", "cells.png", "-p", phrases, "-o", "out", "--overlay"]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    assert!(run.stdout.contains("neoplastic cells"), "{}", run.stdout);
    assert!(
        run.stderr.contains("phrase 1 names nothing that the model was trained to find"),
        "a phrase outside the model's scope is named: {}",
        run.stderr
    );
    let report = desk.json("out/cells.json");
    assert_eq!(report["interaction"], "joint");
    for answer in report["answers"].as_array().unwrap() {
        let mask = desk.mask(answer["mask"].as_str().unwrap());
        assert_eq!(mask.dimensions(), (150, 101));
        assert_eq!(answer["area_px"], mask.area());
    }
    let overlay = Picture::open(desk.path("out/cells.overlay.png")).unwrap();
    assert!(overlay.width() >= 150);
}

#[test]
fn threads_and_company_do_not_change_an_answer() {
    let desk = Desk::new();
    procedural::cells(80, 90, 9).unwrap().picture.save_png(desk.path("other.png")).unwrap();
    let alone = ["segment", "cells.png", "-p", "a & b", "--json", "--threads", "1"];
    let alone = desk.run_tiny(&alone);
    let company = desk.run_tiny(&["segment", "other.png", "cells.png", "-p", "a & b", "--json"]);
    assert!(answers(&alone.stdout)[0]["area_px"].as_u64() > Some(0), "{}", alone.stdout);
    assert_eq!(answers(&alone.stdout), answers(company.stdout.lines().nth(1).unwrap()));
}

#[test]
fn asking_together_is_another_question_than_asking_one_by_one() {
    let desk = Desk::new();
    let together =
        answers(&desk.run_tiny(&["segment", "cells.png", "-p", "a & b", "--json"]).stdout);
    let apart = ["segment", "cells.png", "-p", "a & b", "--json", "--independent"];
    let apart = answers(&desk.run_tiny(&apart).stdout);
    let alone = answers(&desk.run_tiny(&["segment", "cells.png", "-p", "a", "--json"]).stdout);
    assert_eq!(apart[0], alone[0]);
    assert_ne!(together[0]["mean_probability"], alone[0]["mean_probability"]);
}

#[test]
fn a_checkpoint_and_its_conversion_give_the_same_answers() {
    let desk = Desk::new();
    let checkpoint = fixture("tiny/tiny.pt");
    let convert =
        desk.run(&["model", "convert", &checkpoint, "t.safetensors", "--image-size", "256"]);
    assert_eq!(convert.status, 0, "{}", convert.stderr);
    let ask = |model: &[&str]| {
        let mut arguments = vec!["segment", "cells.png", "-p", "liver & optic disc", "--json"];
        arguments.extend(model);
        let run = desk.run(&arguments);
        assert_eq!(run.status, 0, "{}", run.stderr);
        answers(&run.stdout)
    };
    let original = ask(&["--model", &checkpoint, "--image-size", "256"]);
    assert_eq!(original, ask(&["--model", "t.safetensors"]), "the configuration is inside");
    // The second time the class bank comes from the cache.
    assert_eq!(original, ask(&["--model", &checkpoint, "--image-size", "256"]));
}

#[test]
fn verify_says_what_is_wrong() {
    let desk = Desk::new();
    let made = desk.run(&["model", "init", "t.safetensors", "--config", &fixture("tiny.yaml")]);
    assert_eq!(made.status, 0, "{}", made.stderr);
    let sound = desk.run(&["model", "verify", "t.safetensors"]);
    assert_eq!(sound.status, 0, "{}{}", sound.stdout, sound.stderr);
    let other =
        desk.run(&["model", "verify", &fixture("tiny/tiny.pt"), "--config", &wrong_yaml(&desk)]);
    assert_eq!(other.status, 1);
    assert!(other.stdout.contains("WRONG  keys and shapes"), "{}", other.stdout);
    assert!(other.stdout.contains("query_feat.weight` (expected shape [12, 64], found [11, 64])"));
}

/// The tiny configuration with one query too many.
fn wrong_yaml(desk: &Desk) -> String {
    let yaml = std::fs::read_to_string(fixture("tiny.yaml")).unwrap();
    let path = desk.path("wrong.yaml");
    std::fs::write(&path, yaml.replace("QUERIES: 11", "QUERIES: 12")).unwrap();
    path.display().to_string()
}

#[test]
fn what_can_not_be_done_is_a_sentence_and_a_status() {
    struct Case {
        arguments: &'static [&'static str],
        status: i32,
        says: &'static str,
    }
    let desk = Desk::new();
    let bytes = std::fs::read(desk.path("cells.png")).unwrap();
    std::fs::write(desk.path("cut.png"), &bytes[..bytes.len() / 2]).unwrap();
    std::fs::write(desk.path("words.png"), "these are words").unwrap();
    std::fs::write(desk.path("file"), "").unwrap();
    std::fs::create_dir(desk.path("empty")).unwrap();
    let cases = [
        Case {
            arguments: &["segment", "no.png", "-p", "a"],
            status: 1,
            says: "cannot read no.png",
        },
        Case { arguments: &["segment", "words.png", "-p", "a"], status: 1, says: "words.png: " },
        Case { arguments: &["segment", "cut.png", "-p", "a"], status: 1, says: "truncated" },
        Case { arguments: &["segment", "empty", "-p", "a"], status: 1, says: "holds no pictures" },
        Case {
            arguments: &["segment", "cells.png", "-p", "a & & b"],
            status: 2,
            says: "sentence 2 of 3 is empty",
        },
        Case { arguments: &["segment", "cells.png"], status: 2, says: "--prompt" },
        Case {
            arguments: &["segment", "cells.png", "-p", "a", "-o", "file"],
            status: 1,
            says: "cannot make the output folder file",
        },
        Case {
            arguments: &["segment", "cells.png", "-p", "a", "--model", "no.pt"],
            status: 1,
            says: "no such file: no.pt",
        },
        Case {
            arguments: &["segment", "cells.png", "-p", "a", "--model", "words.png"],
            status: 1,
            says: "words.png is not a checkpoint",
        },
        Case { arguments: &["model", "pull", "hub:a/b", "--offline"], status: 1, says: "hub:a/b" },
        Case {
            arguments: &["model", "convert", "words.png", "x.onnx"],
            status: 1,
            says: "expected a name ending in .safetensors",
        },
    ];
    for Case { arguments, status, says } in cases {
        let run = desk.run(arguments);
        assert_eq!(run.status, status, "{arguments:?}: {}", run.stderr);
        assert!(run.stderr.contains(says), "{arguments:?}: {}", run.stderr);
    }
}

#[test]
fn one_bad_picture_does_not_stop_the_others() {
    let desk = Desk::new();
    std::fs::write(desk.path("bad.png"), "no picture").unwrap();
    let run = desk.run(&["segment", "bad.png", "cells.png", "-p", "a", "--json"]);
    assert_eq!(run.status, 1);
    assert_eq!(run.stdout.lines().count(), 1, "the good one is answered");
    assert!(run.stderr.contains("1 of 2 pictures failed"), "{}", run.stderr);
}

#[test]
fn a_long_phrase_is_cut_and_said_to_be() {
    let desk = Desk::new();
    let phrase = "very ".repeat(100) + "long";
    let run = desk.run(&["segment", "cells.png", "-p", &phrase, "--json"]);
    assert_eq!(run.status, 0);
    assert!(run.stderr.contains("phrase 1 is longer than 77 tokens"), "{}", run.stderr);
    assert_eq!(answers(&run.stdout)[0]["truncated"], true);
}

#[test]
fn the_program_tells_of_the_machine_and_of_itself() {
    let desk = Desk::new();
    let run = desk.run(&["doctor", "--json"]);
    assert_eq!(run.status, 0, "{}", run.stdout);
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(report["model"], "medparse-small");
    assert!(report["picture_seconds"].as_f64() > Some(0.0) && report["threads"].as_u64() > Some(0));
    let config = fixture("tiny.yaml");
    desk.run(&["model", "init", "new.safetensors", "--config", &config]);
    let run = desk.run(&["doctor", "--model", "new.safetensors", "--image-size", "64"]);
    assert_eq!(run.status, 1, "an untrained model is a problem: {}", run.stdout);
    assert!(run.stdout.contains("problem: the model is untrained"), "{}", run.stdout);

    assert_eq!(desk.run(&["man", "pages"]).status, 0);
    let page = std::fs::read_to_string(desk.path("pages/medparse-segment.1")).unwrap();
    assert!(page.contains("presence"), "{page}");
    assert!(desk.run(&["completions", "bash"]).stdout.contains("_medparse"));
}
