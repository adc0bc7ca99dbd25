//! Nothing of a DICOM header reaches a message, a report or a picture; only DICOM outputs name the patient.

use std::io::Read;
use std::path::Path;

use crate::desk::Desk;
use crate::made::{self, SECRETS};

/// Every file below a folder with its contents, unpacked where they are packed.
fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        let mut unpacked = Vec::new();
        if flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut unpacked).is_err() {
            unpacked = bytes;
        }
        found.push((path.display().to_string(), unpacked));
    }
    found
}

fn holds(bytes: &[u8], secret: &str) -> bool {
    bytes.windows(secret.len()).any(|window| window.eq_ignore_ascii_case(secret.as_bytes()))
}

#[test]
fn no_verb_tells_who_the_patient_is() {
    let desk = Desk::new();
    made::series(&desk.path("series"), 3);
    std::fs::write(desk.path("one.dcm"), made::dicom(0)).unwrap();
    let cut = made::dicom(0);
    std::fs::write(desk.path("cut.dcm"), &cut[..cut.len() - 100]).unwrap();
    // Two series in one folder, of which one must be chosen.
    made::series(&desk.path("two"), 2);
    std::fs::write(desk.path("two/z.dcm"), made::of_series(b'9')).unwrap();

    let everything = "nifti,nrrd,coco,geojson,npz,html";
    let verbs: [(&[&str], i32); 9] = [
        (
            &["segment", "series", "-p", "liver", "--overlay", "--format", everything, "-o", "out"],
            0,
        ),
        (&["segment", "series", "-p", "liver", "--json", "-o", "out/json"], 0),
        (
            &[
                "segment",
                "one.dcm",
                "-p",
                "liver",
                "--overlay",
                "--json",
                "-o",
                "out/one",
                "--format",
                everything,
            ],
            0,
        ),
        (&["segment", "one.dcm", "-p", "liver", "-o", "out/tiles", "--tile", "16", "--overlay"], 0),
        (&["segment", "cut.dcm", "-p", "liver", "-o", "out/cut"], 1),
        (&["segment", "two", "-p", "liver", "-o", "out/two"], 1),
        (&["segment", "two", "-p", "liver", "-o", "out/chosen", "--series", "1"], 0),
        (
            &[
                "recognize",
                "series",
                "--type",
                "CT-Abdomen",
                "--overlay",
                "--instances",
                "-o",
                "out/all",
            ],
            0,
        ),
        (&["recognize", "one.dcm", "--type", "CT-Abdomen", "--json", "-o", "out/found"], 0),
    ];
    for (arguments, status) in verbs {
        let run = desk.run_tiny(arguments);
        assert_eq!(run.status, status, "{arguments:?}: {}", run.stderr);
        for secret in SECRETS {
            let told = holds(run.stdout.as_bytes(), secret) || holds(run.stderr.as_bytes(), secret);
            assert!(!told, "{arguments:?} tells {secret}");
        }
    }
    std::fs::create_dir_all(desk.path("out/prepared")).unwrap();
    let run = desk.run(&["prepare", "series", "-o", "out/prepared/a.png"]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    let files = contents(&desk.path("out"));
    assert!(files.len() > 20, "{} files", files.len());
    for (name, bytes) in &files {
        for secret in SECRETS {
            assert!(!holds(bytes, secret), "{name} tells {secret}");
        }
    }

    // The secrets can be found: DICOM outputs carry them, because viewers find them by the patient.
    let run = desk.run_tiny(&[
        "segment",
        "series",
        "-p",
        "liver",
        "-o",
        "asked",
        "--format",
        "dicom-seg,rtstruct",
    ]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    for name in ["asked/series.seg.dcm", "asked/series.rtstruct.dcm"] {
        assert!(holds(&std::fs::read(desk.path(name)).unwrap(), "Quagmire"), "{name}");
    }
    let report = std::fs::read(desk.path("asked/series.json")).unwrap();
    assert!(SECRETS.iter().all(|secret| !holds(&report, secret)));
}
