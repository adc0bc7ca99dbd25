//! Microsoft's own SDK, unpatched, against the real program and two real networks.

use std::path::Path;
use std::process::Command;

use medparse_imaging::Picture;
use serde_json::Value;

use crate::server::{Place, Server, request};

const PHRASES: &str = "tumor core & enhancing tumor";

/// The picture that the script draws.
fn ramp(path: &Path) {
    let row = (0..64u32).flat_map(|x| [(x * 255 / 64) as u8; 3]);
    let pixels = std::iter::repeat_n(row, 32).flatten().collect();
    Picture::from_rgb(64, 32, pixels).unwrap().save_png(path).unwrap();
}

/// How much of each mask is set, in whole percent.
fn foreground(server: &Server, path: &str, body: &str) -> Vec<f64> {
    let reply = server.post(path, None, body);
    assert_eq!(reply.status, 200, "{reply:?}");
    let row = &reply.json()[0];
    let features: Value = serde_json::from_str(row["image_features"].as_str().unwrap()).unwrap();
    let values = base64_simd::STANDARD.decode_to_vec(features["data"].as_str().unwrap()).unwrap();
    let percent = |mask: &[u8]| 100.0 * mask.iter().filter(|&&value| value == 255).count() as f64;
    values
        .chunks(64 * 32)
        // As Python rounds.
        .map(|mask| (percent(mask) / mask.len() as f64).round_ties_even())
        .collect()
}

/// What both models answer, asked of a server that speaks plain HTTP.
fn expected(place: &Place, models: &[&str]) -> String {
    let server = place.serve(models);
    server.wait_ready();
    place.run(&["endpoint", "create", "other", "--model", "second"]);
    let picture = place.path("ramp.png");
    ramp(&picture);
    let body = request(&picture, PHRASES);
    server.wait_for("the second endpoint", || {
        server.post("/endpoints/other/score", None, &body).status == 200
    });
    let bundled = foreground(&server, "/score", &body);
    let second = foreground(&server, "/endpoints/other/score", &body);
    assert_ne!(bundled, second, "the models must be told apart by their answers");
    serde_json::json!([bundled, second]).to_string()
}

/// Needs a Python with azure-ai-ml and azure-identity, named by `MEDPARSE_AZURE_PYTHON`.
#[test]
#[ignore = "needs azure-ai-ml; run with MEDPARSE_AZURE_PYTHON=… cargo test -- --ignored"]
fn azure_ai_ml_works_against_the_program() {
    let python = std::env::var_os("MEDPARSE_AZURE_PYTHON")
        .expect("MEDPARSE_AZURE_PYTHON names a Python with azure-ai-ml");
    let place = Place::new();
    let second = place.path("second.safetensors");
    let second = second.to_str().unwrap();
    let tiny = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/tiny.yaml");
    place.run(&["model", "init", second, "--config", tiny, "--seed", "7"]);
    let models = ["--model", "bundled", "--model", second];
    let expected = expected(&place, &models);

    std::fs::remove_dir_all(place.path("state")).unwrap();
    let server = place.serve(&[&["--azure", "--auth", "--bare"][..], &models].concat());
    let exports = server.announcement.lines().filter_map(|line| {
        let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
        Some((name.to_owned(), value.trim_matches('\'').to_owned()))
    });
    let status = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../server/tests/azure_sdk.py"))
        .envs(exports)
        .env("MEDPARSE_CONFIG", place.path("config.json"))
        .env("MEDPARSE_EXPECTED", expected)
        .status();
    assert!(status.unwrap().success(), "{}", server.log());
}
