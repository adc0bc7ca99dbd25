//! A run that was cut off ends with the same bytes as one that was not.

use crate::support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use medparse_train::{LOG_FILE, MODEL_FILE, STATE_FILE, TrainConfig};

/// The losses in a run's log, step by step.
fn logged(folder: &Path) -> Vec<(u64, f64)> {
    let log = std::fs::read_to_string(folder.join(LOG_FILE)).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines
        .filter(|line| line["kind"] == "step")
        .map(|line| (line["step"].as_u64().unwrap(), line["total"].as_f64().unwrap()))
        .collect()
}

#[test]
fn a_run_that_was_stopped_or_killed_ends_the_same() {
    let (data, output) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    support::draw(data.path());
    let config = |name: &str| {
        let mut config = TrainConfig {
            name: Some("same".into()),
            ..support::config(data.path(), &output.path().join(name), 4.0)
        };
        config.batch_size = 2;
        config.optimizer.average_decay = 0.9;
        config.checks.validation_fraction = 0.25;
        config.checks.save_every = 2;
        config.augmentation = Default::default();
        config
    };
    // Three of four pictures, four times, two at a step.
    let straight = support::train(config("straight"), |_| false);
    assert_eq!(straight.len(), 6);

    let first = support::train(config("stopped"), |step| step == 2);
    let second = support::train(config("stopped"), |_| false);
    assert_eq!([first, second].concat(), straight);

    // Killed during the fourth step: one goes on from the checkpoint after the second.
    let killed = catch_unwind(AssertUnwindSafe(|| {
        support::train(config("killed"), |step| {
            assert_ne!(step, 3, "killed");
            false
        })
    }));
    assert!(killed.is_err());
    assert_eq!(support::train(config("killed"), |_| false), straight[2..]);

    let read = |run: &str, file: &str| std::fs::read(output.path().join(run).join(file)).unwrap();
    for run in ["stopped", "killed"] {
        for file in [STATE_FILE, MODEL_FILE] {
            assert!(read(run, file) == read("straight", file), "{file} of the {run} run differs");
        }
        assert_eq!(logged(&output.path().join(run)), logged(&output.path().join("straight")));
    }
}
