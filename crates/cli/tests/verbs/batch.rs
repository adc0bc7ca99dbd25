//! `medparse batch` as a user runs it: folders, manifests, shards, kills.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use medparse_imaging::procedural;

use crate::desk::{Desk, with_tiny};
use crate::made;

/// A desk with `count` pictures under `scans/`.
fn scans(count: u64) -> Desk {
    let desk = Desk::new();
    std::fs::create_dir_all(desk.path("scans/day1")).unwrap();
    for at in 0..count {
        let scene = procedural::cells(48, 40, at + 1).unwrap();
        scene.picture.save_png(desk.path(&format!("scans/day1/s{at:02}.png"))).unwrap();
    }
    desk
}

/// The names of a folder's results, without endings.
fn reports(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).map(|entries| entries.flatten().collect());
    let entries: Vec<_> = entries.unwrap_or_default();
    let names = entries.iter().map(|entry| entry.file_name().into_string().unwrap());
    names.filter_map(|name| name.strip_suffix(".json").map(str::to_owned)).collect()
}

#[test]
fn a_folder_is_done_and_what_failed_is_listed_and_tried_again() {
    let desk = scans(4);
    std::fs::write(desk.path("scans/day1/torn.png"), b"\x89PNG\r\n\x1a\n").unwrap();
    let batch = ["batch", "scans", "-o", "out", "-p", "liver & spleen", "--workers", "2"];
    let first = desk.run_tiny(&batch);
    assert_eq!(first.status, 1, "{}", first.stderr);
    assert!(first.stdout.starts_with("4 of 5 done (0 before, 4 now"), "{}", first.stdout);
    assert!(first.stderr.contains("day1/torn: "), "{}", first.stderr);
    let listed = std::fs::read_to_string(desk.path("out/failures.csv")).unwrap();
    assert!(listed.starts_with("item,reason\nday1/torn,"), "{listed}");
    assert_eq!(reports(&desk.path("out/day1")).len(), 4);
    assert!(desk.path("out/day1/s00__liver.png").is_file());

    // Mended, and one result taken away: both are done, nothing else is.
    procedural::cells(40, 40, 9)
        .unwrap()
        .picture
        .save_png(desk.path("scans/day1/torn.png"))
        .unwrap();
    std::fs::remove_file(desk.path("out/day1/s02.json")).unwrap();
    let second = desk.run_tiny(&batch);
    assert_eq!(second.status, 0, "{}", second.stderr);
    assert!(second.stdout.starts_with("5 of 5 done (3 before, 2 now"), "{}", second.stdout);
    assert!(!desk.path("out/failures.csv").exists());
    assert_eq!(reports(&desk.path("out/day1")).len(), 5);

    let other = desk.run_tiny(&["batch", "scans", "-o", "out", "-p", "lung"]);
    assert_eq!(other.status, 1);
    assert!(other.stderr.contains("begun with prompt \"liver & spleen\""), "{}", other.stderr);
    let other = desk.run_tiny(&[&batch[..], &["--fit", "pad"]].concat());
    assert_eq!(other.status, 1);
    assert!(other.stderr.contains("begun with fit null, and not with \"pad\""), "{}", other.stderr);
}

#[test]
fn a_folder_of_dicom_files_without_endings_is_done() {
    let desk = Desk::new();
    made::disc(&desk.path("disc"));
    let batch = ["batch", "disc", "-o", "out", "-p", "liver"];
    let run = desk.run_tiny(&batch);
    assert_eq!(run.status, 0, "{}", run.stderr);
    assert!(run.stdout.starts_with("3 of 3 done"), "one volume, two pictures: {}", run.stdout);
    assert_eq!(desk.names("out/PA0"), ["SE0.json", "SE0.nii.gz", "views"]);
    assert_eq!(desk.json("out/PA0/SE0.json")["slices"], 3);
    let views = ["CR.1.2.16579", "CR.1.2.16583"];
    let expected = views.map(|name| [format!("{name}.json"), format!("{name}__liver.png")]);
    assert_eq!(desk.names("out/PA0/views"), expected.as_flattened());
    assert_eq!(desk.mask("out/PA0/views/CR.1.2.16583__liver.png").dimensions(), (32, 28));
    let again = desk.run_tiny(&batch);
    assert!(again.stdout.starts_with("3 of 3 done (3 before, 0 now"), "{}", again.stdout);
}

