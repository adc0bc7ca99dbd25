//! The small network against the reference, stage by stage, from the project's own fixtures.

#![expect(clippy::print_stdout, reason = "the verdicts are for whoever runs the tests")]

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use medparse::device::Processor;
use medparse::runtime::BurnRuntime;
use medparse_engine::{Engine, EngineOptions, Isa};
use medparse_imaging::Picture;
use medparse_network::{Network, NetworkConfig};
use medparse_parity::golden::{GoldenCase, read_floors};
use medparse_parity::gradients;
use medparse_parity::report::CaseReport;
use medparse_parity::suite::Subject;
use medparse_weights::Checkpoint;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/tiny")
}

fn config() -> NetworkConfig {
    let yaml = std::fs::read_to_string(fixtures().join("tiny_config.yaml")).unwrap();
    // The reference fixes the picture's size in code; this network was run at 256.
    NetworkConfig { image_size: 256, ..NetworkConfig::from_yaml(&yaml).unwrap() }
}

fn checkpoint() -> Checkpoint {
    Checkpoint::open(fixtures().join("tiny.pt")).unwrap()
}

fn picture() -> Picture {
    Picture::open(fixtures().join("picture.png")).unwrap()
}

#[test]
fn every_stage_of_the_network_equals_the_reference() {
    let device = Device::flex();
    let network = Network::load(&config(), &checkpoint(), &device).unwrap();
    compare("network", &Subject::new(BurnRuntime::new(network, device), config()));
}

#[test]
fn every_stage_on_graphics_processors_equals_the_reference() {
    let graphics = Processor::ALL.into_iter().filter(|processor| *processor != Processor::Cpu);
    for processor in graphics {
        match processor.device() {
            Ok(device) => {
                let network = Network::load(&config(), &checkpoint(), &device).unwrap();
                let who = format!("network on {processor}");
                compare(&who, &Subject::new(BurnRuntime::new(network, device), config()));
            }
            Err(error) => println!("skipped: {error}"),
        }
    }
}

#[test]
fn every_stage_of_the_engine_equals_the_reference_on_every_instruction_set() {
    for isa in Isa::available() {
        let options = EngineOptions { isa, ..EngineOptions::default() };
        let engine = Engine::load(&config(), &checkpoint(), &options).unwrap();
        compare(&format!("engine on {isa}"), &Subject::new(engine, config()));
    }
}

fn compare(who: &str, subject: &Subject) {
    let floors = read_floors(&fixtures()).unwrap();
    let mut failures = Vec::new();
    for case in ["a", "b", "c"] {
        let golden = GoldenCase::read(&fixtures(), &format!("case_{case}")).unwrap();
        let seen = subject.see(&picture(), &golden, &floors);
        let rows = subject.ask(&seen, &golden, &floors).unwrap();
        let report =
            CaseReport { name: format!("tiny {case}, {who}"), prompts: golden.prompts, rows };
        println!("{}", report.summary());
        failures.extend(report.failures().map(|row| format!("{case}: {row:?}")));
    }
    assert!(failures.is_empty(), "stages that differ:\n{}", failures.join("\n"));
}

#[test]
fn every_gradient_equals_the_reference() {
    let report = gradients::run(&fixtures(), &config(), &checkpoint(), &picture()).unwrap();
    println!("{}", report.summary());
    let [ours, expected] = report.loss;
    assert!((ours - expected).abs() < 1e-4 * expected, "loss {ours}, expected {expected}");
    let failures: Vec<_> = report.rows.iter().filter(|row| !row.passes()).collect();
    assert!(failures.is_empty(), "gradients that differ: {failures:#?}");
}
