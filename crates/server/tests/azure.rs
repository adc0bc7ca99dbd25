//! Microsoft's own SDK, unpatched, against the server; see `azure_sdk.py`.
#![cfg(unix)]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// Needs a Python with azure-ai-ml and azure-identity, named by `MEDPARSE_AZURE_PYTHON`.
#[test]
#[ignore = "needs azure-ai-ml; run with MEDPARSE_AZURE_PYTHON=… cargo test -- --ignored"]
fn azure_ai_ml_creates_scores_shifts_rotates_and_deletes() {
    let python = std::env::var_os("MEDPARSE_AZURE_PYTHON")
        .expect("MEDPARSE_AZURE_PYTHON names a Python with azure-ai-ml");
    let folder = tempfile::tempdir().unwrap();
    let mut program = std::env::current_exe().unwrap();
    program.pop();
    program.pop();
    program.push("examples/stub");
    let mut server = Command::new(program)
        .args(["--azure", "--empty", "--state", folder.path().to_str().unwrap()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = BufReader::new(server.stdout.take().unwrap()).lines().map(Result::unwrap);
    let exports: Vec<(String, String)> = lines
        .take_while(|line| !line.is_empty())
        .filter_map(|line| {
            Some(line.strip_prefix("export ")?.split_once('=')?)
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
        })
        .collect();
    let status = Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/azure_sdk.py"))
        .envs(exports)
        .env("MEDPARSE_CONFIG", folder.path().join("config.json"))
        .status();
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(status.unwrap().success());
}