#[test]
fn azures_input_gives_azures_output() {
    let desk = Desk::new();
    let picture = std::fs::read(desk.path("cells.png")).unwrap();
    let mut table = String::from(",image,text\n");
    for row in 0..3 {
        let text = base64_simd::STANDARD.encode_to_string(&picture);
        table += &format!("{row},{text},liver & spleen \n");
    }
    std::fs::create_dir(desk.path("in")).unwrap();
    std::fs::write(desk.path("in/batch_input_001.csv"), table).unwrap();
    let run = desk.run_tiny(&["batch", "in", "-o", "out", "--workers", "1"]);
    assert_eq!(run.status, 0, "{}", run.stderr);
    let file = std::fs::File::open(desk.path("out/predictions.csv")).unwrap();
    let rows: Result<Vec<_>, _> =
        csv::ReaderBuilder::new().has_headers(false).from_reader(file).into_records().collect();
    let rows = rows.unwrap();
    assert_eq!(rows.iter().map(|row| row[0].to_owned()).collect::<Vec<_>>(), ["0", "1", "2"]);
    let features: serde_json::Value = serde_json::from_str(&rows[0][1]).unwrap();
    assert_eq!(features["shape"], serde_json::json!([2, 101, 150]));
    assert_eq!(features["dtype"], "uint8");
    assert!(rows[0][2].starts_with("['") && rows[0][2].ends_with("']"), "{}", &rows[0][2]);
}

#[test]
fn a_run_that_is_killed_again_and_again_does_everything_once() {
    let desk = scans(30);
    let text = base64_simd::STANDARD;
    let rows = (0..30).map(|at| {
        let picture = std::fs::read(desk.path(&format!("scans/day1/s{at:02}.png"))).unwrap();
        format!("{at},{}\n", text.encode_to_string(picture))
    });
    std::fs::write(desk.path("list.csv"), format!("id,image\n{}", rows.collect::<String>()))
        .unwrap();
    let batch = with_tiny(&["batch", "list.csv", "-o", "out", "-p", "liver", "--workers", "2"]);
    let batch: Vec<&str> = batch.iter().map(String::as_str).collect();
    for wait in [350, 500, 650] {
        let mut running = desk.command(&batch).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        running.kill().unwrap();
        running.wait().unwrap();
    }
    let last = desk.run(&batch);
    assert_eq!(last.status, 0, "{}", last.stderr);
    assert!(last.stdout.starts_with("30 of 30 done"), "{}", last.stdout);
    let file = std::fs::File::open(desk.path("out/predictions.csv")).unwrap();
    let rows: Result<Vec<_>, _> =
        csv::ReaderBuilder::new().has_headers(false).from_reader(file).into_records().collect();
    let names: Vec<String> = rows.unwrap().iter().map(|row| row[0].to_owned()).collect();
    assert_eq!(names.len(), 30, "{names:?}");
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), 30, "no row twice: {names:?}");
}

#[test]
fn shards_share_a_folder_and_leave_nothing_out() {
    let desk = scans(9);
    let mut counts = Vec::new();
    for shard in ["1/3", "2/3", "3/3"] {
        let run = ["batch", "scans", "-o", "out", "-p", "liver", "--shard", shard, "--json"];
        let run = desk.run_tiny(&run);
        assert_eq!(run.status, 0, "{}", run.stderr);
        counts.push(run.stdout.lines().count());
    }
    assert_eq!(counts.iter().sum::<usize>(), 9, "{counts:?}");
    assert_eq!(reports(&desk.path("out/day1")).len(), 9);
}

#[test]
fn nothing_is_begun_where_nothing_is_asked() {
    let desk = scans(1);
    for (arguments, expected) in [
        (&["batch", "scans", "-o", "out"][..], "give -p \"PHRASES\""),
        (&["batch", "scans", "-o", "out", "-p", "a & & b"], "--prompt: "),
        (&["batch", "scans", "-o", "out", "-p", "a", "--shard", "4/3"], "expected a number and"),
    ] {
        let run = desk.run_tiny(arguments);
        assert_eq!(run.status, 2, "{}", run.stderr);
        assert!(run.stderr.contains(expected), "{}", run.stderr);
        assert!(!desk.path("out").exists());
    }
}
